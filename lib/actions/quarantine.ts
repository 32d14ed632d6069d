/*
 * Keeps a copy of a message through Haraka's own queue/quarantine, and believes it only when the copy is
 * whole and on disk. Beside it goes a .json with what the copy does not hold: envelope, verdict, time, client.
 */

import { mkdir, open, rename, rm, stat } from 'node:fs/promises'
import path from 'node:path'
import { measure } from '../base/measure'
import { TransactionMessage } from '../haraka/transaction-message'
import type { QuarantinePlugin } from '../haraka/types'
import type { Connection, Transaction } from '../haraka/types'

/** Milliseconds that all of it may take, and that a late second answer of the plugin is waited for. */
export const copyMs = 20_000
const afterthoughtMs = 1000

/**
 * Resolves with the path of the copy. Rejects when there is no copy that is whole; nothing is left then that
 * looks like one.
 * @param folder below the quarantine plugin's own path
 * @param record goes into the .json
 */
export async function keepCopy(
  quarantine: QuarantinePlugin | undefined,
  connection: Connection,
  transaction: Transaction,
  folder: string,
  record: object,
): Promise<string> {
  if (!quarantine) throw new Error('queue/quarantine is not listed in config/plugins')
  const base = quarantine.get_base_dir?.()
  const expected = base === undefined ? null : path.join(base, folder, today(), transaction.uuid)
  if (base !== undefined && expected !== null) {
    // The plugin goes on after a directory that it could not make, into an error that ends the process.
    await mkdir(path.dirname(expected), { recursive: true, mode: 0o700 })
    await mkdir(path.join(base, 'tmp'), { recursive: true, mode: 0o700 })
    if (await exists(expected)) throw new Error(`${expected} exists already`)
  }
  const until = AbortSignal.timeout(copyMs)
  const size = await fileSize(transaction, until)
  if (connection.transaction !== transaction) throw new Error('the client has gone')
  let copy: string | null = null
  try {
    copy = await chain(quarantine, connection, transaction, folder, until)
    await settleOnDisk(copy, size)
    await writeRecord(`${copy}.json`, record)
    await syncDirectories(path.dirname(copy), base)
    return copy
  } catch (error) {
    // A plugin that is late with its note has kept a copy all the same.
    const noted = transaction.notes.quarantined
    const copies = [copy, typeof noted === 'string' ? noted : null, expected]
    const left = [
      // First, so that a plugin that is late has nothing to link any more.
      base && path.join(base, 'tmp', transaction.uuid),
      ...copies,
      ...copies.map((file) => file && `${file}.json`),
    ]
    for (const file of left) if (file) await rm(file, { force: true }).catch(() => undefined)
    throw error
  }
}

/** Calls the plugin; resolves with the path that it noted, whatever else it answers. */
async function chain(
  quarantine: QuarantinePlugin,
  connection: Connection,
  transaction: Transaction,
  folder: string,
  until: AbortSignal,
): Promise<string> {
  const { notes } = transaction
  // Notes of the connection stay for all its later messages and would beat ours; so would an action of others.
  const aside = { ...pick(connection.notes, 'quarantine'), ...pick(connection.notes, 'quarantine_action') }
  delete notes.quarantine_action
  delete notes.quarantined
  notes.quarantine = folder
  let timer: NodeJS.Timeout | undefined
  try {
    let answers = 0
    let again: () => void = () => undefined
    const second = new Promise<void>((resolve) => (again = resolve))
    await new Promise<void>((resolve, reject) => {
      until.addEventListener('abort', () => reject(new Error(`no copy within ${copyMs} ms`)))
      quarantine.quarantine(() => {
        if (++answers === 1) resolve()
        else again()
      }, connection)
    })
    if (typeof notes.quarantined !== 'string') {
      // After a write error the plugin still files what there is of the copy, and then answers once more.
      await Promise.race([
        second,
        new Promise<void>((resolve) => (timer = setTimeout(resolve, afterthoughtMs))),
      ])
      throw new Error('queue/quarantine kept no copy, its log line says why')
    }
    return notes.quarantined
  } finally {
    clearTimeout(timer)
    Object.assign(connection.notes, aside)
  }
}

/** Of the copy in bytes: queue/quarantine writes lines that end in LF. */
async function fileSize(transaction: Transaction, until: AbortSignal): Promise<number> {
  const message = new TransactionMessage(transaction, afterthoughtMs, 'piped')
  try {
    return await measure({ open: (sink) => message.open(sink, '\n') }, until)
  } finally {
    message.close()
  }
}

function pick(notes: Record<string, unknown>, name: string): Record<string, unknown> {
  if (!(name in notes)) return {}
  const { [name]: value } = notes
  Reflect.deleteProperty(notes, name)
  return { [name]: value }
}

async function settleOnDisk(file: string, size: number): Promise<void> {
  const handle = await open(file, 'r+')
  try {
    const found = (await handle.stat()).size
    if (found !== size) throw new Error(`${file} has ${found} bytes instead of ${size}`)
    await handle.chmod(0o600)
    await handle.sync()
  } finally {
    await handle.close()
  }
}

/** Under its final name it is complete. */
async function writeRecord(file: string, record: object): Promise<void> {
  const part = `${file}.tmp`
  const handle = await open(part, 'wx', 0o600)
  try {
    try {
      await handle.writeFile(`${JSON.stringify(record, null, 2)}\n`)
      await handle.sync()
    } finally {
      await handle.close()
    }
    await rename(part, file)
  } catch (error) {
    await rm(part, { force: true })
    throw error
  }
}

/** A file survives a crash only if the entries that lead to it do. */
async function syncDirectories(directory: string, base: string | undefined): Promise<void> {
  for (let current = directory; ; current = path.dirname(current)) {
    const handle = await open(current, 'r')
    try {
      await handle.sync()
    } finally {
      await handle.close()
    }
    // A site's own plugin may keep its copies elsewhere; what leads there is its own business.
    const above = base === undefined ? '' : path.relative(base, current)
    if (above === '' || above.startsWith('..')) return
  }
}

async function exists(file: string): Promise<boolean> {
  return stat(file).then(
    () => true,
    () => false,
  )
}

/** As queue/quarantine names the folder of a day: YYYYMMDD in local time. */
function today(): string {
  const now = new Date()
  const two = (n: number) => String(n).padStart(2, '0')
  return `${now.getFullYear()}${two(now.getMonth() + 1)}${two(now.getDate())}`
}
