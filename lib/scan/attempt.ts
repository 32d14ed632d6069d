/*
 * Asks one address about one message: checks it first if it is not verified, and uses the protocol that it speaks. scanner.ts
 * decides which address is next, and what follows from the answer.
 */

import { type CancelSignal, Deadline } from '../base/cancellation'
import { bytesMessage } from '../base/made-message'
import type { MessageSource } from '../base/message-source'
import type { Address } from '../clamd/address'
import { ping } from '../clamd/capabilities'
import type { ClamdClient } from '../clamd/client'
import { ClamdError, isLocalShortage, type Step } from '../clamd/errors'
import {
  isEncryptedName,
  isLimitName,
  isVerdict,
  noFreePort,
  type Protocol,
  protocolAt,
  type Reply,
} from '../clamd/protocol'
import type { Lease, LeaseOutcome } from '../hosts/lease'
import type { EicarCheckResult } from '../hosts/test-results'
import { PlainCheck } from '../mime/plain/plain-check'
import { isIgnored } from '../policy/rules'
import { type ScanSettings, type ScanState, startAttempt, TimedOut } from './scan-state'
import { noInsight, secondLook } from './second-look'
import { SharedTests } from './shared-tests'

/**
 * Sends an address the EICAR test file at the end of a mail of `bytes`, or of the minimum if that is larger, over the
 * protocol it was last seen to speak. Rejects with a ClamdError.
 */
export type EicarCheck = (
  address: Address,
  protocol: Protocol | null,
  bytes: number,
  limitMs: number,
  signal: CancelSignal,
) => Promise<EicarCheckResult>

/** What one address came to; what went wrong there is a reply of the kind `error`. */
export interface AttemptResult {
  /**
   * `replied`: clamd itself. `hung up`: the connection ended without a word. `failed`: for another reason there was no
   * reply.
   */
  readonly end: 'replied' | 'hung up' | 'failed'
  readonly reply: Reply
  /** At which it ended. */
  readonly step: Step
  /** Content sent, in bytes; 0 where there was no reply. */
  readonly bytes: number
  /** It is about the test file or the PING that the address was sent ahead. */
  readonly isCheck?: true
}

/** Sent ahead of one message, where the address fails others all the while; if all are found the message goes there. */
const maxTestFiles = 2

/** Milliseconds for the PING of an address that has not answered a message in time. */
const pingMs = 1000

/** So many messages in a row that an address fails on, none of which has failed before, are its own failure. */
const maxStumblesInRow = 3

export class Attempt {
  readonly #tests = new SharedTests<EicarCheckResult>()
  readonly #stumblesInRow = new WeakMap<Address, number>()

  constructor(
    private readonly settings: ScanSettings,
    private readonly clamd: ClamdClient,
    private readonly eicarCheck: EicarCheck | null,
  ) {}

  /**
   * Resolves with a verdict or a reason to ask the next address; rejects when there is to be no next. The lease is done
   * by then.
   */
  async run(state: ScanState, lease: Lease): Promise<AttemptResult> {
    startAttempt(state, lease)
    const began = performance.now()
    let outcome: LeaseOutcome = 'neither'
    try {
      const whole = (await this.#checkHost(state, lease)) ?? (await this.#withProtocolFallback(state, lease))
      const attempt = await this.#lookInside(state, lease, whole)
      const judged = await this.#judge(state, lease, attempt)
      outcome = judged.outcome
      return judged.attempt
    } catch (error) {
      if (error instanceof TimedOut && state.sentAt !== null && (await this.#isAtWork(state, lease)))
        state.stumbles.push({ address: lease.text, how: 'silent' })
      // A scan time-out is not retried: the next daemon would be as long over it. But this one rests, if it was the
      // address that took the time and not the wait for it.
      const askedMs = performance.now() - began - state.ownMs
      if (error instanceof TimedOut && askedMs > this.settings.scanMs / 2) outcome = 'late'
      throw error
    } finally {
      lease.done(outcome)
    }
  }

  /**
   * What an address answers about one message is held against that message first: it has to find the test file at once, and
   * other mail goes on meanwhile. An address that fails on one message after the other is at fault all the same.
   */
  async #judge(
    state: ScanState,
    lease: Lease,
    attempt: AttemptResult,
  ): Promise<{ readonly outcome: LeaseOutcome; readonly attempt: AttemptResult }> {
    const { stumbled, stumbles, history } = state
    if (isOutOfPorts(attempt)) return { outcome: 'neither', attempt }
    if (isVerdict(attempt.reply)) {
      this.#stumblesInRow.delete(lease.address)
      return { outcome: 'worked', attempt }
    }
    if (stumbled === null) return { outcome: 'failed', attempt }
    const isWell =
      attempt.isCheck !== true && (state.verifiedProtocol !== null || (await this.#isWell(state, lease)))
    if (isWell || stumbled === 'hung up') stumbles.push({ address: lease.text, how: stumbled })
    if (!isWell) return { outcome: 'failed', attempt }
    const inRow = (this.#stumblesInRow.get(lease.address) ?? 0) + (history.isKnown ? 0 : 1)
    this.#stumblesInRow.set(lease.address, inRow)
    const text = `${textOf(attempt.reply)}; ${this.eicarCheck ? 'it finds the test file' : 'it answers PING'}`
    return {
      outcome: inRow < maxStumblesInRow ? 'neither' : 'failed',
      attempt: { ...attempt, reply: { kind: 'error', text } },
    }
  }

  /** A clamd that is stopped does not work on the message either, and the next try may begin at once. */
  async #isAtWork({ dropped }: ScanState, lease: Lease): Promise<boolean> {
    const connectMs = Math.min(this.settings.connectMs, pingMs)
    if (lease.hasFinishedOthers) return true
    return ping(lease.address, { connect: this.clamd.connect, connectMs, signal: dropped }).then(
      () => true,
      () => false,
    )
  }

  async #isWell(state: ScanState, lease: Lease): Promise<boolean> {
    const { eicarCheck } = this
    const { connectMs } = this.settings
    // After a crash another daemon may be there.
    if (state.stumbled === 'hung up') lease.doubt()
    try {
      if (eicarCheck)
        return (await this.#test(state, lease, eicarCheck, 0, connectMs)).findsTestFile && !lease.isUntrusted
      await ping(lease.address, { connect: this.clamd.connect, connectMs, signal: state.signal })
      return true
    } catch (error) {
      if (state.signal.aborted) throw state.signal.reason
      if (!(error instanceof ClamdError) || isLocalShortage(error.cause)) throw error
      return false
    }
  }

  /**
   * What clamd has found nothing in is looked into again, part by part, if it may be read otherwise. So is a message with a
   * name that is ignored, whatever is to be sent: clamd stops at the first name, and something else may be in it.
   */
  async #lookInside(state: ScanState, lease: Lease, whole: AttemptResult): Promise<AttemptResult> {
    const { scope, maxBytes, signatures } = this.settings
    const name = whole.reply.kind === 'found' && !isLimitName(whole.reply.name) ? whole.reply.name : null
    const encrypted = name !== null && isEncryptedName(name) ? name : null
    const ignored = encrypted === null && name !== null && isIgnored(signatures, name) ? name : null
    if (whole.reply.kind !== 'clean' && encrypted === null && ignored === null) return whole
    if (ignored !== null) readAll(state, ignored)
    const { plain, protocol, message, apart, log } = state
    if (plain === null || protocol === null) {
      state.insight = { ...noInsight, encrypted }
      return encrypted === null ? whole : { ...whole, reply: { kind: 'clean' } }
    }
    if (plain.oddity !== null)
      log.trace(`not plain (${plain.oddity}): its parts are scanned in every reading`)
    const parts = apart?.parts ?? null
    const budget = state.readingBudget.restarted()
    const { silentLimits } = lease
    const look = { message, plain, parts, scope, maxBytes, silentLimits, signatures, budget }
    let { bytes } = whole
    let ownSince = performance.now()
    const stopOwn = () => (state.ownMs += performance.now() - ownSince)
    const { insight, end } = await secondLook(look, async (content) => {
      stopOwn()
      log.trace(`${content.name}: ${content.bytes.length} bytes`)
      if (parts) bytes += content.bytes.length
      state.part = content.name
      try {
        return await this.#attempt(state, lease, protocol, bytesMessage(content.bytes))
      } finally {
        ownSince = performance.now()
      }
    }).finally(stopOwn)
    const names = new Set([...(ignored === null ? [] : [ignored]), ...insight.ignored])
    state.insight = { ...insight, encrypted: insight.encrypted ?? encrypted, ignored: [...names] }
    if (end) return { ...whole, ...end, bytes }
    state.part = null
    // It has failed others meanwhile: another daemon may have called the parts clean.
    const notVerified = this.eicarCheck && insight.readings > 0 ? await this.#checkHost(state, lease) : null
    if (notVerified) return notVerified
    state.step = whole.step
    return { ...whole, reply: { kind: 'clean' }, bytes }
  }

  /**
   * An address that has failed, or was never tried, has to find the test file before it gets mail: what is
   * there now may have no signatures and say OK to everything. For a message larger than any that was proven it has to find
   * it behind as much. Without a self test one that has failed has to answer PING. Where there are others, one that hangs
   * costs the message no more than a part of its budget.
   * @returns null when it did
   */
  async #checkHost(state: ScanState, lease: Lease): Promise<AttemptResult | null> {
    const { eicarCheck } = this
    // Where there is no other, the message itself is the best question.
    if (eicarCheck ? lease.isProvenFor(state.size) : lease.others === 'none' || !lease.hasFailed) return null
    const what = eicarCheck ? 'test file' : 'PING'
    try {
      if (eicarCheck)
        return (
          (await this.#sendTestFile(state, lease, eicarCheck)) ??
          (await this.#proveSize(state, lease, eicarCheck))
        )
      const { connectMs } = this.settings
      state.log.trace(`${lease.text}: PING`)
      await ping(lease.address, { connect: this.clamd.connect, connectMs, signal: state.signal })
      return null
    } catch (error) {
      if (state.signal.aborted) throw state.signal.reason
      if (!(error instanceof ClamdError) || isLocalShortage(error.cause)) throw error
      return notVerified(state, 'failed', error.step, `${what}: ${error.text}`)
    }
  }

  /** @returns null when it was found, and the address has not failed since or goes on failing all the while */
  async #sendTestFile(state: ScanState, lease: Lease, eicarCheck: EicarCheck): Promise<AttemptResult | null> {
    const { connectMs, scanMs } = this.settings
    const limitMs = { well: connectMs, doubtful: Math.max(connectMs, scanMs / 2), none: scanMs }[lease.others]
    for (let tries = 0; tries < maxTestFiles && !lease.isVerified; tries++) {
      const { findsTestFile, missed } = await this.#test(state, lease, eicarCheck, 0, limitMs)
      if (!findsTestFile)
        return notVerified(state, 'replied', 'reply', `test file: not found, ${missed ?? ''}`)
    }
    return foundBlindMeanwhile(state, lease)
  }

  /** @returns null when it was found at the end of as many bytes as the message has */
  async #proveSize(state: ScanState, lease: Lease, eicarCheck: EicarCheck): Promise<AttemptResult | null> {
    const { connectMs, scanMs, maxBytes } = this.settings
    const { size } = state
    if (lease.scans(size)) return null
    // It takes as long as such a message would.
    const limitMs = lease.others === 'none' ? scanMs : Math.max(connectMs, scanMs / 2)
    let missed: string | null = null
    for (const bytes of new Set([lease.testBytes(size, maxBytes), size])) {
      const shown = await this.#test(state, lease, eicarCheck, bytes, limitMs)
      if (shown.findsTestFile) return foundBlindMeanwhile(state, lease)
      missed = shown.missed
    }
    const text = `test file: not found at the end of ${size} bytes, ${missed ?? ''}`
    state.step = 'reply'
    return { end: 'replied', reply: { kind: 'limit', text }, step: 'reply', bytes: 0 }
  }

  /** One test file, which is under way once for all messages that want the same one. @param bytes 0: the least */
  async #test(
    state: ScanState,
    lease: Lease,
    eicarCheck: EicarCheck,
    bytes: number,
    limitMs: number,
  ): Promise<EicarCheckResult> {
    const { address, text, protocol, failureEpoch } = lease
    const limit = new Deadline(
      state.signal,
      limitMs,
      () => new ClamdError('reply', `no verdict within ${limitMs} ms`),
    )
    try {
      const shown = await this.#tests.run(`${text} ${bytes} ${failureEpoch}`, limit, async (signal) => {
        const { findsTestFile, ...more } = await eicarCheck(address, protocol, bytes, limitMs, signal)
        if (findsTestFile || bytes === 0) lease.recordCheck({ findsTestFile, ...more }, failureEpoch)
        else lease.limit(bytes)
        return { findsTestFile, ...more }
      })
      const found = shown.findsTestFile ? 'found' : `not found: ${shown.missed ?? ''}`
      state.log.trace(`${text}: test file${bytes === 0 ? '' : ` at the end of ${bytes} bytes`} ${found}`)
      if (shown.findsTestFile) state.verifiedProtocol = shown.protocol
      return shown
    } finally {
      limit.end()
    }
  }

  /** What it has just done, it would not have done before: there may be another daemon by now. */
  #recheckHost(state: ScanState, lease: Lease): Promise<AttemptResult | null> {
    lease.doubt()
    return this.#checkHost(state, lease)
  }

  /**
   * The configured protocol; with `auto` the one last seen to work there, else STREAM, and the other one when
   * the daemon does not have it, or when STREAM fails before any byte of the message has been sent.
   */
  async #withProtocolFallback(state: ScanState, lease: Lease): Promise<AttemptResult> {
    const protocol = protocolAt(lease.address, this.settings.protocol)
    if (protocol !== 'auto') return this.#attempt(state, lease, protocol)

    const usual = lease.protocol ?? 'stream'
    const first = await this.#attempt(state, lease, usual)
    const isMissing = first.reply.kind === 'unknown_command'
    const isUnsent = usual === 'stream' && (first.step === 'port' || first.step === 'data connect')
    // Who has no INSTREAM says so and closes on the message it has not read: a reset, and the answer may go with it.
    const mayBeMissing = usual === 'instream' && first.end === 'hung up'
    if (!isMissing && !isUnsent && !mayBeMissing) {
      if (isVerdict(first.reply)) lease.protocol = usual
      return first
    }
    const other = usual === 'stream' ? 'instream' : 'stream'
    state.log.trace(`${lease.text}: ${usual} failed (${first.step}: ${textOf(first.reply)}), trying ${other}`)
    const wasKnown = lease.protocol === usual
    if (first.end === 'hung up' || (isMissing && wasKnown)) {
      const notVerified = await this.#recheckHost(state, lease)
      if (notVerified) return notVerified
      // It has INSTREAM after all.
      if (mayBeMissing && state.verifiedProtocol === usual) return first
    }
    const second = await this.#attempt(state, lease, other)
    // An error in place of the port may be gone next time; a missing command or port will not.
    if (isVerdict(second.reply) && (isMissing || first.end !== 'replied')) lease.protocol = other
    const { kind } = second.reply
    if (kind !== 'unknown_command' && !(mayBeMissing && kind === 'error')) return second
    state.protocol = usual
    return {
      ...first,
      reply: { kind: 'error', text: `${textOf(first.reply)}; ${other}: ${textOf(second.reply)}` },
    }
  }

  /** One scan. Rejects when its end concerns the message or the budget and not the address. */
  async #attempt(
    state: ScanState,
    lease: Lease,
    protocol: Protocol,
    file: MessageSource | null = null,
  ): Promise<AttemptResult> {
    const { connectMs, bufferBytes, maxBytes, scope } = this.settings
    const { signal, log, message, apart, history, glance } = state
    const isChecked = file === null && apart === null && scope !== 'message'
    const newCheck = () => new PlainCheck(isChecked ? (glance?.begin() ?? null) : null)
    let check = newCheck()
    const doubt: { unfit: AttemptResult | null } = { unfit: null }
    state.protocol = protocol
    let replyTimer: NodeJS.Timeout | undefined
    const at = (step: Step, detail?: string) => {
      state.step = step
      if (step === 'connect') check = newCheck()
      else lease.reached()
      if (step === 'reply') {
        state.sentAt = performance.now()
        clearTimeout(replyTimer)
        replyTimer = history.awaitReply(signal)
      }
      log.trace(`${lease.text} ${protocol}: ${step}${detail ? `: ${detail}` : ''}`)
    }
    const recheck = async () => {
      doubt.unfit = await this.#recheckHost(state, lease)
      return doubt.unfit === null
    }
    const exchange = {
      address: lease.address,
      connectMs,
      bufferBytes,
      maxBytes,
      signal,
      at,
      recheck,
      ...(file && { preface: noPreface }),
      ...(isChecked && { onContent: (piece: Buffer) => check.write(piece) }),
    }
    try {
      const sent = file ?? apart?.rest ?? message
      const answer = await this.clamd.scan(protocol, exchange, sent)
      if (file === null) state.plain = apart?.plain ?? (isChecked ? check.end() : null)
      // Another reply may come before the end of the message.
      if (isChecked && answer.reply.kind === 'clean') glance?.end(state.plain)
      if (answer.reply.kind === 'limit' && lease.hasScanned(Math.min(state.size, sent.maxBytes)))
        return contradiction(state, lease, answer.reply.text)
      noteEnd(state, isRefusal(answer) ? 'refused' : null)
      return { end: 'replied', ...answer }
    } catch (error) {
      if (signal.aborted) throw signal.reason
      noteEnd(state, isHangUp(error) ? 'hung up' : null)
      if (doubt.unfit) return doubt.unfit
      if (!(error instanceof ClamdError) || error.step === 'read message' || isLocalShortage(error.cause))
        throw error
      const end = error.code === 'no_reply' ? 'hung up' : 'failed'
      return { end, reply: { kind: 'error', text: error.text }, step: error.step, bytes: 0 }
    } finally {
      clearTimeout(replyTimer)
    }
  }
}

/** It calls too large what is smaller than what it has scanned: an error of this try. Its size limit is proven again. */
function contradiction(state: ScanState, lease: Lease, said: string): AttemptResult {
  noteEnd(state, 'refused')
  lease.doubt()
  const text = `${said}, though it has scanned larger mail`
  return { end: 'replied', reply: { kind: 'error', text }, step: 'reply', bytes: 0 }
}

/** clamd is done with the message. What was known of the address before may no longer hold. */
function noteEnd(state: ScanState, stumbled: ScanState['stumbled']): void {
  state.sentAt = null
  state.stumbled = stumbled
  state.verifiedProtocol = null
}

/** Has all parts of the message sent, and not only those that are left to send beside what was. */
function readAll(state: ScanState, ignored: string): void {
  state.apart?.release()
  state.apart = null
  const plain = state.plain ?? { oddity: null, encrypted: null, containers: new Set<string>() }
  state.plain = { ...plain, oddity: plain.oddity ?? `${ignored} is ignored` }
}

const noPreface = Buffer.alloc(0)

/** Somebody else was shown otherwise while the last test file was under way. */
function foundBlindMeanwhile(state: ScanState, lease: Lease): AttemptResult | null {
  return lease.isUntrusted ? notVerified(state, 'replied', 'reply', 'test file: not found meanwhile') : null
}

function notVerified(state: ScanState, end: AttemptResult['end'], step: Step, text: string): AttemptResult {
  state.step = step
  return { end, reply: { kind: 'error', text }, step, bytes: 0, isCheck: true }
}

/** Every port of clamd's range was taken: nothing was sent, and one is free when another scan ends. */
export function isOutOfPorts({ reply, step }: AttemptResult): boolean {
  return step === 'port' && reply.kind === 'error' && reply.text.includes(noFreePort)
}

/** An error in clamd's own words, in place of a verdict on what it was sent. */
function isRefusal({ reply, step }: Pick<AttemptResult, 'reply' | 'step'>): boolean {
  return step === 'reply' && reply.kind === 'error' && reply.text.endsWith(' ERROR')
}

/** clamd broke off when it had some of the message. A broken session has had it, unless it was closed before. */
function isHangUp(error: unknown): boolean {
  if (!(error instanceof ClamdError)) return false
  const { step, code } = error
  if (step === 'send') return true
  return step === 'reply' && ['no_reply', 'session_stale', 'session_hung_up'].includes(code)
}

export function textOf(reply: Reply): string {
  return 'text' in reply ? reply.text : reply.kind
}
