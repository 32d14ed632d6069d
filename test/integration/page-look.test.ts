// How the page looks, in each width and scheme: harmless whatever strangers write, no word broken, nothing for axe to say.
import assert from 'node:assert/strict'
import { test } from 'node:test'
import type { Page } from 'playwright-core'
import { chromiumOrSkip, openPage, violations } from '../support/chromium'
import {
  clean,
  infected,
  judge,
  sampleMail,
  someAddress,
  someCopy,
  startSite,
  type TestSite,
  unscanned,
} from '../support/monitoring-site'

const views = ['overview', 'messages', 'quarantine'] as const

const evil = [
  '<script>document.title = "pwned"</script>',
  '<img src=x onerror="document.title = `pwned`">',
  '"><svg/onload=alert(1)>',
  '</script><iframe src=//evil.example.net>',
  'javascript:alert(1)',
  "' onmouseover='alert(1)",
  '\u202egpj.exe\u2066 turned round \u2069',
  'zero\u200bwidth\u00adsoft\u{e0041}tag',
  'line\r\nbreak\u2028and\u0000nul\u001b[31m',
  `z${'\u0335\u0301\u0489'.repeat(200)}algo`,
  'שלום עליכם, مرحبا',
  'x'.repeat(100_000),
  '&lt;b&gt; &amp; \ud800 {{7*7}} ${7*7}',
]

/** Opens a view, and unfolds its first lines. */
async function look(page: Page, site: TestSite, view: (typeof views)[number]): Promise<void> {
  await page.goto(`${site.origin}/clamav-stream#${view}`)
  await page.getByText('Live', { exact: true }).waitFor()
  if (view === 'overview') {
    await page.locator('.chart canvas').nth(5).waitFor()
    await page.locator('#addresses th').first().waitFor()
    for (const table of await page.getByText('As a table').all()) await table.click()
  } else {
    for (const at of [0, 1]) await page.locator(`#${view} .entry`).nth(at).locator('button').click()
  }
}

const sideways = (page: Page) =>
  page.evaluate<number>('document.documentElement.scrollWidth - document.documentElement.clientWidth')

/** Words of ours, not of messages, that stand on two lines. */
const brokenWords = (page: Page) =>
  page.evaluate<string[]>(`(() => {
    const found = []
    const texts = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT)
    const range = document.createRange()
    while (texts.nextNode()) {
      const text = texts.currentNode
      if (text.parentElement.closest('bdi, code, option, script, noscript, .hidden, .skip')) continue
      for (const { 0: word, index } of text.data.matchAll(/[^\\s\\u00ad]+/g)) {
        range.setStart(text, index)
        range.setEnd(text, index + word.length)
        const lines = new Set([...range.getClientRects()].map(({ top }) => Math.round(top)))
        if (lines.size > 1) found.push(word)
      }
    }
    return found
  })()`)

function fill(site: TestSite, text: (at: number) => string): void {
  for (let at = 0; at < evil.length; at++) {
    const one = text(at)
    const mail = {
      ...sampleMail,
      uuid: one,
      from: one,
      to: [one, one],
      ip: one,
      host: one,
      user: one,
      subject: one,
      messageId: one,
    }
    const odd = { readings: 2, parts: 2, part: one, oddity: one }
    judge(site, { ...infected(one), ...odd }, 'quarantine reject', mail, { denied: one, name: one })
    judge(site, unscanned(one), 'defer', mail)
    judge(site, clean, 'reject', mail, { denied: one, name: one })
  }
}

test('whatever strangers write stays text, in its place', async (t) => {
  const browser = await chromiumOrSkip(t)
  if (!browser) return
  const site = await startSite()
  t.after(() => site.stop())
  fill(site, (at) => evil[at] ?? '')
  // What the server lets through of it: bounded, and on one line.
  const shown = (text: string) => text.replace(/[\p{C}\p{Zl}\p{Zp}]/gu, '\ufffd').slice(0, 128)
  const copies = evil.map((one, at) => {
    const text = shown(one)
    return { ...someCopy(at), what: text, from: text, to: [text], user: text, messageId: text, engine: text }
  })
  site.quarantine = {
    look: () => Promise.resolve({ count: copies.length, bytes: 1, isPartial: false }),
    list: () => Promise.resolve(copies),
  }
  for (const width of [360, 800, 1280]) {
    const { page, complaints } = await openPage(browser, site.origin, { viewport: { width, height: 800 } })
    for (const view of views) {
      await look(page, site, view)
      if (view === 'messages') {
        assert.equal(await page.locator('#messages .entry').count(), 3 * evil.length)
        for (const row of await page.locator('#messages .entry button').all()) {
          if ((await row.getAttribute('aria-expanded')) === 'false') await row.click()
        }
      }
      assert.equal(await page.title(), 'clamav-stream')
      assert.equal(await page.locator('main :is(script, img, iframe, svg)').count(), 0)
      assert.deepEqual(
        await page.locator('main a:not([href^="#"])').evaluateAll((links) => links.map(String)),
        [],
        'only links within the page',
      )
      const text = await page.evaluate<string>('document.body.textContent')
      assert.doesNotMatch(text, /[\p{Bidi_Control}\p{Zl}\p{Zp}\u200b\u00ad]/u)
      assert.doesNotMatch(text.replaceAll('\n', ''), /\p{Cc}/u)
      if (view !== 'overview') assert.ok(text.includes('<img src=x onerror='), 'shown as it was written')
      assert.ok((await sideways(page)) <= 0, `${view}, ${width} px`)
      const tallest = await page.evaluate<number>(
        "Math.max(0, ...[...document.querySelectorAll('.entry')].map((row) => row.offsetHeight))",
      )
      assert.ok(tallest < 50, `a line of ${tallest} px`)
      const details = await page.evaluate<number>(
        "Math.max(0, ...[...document.querySelectorAll('.details')].map((row) => row.offsetHeight))",
      )
      assert.ok(details < 2500, `details of ${details} px`)
    }
    assert.deepEqual(complaints, [])
    await page.context().close()
  }
})

test('no word is broken, nothing is cut off, and axe has nothing to say', async (t) => {
  const browser = await chromiumOrSkip(t)
  if (!browser) return
  const site = await startSite()
  t.after(() => site.stop())
  site.addresses = [
    someAddress,
    { ...someAddress, text: '[2001:db8::10]:3310', state: 'resting' },
    { ...someAddress, text: '/run/clamav/clamd.sock', state: 'untrusted', maxScannableBytes: 26_214_400 },
  ]
  fill(site, (at) => `Heuristics.Phishing.Email.SpoofedDomain-${at}`)
  const copies = evil.map((_, at) => someCopy(at))
  site.quarantine = {
    look: () => Promise.resolve({ count: 214, bytes: 61_203_411, isPartial: false }),
    list: () => Promise.resolve(copies),
  }
  for (const [width, colorScheme] of [
    [360, 'dark'],
    [800, 'light'],
    [1280, 'dark'],
    [1280, 'light'],
  ] as const) {
    const { page, complaints } = await openPage(browser, site.origin, {
      colorScheme,
      viewport: { width, height: 800 },
    })
    for (const view of views) {
      await look(page, site, view)
      assert.deepEqual(await brokenWords(page), [], `${view}, ${width} px`)
      assert.ok((await sideways(page)) <= 0, `${view}, ${width} px`)
      assert.deepEqual(await violations(page), [], `${view}, ${width} px, ${colorScheme}`)
    }
    await page.goto(`${site.origin}/clamav-stream/runbook`)
    await page.getByRole('heading', { name: 'Runbook' }).waitFor()
    assert.deepEqual(await violations(page), [], `runbook, ${width} px`)
    assert.ok((await sideways(page)) <= 0, `runbook, ${width} px`)
    assert.deepEqual(complaints, [])
    await page.context().close()
  }
  site.settings = { ...site.settings, token: 'correct-horse-battery' }
  const { page } = await openPage(browser, site.origin)
  await page.goto(`${site.origin}/clamav-stream?wrong`)
  assert.deepEqual(await violations(page), [])
})
