/*
 * Secrets that stand in files of their own: `[http] token_file`. The path may be the name of a systemd credential
 * (LoadCredential=), which systemd puts into $CREDENTIALS_DIRECTORY.
 */

import { readFileSync, statSync } from 'node:fs'
import path from 'node:path'
import { ConfigError } from '../base/config-error'
import { Invalid } from '../base/invalid'
import { fileNames } from './schema'
import type { Settings } from './settings'
import { token } from './value-types'

/** The settings with the content of `token_file` as token. @throws ConfigError, which never has the content */
export function withSecrets(settings: Settings): Settings {
  const { tokenFile, http } = settings
  if (tokenFile === null) return settings
  const wrong = (why: string) =>
    new ConfigError([`${fileNames.ini}: [http] token_file = ${tokenFile}: ${why}`])
  const file = secretFile(tokenFile)
  if (file === null)
    throw wrong('there is no CREDENTIALS_DIRECTORY in the environment: LoadCredential= in the unit sets it')
  let text: string
  try {
    text = readFileSync(file, 'utf8').trim()
  } catch (error) {
    throw wrong(`cannot be read: ${(error as Error).message}`)
  }
  // An empty file must not open metrics and page to everybody.
  if (text === '' || token.parse(text) instanceof Invalid)
    throw wrong(
      `its content (not shown) is not allowed; allowed is one line of ${token.allowed.replace('nothing, or ', '')}`,
    )
  return Object.freeze({ ...settings, http: Object.freeze({ ...http, token: text }) })
}

/** @returns null for a credential outside a unit that has some */
export function secretFile(written: string): string | null {
  if (path.isAbsolute(written)) return written
  const { CREDENTIALS_DIRECTORY: directory } = process.env
  return directory === undefined ? null : path.join(directory, written)
}

/** The mode of a file that all users may read, such as `644`; null: they may not, or it is not there. */
export function openMode(file: string): string | null {
  try {
    const { mode } = statSync(file)
    return (mode & 0o004) === 0 ? null : (mode & 0o777).toString(8)
  } catch {
    return null
  }
}
