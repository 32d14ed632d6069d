/*
 * Asks one address about one message: checks it first if it is not verified, and uses the protocol that it speaks. scanner.ts
 * decides which address is next, and what follows from the answer.
 */

import { bytesMessage } from '../base/made-message'
import type { MessageSource } from '../base/message-source'
import type { Address } from '../clamd/address'
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
import { PlainCheck } from '../mime/plain/plain-check'
import { isIgnored } from '../policy/rules'
import { type AddressResult, type EicarCheck, HostCheck } from './host-check'
import { type ScanSettings, type ScanState, startAttempt, TimedOut } from './message-scan'
import { noInsight, secondLook } from './second-look'

/** Messages in a row on which an address fails, none of which has failed before: then it is the address that fails. */
const maxStumblesInRow = 3

export class AddressScan {
  readonly #hostCheck: HostCheck
  readonly #stumblesInRow = new WeakMap<Address, number>()

  constructor(
    private readonly settings: ScanSettings,
    private readonly clamd: ClamdClient,
    eicarCheck: EicarCheck | null,
  ) {
    this.#hostCheck = new HostCheck(settings, clamd.connect, eicarCheck)
  }

  /**
   * Resolves with a verdict or a reason to ask the next address; rejects when there is to be no next. The lease is done
   * by then.
   */
  async run(state: ScanState, lease: Lease): Promise<AddressResult> {
    startAttempt(state, lease)
    const began = performance.now()
    let outcome: LeaseOutcome = 'neither'
    try {
      const whole =
        (await this.#hostCheck.check(state, lease)) ?? (await this.#withProtocolFallback(state, lease))
      const judged = await this.#judge(state, lease, await this.#lookInside(state, lease, whole))
      outcome = judged.outcome
      return judged.result
    } catch (error) {
      if (
        error instanceof TimedOut &&
        state.sentAt !== null &&
        (await this.#hostCheck.isAtWork(state, lease))
      )
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
    result: AddressResult,
  ): Promise<{ readonly outcome: LeaseOutcome; readonly result: AddressResult }> {
    const { stumbled, stumbles, history } = state
    if (isOutOfPorts(result)) return { outcome: 'neither', result }
    if (isVerdict(result.reply)) {
      this.#stumblesInRow.delete(lease.address)
      return { outcome: 'worked', result }
    }
    if (stumbled === null) return { outcome: 'failed', result }
    const isWell =
      result.isCheck !== true &&
      (state.verifiedProtocol !== null || (await this.#hostCheck.isWell(state, lease)))
    if (isWell || stumbled === 'hung up') stumbles.push({ address: lease.text, how: stumbled })
    if (!isWell) return { outcome: 'failed', result }
    const inRow = (this.#stumblesInRow.get(lease.address) ?? 0) + (history.isKnown ? 0 : 1)
    this.#stumblesInRow.set(lease.address, inRow)
    const text = `${textOf(result.reply)}; ${this.#hostCheck.eicarCheck ? 'it finds the test file' : 'it answers PING'}`
    return {
      outcome: inRow < maxStumblesInRow ? 'neither' : 'failed',
      result: { ...result, reply: { kind: 'error', text } },
    }
  }

  /**
   * What clamd has found nothing in is looked into again, part by part, if it may be read otherwise. So is a message with a
   * name that is ignored, whatever is to be sent: clamd stops at the first name, and something else may be in it.
   */
  async #lookInside(state: ScanState, lease: Lease, whole: AddressResult): Promise<AddressResult> {
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
        return await this.#send(state, lease, protocol, bytesMessage(content.bytes))
      } finally {
        ownSince = performance.now()
      }
    }).finally(stopOwn)
    const names = new Set([...(ignored === null ? [] : [ignored]), ...insight.ignored])
    state.insight = { ...insight, encrypted: insight.encrypted ?? encrypted, ignored: [...names] }
    if (end) return { ...whole, ...end, bytes }
    state.part = null
    // It has failed others meanwhile: another daemon may have called the parts clean.
    const notVerified =
      this.#hostCheck.eicarCheck && insight.readings > 0 ? await this.#hostCheck.check(state, lease) : null
    if (notVerified) return notVerified
    state.step = whole.step
    return { ...whole, reply: { kind: 'clean' }, bytes }
  }

  /**
   * The configured protocol; with `auto` the one last seen to work there, else STREAM, and the other one when
   * the daemon does not have it, or when STREAM fails before any byte of the message has been sent.
   */
  async #withProtocolFallback(state: ScanState, lease: Lease): Promise<AddressResult> {
    const protocol = protocolAt(lease.address, this.settings.protocol)
    if (protocol !== 'auto') return this.#send(state, lease, protocol)

    const usual = lease.protocol ?? 'stream'
    const first = await this.#send(state, lease, usual)
    const isMissing = first.reply.kind === 'unknown_command'
    const isUnsent = usual === 'stream' && (first.step === 'port' || first.step === 'data connect')
    // A daemon without INSTREAM says so and closes on the message it has not read: a reset, and the answer may go with it.
    const mayBeMissing = usual === 'instream' && first.end === 'hung up'
    if (!isMissing && !isUnsent && !mayBeMissing) {
      if (isVerdict(first.reply)) lease.protocol = usual
      return first
    }
    const other = usual === 'stream' ? 'instream' : 'stream'
    state.log.trace(`${lease.text}: ${usual} failed (${first.step}: ${textOf(first.reply)}), trying ${other}`)
    const wasKnown = lease.protocol === usual
    if (first.end === 'hung up' || (isMissing && wasKnown)) {
      const notVerified = await this.#hostCheck.recheck(state, lease)
      if (notVerified) return notVerified
      // It has INSTREAM after all.
      if (mayBeMissing && state.verifiedProtocol === usual) return first
    }
    const second = await this.#send(state, lease, other)
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
  async #send(
    state: ScanState,
    lease: Lease,
    protocol: Protocol,
    file: MessageSource | null = null,
  ): Promise<AddressResult> {
    const { connectMs, bufferBytes, maxBytes, scope } = this.settings
    const { signal, log, message, apart, history, glance } = state
    const isChecked = file === null && apart === null && scope !== 'message'
    const newCheck = () => new PlainCheck(isChecked ? (glance?.begin() ?? null) : null)
    let check = newCheck()
    const doubt: { unfit: AddressResult | null } = { unfit: null }
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
      doubt.unfit = await this.#hostCheck.recheck(state, lease)
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
      if (answer.reply.kind === 'limit' && lease.hasProvenSize(Math.min(state.size, sent.maxBytes)))
        return contradiction(state, lease, answer.reply.text)
      noteEnd(state, isRefusal(answer) ? 'refused' : null)
      return { end: 'replied', ...answer }
    } catch (error) {
      if (signal.aborted) throw signal.reason
      noteEnd(state, error instanceof ClamdError && error.hadMessage ? 'hung up' : null)
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

/** A size limit below what the address has scanned: an error of this try. The limit is proven again. */
function contradiction(state: ScanState, lease: Lease, said: string): AddressResult {
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

/** Every port of clamd's range was taken: nothing was sent, and one is free when another scan ends. */
export function isOutOfPorts({ reply, step }: AddressResult): boolean {
  return step === 'port' && reply.kind === 'error' && reply.text.includes(noFreePort)
}

/** An error in clamd's own words, in place of a verdict on what it was sent. */
function isRefusal({ reply, step }: Pick<AddressResult, 'reply' | 'step'>): boolean {
  return step === 'reply' && reply.kind === 'error' && reply.text.endsWith(' ERROR')
}

export function textOf(reply: Reply): string {
  return 'text' in reply ? reply.text : reply.kind
}
