/*
 * Keeps true what is known of every clamd besides its answers to mail: which one it is, how old its signatures are,
 * what it was proven to scan. Asks at start and every hour, sooner where there is a reason. Runs in the background,
 * in one process of a Haraka; who is told is its owner's business.
 */

import { type Address, addressText } from '../clamd/address'
import { queryCapabilities } from '../clamd/capabilities'
import type { Connect } from '../clamd/connection'
import { ClamdError, errorText } from '../clamd/errors'
import { type Capabilities, hasSessions, type Protocol, protocolOf } from '../clamd/protocol'
import { type ClamdVersion, parseVersion, staleSignatures } from '../clamd/version'
import type { AddressNews } from '../hosts/host-pool'
import type { ArchiveLimits } from '../hosts/host-state'
import type { SelfTestResult } from '../hosts/host-state'
import type { AddressFacts } from '../hosts/host-state'
import type { ScanSettings } from '../scan/scan-state'
import { findArchiveLimits } from './archive-limits'
import { aboutArchives, logLinesFor } from './log-lines'
import { selfTestAsMail } from './self-test'
import type { StartupLog } from './startup-check'

export interface HealthSettings {
  readonly selfTest: 'full' | 'eicar' | 'off'
  /** Signatures older than this are worth a warning; 0: none are. */
  readonly maxSignatureAgeMs: number
}

export interface MonitorSettings extends Omit<ScanSettings, 'scope'>, HealthSettings {
  /** Between two looks at an address that does not answer, or gets no mail. */
  readonly pingIntervalMs: number
}

export interface MonitorSystem {
  readonly connect: Connect
  /** Milliseconds that never go backwards. */
  readonly now: () => number
  /** Unix time in milliseconds. */
  readonly date: () => number
  readonly log: StartupLog
  readonly addresses: (signal: AbortSignal) => Promise<readonly Address[]>
  readonly tell: (address: Address, facts: AddressFacts) => void
}

/** What is known of one address. */
interface WatchedHost {
  readonly address: Address
  readonly name: string
  isBusy: boolean
  /** By `now`; an address is looked at when this is past. */
  dueAt: number
  seenAt: number
  /** Looks in a row that came to nothing. */
  failures: number
  engine: ClamdVersion | null
  hasSessions: boolean
  selfTest: SelfTestResult | null
  archives: ArchiveLimits | null
  /** What the log was told of them the last time. */
  archiveTexts: readonly string[]
  /** Failures that mail has met. */
  failureEpoch: number
  /** So many of them came before the last look that came to its end. */
  verifiedEpoch: number
  /** It does not find the test file, as mail or the last look found. */
  isUntrusted: boolean
  /** Mail has found out something since the last look began. */
  hasNews: boolean
  verifiedProtocol: Protocol | null
  /** Unix time; once a day is enough. */
  warnedAt: number
}

const hourMs = 60 * 60 * 1000
const dayMs = 24 * hourMs

/** Most addresses that are remembered; names may stand for ever new ones. */
const maxWatched = 1000

/** Least milliseconds between two rounds. */
const minPauseMs = 1000

/** Milliseconds after Haraka's start for which mail waits for this proof, rather than for one of its own. */
export const selfTestPatienceMs = 10_000

export class HealthMonitor {
  readonly #watched = new Map<string, WatchedHost>()
  readonly #pauseMs: number

  /** @param everyMs between two looks at an address that is well */
  constructor(
    private readonly settings: MonitorSettings,
    private readonly system: MonitorSystem,
    private readonly signal: AbortSignal,
    private readonly everyMs = hourMs,
  ) {
    this.#pauseMs = Math.max(minPauseMs, Math.min(settings.pingIntervalMs, everyMs))
  }

  /** What was found out so far, for somebody who comes later. */
  known(): readonly [Address, AddressFacts][] {
    return [...this.#watched.values()]
      .filter(({ engine, seenAt }) => engine !== null || seenAt > -Infinity)
      .map(
        ({
          address,
          seenAt,
          engine,
          hasSessions,
          selfTest,
          archives,
          verifiedProtocol,
          failureEpoch,
          verifiedEpoch,
        }) => [
          address,
          {
            engine,
            hasSessions,
            archives,
            // It has been told to the others before the look comes to its end.
            ...((selfTest !== null || seenAt > -Infinity) && { selfTest, verifiedProtocol }),
            ...(failureEpoch > verifiedEpoch && { hasFailedElsewhere: true }),
          },
        ],
      )
  }

  /** Looks at every address that is due, again and again until the signal ends it. To be called once. */
  run(first: 'at once' | 'after a pause'): void {
    let timer: NodeJS.Timeout | undefined
    const round = () => {
      void this.#round().finally(() => {
        if (!this.signal.aborted) timer = setTimeout(round, this.#pauseMs).unref()
      })
    }
    this.signal.addEventListener('abort', () => clearTimeout(timer), { once: true })
    if (first === 'at once') round()
    else timer = setTimeout(round, this.#pauseMs).unref()
  }

  /** For an address that has just answered, with what it offers. */
  answered(address: Address, offer: Capabilities): void {
    void this.#check(this.#of(address), offer)
  }

  /** An address that had failed works again: it may be another daemon by now. One that mail found blind is looked at at once. */
  onAddressNews(address: Address, news: AddressNews): void {
    const watched = this.#of(address)
    if (news !== 'back') watched.failureEpoch++
    if (news === 'failed') return
    watched.hasNews = true
    watched.isUntrusted ||= news === 'untrusted'
    watched.dueAt = watched.isUntrusted
      ? this.system.now()
      : Math.min(watched.dueAt, watched.seenAt + this.#pauseMs)
    if (watched.dueAt <= this.system.now()) void this.#check(watched)
  }

  get #isOver(): boolean {
    return this.signal.aborted
  }

  async #round(): Promise<void> {
    const addresses = await this.system.addresses(this.signal).catch(() => [])
    if (this.signal.aborted || addresses.length === 0) return
    for (const address of addresses) {
      const watched = this.#of(address)
      if (watched.dueAt <= this.system.now()) void this.#check(watched)
    }
  }

  #of(address: Address): WatchedHost {
    const text = addressText(address)
    const known = this.#watched.get(text)
    if (known) return known
    // What is not in the list now is remembered: some name servers tell of a few addresses at a time.
    const [oldest = ''] = this.#watched.size < maxWatched ? [] : this.#watched.keys()
    this.#watched.delete(oldest)
    const watched: WatchedHost = {
      address,
      name: `clamd ${text}`,
      isBusy: false,
      dueAt: -Infinity,
      seenAt: -Infinity,
      failures: 0,
      engine: null,
      hasSessions: false,
      selfTest: null,
      archives: null,
      archiveTexts: [],
      failureEpoch: 0,
      verifiedEpoch: 0,
      isUntrusted: false,
      hasNews: false,
      verifiedProtocol: null,
      warnedAt: -Infinity,
    }
    this.#watched.set(text, watched)
    return watched
  }

  async #check(watched: WatchedHost, told?: Capabilities): Promise<void> {
    if (watched.isBusy || this.signal.aborted) return
    const { now, tell } = this.system
    const { failureEpoch } = watched
    watched.isBusy = true
    watched.hasNews = false
    try {
      const offer = told ?? (await this.#queryCapabilities(watched))
      const engine = parseVersion(offer.version) ?? (offer.isLate ? watched.engine : null)
      const isSame = engine?.line === watched.engine?.line
      watched.engine = engine
      if (!offer.isLate) watched.hasSessions = hasSessions(offer)
      tell(watched.address, { engine, hasSessions: watched.hasSessions })
      this.#warnOfAge(watched)
      const { selfTest } = this.settings
      const mayDiffer = !isSame || failureEpoch > watched.verifiedEpoch
      if (selfTest !== 'off') {
        if (!mayDiffer && isWell(watched.selfTest)) await this.#proveAgain(watched, offer)
        else await this.#runSelfTest(watched, offer, isSame, selfTest)
      }
      watched.verifiedEpoch = failureEpoch
      watched.isUntrusted = watched.selfTest?.findsTestFile === false
      if (selfTest === 'full' && (mayDiffer || watched.archives === null))
        await this.#findArchiveLimits(watched, offer)
      this.#reportArchives(watched)
      if (offer.isLate) {
        this.#again(watched)
        return
      }
      watched.failures = 0
      watched.dueAt = now() + (watched.isUntrusted ? this.#pauseMs : this.everyMs)
    } catch (error) {
      if (this.#isOver) return
      if (!(error instanceof ClamdError)) this.system.log.error(`${watched.name}: ${String(error)}`)
      // Whoever waits for a proof need not wait any more.
      if (watched.selfTest === null) tell(watched.address, { selfTest: null })
      this.#again(watched)
    } finally {
      watched.seenAt = now()
      watched.isBusy = false
      this.#reschedule(watched)
    }
  }

  /** What was heard during a look may be about another daemon than that. */
  #reschedule(watched: WatchedHost): void {
    if (watched.hasNews) watched.dueAt = Math.min(watched.dueAt, watched.seenAt + this.#pauseMs)
  }

  /** Sooner than one that is well, and less and less often; an address without mail for want of it is not kept waiting. */
  #again(watched: WatchedHost): void {
    const pauses = watched.isUntrusted ? 1 : 2 ** Math.min(watched.failures, 20)
    watched.dueAt = this.system.now() + Math.min(this.everyMs, this.#pauseMs * pauses)
    watched.failures++
  }

  #queryCapabilities({ address, name }: WatchedHost): Promise<Capabilities> {
    const { connect, log } = this.system
    const trace = (text: string) => log.trace(`${name} ${text}`)
    return queryCapabilities(address, {
      connect,
      connectMs: this.settings.connectMs,
      signal: this.signal,
      trace,
    })
  }

  /**
   * Signatures can go without another VERSION line; limits do not change while mail meets no failure, since clamd reads
   * clamd.conf when it starts. So the test file alone is sent.
   */
  async #proveAgain(watched: WatchedHost, offer: Capabilities): Promise<void> {
    const { connect, log, tell } = this.system
    const { address, name, selfTest: before, verifiedProtocol } = watched
    const settings = { ...this.settings, depth: 'test file' as const }
    const offered = verifiedProtocol ?? protocolOf(offer)
    const { selfTest } = await selfTestAsMail(address, settings, offered, connect, this.signal)
    watched.selfTest = selfTest.findsTestFile ? before : selfTest
    tell(address, { selfTest: watched.selfTest })
    if (!selfTest.findsTestFile) this.#report(watched, null, before)
    else log.trace(`${name}: still finds the test file`)
  }

  #report(
    { name, selfTest }: WatchedHost,
    streamFailure: ClamdError | null,
    before: SelfTestResult | null,
  ): void {
    const { log } = this.system
    const news = selfTest ? logLinesFor(selfTest, streamFailure, before, this.settings.maxBytes) : []
    if (news.length === 0) log.trace(`${name}: self test as before`)
    for (const { level, text } of news) log[level](`${name} ${text}`)
  }

  /** After the proof has been told, for mail does not wait for this. */
  async #findArchiveLimits(watched: WatchedHost, offer: Capabilities): Promise<void> {
    const { settings, system, signal } = this
    const { address, name, selfTest, verifiedProtocol } = watched
    if (!selfTest?.findsTestFile) return
    const usual = settings.protocol === 'auto' ? protocolOf(offer) : settings.protocol
    const protocol = verifiedProtocol ?? usual ?? 'stream'
    const trace = (text: string) => system.log.trace(`${name} ${text}`)
    const asked = { ...settings, protocol }
    watched.archives = await findArchiveLimits(address, asked, system.connect, signal, trace)
    system.tell(address, { archives: watched.archives })
  }

  #reportArchives(watched: WatchedHost): void {
    const { name, selfTest, archives, archiveTexts } = watched
    const news = selfTest ? aboutArchives(selfTest, archives, this.settings.maxBytes) : []
    for (const { level, text } of news)
      if (!archiveTexts.includes(text)) this.system.log[level](`${name} ${text}`)
    watched.archiveTexts = news.map(({ text }) => text)
  }

  async #runSelfTest(
    watched: WatchedHost,
    offer: Capabilities,
    isSame: boolean,
    depth: 'full' | 'eicar',
  ): Promise<void> {
    const { connect, log, tell } = this.system
    const { address, name } = watched
    const slow = setTimeout(() => {
      if (watched.selfTest === null) {
        log.warn(
          `${name}: self test not finished after ${selfTestPatienceMs / 1000} s; a message for which nothing is proven yet is preceded by a test file of its size`,
        )
      }
    }, selfTestPatienceMs)
    try {
      const before = watched.selfTest
      // A daemon as it was before needs no new search if neither more nor less is proven.
      const provenBefore = isSame ? (before?.maxScannableBytes ?? null) : null
      const onSeeing = () => {
        if (!watched.isUntrusted) return
        watched.isUntrusted = false
        watched.selfTest = null
        tell(address, { isDetecting: true })
      }
      const { selfTest, protocol, streamFailure } = await selfTestAsMail(
        address,
        { ...this.settings, depth, provenBefore, onSeeing },
        protocolOf(offer),
        connect,
        this.signal,
        (text) => log.trace(`${name} ${text}`),
      )
      watched.selfTest = selfTest
      watched.verifiedProtocol = streamFailure ? protocol : null
      tell(address, { selfTest, verifiedProtocol: watched.verifiedProtocol })
      this.#report(watched, streamFailure, before)
    } catch (error) {
      if (!this.signal.aborted) {
        const text = `${name}: self test came to nothing, ${errorText(error)}`
        if (watched.failures === 0) log.warn(`${text}; it will be tried again`)
        else log.trace(text)
      }
      throw error
    } finally {
      clearTimeout(slow)
    }
  }

  #warnOfAge(watched: WatchedHost): void {
    const nowMs = this.system.date()
    const text = staleSignatures(watched.engine, nowMs, this.settings.maxSignatureAgeMs)
    if (text === null || nowMs - watched.warnedAt < dayMs) return
    watched.warnedAt = nowMs
    this.system.log.warn(`${watched.name}: ${text} (${watched.engine?.line ?? ''}); is freshclam running?`)
  }
}

/** A new proof could show nothing better. */
function isWell(selfTest: SelfTestResult | null): boolean {
  return (
    selfTest !== null &&
    selfTest.findsTestFile &&
    (selfTest.maxScannableBytes === null || selfTest.coversMaxSize)
  )
}
