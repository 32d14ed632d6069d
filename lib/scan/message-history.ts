/*
 * What the memory knows of one message, for the time of its scan: may it be scanned now, may it go on to another address, and
 * what is remembered of its end.
 */

import type { Cancellation, CancelSignal } from '../base/cancellation'
import type { MessageIdentity } from '../base/message-source'
import type { Unscanned, Verdict } from '../policy/verdict'
import type { FailedMessage, FailureMemory } from './failure-memory'

/**
 * An address that failed on a message. `refused`: an error in place of a verdict. `hung up`: it closed the connection, or
 * crashed. `silent`: no reply in time.
 */
export interface Stumble {
  readonly address: string
  readonly how: 'refused' | 'hung up' | 'silent'
}

/** How a scan ended. */
export interface ScanEnd {
  readonly verdict: Verdict
  readonly stumbles: readonly Stumble[]
  /** The address that was asked last. */
  readonly clamd: string | null
  /** When it had the whole message, in ms of performance.now(); null: it has not. */
  readonly sentAt: number | null
  /** Of the message. Aborted: the client has gone. */
  readonly signal: CancelSignal
}

/** A message on which two addresses hang up might make all of them do so. */
const maxHangUps = 2

/** Enough for the log; a name may resolve to new addresses for ever. */
const maxAddresses = 16

export class MessageHistory {
  #digest: string | null = null
  /** Reads the message; null: nothing does. */
  #reading: Promise<string | null> | null = null
  #known: FailedMessage | null = null

  /** @param scanMs for which the scan may take */
  constructor(
    private readonly memory: FailureMemory | null,
    private readonly identity: MessageIdentity | undefined,
    private readonly scanMs: number,
  ) {}

  /** A scan of it has failed before. */
  get isKnown(): boolean {
    return this.#known !== null
  }

  /** The addresses that failed on it. */
  get failedAddresses(): readonly string[] {
    return this.#known?.addresses ?? []
  }

  /**
   * Call before the scan.
   * @returns why there is to be none now; null: it may begin, and no other begins meanwhile
   */
  async begin(signal: CancelSignal): Promise<Pick<Unscanned, 'reason' | 'text'> | null> {
    const { memory, identity } = this
    if (!memory || !identity || !memory.mayKnow(identity.bodyBytes)) return null
    const digest = await this.#digestOf(signal)
    const known = digest === null ? null : memory.find(digest)
    if (!known) return null
    const now = Date.now()
    const { busyMs, pauseMs } = memory.times
    if (known.busyUntil > now) {
      const wait = seconds(known.busyUntil - now)
      const where = known.addresses.join(', ')
      return { reason: 'in_progress', text: `${where} may still be scanning it; not sent again for ${wait}` }
    }
    const pauseEndsAt = known.failedAt + pauseMs
    if (memory.isUnscannable(known) && now < pauseEndsAt) {
      const wait = seconds(pauseEndsAt - now)
      return { reason: 'unscannable', text: `${failureText(known)}; not sent again for ${wait}` }
    }
    this.#known = known
    memory.remember({ ...known, busyUntil: now + Math.max(busyMs, this.scanMs) })
    return null
  }

  /**
   * Call when clamd has the whole message, and clear the timer when there is a reply. A client that leaves before a late
   * reply sends the message again, and then it has to be known; by that time it can no longer be read.
   */
  awaitReply(signal: CancelSignal): NodeJS.Timeout | undefined {
    if (!this.memory || !this.identity || this.#digest !== null) return undefined
    return setTimeout(() => void this.#digestOf(signal), this.memory.times.slowMs)
  }

  /** Why no other address is to be asked; null: there is no reason. */
  stopsAfter(stumbles: readonly Stumble[]): string | null {
    if (stumbles.length > 0 && this.isKnown)
      return 'clamd has failed on this message before, so one address at a time is asked'
    const hangUps = stumbles.filter(({ how }) => how === 'hung up').length
    return hangUps < maxHangUps
      ? null
      : `${hangUps} addresses have hung up on this message, so no other is asked`
  }

  /** Call when the scan has ended. @returns its verdict, which may be `unscannable` now */
  async end(end: ScanEnd): Promise<Verdict> {
    const { memory, identity } = this
    const { verdict, stumbles, signal } = end
    if (!memory || !identity) return verdict
    if (!hasFailed(verdict)) {
      if (this.#known) memory.forget(this.#known.digest)
      return verdict
    }
    if (!signal.aborted && stumbles.length > 0) {
      const digest = await this.#digestOf(signal)
      const failed = digest === null ? null : this.#failed(memory, identity, digest, end)
      if (failed === null || !memory.isUnscannable(failed)) return verdict
      return { ...verdict, reason: 'unscannable', text: `${failureText(failed)}: ${verdict.text}` }
    }
    if (signal.aborted && this.#digest !== null && isLate(end, memory.times.slowMs))
      this.#failed(memory, identity, this.#digest, end)
    else if (this.#known) memory.remember(this.#known)
    return verdict
  }

  /** Remembers a failed scan. If its client has gone, that is no failure: a clamd may still be at work. */
  #failed(
    memory: FailureMemory,
    { bodyBytes }: MessageIdentity,
    digest: string,
    { stumbles, clamd, sentAt, signal }: ScanEnd,
  ): FailedMessage {
    const before = this.#known ?? memory.find(digest)
    const now = Date.now()
    const isBusy = signal.aborted || stumbles.at(-1)?.how === 'silent'
    const busyMs = isBusy && sentAt !== null ? sentAt + memory.times.busyMs - performance.now() : 0
    const where = signal.aborted && clamd !== null ? [clamd] : stumbles.map(({ address }) => address)
    const failed = {
      digest,
      bodyBytes,
      failures: (before?.failures ?? 0) + (signal.aborted ? 0 : 1),
      addresses: [...new Set([...(before?.addresses ?? []), ...where])].slice(-maxAddresses),
      busyUntil: busyMs > 0 ? now + busyMs : 0,
      failedAt: now,
    }
    memory.remember(failed)
    return failed
  }

  /** Ends what may still read the message for its digest. @param budget whose signal `awaitReply` got */
  async stopReading(budget: Cancellation): Promise<void> {
    if (this.#reading === null) return
    budget.abort(new Error('the scan has ended'))
    await this.#reading
  }

  /** null: the message cannot be read, and nothing is remembered of it. */
  async #digestOf(signal: CancelSignal): Promise<string | null> {
    if (this.#digest !== null || !this.identity) return this.#digest
    this.#reading ??= this.identity.digest(signal).catch(() => null)
    this.#digest = await this.#reading
    this.#reading = null
    return this.#digest
  }
}

function hasFailed(verdict: Verdict): verdict is Unscanned {
  return verdict.outcome === 'unscanned' && (verdict.reason === 'error' || verdict.reason === 'timeout')
}

/** clamd has had the message for longer than a scan usually takes, and goes on with it. */
function isLate({ sentAt }: ScanEnd, slowMs: number): boolean {
  return sentAt !== null && performance.now() - sentAt >= slowMs
}

function failureText({ failures, addresses }: FailedMessage): string {
  return `clamd has failed on this message in ${failures} scans (${addresses.join(', ')})`
}

function seconds(ms: number): string {
  return `${Math.ceil(ms / 1000)} s`
}
