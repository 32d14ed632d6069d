/*
 * The three files of a site's settings, as they stand there. Not through Haraka's loader, which watches them: it keeps
 * one reading of a file, also of one that is gone, has no line numbers, and tells nobody of one it may not read.
 */

import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { ConfigError } from '../base/config-error'
import type { Plugin } from '../haraka/types'
import { parseIni } from './ini'
import { entryIn } from './lists'
import { fileNames } from './schema'

/** Where Haraka's configuration is: the site's directory, and below it the package's own. */
type ConfigPlaces = Pick<Plugin['config'], 'overrides_path' | 'root_path'>

export interface SettingsFile {
  /** Null: there is none. */
  readonly path: string | null
  readonly lines: readonly string[]
}

export interface SettingsFiles {
  readonly ini: SettingsFile
  readonly signatures: SettingsFile
  readonly exempt: SettingsFile
}

/** @throws ConfigError that names each file that is there and cannot be read */
export function readSettingsFiles(places: ConfigPlaces): SettingsFiles {
  const problems: string[] = []
  const read = (name: string, isEnough: (lines: readonly string[]) => boolean = () => true): SettingsFile => {
    let found: SettingsFile = { path: null, lines: [] }
    for (const directory of [places.overrides_path, places.root_path]) {
      if (!directory) continue
      const path = join(directory, name)
      try {
        found = { path, lines: textOf(readFileSync(path)).split(/\r\n|\r|\n/) }
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
 * Haraka can have settings from elsewhere (`!clamav-stream.ini` in smtp.json, a .js file); without them others would be
 * in force than somebody thinks.
 * @param loaded what Haraka's loader makes of the file
 * @throws ConfigError
 */
export function refuseOverrides(
  loaded: Record<string, Record<string, unknown>>,
  lines: readonly string[],
): void {
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

/** A list of comments alone leaves the package's in force, as Haraka's loader has it. */
export function hasEntries(lines: readonly string[]): boolean {
  return lines.some((line) => entryIn(line) !== '')
}

/** Without a byte order mark. What is half read would be half of what was meant. */
function textOf(bytes: Buffer): string {
  try {
    const text = new TextDecoder('utf-8', { fatal: true }).decode(bytes)
    if (!text.includes('\0')) return text
  } catch {
    // Said below.
  }
  throw new Error('it is not UTF-8')
}
