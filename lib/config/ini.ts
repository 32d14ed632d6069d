/*
 * Parses an ini as Haraka's loader does, and the entries of the two list files. That loader itself is not used: it ignores
 * lines that are no setting, keeps the last of two equal keys, turns digits into numbers, and caches deleted files.
 */

/** The value of one key; the values of `key[]` are joined. */
interface Setting {
  readonly section: string
  readonly key: string
  readonly value: string
  /** Line number from 1; of several lines, the first. */
  readonly line: number
}

/** A problem in one line. */
export interface Problem {
  readonly line: number
  readonly text: string
}

export interface Ini {
  /** Each name once, with its first line. */
  readonly sections: ReadonlyMap<string, number>
  /** Each key of a section once, in the order of the file. */
  readonly settings: readonly Setting[]
  readonly problems: readonly Problem[]
}

const sectionLine = /^\s*\[([^\]]*)\]\s*$/
const commentOrBlank = /^\s*([;#].*)?$/
const settingLine = /^\s*([\w@:._+\-/[\]]+)\s*=\s*(.*?)\s*$/
/** The line continues in the next one. */
const continuation = /\\[ \t]*$/

/** A line for the log. */
function shown(line: string): string {
  return /token|pass|secret/i.test(line) ? 'a line with a secret (not shown)' : `"${line.trim()}"`
}

/** Keys before the first section belong to `main`. */
export function parseIni(lines: readonly string[]): Ini {
  const sections = new Map<string, number>()
  const settings = new Map<string, Setting>()
  const lists = new Set<string>()
  const problems: Problem[] = []
  let section = 'main'
  let open: Problem | null = null
  let text = ''

  const endOpen = () => {
    if (open) problems.push({ ...open, text: `${open.text} ends in a backslash, but no line continues it` })
    open = null
    text = ''
  }
  lines.forEach((written, index) => {
    if (commentOrBlank.test(written)) return
    const line = open?.line ?? index + 1
    const name = sectionLine.exec(written)?.[1]?.trim()
    if (name !== undefined) {
      endOpen()
      section = name
      if (!sections.has(name)) sections.set(name, index + 1)
      return
    }
    const isOpen = continuation.test(written)
    text += written.replace(continuation, '')
    if (isOpen) {
      open = { line, text: shown(written) }
      return
    }
    const [, key, value] = settingLine.exec(text) ?? []
    if (key === undefined || value === undefined) {
      problems.push({ line, text: `${shown(text)} is not a setting; write KEY = VALUE` })
    } else {
      add({ section, key, value, line })
    }
    open = null
    text = ''
  })
  endOpen()

  /** `key[]` may be written any number of times, and `key` once. */
  function add(setting: Setting): void {
    const isList = setting.key.endsWith('[]')
    const key = isList ? setting.key.slice(0, -2) : setting.key
    const place = `${setting.section}\0${key}`
    const before = settings.get(place)
    if (!before) {
      settings.set(place, { ...setting, key })
      if (isList) lists.add(place)
    } else if (isList && lists.has(place)) {
      settings.set(place, { ...before, value: `${before.value} ${setting.value}` })
    } else {
      const where = `in lines ${before.line} and ${setting.line}`
      const text = `[${setting.section}] ${key} is set twice, ${where}`
      problems.push({ line: setting.line, text })
    }
  }
  return { sections, settings: [...settings.values()], problems }
}

/** The entry of a line in a list file, without its comment after `#` (or after `;` at the start); empty: no entry. */
export function entryIn(line: string): string {
  return line.replace(/(^|\s)#.*$|^\s*;.*$/, '').trim()
}
