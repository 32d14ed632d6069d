/*
 * Stores a copy of a message with Haraka's queue/quarantine, and checks that the copy is complete and on disk. The record
 * beside it (.json) has what the copy lacks: envelope, verdict, time, client.
 */

import { constants } from 'node:fs'
import { mkdir } from 'node:fs/promises'
import path from 'node:path'
import { type CancelSignal, untilAborted } from '../base/cancellation'
import { measure } from '../base/measure'
import { type Folder, inFolder } from '../base/safe-files'
import { within } from '../base/wait-queue'
import { TransactionMessage } from '../haraka/transaction-message'
import type { QuarantinePlugin } from '../haraka/types'
import type { Connection, Transaction } from '../haraka/types'

/** Milliseconds for the whole copy. */
export const copyMs = 20_000
/** Milliseconds to wait for a second callback of the plugin, and for another plugin's reading. */
const secondCallbackMs = 1000

/** What is to be kept. */
export interface CopyRequest {
  readonly connection: Connection
  readonly transaction: Transaction
  /** Below the quarantine plugin's own path. */
  readonly folder: string
  /** Content of the .json. */
  readonly record: object
}

/**
 * Resolves with the path of the copy. Rejects if the copy is not complete; nothing that looks like a copy is left then.
 * @param signal limits all steps. A step that hangs is not waited for: when it ends, its pieces are removed
 */
export async function keepCopy(
  quarantine: QuarantinePlugin | undefined,
  request: CopyRequest,
  signal: CancelSignal,
): Promise<string> {
  if (!quarantine) throw new Error('queue/quarantine is not listed in config/plugins')
  signal.throwIfAborted()
  return untilAborted(storeCopy(quarantine, request, signal), signal)
}

/** Rejects with the signal's reason when the step ends in which it aborts. */
async function storeCopy(
  quarantine: QuarantinePlugin,
  { connection, transaction, folder, record }: CopyRequest,
  signal: CancelSignal,
): Promise<string> {
  const base = quarantine.get_base_dir?.()
  const { uuid } = transaction
  const day = path.join(folder, today())
  if (base !== undefined) {
    // If the plugin cannot create a directory, it continues into an error that ends the process.
    await mkdir(base, { recursive: true, mode: 0o700 })
    for (const below of ['tmp', day]) await inFolder(base, below, (one) => requireAbsent(one, uuid), true)
  }
  const size = await fileSize(transaction, signal)
  if (connection.transaction !== transaction) throw new Error('the client disconnected')
  let copy: string | null = null
  const removePieces = async () => {
    // A plugin that sets its note late has still stored a copy.
    const noted = transaction.notes.quarantined
    const expected = base === undefined ? null : path.join(base, day, uuid)
    const copies = [copy, typeof noted === 'string' ? noted : null, expected]
    const left = [
      // First, so that a late plugin has nothing left to link.
      base === undefined ? null : path.join(base, 'tmp', uuid),
      ...copies,
      ...copies.map((file) => file && `${file}.json`),
    ]
    for (const file of left) if (file) await removeLeft(file, base)
  }
  try {
    const tooLate = () => void removePieces()
    copy = await callPlugin(quarantine, connection, transaction, folder, signal, tooLate)
    // The plugin unlinks its file in tmp, a second name of the copy, without waiting for it.
    if (base !== undefined) await inFolder(base, 'tmp', (tmp) => tmp.remove(uuid))
    const { root, below, name } = placeOf(copy, base)
    await inFolder(root, below, async (kept) => {
      await syncFile(kept, name, size)
      signal.throwIfAborted()
      await writeRecord(kept, `${name}.json`, record)
    })
    signal.throwIfAborted()
    await syncFolders(root, below)
    signal.throwIfAborted()
    return copy
  } catch (error) {
    await removePieces()
    throw error
  }
}

interface Place {
  /** Links in this path are the administrator's, and followed. */
  readonly root: string
  readonly below: string
  readonly name: string
}

function placeOf(file: string, base: string | undefined): Place {
  const directory = path.dirname(file)
  const below = base === undefined ? '' : path.relative(base, directory)
  const name = path.basename(file)
  // A site's own plugin may store its copies elsewhere.
  const isElsewhere = base === undefined || below === '..' || below.startsWith(`..${path.sep}`)
  return isElsewhere ? { root: directory, below: '', name } : { root: base, below, name }
}

async function removeLeft(file: string, base: string | undefined): Promise<void> {
  const { root, below, name } = placeOf(file, base)
  await inFolder(root, below, (folder) => folder.remove(name)).catch(() => undefined)
}

/**
 * Calls the plugin; resolves with the path in its note, whatever code it answers.
 * @param tooLate called if it answers after the signal
 */
async function callPlugin(
  quarantine: QuarantinePlugin,
  connection: Connection,
  transaction: Transaction,
  folder: string,
  signal: CancelSignal,
  tooLate: () => void,
): Promise<string> {
  const { notes } = transaction
  // Notes of the connection last for all its messages and would override ours, as would a quarantine_action.
  const aside = { ...pick(connection.notes, 'quarantine'), ...pick(connection.notes, 'quarantine_action') }
  delete notes.quarantine_action
  delete notes.quarantined
  notes.quarantine = folder
  try {
    let answers = 0
    let again: () => void = () => undefined
    const second = new Promise<void>((resolve) => (again = resolve))
    const first = new Promise<void>((resolve) => {
      quarantine.quarantine(() => {
        if (signal.aborted) tooLate()
        else if (++answers === 1) resolve()
        else again()
      }, connection)
    })
    await untilAborted(first, signal)
    if (typeof notes.quarantined !== 'string') {
      // After a write error the plugin still links the incomplete copy, and then calls back again.
      await within(second, secondCallbackMs, signal)
      throw new Error('queue/quarantine stored no copy; its log line has the cause')
    }
    return notes.quarantined
  } finally {
    Object.assign(connection.notes, aside)
  }
}

/** Size of the copy in bytes: queue/quarantine writes lines that end in LF. */
async function fileSize(transaction: Transaction, signal: CancelSignal): Promise<number> {
  const message = new TransactionMessage(transaction, secondCallbackMs, 'raw')
  try {
    return await measure({ open: (sink) => message.open(sink, '\n') }, signal)
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

async function requireAbsent(folder: Folder, name: string): Promise<void> {
  const isThere = await folder.lstat(name).then(
    () => true,
    (error: unknown) => {
      if ((error as NodeJS.ErrnoException).code !== 'ENOENT') throw error
      return false
    },
  )
  if (isThere) throw new Error(`${folder.pathOf(name)} already exists`)
}

async function syncFile(folder: Folder, name: string, size: number): Promise<void> {
  const handle = await folder.open(name, constants.O_RDWR)
  try {
    const found = (await handle.stat()).size
    if (found !== size) throw new Error(`${folder.pathOf(name)} has ${found} bytes instead of ${size}`)
    await handle.chmod(0o600)
    await handle.sync()
  } finally {
    await handle.close()
  }
}

/** Written to a temporary name first, so that a record is always complete. */
async function writeRecord(folder: Folder, name: string, record: object): Promise<void> {
  const part = `${name}.tmp`
  const { O_CREAT, O_EXCL, O_WRONLY } = constants
  const handle = await folder.open(part, O_WRONLY | O_CREAT | O_EXCL)
  try {
    try {
      await handle.writeFile(`${JSON.stringify(record, null, 2)}\n`)
      await handle.sync()
    } finally {
      await handle.close()
    }
    await folder.rename(part, name)
  } catch (error) {
    await folder.remove(part)
    throw error
  }
}

/** After a crash a file is found only if its directory entries are on disk too. */
async function syncFolders(root: string, below: string): Promise<void> {
  await inFolder(root, below, (folder) => folder.sync())
  if (below !== '') await syncFolders(root, path.relative('.', path.dirname(below)))
}

/** The folder of the day, as queue/quarantine names it: YYYYMMDD in local time. */
export function today(): string {
  const now = new Date()
  const two = (n: number) => String(n).padStart(2, '0')
  return `${now.getFullYear()}${two(now.getMonth() + 1)}${two(now.getDate())}`
}
