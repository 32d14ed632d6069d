/*
 * Reads keys and list entries from a site's files, and collects the problems: values that are not allowed, unknown sections
 * and keys. settings.ts builds the settings from them.
 */

import { closest, distance } from 'fastest-levenshtein'
import { Invalid } from '../base/invalid'
import type { Host } from '../clamd/address'
import { entryIn, type Ini, parseIni, type Problem } from './ini'
import { fileNames, type Key, schema, type Section, type Values } from './schema'
import { hosts, listed, orEmpty, refusal } from './value-types'

/** The lines of a file; empty if it does not exist. */
interface Lines {
  readonly lines: readonly string[]
}

/** The three settings files. */
export interface Sources {
  readonly ini: Lines
  readonly signatures: Lines
  readonly exempt: Lines
}

/** An invalid value becomes its default, an invalid entry is left out; `problems` lists both. */
export class SettingsReader {
  readonly #ini: Ini
  readonly #inIni: Problem[]
  readonly #elsewhere: string[] = []

  constructor(private readonly sources: Sources) {
    this.#ini = parseIni(sources.ini.lines)
    this.#inIni = [...misplaced(this.#ini), ...this.#ini.problems]
  }

  /** Problems of everything read so far, in the order of the files. */
  get problems(): string[] {
    const inIni = this.#inIni.toSorted((a, b) => a.line - b.line)
    return [...inIni.map(({ text }) => `${fileNames.ini}: ${text}`), ...this.#elsewhere]
  }

  section<S extends Section>(section: S): Values<S> {
    const keys = Object.entries<Key<unknown>>(schema[section]).filter(
      ([name]) => name !== 'host' && name !== 'backup',
    )
    return Object.fromEntries(keys.map(([name, key]) => [name, this.#key(section, name, key)])) as Values<S>
  }

  /**
   * @param port for hosts without one
   * @param given from the command line, replaces `[main] host`
   */
  hosts(port: number, given?: string): readonly Host[] {
    const type = hosts(port)
    if (given === undefined) return this.#key('main', 'host', { ...schema.main.host, type })
    const parsed = type.parse(given)
    if (!(parsed instanceof Invalid)) return parsed
    this.#elsewhere.push(refusal(`--host ${given}`, parsed, type))
    return []
  }

  /** @param port for hosts without one */
  backups(port: number): readonly Host[] {
    return this.#key('main', 'backup', { ...schema.main.backup, type: orEmpty(hosts(port)) }) ?? []
  }

  list<T>(name: 'signatures' | 'exempt', parse: (entry: string) => T | Invalid): T[] {
    return this.sources[name].lines.flatMap((line, index) => {
      const entry = entryIn(line)
      if (entry === '') return []
      const parsed = parse(entry)
      if (!(parsed instanceof Invalid)) return [parsed]
      this.#elsewhere.push(`${fileNames[name]}: line ${index + 1}: ${parsed.why}`)
      return []
    })
  }

  #key<T>(section: Section, name: string, { initial, type }: Key<T>): T {
    const setting = this.#ini.settings.find((one) => one.section === section && one.key === name)
    const value = setting?.value ?? initial
    const parsed = type.parse(value)
    if (!(parsed instanceof Invalid)) return parsed
    const shown = type.isSecret ? '(not shown)' : value
    // A comment is a line of its own; some ini formats allow it behind a value.
    const hint = /\s[;#]/.test(value) ? '; a comment needs a line of its own' : ''
    const text = `${refusal(`[${section}] ${name} = ${shown}`, parsed, type)}${hint}`
    this.#inIni.push({ line: setting?.line ?? 0, text })
    return type.parse(initial) as T
  }
}

/** Keys of haraka-plugin-clamd and of Haraka, with the key of this plugin that replaces each. */
const foreignKeys = new Map([
  ['main clamd_socket', 'host'],
  ['main timeout', 'scan_timeout'],
  ['main randomize_host_order', 'host, whose addresses are used round robin'],
  ['main only_with_attachments', '[check], because messages without attachments are scanned too'],
  ['unscanned size', 'too_large'],
  ['http listen', "listen in Haraka's own http.ini"],
])

/** Sections of haraka-plugin-clamd, and sections that are files here. */
const foreignSections = new Map([
  ['reject', fileNames.signatures],
  ['signature', fileNames.signatures],
  ['signatures', fileNames.signatures],
  ['exempt', fileNames.exempt],
])

/** Unknown sections and keys, each with the known one that is meant, or all that there are. */
function misplaced({ sections, settings }: Ini): Problem[] {
  const known = Object.keys(schema)
  const isKnown = (section: string): section is Section => Object.hasOwn(schema, section)
  return [
    ...[...sections]
      .filter(([section]) => !isKnown(section))
      .map(([section, line]) => {
        const near = alike(section, known)
        const meant = foreignSections.get(section) ?? (near === null ? null : `[${near}]`)
        return { line, text: `[${section}] is no section; ${hint(meant, known)}` }
      }),
    ...settings.flatMap(({ section, key, line }) =>
      isKnown(section) && !Object.hasOwn(schema[section], key)
        ? [
            {
              line,
              text: `[${section}] ${key} is no key; ${hint(keyMeant(key, section), Object.keys(schema[section]))}`,
            },
          ]
        : [],
    ),
  ]
}

function hint(meant: string | null, known: readonly string[]): string {
  return meant === null ? `there are ${listed(known, 'and')}` : `did you mean ${meant}?`
}

/** A key of the section, otherwise one of another section; null: none is like it. */
function keyMeant(name: string, section: Section): string | null {
  const foreign = foreignKeys.get(`${section} ${name}`)
  if (foreign !== undefined) return foreign
  const other = Object.entries(schema).flatMap(([place, keys]) =>
    Object.keys(keys).map((key) => ({ place, key })),
  )
  const elsewhere = (key: string | null) => {
    const found = other.find((one) => one.key === key)
    return found ? `[${found.place}] ${found.key}` : null
  }
  return (
    elsewhere(name) ??
    alike(name, Object.keys(schema[section])) ??
    elsewhere(
      alike(
        name,
        other.map(({ key }) => key),
      ),
    )
  )
}

/** The nearest of the names that have the same word in them, or about one wrong letter in three; null: there is none. */
function alike(name: string, known: readonly string[]): string | null {
  const letters = (text: string) => text.toLowerCase().replaceAll('_', '')
  const given = letters(name)
  const near = known.filter((one) => {
    const its = letters(one)
    const [short, long] = its.length < given.length ? [its, given] : [given, its]
    return (short.length > 2 && long.includes(short)) || distance(its, given) <= (its.length + 2) / 3
  })
  return near.length === 0 ? null : closest(keyOf(name), near)
}

/** The key in the ini: `private_ip` for `privateIp`. */
export function keyOf(name: string): string {
  return name.replace(/[A-Z]/g, (letter) => `_${letter.toLowerCase()}`)
}
