/*
 * The lines of an ini, read as Haraka's own loader reads them. Our own reading, because that one passes over what is
 * no setting, keeps the last of two, makes numbers of digits and holds on to a file that is gone.
 */

/** What is written for one key, all of `key[]` together. */
interface Setting {
  readonly section: string
  readonly key: string
  readonly value: string
  /** Counted from 1; where there are several, the first. */
  readonly line: number
}

/** Something about one line. */
export interface Problem {
  readonly line: number
  readonly text: string
}

export interface Ini {
  /** Each name once, with the line where it stands first. */
  readonly sections: ReadonlyMap<string, number>
  /** Each key of a section once, in the order of the file. */
  readonly settings: readonly Setting[]
  readonly problems: readonly Problem[]
}

const sectionLine = /^\s*\[([^\]]*)\]\s*$/
const commentOrBlank = /^\s*([;#].*)?$/
const settingLine = /^\s*([\w@:._+\-/[\]]+)\s*=\s*(.*?)\s*$/
/** Its line goes on in the next one. */
const continuation = /\\[ \t]*$/

/** Keys in front of the first section belong to `main`. */
export function parseIni(lines: readonly string[]): Ini {
  const sections = new Map<string, number>()
  const settings = new Map<string, Setting>()
  const lists = new Set<string>()
  const problems: Problem[] = []
  let section = 'main'
  let open: Problem | null = null
  let text = ''

  const endOpen = () => {
    if (open)
      problems.push({ ...open, text: `${open.text} ends in a backslash, and no line goes on with it` })
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
      open = { line, text: `"${written.trim()}"` }
      return
    }
    const [, key, value] = settingLine.exec(text) ?? []
    if (key === undefined || value === undefined) {
      problems.push({ line, text: `"${text.trim()}" is not a setting; write KEY = VALUE` })
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
      const text = `[${setting.section}] ${key} stands there twice, ${where}, and only one of them can count`
      problems.push({ line: setting.line, text })
    }
  }
  return { sections, settings: [...settings.values()], problems }
}
