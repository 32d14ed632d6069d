/*
 * The scan of one message at one address: checks the address first if it is not verified, and uses the protocol that it
 * speaks. scanner.ts decides which address is next, and what follows from the answer.
 */

import { bytesMessage } from '../base/made-message'
import type { MessageSource } from '../base/message-source'
import type { Address } from '../clamd/address'
import type { ClamdClient, ClientExchange } from '../clamd/client'
import { ClamdError, isLocalShortage, type Step } from '../clamd/errors'
import type { DialogueResult } from '../clamd/exchange'
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
import type { PlainResult } from '../mime/plain/plain-check'
import { isIgnored } from '../policy/rules'
import type { AddressResult, CheckedScan, HostCheck } from './host-check'
import type { Stumble } from './message-history'
import { type MessageScan, type ScanSettings, TimedOut } from './message-scan'
import type { Content } from './readings/readings'
import { needsSecondLook, noInsight, secondLook } from './second-look'
import { SentMessage } from './sent-message'
import { SilenceWatch } from './silence'

/** Messages in a row on which an address fails, none of which has failed before: then it is the address that fails. */
const maxStumblesInRow = 3

/** What the scans of all messages share. */
export interface ScanTools {
  readonly settings: ScanSettings
  readonly clamd: ClamdClient
  readonly hostCheck: HostCheck
  readonly stumblesInRow: WeakMap<Address, number>
}

/** Its fields are written here alone. */
export class AddressScan implements CheckedScan {
  readonly clamd: string
  /** Version of the daemon when the scan began. */
  readonly engine: Lease['engine']
  protocol: Protocol | null = null
  /** When it had all that was to be sent, in ms of performance.now(); null: it has not. */
  sentAt: number | null = null
  insight = noInsight
  /** Protocol over which it found the test file since it was last sent the message; null: it has not. */
  #verifiedProtocol: Protocol | null = null
  #step: Step | null = null
  /** Name of the content that is sent; null: the message. */
  #part: string | null = null
  /** Milliseconds in which the address had nothing to do, because we read the message. */
  #ownMs = 0
  /** How it failed when it had some of the message; null: it has not. */
  #stumbled: Stumble['how'] | null = null
  readonly #sent: SentMessage
  /** Result of the check between two connections of one exchange, when the address is not fit for the second. */
  #unfit: AddressResult | null = null
  /** Ends the exchange when the address answers nothing at all; null: no other address is there. */
  #silence: SilenceWatch | null = null
  #replyTimer: NodeJS.Timeout | undefined

  constructor(
    private readonly tools: ScanTools,
    readonly scan: MessageScan,
    readonly lease: Lease,
  ) {
    this.clamd = lease.text
    this.engine = lease.engine
    this.#sent = new SentMessage(scan, tools.settings.scope)
  }

  /** The address, and the protocol if one has been chosen: the test file that goes ahead has its own. Then the part. */
  get label(): string {
    const where = this.protocol === null ? this.clamd : `${this.clamd} ${this.protocol}`
    return this.#part === null ? where : `${where}: ${this.#part}`
  }

  /** The label and the step, for what ends the scan there. */
  get place(): string {
    return `${this.label}: ${this.#step === null ? '' : `${this.#step}: `}`
  }

  foundTestFile(protocol: Protocol): void {
    this.#verifiedProtocol = protocol
  }

  /**
   * To be called once. Resolves with a verdict or a reason to ask the next address; rejects when there is to be no next. The
   * lease is done by then.
   */
  async run(): Promise<AddressResult> {
    const { settings, hostCheck } = this.tools
    const began = performance.now()
    let outcome: LeaseOutcome = 'neither'
    try {
      const whole = (await hostCheck.check(this)) ?? (await this.#withProtocolFallback())
      const judged = await this.#judge(await this.#lookInside(whole))
      outcome = judged.outcome
      return judged.result
    } catch (error) {
      if (error instanceof TimedOut && this.sentAt !== null && (await hostCheck.isAtWork(this)))
        this.scan.stumbles.push({ address: this.clamd, how: 'silent' })
      // A scan time-out is not retried: the next daemon would be as long over it. But this one rests, if it was the
      // address that took the time and not the wait for it.
      const askedMs = performance.now() - began - this.#ownMs
      if (error instanceof TimedOut && askedMs > settings.scanMs / 2) outcome = 'late'
      throw error
    } finally {
      this.#sent.drop()
      this.lease.done(outcome)
    }
  }

  /**
   * What an address answers about one message is held against that message first: it has to find the test file at once, and
   * other mail goes on meanwhile. An address that fails on one message after the other is at fault all the same.
   */
  async #judge(
    result: AddressResult,
  ): Promise<{ readonly outcome: LeaseOutcome; readonly result: AddressResult }> {
    const { hostCheck, stumblesInRow } = this.tools
    const { stumbles, history } = this.scan
    const { address } = this.lease
    const stumbled = this.#stumbled
    if (isOutOfPorts(result)) return { outcome: 'neither', result }
    if (isVerdict(result.reply)) {
      stumblesInRow.delete(address)
      return { outcome: 'worked', result }
    }
    if (stumbled === null) return { outcome: 'failed', result }
    const isWell = result.isCheck !== true && (this.#verifiedProtocol !== null || (await this.#isWell()))
    if (isWell || stumbled === 'hung up') stumbles.push({ address: this.clamd, how: stumbled })
    if (!isWell) return { outcome: 'failed', result }
    const inRow = (stumblesInRow.get(address) ?? 0) + (history.isKnown ? 0 : 1)
    stumblesInRow.set(address, inRow)
    const text = `${textOf(result.reply)}; ${hostCheck.eicarCheck ? 'it finds the test file' : 'it answers PING'}`
    return {
      outcome: inRow < maxStumblesInRow ? 'neither' : 'failed',
      result: { ...result, reply: { kind: 'error', text } },
    }
  }

  #isWell(): Promise<boolean> {
    // After a crash another daemon may be there.
    if (this.#stumbled === 'hung up') this.lease.doubt()
    return this.tools.hostCheck.isWell(this)
  }

  /**
   * A message that clamd called clean is looked into if programs may read it in other ways: its parts are scanned in every
   * reading. So is a message with a name that is ignored, even with scan=message: clamd stops at the first name, and there
   * may be another one.
   */
  async #lookInside(whole: AddressResult): Promise<AddressResult> {
    const { settings, hostCheck } = this.tools
    const name = whole.reply.kind === 'found' && !isLimitName(whole.reply.name) ? whole.reply.name : null
    const encrypted = name !== null && isEncryptedName(name) ? name : null
    const ignored = encrypted === null && name !== null && isIgnored(settings.signatures, name) ? name : null
    if (whole.reply.kind !== 'clean' && encrypted === null && ignored === null) return whole
    const plain = ignored === null ? this.#sent.plain : this.#mistrust(ignored)
    const protocol = this.protocol
    const isApart = this.scan.apart !== null
    if (plain === null || protocol === null || !needsSecondLook(settings.scope, plain, isApart)) {
      const closed = plain?.encrypted ?? encrypted
      if (closed !== null) this.insight = { ...noInsight, encrypted: closed }
      return encrypted === null ? whole : { ...whole, reply: { kind: 'clean' } }
    }
    const { insight, end, bytes } = await this.#sendParts(plain, protocol)
    const names = new Set([...(ignored === null ? [] : [ignored]), ...insight.ignored])
    this.insight = { ...insight, encrypted: insight.encrypted ?? encrypted, ignored: [...names] }
    if (end) return { ...end, bytes: whole.bytes + bytes }
    this.#part = null
    // It has failed others meanwhile: another daemon may have called the parts clean.
    const notVerified = hostCheck.eicarCheck && insight.readings > 0 ? await hostCheck.check(this) : null
    return notVerified ?? { ...whole, reply: { kind: 'clean' }, bytes: whole.bytes + bytes }
  }

  /** Has all parts sent, and not only those that are left to send beside what was. */
  #mistrust(ignored: string): PlainResult {
    this.scan.sendWhole()
    const plain = this.#sent.plain ?? { oddity: null, encrypted: null, hasContainers: false }
    return { ...plain, oddity: plain.oddity ?? `${ignored} is ignored` }
  }

  /** @returns also the bytes sent of a message that was taken apart */
  async #sendParts(plain: PlainResult, protocol: Protocol) {
    const { scope, maxBytes, signatures } = this.tools.settings
    const { apart, log } = this.scan
    const { silentLimits } = this.lease
    const { whole } = this.#sent
    const message = whole === null ? this.scan.message : bytesMessage(whole)
    if (plain.oddity !== null)
      log.trace(`not plain (${plain.oddity}): its parts are scanned in every reading`)
    const parts = apart?.parts ?? null
    const budget = this.scan.readingBudget.restarted()
    const look = { message, plain, parts, scope, maxBytes, silentLimits, signatures, budget }
    const began = performance.now()
    let askedMs = 0
    let bytes = 0
    try {
      const found = await secondLook(look, async (content) => {
        const sent = performance.now()
        if (parts) bytes += content.bytes.length
        return this.#sendPart(protocol, content).finally(() => (askedMs += performance.now() - sent))
      })
      return { ...found, bytes }
    } finally {
      this.#ownMs = performance.now() - began - askedMs
    }
  }

  #sendPart(protocol: Protocol, { name, bytes }: Content): Promise<AddressResult> {
    this.scan.log.trace(`${name}: ${bytes.length} bytes`)
    this.#part = name
    return this.#send(protocol, bytesMessage(bytes))
  }

  /**
   * The configured protocol; with `auto` the one last seen to work there, else STREAM, and the other one when
   * the daemon does not have it, or when STREAM fails before any byte of the message has been sent.
   */
  async #withProtocolFallback(): Promise<AddressResult> {
    const { lease, scan } = this
    const protocol = protocolAt(lease.address, this.tools.settings.protocol)
    if (protocol !== 'auto') return this.#send(protocol)

    const usual = lease.protocol ?? 'stream'
    const first = await this.#send(usual)
    const isMissing = first.reply.kind === 'unknown_command'
    const isUnsent = usual === 'stream' && (first.step === 'port' || first.step === 'data connect')
    // A daemon without INSTREAM says so and closes on the message it has not read: a reset, and the answer may go with it.
    const mayBeMissing = usual === 'instream' && first.end === 'hung up'
    if (!isMissing && !isUnsent && !mayBeMissing) {
      if (isVerdict(first.reply)) lease.protocol = usual
      return first
    }
    const other = usual === 'stream' ? 'instream' : 'stream'
    scan.log.trace(`${lease.text}: ${usual} failed (${first.step}: ${textOf(first.reply)}), trying ${other}`)
    const wasKnown = lease.protocol === usual
    if (first.end === 'hung up' || (isMissing && wasKnown)) {
      const notVerified = await this.tools.hostCheck.recheck(this)
      if (notVerified) return notVerified
      // It has INSTREAM after all.
      if (mayBeMissing && this.#verifiedProtocol === usual) return first
    }
    const second = await this.#send(other)
    // An error in place of the port may be gone next time; a missing command or port will not.
    if (isVerdict(second.reply) && (isMissing || first.end !== 'replied')) lease.protocol = other
    const { kind } = second.reply
    if (kind !== 'unknown_command' && !(mayBeMissing && kind === 'error')) return second
    this.protocol = usual
    return {
      ...first,
      reply: { kind: 'error', text: `${textOf(first.reply)}; ${other}: ${textOf(second.reply)}` },
    }
  }

  /**
   * Sends the message, or the file in its place. Rejects when its end concerns the message or the budget and not the
   * address.
   */
  async #send(protocol: Protocol, file: MessageSource | null = null): Promise<AddressResult> {
    const { message, apart } = this.scan
    this.protocol = protocol
    const source = file ?? apart?.rest ?? message
    const isChecked = file === null && apart === null && this.tools.settings.scope !== 'message'
    this.#silence = this.#watchSilence()
    try {
      const exchange = this.#exchange(protocol, isChecked, file !== null)
      const answer = await this.tools.clamd.scan(protocol, exchange, source)
      if (isChecked) this.#sent.end(answer.reply.kind === 'clean')
      else if (file === null) this.#sent.endUnseen(apart?.plain ?? null)
      return this.#answered(answer, source)
    } catch (error) {
      return this.#failed(error)
    } finally {
      this.#silence?.end()
      clearTimeout(this.#replyTimer)
    }
  }

  /** Not for a message that has left a silent address already: it must not silence a third one. */
  #watchSilence(): SilenceWatch | null {
    const { scan, lease, tools } = this
    if (lease.others === 'none' || scan.wasSilenced) return null
    return new SilenceWatch(scan.signal, tools.settings.connectMs, (signal) =>
      tools.hostCheck.isSilent(this, signal),
    )
  }

  #exchange(protocol: Protocol, isChecked: boolean, isFile: boolean): ClientExchange {
    const { connectMs, bufferBytes, maxBytes } = this.tools.settings
    const { signal } = this.scan
    return {
      address: this.lease.address,
      connectMs,
      bufferBytes,
      maxBytes,
      signal: this.#silence ?? signal,
      at: (step, detail) => {
        if (step === 'connect' && isChecked) this.#sent.begin()
        this.#enter(step, `${protocol}: ${step}${detail ? `: ${detail}` : ''}`)
      },
      recheck: async () => {
        this.#unfit = await this.tools.hostCheck.recheck(this)
        return this.#unfit === null
      },
      ...(isFile && { preface: noPreface }),
      ...(isChecked && { onContent: (piece) => this.#sent.see(piece) }),
    }
  }

  #enter(step: Step, text: string): void {
    const { history, signal, log } = this.scan
    this.#step = step
    if (step !== 'connect') this.lease.reached()
    if (step === 'reply') {
      this.sentAt = performance.now()
      clearTimeout(this.#replyTimer)
      this.#replyTimer = history.awaitReply(signal)
    }
    log.trace(`${this.clamd} ${text}`)
  }

  #answered(answer: DialogueResult, { maxBytes }: MessageSource): AddressResult {
    if (answer.reply.kind === 'limit' && this.lease.hasProvenSize(Math.min(this.scan.size, maxBytes)))
      return this.#contradiction(answer.reply.text)
    this.#noteEnd(isRefusal(answer) ? 'refused' : null)
    return { end: 'replied', ...answer }
  }

  #failed(error: unknown): AddressResult {
    const { signal } = this.scan
    if (signal.aborted) throw signal.reason
    if (this.#silence?.aborted) this.scan.wasSilenced = true
    this.#noteEnd(error instanceof ClamdError && error.hadMessage ? 'hung up' : null)
    if (this.#unfit) return this.#unfit
    if (!(error instanceof ClamdError) || error.step === 'read message' || isLocalShortage(error.cause))
      throw error
    const end = error.code === 'no_reply' ? 'hung up' : 'failed'
    return { end, reply: { kind: 'error', text: error.text }, step: error.step, bytes: 0 }
  }

  /** A size limit below what the address has scanned: an error of this try. The limit is proven again. */
  #contradiction(said: string): AddressResult {
    this.#noteEnd('refused')
    this.lease.doubt()
    const text = `${said}, though it has scanned larger mail`
    return { end: 'replied', reply: { kind: 'error', text }, step: 'reply', bytes: 0 }
  }

  /** clamd is done with the message. What was known of the address before may no longer hold. */
  #noteEnd(stumbled: Stumble['how'] | null): void {
    this.sentAt = null
    this.#stumbled = stumbled
    this.#verifiedProtocol = null
  }
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
