/*
 * releases.log in the quarantine: every release and deletion, with user and time, one JSON object a line. Lines are only
 * appended, and synced before the next step. The log is also the lock: a command appends `begin` first, and stops if an
 * earlier `begin` of a live process has no `end`.
 */

import { randomUUID } from 'node:crypto'
import { constants, readFileSync } from 'node:fs'
import { hostname, userInfo } from 'node:os'
import path from 'node:path'
import { type Folder, inFolder } from '../../base/safe-files'
import { UserError } from '../user-error'
import { accessError } from './store'

export const releaseLogName = 'releases.log'

/** The user behind a line. */
export interface Actor {
  readonly user: string
  readonly uid: number
  /** The user that ran sudo; null: without sudo. */
  readonly sudo_user: string | null
}

interface Line {
  /** ISO 8601, UTC. */
  readonly time: string
  readonly uuid: string
  /** The same in all lines from an attempt's `begin` to its `end`. */
  readonly attempt: string
  readonly by: Actor
}

/** A line of the log. */
export type ReleaseLogLine = Line &
  (
    | { readonly event: 'begin'; readonly action: ActionName; readonly process: Process }
    /** Written before the message is sent: after it the message may arrive. */
    | { readonly event: 'sending'; readonly to: string; readonly recipients: readonly string[] }
    | ({ readonly event: 'sent'; readonly to: string } & Delivery)
    | { readonly event: 'deleting'; readonly about: object }
    | { readonly event: 'end' }
  )

type ActionName = 'release' | 'delete'

/** The result for each recipient of one SMTP transaction. */
export interface Delivery {
  readonly delivered: readonly string[]
  /** Certainly not delivered. */
  readonly refused: readonly { readonly recipient: string; readonly response: string }[]
  /** The connection broke after the end of the message was sent and before the reply. */
  readonly in_doubt: readonly string[]
  readonly response: string
}

interface Process {
  readonly host: string
  readonly pid: number
  /** Start time in clock ticks since boot, which tells a reused process id apart; null: unknown. */
  readonly start: string | null
}

/** Milliseconds after which a `begin` from another machine is ignored; no release takes that long. */
const remoteLockMs = 60 * 60 * 1000

/** The state of one recipient. */
export interface DeliveryStatus {
  readonly state: 'delivered' | 'refused' | 'in_doubt'
  readonly time: string
  readonly by: Actor
  readonly response: string
}

export class ReleaseLog {
  readonly #file: string

  /** @param by user of the lines that it writes */
  constructor(
    private readonly directory: string,
    private readonly by: Actor,
  ) {
    this.#file = path.join(directory, releaseLogName)
  }

  async entries(): Promise<ReleaseLogLine[]> {
    try {
      return parse(await inFolder(this.directory, '', (folder) => folder.text(releaseLogName)))
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code === 'ENOENT') return []
      throw accessError(error, this.#file)
    }
  }

  /**
   * Begins an action, and so locks the message.
   * @throws UserError if another process has locked it
   */
  async begin(uuid: string, action: ActionName): Promise<Attempt> {
    const attempt = new Attempt(this, { uuid, attempt: randomUUID(), by: this.by })
    await attempt.write({ event: 'begin', action, process: thisProcess() })
    const other = unfinished(await this.entries(), uuid).find(({ attempt: id }) => id !== attempt.id)
    // If two began at the same time, the first in the file continues.
    if (other && (await this.#isBefore(other.attempt, attempt.id))) {
      await attempt.end()
      throw new UserError(lockedText(other))
    }
    return attempt
  }

  async #isBefore(one: string, other: string): Promise<boolean> {
    const order = (await this.entries()).map(({ attempt }) => attempt)
    return order.indexOf(one) < order.indexOf(other)
  }

  /** On disk when it resolves. */
  async append(entry: ReleaseLogLine): Promise<void> {
    try {
      await inFolder(this.directory, '', (folder) => appendTo(folder, `${JSON.stringify(entry)}\n`))
    } catch (error) {
      throw accessError(error, this.#file)
    }
  }
}

async function appendTo(folder: Folder, line: string): Promise<void> {
  const { O_APPEND, O_CREAT, O_RDWR } = constants
  const file = await folder.open(releaseLogName, O_RDWR | O_APPEND | O_CREAT)
  try {
    // A killed process can leave a line without its end.
    const { size } = await file.stat()
    const last = Buffer.alloc(1)
    if (size > 0) await file.read(last, 0, 1, size - 1)
    const isTorn = size > 0 && last[0] !== 0x0a
    // One write, so that lines of two processes do not mix.
    await file.appendFile(`${isTorn ? '\n' : ''}${line}`)
    await file.sync()
    if (size === 0) await folder.sync()
  } finally {
    await file.close()
  }
}

type Event<T> = T extends unknown ? Omit<T, keyof Line> : never

/** One release or deletion of one message. */
export class Attempt {
  constructor(
    private readonly releaseLog: ReleaseLog,
    private readonly line: Omit<Line, 'time'>,
  ) {}

  get id(): string {
    return this.line.attempt
  }

  write(event: Event<ReleaseLogLine>): Promise<void> {
    return this.releaseLog.append({ time: new Date().toISOString(), ...this.line, ...event })
  }

  end(): Promise<void> {
    return this.write({ event: 'end' })
  }
}

/** Skips incomplete lines, such as the last one of a killed process. */
function parse(text: string): ReleaseLogLine[] {
  return text.split('\n').flatMap((line) => {
    try {
      const value = JSON.parse(line) as Partial<ReleaseLogLine> | null
      return typeof value?.event === 'string' && typeof value.uuid === 'string'
        ? [value as ReleaseLogLine]
        : []
    } catch {
      return []
    }
  })
}

type Begin = ReleaseLogLine & { event: 'begin' }

/** Attempts without an `end` whose process still runs. */
function unfinished(entries: readonly ReleaseLogLine[], uuid: string): Begin[] {
  const ended = new Set(entries.filter(({ event }) => event === 'end').map(({ attempt }) => attempt))
  return entries.filter(
    (entry): entry is Begin =>
      entry.event === 'begin' && entry.uuid === uuid && !ended.has(entry.attempt) && isRunning(entry),
  )
}

/** @throws UserError if another process has locked the message */
export function requireUnlocked(entries: readonly ReleaseLogLine[], uuid: string): void {
  const [other] = unfinished(entries, uuid)
  if (other) throw new UserError(lockedText(other))
}

function lockedText({ uuid, action, by, time, process: { pid, host } }: Begin): string {
  return `${uuid}: locked by a ${action} that ${nameOf(by)} started at ${time} (process ${pid} on ${host})`
}

function isRunning({ process: its, time }: Begin): boolean {
  if (its.host !== hostname()) return Date.now() - Date.parse(time) < remoteLockMs
  try {
    process.kill(its.pid, 0)
  } catch (error) {
    // EPERM: the process exists and belongs to another user.
    if ((error as NodeJS.ErrnoException).code !== 'EPERM') return false
  }
  return its.start === startOf(its.pid)
}

function thisProcess(): Process {
  return { host: hostname(), pid: process.pid, start: startOf(process.pid) }
}

/** Field 22 of /proc/PID/stat on Linux; field 2, the name, may contain spaces and parentheses. */
function startOf(pid: number): string | null {
  try {
    const text = readFileSync(`/proc/${pid}/stat`, 'latin1')
    return text.slice(text.lastIndexOf(')') + 2).split(' ')[19] ?? null
  } catch {
    return null
  }
}

/** The state of each recipient of a message. */
export function deliveriesOf(entries: readonly ReleaseLogLine[], uuid: string): Map<string, DeliveryStatus> {
  const deliveries = new Map<string, DeliveryStatus>()
  const own = entries.filter((entry) => entry.uuid === uuid)
  /** `delivered` is final, also while a later attempt is under way, and if it fails. */
  const set = (recipient: string, delivery: DeliveryStatus) => {
    if (deliveries.get(recipient)?.state !== 'delivered') deliveries.set(recipient, delivery)
  }
  for (const entry of own) {
    const delivery = (state: DeliveryStatus['state'], response: string): DeliveryStatus => ({
      state,
      time: entry.time,
      by: entry.by,
      response,
    })
    if (entry.event === 'sending') {
      for (const one of entry.recipients) set(one, delivery('in_doubt', 'the result was not recorded'))
    } else if (entry.event === 'sent') {
      for (const one of entry.delivered) set(one, delivery('delivered', entry.response))
      for (const { recipient, response } of entry.refused) set(recipient, delivery('refused', response))
      for (const one of entry.in_doubt) set(one, delivery('in_doubt', entry.response))
    }
  }
  return deliveries
}

export function nameOf({ user, sudo_user: sudo }: Actor): string {
  return sudo === null ? user : `${sudo} (as ${user})`
}

/** Call it before root drops its privileges. */
export function whoAmI(): Actor {
  const uid = process.getuid?.() ?? -1
  let user = String(uid)
  try {
    user = userInfo().username
  } catch {
    // The user id has no name.
  }
  return { user, uid, sudo_user: process.env.SUDO_USER ?? null }
}
