/*
 * The three files of a site's settings, as they stand there. Not through Haraka's loader, which watches them: it keeps
 * one reading of a file, also of one that is gone, has no line numbers, and tells nobody of one it may not read.
 */

import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { ConfigError } from './config'
import type { Plugin } from './haraka'

/** Where Haraka's configuration is: the site's directory, and below it the package's own. */
export type ConfigPlaces = Pick<Plugin['config'], 'overrides_path' | 'root_path'>

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

const names = {
  ini: 'clamav-stream.ini',
  signatures: 'clamav-stream.signatures',
  exempt: 'clamav-stream.exempt',
}

export const fileNames: readonly string[] = Object.values(names)

/** @throws ConfigError that names each file that is there and cannot be read */
export function readSettingsFiles(places: ConfigPlaces): SettingsFiles {
  const problems: string[] = []
  const read = (name: string): SettingsFile => {
    for (const directory of [places.overrides_path, places.root_path]) {
      if (!directory) continue
      const path = join(directory, name)
      try {
        return { path, lines: textOf(readFileSync(path)).split(/\r\n|\r|\n/) }
      } catch (error) {
        const { code, message } = error as NodeJS.ErrnoException
        if (code === 'ENOENT' || code === 'ENOTDIR') continue
        problems.push(`${name}: ${path} cannot be read: ${message}`)
        break
      }
    }
    return { path: null, lines: [] }
  }
  const files = { ini: read(names.ini), signatures: read(names.signatures), exempt: read(names.exempt) }
  if (problems.length > 0) throw new ConfigError(problems)
  return files
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
