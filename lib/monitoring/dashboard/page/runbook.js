// @ts-check
/*
 * Shows the runbook of the package, which is written in Markdown: headings, paragraphs, lists, tables and code. Links to
 * other pages become their text, since those pages are not served.
 */

import { copyable, element, place } from './dom.js'

/** As GitHub makes anchors. @param {string} heading */
export const anchorOf = (heading) =>
  heading
    .toLowerCase()
    .replace(/[^\p{L}\p{N} _-]/gu, '')
    .replaceAll(' ', '-')

/** Code, bold text and links within this page. @param {string} text @returns {(Node | string)[]} */
function inline(text) {
  const parts = text.split(/(`[^`]+`|\*\*[^*]+\*\*|\[[^\]]+\]\([^)]+\))/)
  return parts.map((part) => {
    if (part.startsWith('`')) return element('code', {}, part.slice(1, -1))
    if (part.startsWith('**')) return element('strong', {}, part.slice(2, -2))
    const [, name = '', to = ''] = /^\[([^\]]+)\]\(([^)]+)\)$/.exec(part) ?? []
    if (name === '') return part
    return to.startsWith('#')
      ? element('a', { href: to }, ...inline(name))
      : element('span', { title: to }, ...inline(name))
  })
}

/** @param {string[]} lines */
function tableOf(lines) {
  const [head = [], , ...rows] = lines.map((line) =>
    line
      .slice(1, -1)
      .split(' | ')
      .map((cell) => cell.trim()),
  )
  /** @param {string[]} cells @param {'th' | 'td'} tag */
  const row = (cells, tag) => element('tr', {}, ...cells.map((cell) => element(tag, {}, ...inline(cell))))
  return element(
    'table',
    {},
    element('thead', {}, row(head, 'th')),
    element('tbody', {}, ...rows.map((cells) => row(cells, 'td'))),
  )
}

/** @param {string} block lines without an empty one, or a whole piece of code */
function blockOf(block) {
  const lines = block.split('\n')
  const [, level = '', heading = ''] = /^(#{1,3}) (.*)$/.exec(block) ?? []
  if (heading)
    return element(
      level === '#' ? 'h1' : level === '##' ? 'h2' : 'h3',
      { id: anchorOf(heading) },
      ...inline(heading),
    )
  if (block.startsWith('```sh'))
    return element(
      'div',
      {},
      ...lines
        .slice(1, -1)
        .filter(Boolean)
        .map((line) => copyable(line, 'the command')),
    )
  if (block.startsWith('```')) return element('pre', { tabindex: '0' }, lines.slice(1, -1).join('\n'))
  if (block.startsWith('|'))
    return element(
      'div',
      { class: 'scroll', tabindex: '0', role: 'group', 'aria-label': 'Table' },
      tableOf(lines),
    )
  if (block.startsWith('- ')) {
    const items = block.slice(2).split('\n- ')
    return element(
      'ul',
      {},
      ...items.map((item) => element('li', {}, ...inline(item.replaceAll(/\n */g, ' ')))),
    )
  }
  return element('p', {}, ...inline(lines.join(' ')))
}

async function show() {
  const response = await fetch('runbook.md')
  const text = await response.text()
  const blocks = text.match(/^```[^]*?^```$|^(?!```)(?:.+\n?)+/gm) ?? []
  place('runbook').replaceChildren(...blocks.map((block) => blockOf(block.trim())))
  document.getElementById(decodeURIComponent(location.hash.slice(1)))?.scrollIntoView()
}

void show()
