/*
 * The program of `[notify] command`, checked before the first event.
 */

import { accessSync, constants, statSync } from 'node:fs'
import { ConfigError } from '../base/config-error'
import { fileNames } from './schema'
import type { Settings } from './settings'

/** Returns the settings. @throws ConfigError if the program is not there, or may not be run */
export function withPrograms(settings: Settings): Settings {
  const { command } = settings.notify
  if (command === null) return settings
  const why = problemOf(command)
  if (why !== null) throw new ConfigError([`${fileNames.ini}: [notify] command = ${command}: ${why}`])
  return settings
}

function problemOf(command: string): string | null {
  try {
    const stats = statSync(command)
    if (!stats.isFile()) return 'it is no file'
    if ((stats.mode & 0o002) !== 0) return `every user may write it; chmod o-w ${command}`
    accessSync(command, constants.X_OK)
    return null
  } catch (error) {
    return `it cannot be run: ${(error as Error).message}`
  }
}
