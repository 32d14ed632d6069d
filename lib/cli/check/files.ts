/*
 * Checks files with the permissions of Haraka's user: the settings, which it reads again after a change, and the folder of
 * the outbound queue, which Haraka creates as root.
 */

import { randomUUID } from 'node:crypto'
import { closeSync, existsSync, openSync, unlinkSync, writeFileSync } from 'node:fs'
import path from 'node:path'
import { fileNames } from '../../config/schema'
import { actionsOf, type Settings } from '../../config/settings'
import { isName } from '../accounts'
import type { Site } from '../site'
import type { AsHaraka } from './as-haraka'
import type { Finding } from './results'

/** Haraka reads them as root at start, and as its user afterwards. */
export function checkConfigFiles(site: Site, haraka: AsHaraka): Finding[] {
  if (haraka.user === null) return []
  const { user } = haraka
  const { group } = site.haraka.get('smtp.ini').main ?? {}
  return Object.values(fileNames).flatMap((name): Finding[] => {
    const file = path.join(site.configDirectory, name)
    const why = existsSync(file) ? refusalOf(() => haraka.act(() => closeSync(openSync(file, 'r')))) : null
    if (why === null) return []
    return [
      {
        level: 'warning',
        about: 'config',
        text: `${name} cannot be read by ${user} (${why}): changes of it have no effect until a restart`,
        remedy: isName(group) ? `chgrp ${group} ${file} && chmod g+r ${file}` : `chown ${user} ${file}`,
      },
    ]
  })
}

/** Only if reports or notices are sent. */
export function checkOutboundQueue(site: Site, settings: Settings, haraka: AsHaraka): Finding[] {
  const isUsed = settings.notify.to !== null || actionsOf(settings).some(({ action }) => action.bounce)
  if (!isUsed || haraka.user === null) return []
  const { user } = haraka
  const given: unknown = site.haraka.get('queue_dir', 'value')
  const folder = path.resolve(site.directory, isName(given) ? String(given) : 'queue')
  const finding = (text: string, remedy: string): Finding[] => [
    { level: 'warning', about: 'queue', text: `${text}: no report or notice can be sent`, remedy },
  ]
  if (!existsSync(folder))
    return finding(
      `${folder} does not exist, and Haraka would create it as root, not as ${user}`,
      `install -d -o ${user} -m 700 ${folder}`,
    )
  const why = refusalOf(() => haraka.act(() => tryFile(folder)))
  return why === null
    ? []
    : finding(`${folder} cannot be written by ${user} (${why})`, `chown -R ${user} ${folder}`)
}

/** access(2) would ask for root, which is still the real user. */
function tryFile(folder: string): void {
  const file = path.join(folder, `.trial-${randomUUID()}`)
  writeFileSync(file, '', { flag: 'wx' })
  unlinkSync(file)
}

/** The code of the error; null: there is none. */
function refusalOf(act: () => void): string | null {
  try {
    act()
    return null
  } catch (error) {
    const { code, message } = error as NodeJS.ErrnoException
    return code ?? message
  }
}
