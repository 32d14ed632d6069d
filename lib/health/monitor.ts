/*
 * Keeps true what is known of every clamd besides its answers to mail: which one it is, how old its signatures are,
 * what it was proven to scan. Asks at start and every hour, sooner where there is a reason. Runs in the background,
 * in one process of a Haraka; who is told is its owner's business.
 */

import { type Address, addressText } from '../clamd/address'
import { inquire } from '../clamd/capabilities'
import type { Connect } from '../clamd/connection'
import { Failure, failureText } from '../clamd/errors'
import { hasSessions, type Offer, type Protocol, protocolOf } from '../clamd/protocol'
import { type Engine, parseEngine, tooOld } from '../clamd/version'
import type { AddressNews } from '../hosts/host-pool'
import type { Proof } from '../hosts/host-state'
import type { AddressFacts } from '../hosts/host-state'
import type { ScanSettings } from '../scan/scan-state'
import { newsOf } from './log-lines'
import { proveAsMail } from './self-test'
import type { StartupLog } from './startup-check'

export interface ProofSettings {
  readonly selfTest: 'full' | 'eicar' | 'off'
  /** Signatures older than this are worth a warning; 0: none are. */
  readonly maxSignatureAgeMs: number
}

export interface WatchSettings extends ScanSettings, ProofSettings {
  /** Between two looks at an address that does not answer, or gets no mail. */
  readonly pingIntervalMs: number
}

export interface WatchWorld {
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
interface Watched {
  readonly address: Address
  readonly name: string
  isBusy: boolean
  /** By `now`; an address is looked at when this is past. */
  dueAt: number
  seenAt: number
  /** Looks in a row that came to nothing. */
  failures: number
  engine: Engine | null
  hasSessions: boolean
  proof: Proof | null
  /** Failures that mail has met. */
  doubts: number
  /** So many of them came before the last look that came to its end. */
  dispelled: number
  /** It does not find the test file, as mail or the last look found. */
  isUntrusted: boolean
  /** Mail has found out something since the last look began. */
  hasNews: boolean
  provenProtocol: Protocol | null
  /** Unix time; once a day is enough. */
  warnedAt: number
}

const hourMs = 60 * 60 * 1000
const dayMs = 24 * hourMs

/** Most addresses that are remembered; names may stand for ever new ones. */
const mostWatched = 1000

/** Least milliseconds between two rounds. */
const leastPauseMs = 1000

/** Milliseconds after Haraka's start for which mail waits rather than goes to an address that is being proven. */
export const patienceMs = 10_000

export class Watch {
  readonly #watched = new Map<string, Watched>()
  readonly #pauseMs: number

  /** @param everyMs between two looks at an address that is well */
  constructor(
    private readonly settings: WatchSettings,
    private readonly world: WatchWorld,
    private readonly signal: AbortSignal,
    private readonly everyMs = hourMs,
  ) {
    this.#pauseMs = Math.max(leastPauseMs, Math.min(settings.pingIntervalMs, everyMs))
  }

  /** What was found out so far, for somebody who comes later. */
  known(): readonly [Address, AddressFacts][] {
    return [...this.#watched.values()]
      .filter(({ engine, seenAt }) => engine !== null || seenAt > -Infinity)
      .map(({ address, seenAt, engine, hasSessions, proof, provenProtocol, doubts, dispelled }) => [
        address,
        {
          engine,
          hasSessions,
          ...(seenAt > -Infinity && { proof, provenProtocol }),
          ...(doubts > dispelled && { isDoubted: true }),
        },
      ])
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
  answered(address: Address, offer: Offer): void {
    void this.#look(this.#of(address), offer)
  }

  /** An address that had failed works again: it may be another daemon by now. One that mail found blind is looked at at once. */
  heard(address: Address, news: AddressNews): void {
    const watched = this.#of(address)
    if (news !== 'back') watched.doubts++
    if (news === 'failed') return
    watched.hasNews = true
    watched.isUntrusted ||= news === 'untrusted'
    watched.dueAt = watched.isUntrusted
      ? this.world.now()
      : Math.min(watched.dueAt, watched.seenAt + this.#pauseMs)
    if (watched.dueAt <= this.world.now()) void this.#look(watched)
  }

  get #isOver(): boolean {
    return this.signal.aborted
  }

  async #round(): Promise<void> {
    const addresses = await this.world.addresses(this.signal).catch(() => [])
    if (this.signal.aborted || addresses.length === 0) return
    for (const address of addresses) {
      const watched = this.#of(address)
      if (watched.dueAt <= this.world.now()) void this.#look(watched)
    }
  }

  #of(address: Address): Watched {
    const text = addressText(address)
    const known = this.#watched.get(text)
    if (known) return known
    // What is not in the list now is remembered: some name servers tell of a few addresses at a time.
    const [oldest = ''] = this.#watched.size < mostWatched ? [] : this.#watched.keys()
    this.#watched.delete(oldest)
    const watched: Watched = {
      address,
      name: `clamd ${text}`,
      isBusy: false,
      dueAt: -Infinity,
      seenAt: -Infinity,
      failures: 0,
      engine: null,
      hasSessions: false,
      proof: null,
      doubts: 0,
      dispelled: 0,
      isUntrusted: false,
      hasNews: false,
      provenProtocol: null,
      warnedAt: -Infinity,
    }
    this.#watched.set(text, watched)
    return watched
  }

  async #look(watched: Watched, told?: Offer): Promise<void> {
    if (watched.isBusy || this.signal.aborted) return
    const { now, tell } = this.world
    const { doubts } = watched
    watched.isBusy = true
    watched.hasNews = false
    try {
      const offer = told ?? (await this.#inquire(watched))
      const engine = parseEngine(offer.version) ?? (offer.isLate ? watched.engine : null)
      const isSame = engine?.line === watched.engine?.line
      watched.engine = engine
      if (!offer.isLate) watched.hasSessions = hasSessions(offer)
      tell(watched.address, { engine, hasSessions: watched.hasSessions })
      this.#warnOfAge(watched)
      const { selfTest } = this.settings
      if (selfTest !== 'off') {
        if (isSame && isWell(watched.proof)) await this.#proveAgain(watched, offer)
        else await this.#prove(watched, offer, isSame, selfTest)
      }
      watched.dispelled = doubts
      watched.isUntrusted = watched.proof?.findsTestFile === false
      if (offer.isLate) {
        this.#again(watched)
        return
      }
      watched.failures = 0
      watched.dueAt = now() + (watched.isUntrusted ? this.#pauseMs : this.everyMs)
    } catch (error) {
      if (this.#isOver) return
      if (!(error instanceof Failure)) this.world.log.error(`${watched.name}: ${String(error)}`)
      // Whoever waits for a proof need not wait any more.
      if (watched.proof === null) tell(watched.address, { proof: null })
      this.#again(watched)
    } finally {
      watched.seenAt = now()
      watched.isBusy = false
      this.#heed(watched)
    }
  }

  /** What was heard during a look may be about another daemon than that. */
  #heed(watched: Watched): void {
    if (watched.hasNews) watched.dueAt = Math.min(watched.dueAt, watched.seenAt + this.#pauseMs)
  }

  /** Sooner than one that is well, and less and less often; an address without mail for want of it is not kept waiting. */
  #again(watched: Watched): void {
    const pauses = watched.isUntrusted ? 1 : 2 ** Math.min(watched.failures, 20)
    watched.dueAt = this.world.now() + Math.min(this.everyMs, this.#pauseMs * pauses)
    watched.failures++
  }

  #inquire({ address, name }: Watched): Promise<Offer> {
    const { connect, log } = this.world
    const trace = (text: string) => log.trace(`${name} ${text}`)
    return inquire(address, { connect, connectMs: this.settings.connectMs, signal: this.signal, trace })
  }

  /** Signatures can go without another VERSION line; limits can hardly change. So the test file alone is sent. */
  async #proveAgain(watched: Watched, offer: Offer): Promise<void> {
    const { connect, log, tell } = this.world
    const { address, name, proof: before, provenProtocol } = watched
    const settings = { ...this.settings, depth: 'test file' as const }
    const offered = provenProtocol ?? protocolOf(offer)
    const { proof } = await proveAsMail(address, settings, offered, connect, this.signal)
    watched.proof = proof.findsTestFile ? before : proof
    tell(address, { proof: watched.proof })
    if (!proof.findsTestFile) this.#report(watched, null, before)
    else log.trace(`${name}: still finds the test file`)
  }

  #report({ name, proof }: Watched, streamFailure: Failure | null, before: Proof | null): void {
    const { log } = this.world
    const news = proof ? newsOf(proof, streamFailure, before, this.settings.maxBytes) : []
    if (news.length === 0) log.trace(`${name}: self test as before`)
    for (const { level, text } of news) log[level](`${name} ${text}`)
  }

  async #prove(watched: Watched, offer: Offer, isSame: boolean, depth: 'full' | 'eicar'): Promise<void> {
    const { connect, log, tell } = this.world
    const { address, name } = watched
    const slow = setTimeout(() => {
      if (watched.proof === null) {
        log.warn(
          `${name}: self test not finished after ${patienceMs / 1000} s, mail of any size goes there meanwhile`,
        )
      }
    }, patienceMs)
    try {
      const before = watched.proof
      // A daemon as it was before needs no new search if neither more nor less is proven.
      const provenBefore = isSame ? (before?.provenBytes ?? null) : null
      const onSeeing = () => {
        if (!watched.isUntrusted) return
        watched.isUntrusted = false
        watched.proof = null
        tell(address, { isSeeing: true })
      }
      const { proof, protocol, streamFailure } = await proveAsMail(
        address,
        { ...this.settings, depth, provenBefore, onSeeing },
        protocolOf(offer),
        connect,
        this.signal,
        (text) => log.trace(`${name} ${text}`),
      )
      watched.proof = proof
      watched.provenProtocol = streamFailure ? protocol : null
      tell(address, { proof, provenProtocol: watched.provenProtocol })
      this.#report(watched, streamFailure, before)
    } catch (error) {
      if (!this.signal.aborted) {
        const text = `${name}: self test came to nothing, ${failureText(error)}`
        if (watched.failures === 0) log.warn(`${text}; it will be tried again`)
        else log.trace(text)
      }
      throw error
    } finally {
      clearTimeout(slow)
    }
  }

  #warnOfAge(watched: Watched): void {
    const nowMs = this.world.date()
    const text = tooOld(watched.engine, nowMs, this.settings.maxSignatureAgeMs)
    if (text === null || nowMs - watched.warnedAt < dayMs) return
    watched.warnedAt = nowMs
    this.world.log.warn(`${watched.name}: ${text} (${watched.engine?.line ?? ''}); is freshclam running?`)
  }
}

/** A new proof could show nothing better. */
function isWell(proof: Proof | null): boolean {
  return proof !== null && proof.findsTestFile && (proof.provenBytes === null || proof.provesMaxBytes)
}
