/*
 * Reads the three settings files of a site. Haraka's loader is not used: it caches a file even after it is deleted, has no
 * line numbers, and does not report a file that it cannot read.
 */

import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { ConfigError } from '../base/config-error'
import type { Plugin } from '../haraka/types'
import { entryIn, parseIni } from './ini'
import { fileNames } from './schema'

/** Directories of Haraka's configuration: the site's, and the package's defaults. */
type ConfigPlaces = Pick<Plugin['config'], 'overrides_path' | 'root_path'>

export interface SettingsFile {
  /** Null: the file does not exist. */
  readonly path: string | null
  readonly lines: readonly string[]
  /** Paths of files without a word, not even a comment. For a list, the next file counts then. */
  readonly empty: readonly string[]
}

export interface SettingsFiles {
  readonly ini: SettingsFile
  readonly signatures: SettingsFile
  readonly exempt: SettingsFile
}

/** @throws ConfigError that names each file that exists and cannot be read */
export function readSettingsFiles(places: ConfigPlaces): SettingsFiles {
  const problems: string[] = []
  const read = (name: string, isEnough: (lines: readonly string[]) => boolean = () => true): SettingsFile => {
    const empty: string[] = []
    let found: SettingsFile = { path: null, lines: [], empty }
    for (const directory of [places.overrides_path, places.root_path]) {
      if (!directory) continue
      const path = join(directory, name)
      try {
        const text = textOf(readFileSync(path))
        if (text.trim() === '') empty.push(path)
        found = { path, lines: text.split(/\r\n|\r|\n/), empty }
        if (isEnough(found.lines)) return found
      } catch (error) {
        const { code, message } = error as NodeJS.ErrnoException
        if (code === 'ENOENT' || code === 'ENOTDIR') continue
        problems.push(`${name}: ${path} cannot be read: ${message}`)
        break
      }
    }
    return found
  }
  const files = {
    ini: read(fileNames.ini),
    signatures: read(fileNames.signatures, hasEntries),
    exempt: read(fileNames.exempt, hasEntries),
  }
  if (problems.length > 0) throw new ConfigError(problems)
  return files
}

/**
 * Refuses settings that Haraka's loader takes from elsewhere (`!clamav-stream.ini` in smtp.json, a .js file): the plugin
 * would silently ignore them.
 * @param loaded the ini as Haraka's loader returns it
 * @param smtpJson smtp.json likewise, or smtp.yaml
 * @throws ConfigError
 */
export function refuseOverrides(
  loaded: Record<string, Record<string, unknown>>,
  smtpJson: Record<string, unknown>,
  lines: readonly string[],
): void {
  const overridden = Object.values(fileNames).filter((name) => `!${name}` in smtpJson)
  if (overridden.length > 0)
    throw new ConfigError(
      overridden.map((name) => `${name}: smtp.json has !${name}; it is read from the file alone`),
    )
  const { settings } = parseIni(lines)
  const isHere = (section: string, key: string) =>
    settings.some((one) => one.section === section && one.key === key)
  const elsewhere = Object.entries(loaded).flatMap(([section, keys]) =>
    Object.keys(keys)
      .filter((key) => !isHere(section, key))
      .map((key) => `${fileNames.ini}: [${section}] ${key} is set elsewhere; it is read from the file alone`),
  )
  if (elsewhere.length > 0) throw new ConfigError(elsewhere)
}

/** A list file with comments only leaves the package's in force, as with Haraka's loader. */
export function hasEntries(lines: readonly string[]): boolean {
  return lines.some((line) => entryIn(line) !== '')
}

/** Text without a byte order mark. A file that is not UTF-8 is refused, because part of it would be lost. */
function textOf(bytes: Buffer): string {
  try {
    const text = new TextDecoder('utf-8', { fatal: true }).decode(bytes)
    if (!text.includes('\0')) return text
  } catch {
    // Thrown below.
  }
  throw new Error('it is not UTF-8')
}
