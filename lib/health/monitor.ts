/*
 * Checks every clamd in the background: version, age of the signatures, self test. At start and every hour, sooner after a
 * failure. Runs in one process of a cluster; the owner passes the results on.
 */

import { BoundedMap } from '../base/bounded-map'
import { type Address, addressText } from '../clamd/address'
import { queryCapabilities } from '../clamd/capabilities'
import type { Connect } from '../clamd/connection'
import { ClamdError, errorText } from '../clamd/errors'
import { type Capabilities, protocolAt, protocolOf } from '../clamd/protocol'
import { staleSignatures, unwatchedAge } from '../clamd/version'
import type { AddressNews } from '../hosts/host-pool'
import { type HealthEvent, type HostState, isUntrusted, newHost, next } from '../hosts/host-state'
import type { SelfTestResult } from '../hosts/test-results'
import type { ScanSettings } from '../scan/message-scan'
import { findArchiveLimits } from './archive-limits'
import { aboutArchives, logLinesFor } from './log-lines'
import { selfTestAsMail } from './self-test'
import type { StartupLog } from './startup-check'

export interface HealthSettings {
  readonly selfTest: 'full' | 'eicar' | 'off'
  /** Signatures older than this are worth a warning; 0: none are. */
  readonly maxSignatureAgeMs: number
}

export interface MonitorSettings extends Omit<ScanSettings, 'scope' | 'signatures'>, HealthSettings {
  /** Milliseconds between two checks of an address that does not answer, or gets no mail. */
  readonly pingIntervalMs: number
}

export interface MonitorSystem {
  readonly connect: Connect
  /** Monotonic clock in milliseconds. */
  readonly now: () => number
  /** Unix time in milliseconds. */
  readonly date: () => number
  readonly log: StartupLog
  readonly addresses: (signal: AbortSignal) => Promise<readonly Address[]>
  readonly tell: (address: Address, event: HealthEvent) => void
}

/** When an address is checked, and what was said of it. */
interface WatchedHost {
  readonly address: Address
  readonly name: string
  /** As in host-pool.ts, by the events of all processes. Written by `#learn` and `onAddressNews`. */
  state: HostState
  /** The commands that the daemon listed last. */
  commands: Capabilities['commands']
  isBusy: boolean
  /** Time of the next check, in ms of `now`. */
  dueAt: number
  seenAt: number
  /** Number of failed checks in a row. */
  failures: number
  /** The state's `failureEpoch` at the start of the last complete check. */
  checkedEpoch: number
  /** Mail has reported an event since the last check started. */
  hasNews: boolean
  /** The last log lines on archives, to log only changes. */
  archiveTexts: readonly string[]
  /** Unix time in ms of the last warning about old signatures, or their unknown age; at most one a day. */
  warnedAt: number
  /** Unix time in ms of the last full self test. */
  testedAt: number
}

const hourMs = 60 * 60 * 1000
const dayMs = 24 * hourMs

/** Maximum number of remembered addresses: a name may resolve to new ones for ever. */
const maxWatched = 1000

/** Minimum milliseconds between two rounds. */
const minPauseMs = 1000

/** Milliseconds after Haraka's start for which mail waits for the self test; later each message sends its own test file. */
export const selfTestPatienceMs = 10_000

export class HealthMonitor {
  readonly #watched = new BoundedMap<WatchedHost>(maxWatched)
  readonly #pauseMs: number

  /** @param everyMs milliseconds between two checks of a healthy address */
  constructor(
    private readonly settings: MonitorSettings,
    private readonly system: MonitorSystem,
    private readonly signal: AbortSignal,
    private readonly everyMs = hourMs,
  ) {
    this.#pauseMs = Math.max(minPauseMs, Math.min(settings.pingIntervalMs, everyMs))
  }

  /** What is known, as events for a worker that starts later. */
  known(): readonly (readonly [Address, HealthEvent])[] {
    return [...this.#watched.values()].flatMap((watched) =>
      eventsOf(watched).map((event) => [watched.address, event] as const),
    )
  }

  /** Checks every address that is due, until the signal aborts. Call once. */
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

  /** Checks an address that has just answered. */
  answered(address: Address, offer: Capabilities): void {
    void this.#check(this.#of(address), offer)
  }

  /** After a failure the daemon may have been replaced, so it is checked soon; at once if it misses the test file. */
  onAddressNews(address: Address, news: AddressNews): void {
    const watched = this.#of(address)
    if (news !== 'back')
      watched.state = next(watched.state, { type: news === 'untrusted' ? 'eicarMissed' : 'doubted' })
    if (news === 'failed') return
    watched.hasNews = true
    watched.dueAt = isUntrusted(watched.state)
      ? this.system.now()
      : Math.min(watched.dueAt, watched.seenAt + this.#pauseMs)
    if (watched.dueAt <= this.system.now()) void this.#check(watched)
  }

  get #isAborted(): boolean {
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
    // Addresses outside the list are remembered: some name servers return a few addresses at a time.
    const watched: WatchedHost = {
      address,
      name: `clamd ${text}`,
      state: newHost,
      commands: null,
      isBusy: false,
      dueAt: -Infinity,
      seenAt: -Infinity,
      failures: 0,
      checkedEpoch: 0,
      hasNews: false,
      archiveTexts: [],
      warnedAt: -Infinity,
      testedAt: -Infinity,
    }
    this.#watched.set(text, watched)
    return watched
  }

  #learn(watched: WatchedHost, event: HealthEvent): void {
    watched.state = next(watched.state, event)
    this.system.tell(watched.address, event)
  }

  async #check(watched: WatchedHost, told?: Capabilities): Promise<void> {
    if (watched.isBusy || this.signal.aborted) return
    const { now } = this.system
    const before = watched.state
    watched.isBusy = true
    watched.hasNews = false
    try {
      const offer = told ?? (await this.#queryCapabilities(watched))
      if (!offer.isLate) watched.commands = offer.commands
      this.#learn(watched, { type: 'capabilities', ...offer })
      const isSame = watched.state.engine?.line === before.engine?.line
      if (!offer.isLate) this.#warnOfAge(watched)
      const { selfTest } = this.settings
      const mayDiffer =
        !isSame || before.failureEpoch > watched.checkedEpoch || this.#mayHaveChangedUnseen(watched)
      if (selfTest !== 'off') {
        if (!mayDiffer && isWell(watched.state.selfTest)) await this.#repeatTestFile(watched, offer)
        else await this.#runSelfTest(watched, offer, isSame, selfTest)
      }
      watched.checkedEpoch = before.failureEpoch
      if (selfTest === 'full' && (mayDiffer || watched.state.archives === null))
        await this.#findArchiveLimits(watched, offer)
      this.#reportArchives(watched)
      if (offer.isLate) {
        this.#retryLater(watched)
        return
      }
      watched.failures = 0
      watched.dueAt = now() + (isUntrusted(watched.state) ? this.#pauseMs : this.everyMs)
    } catch (error) {
      if (this.#isAborted) return
      if (!(error instanceof ClamdError)) this.system.log.error(`${watched.name}: ${String(error)}`)
      // Ends the wait of messages for this self test.
      if (watched.state.selfTest === null) this.#learn(watched, { type: 'selfTestFailed' })
      this.#retryLater(watched)
    } finally {
      watched.seenAt = now()
      watched.isBusy = false
      this.#reschedule(watched)
    }
  }

  /** An event during a check may be about a daemon that replaced the checked one. */
  #reschedule(watched: WatchedHost): void {
    if (watched.hasNews) watched.dueAt = Math.min(watched.dueAt, watched.seenAt + this.#pauseMs)
  }

  /** Doubles the pause after each failure; not for an address that gets no mail until it is checked. */
  #retryLater(watched: WatchedHost): void {
    const pauses = isUntrusted(watched.state) ? 1 : 2 ** Math.min(watched.failures, 20)
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
   * Sends the test file alone. Signatures can vanish with the same VERSION line; limits change only with a restart, which
   * mail notices, because clamd reads clamd.conf when it starts.
   */
  async #repeatTestFile(watched: WatchedHost, offer: Capabilities): Promise<void> {
    const { connect, log } = this.system
    const { address, name, state } = watched
    const settings = { ...this.settings, depth: 'test file' as const }
    const offered = state.verifiedProtocol ?? protocolOf(offer)
    const { selfTest } = await selfTestAsMail(address, settings, offered, connect, this.signal)
    const { findsTestFile } = selfTest
    const holds = findsTestFile ? state.selfTest : null
    this.#learn(watched, { type: 'selfTested', selfTest: holds ?? selfTest })
    if (!findsTestFile) this.#report(watched, null, state.selfTest)
    else log.trace(`${name}: still finds the test file`)
  }

  #report(
    { name, state: { selfTest } }: WatchedHost,
    streamFailure: ClamdError | null,
    before: SelfTestResult | null,
  ): void {
    const { log } = this.system
    const lines = selfTest ? logLinesFor(selfTest, streamFailure, before, this.settings.maxBytes) : []
    if (lines.length === 0) log.trace(`${name}: self test as before`)
    for (const { level, text } of lines) log[level](`${name} ${text}`)
  }

  /** Runs after the self test, because mail does not wait for it. */
  async #findArchiveLimits(watched: WatchedHost, offer: Capabilities): Promise<void> {
    const { settings, system, signal } = this
    const { address, name, state } = watched
    if (!state.selfTest?.findsTestFile) return
    const configured = protocolAt(address, settings.protocol)
    const usual = configured === 'auto' ? protocolOf(offer) : configured
    const protocol = state.verifiedProtocol ?? usual ?? 'stream'
    const trace = (text: string) => system.log.trace(`${name} ${text}`)
    const asked = { ...settings, protocol }
    const archives = await findArchiveLimits(address, asked, system.connect, signal, trace)
    this.#learn(watched, { type: 'archivesTested', archives })
  }

  #reportArchives(watched: WatchedHost): void {
    const { name, archiveTexts } = watched
    const { selfTest, archives } = watched.state
    const lines = selfTest ? aboutArchives(selfTest, archives, this.settings.maxBytes) : []
    for (const { level, text } of lines)
      if (!archiveTexts.includes(text)) this.system.log[level](`${name} ${text}`)
    watched.archiveTexts = lines.map(({ text }) => text)
  }

  async #runSelfTest(
    watched: WatchedHost,
    offer: Capabilities,
    isSame: boolean,
    depth: 'full' | 'eicar',
  ): Promise<void> {
    const { connect, log } = this.system
    const { address, name } = watched
    const slow = setTimeout(() => {
      if (watched.state.selfTest === null) {
        log.warn(
          `${name}: self test not finished after ${selfTestPatienceMs / 1000} s; until then each message waits for a test file of its size`,
        )
      }
    }, selfTestPatienceMs)
    try {
      const before = watched.state.selfTest
      // With the same version, first try the limit that was found before.
      const provenBefore = isSame ? (before?.maxScannableBytes ?? null) : null
      const onSeeing = () => {
        if (isUntrusted(watched.state)) this.#learn(watched, { type: 'seesAgain' })
      }
      const { selfTest, protocol, streamFailure } = await selfTestAsMail(
        address,
        { ...this.settings, depth, provenBefore, onSeeing },
        protocolOf(offer),
        connect,
        this.signal,
        (text) => log.trace(`${name} ${text}`),
      )
      watched.testedAt = this.system.date()
      this.#learn(watched, { type: 'selfTested', selfTest, protocol: streamFailure ? protocol : null })
      this.#report(watched, streamFailure, before)
    } catch (error) {
      if (!this.signal.aborted) {
        const text = `${name}: self test failed: ${errorText(error)}`
        if (watched.failures === 0) log.warn(`${text}; it will be tried again`)
        else log.trace(text)
      }
      throw error
    } finally {
      clearTimeout(slow)
    }
  }

  /** Without a version, other signatures or another release cannot be seen. */
  #mayHaveChangedUnseen({ state, testedAt }: WatchedHost): boolean {
    return state.engine === null && this.system.date() - testedAt >= dayMs
  }

  #warnOfAge(watched: WatchedHost): void {
    const nowMs = this.system.date()
    const { engine } = watched.state
    const { maxSignatureAgeMs, selfTest } = this.settings
    const tested = selfTest === 'off' ? '' : '; the whole self test is repeated once a day'
    const stale = staleSignatures(engine, nowMs, maxSignatureAgeMs)
    const isUnwatched = engine === null && maxSignatureAgeMs > 0
    if ((stale === null && !isUnwatched) || nowMs - watched.warnedAt < dayMs) return
    watched.warnedAt = nowMs
    this.system.log.warn(
      stale === null
        ? `${watched.name} ${unwatchedAge}${tested}`
        : `${watched.name}: ${stale} (${engine?.line ?? ''}); is freshclam running?`,
    )
  }
}

/** True if another full self test cannot give a better result. */
function isWell(selfTest: SelfTestResult | null): boolean {
  return (
    selfTest !== null &&
    selfTest.findsTestFile &&
    (selfTest.maxScannableBytes === null || selfTest.coversMaxSize)
  )
}

/** The events that bring a new state as far as this one. */
function eventsOf({ state, commands, seenAt, checkedEpoch }: WatchedHost): HealthEvent[] {
  const { engine, archives, selfTest, verifiedProtocol, failureEpoch } = state
  if (engine === null && seenAt === -Infinity) return []
  const events: HealthEvent[] = [{ type: 'capabilities', version: engine?.line ?? null, commands }]
  if (archives) events.push({ type: 'archivesTested', archives })
  // The other workers have this before the check is complete.
  if (selfTest) events.push({ type: 'selfTested', selfTest, protocol: verifiedProtocol })
  else if (seenAt > -Infinity) events.push({ type: 'selfTestFailed' })
  if (failureEpoch > checkedEpoch) events.push({ type: 'doubted' })
  return events
}
