/*
 * Reads keys and list entries from a site's files, and collects the problems: values that are not allowed, unknown sections
 * and keys. settings.ts builds the settings from them.
 */

import { closest } from 'fastest-levenshtein'
import { Invalid } from '../base/invalid'
import type { Host } from '../clamd/address'
import { entryIn, type Ini, parseIni, type Problem } from './ini'
import { fileNames, type Key, schema, type Section, type Values } from './schema'
import { hosts, refusal } from './value-types'

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
    const keys = Object.entries<Key<unknown>>(schema[section]).filter(([name]) => name !== 'host')
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
    const text = refusal(`[${section}] ${name} = ${shown}`, parsed, type)
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
  ['http listen', "listen in Haraka's own http.ini"],
])

/** Sections of haraka-plugin-clamd, and sections that are files here. */
const foreignSections = new Map([
  ['reject', fileNames.signatures],
  ['signature', fileNames.signatures],
  ['signatures', fileNames.signatures],
  ['exempt', fileNames.exempt],
])

/** Unknown sections and keys, each with the nearest known one. */
function misplaced({ sections, settings }: Ini): Problem[] {
  const known = Object.keys(schema)
  const isKnown = (section: string): section is Section => Object.hasOwn(schema, section)
  return [
    ...[...sections]
      .filter(([section]) => !isKnown(section))
      .map(([section, line]) => ({
        line,
        text: `[${section}] is no section; did you mean ${foreignSections.get(section) ?? `[${closest(section, known)}]`}?`,
      })),
    ...settings.flatMap(({ section, key, line }) =>
      isKnown(section) && !Object.hasOwn(schema[section], key)
        ? [{ line, text: `[${section}] ${key} is no key; did you mean ${nearest(key, section)}?` }]
        : [],
    ),
  ]
}

/** The nearest key of the section, or the same key of another section. */
function nearest(name: string, section: Section): string {
  const meant = foreignKeys.get(`${section} ${name}`)
  if (meant !== undefined) return meant
  const elsewhere = Object.entries(schema).find(([, keys]) => Object.hasOwn(keys, name))
  if (elsewhere) return `[${elsewhere[0]}] ${name}`
  return closest(keyOf(name), Object.keys(schema[section]))
}

/** The key in the ini: `private_ip` for `privateIp`. */
export function keyOf(name: string): string {
  return name.replace(/[A-Z]/g, (letter) => `_${letter.toLowerCase()}`)
}
