/*
 * The addresses of all configured hosts: which one is next, which ones rest, scans in flight, and what is known of each.
 * Makes no connection and reads no message.
 */

import type { CancelSignal } from '../base/cancellation'
import { WaitQueue, within } from '../base/wait-queue'
import { type Address, addressText } from '../clamd/address'
import type { Protocol } from '../clamd/protocol'
import type { ClamdVersion } from '../clamd/version'
import { type AddressFacts, apply, type HostState, inherited, limitOf, newHostState } from './host-state'
import { type AddressOutcome, Lease, type LeaseListener, type Others } from './lease'
import { HostResolver, type ResolverSettings } from './resolver'
import type { System } from './system'

export interface HostSettings extends ResolverSettings {
  /** Milliseconds for which a failed address is used last. */
  readonly restMs: number
  /** Time limit in milliseconds for a name look-up. */
  readonly connectMs: number
  /** Scans in flight per address; 0: no limit. */
  readonly maxConcurrent: number
}

/** An address at this moment, for metrics, page and commands. */
export interface AddressState {
  /** `host:port`, `[v6]:port` or the path of a socket. */
  readonly text: string
  /** `resting`: failed, used last. `untrusted`: does not find the EICAR test file and gets no mail. */
  readonly state: 'up' | 'resting' | 'untrusted'
  readonly inFlight: number
  readonly protocol: Protocol | null
  readonly engine: ClamdVersion | null
  /** Size in bytes of the largest message that it is proven to scan; null: not proven. */
  readonly maxScannableBytes: number | null
}

/** Addresses that a message does not go to: they miss the test file, or do not scan messages of its size. */
export interface PassedOver {
  readonly untrusted: readonly string[]
  readonly tooSmall: readonly { readonly text: string; readonly maxScannableBytes: number }[]
}

/**
 * Event that a scan caused. `back`: works after a failure. `doubted`: unexpected behaviour, the daemon may have been
 * replaced. `untrusted`: does not find the test file.
 */
export type AddressNews = 'failed' | 'back' | 'doubted' | 'untrusted'

/** Milliseconds after which an unfinished connection counts as slow, and other messages go elsewhere. */
const slowMs = 100

/**
 * Milliseconds without a finished scan after which an address with several scans counts as stalled: a stopped daemon still
 * accepts connections, and each message would lose its whole budget to it.
 */
const stallMs = 2000

/** Maximum number of remembered addresses outside the list: a name may resolve to new ones for ever. */
const maxOthers = 1000

export class HostPool {
  readonly #resolver: HostResolver
  #list: HostState[] = []
  /**
   * Addresses that the names do not resolve to now. Some name servers return a few addresses at a time, and what is known
   * of an address must hold when it comes back.
   */
  readonly #others = new Map<string, HostState>()
  #next: number
  readonly #waiting = new WaitQueue()
  /** Until then messages wait for the self tests; in ms of `System.now`. */
  #checksDueAt: number

  /**
   * @param selfTestMs milliseconds from now for which a message waits for the first self test of an address; 0: there
   * are no self tests
   * @param tell called on each change of an address and on each failure: another process may have seen it work in between
   */
  constructor(
    private readonly settings: HostSettings,
    private readonly system: System,
    selfTestMs = 0,
    private readonly tell: (address: Address, news: AddressNews) => void = () => undefined,
  ) {
    this.#resolver = new HostResolver(settings, system, () => this.#relist())
    this.#next = Math.floor(system.random() * 2 ** 31)
    this.#checksDueAt = system.now() + selfTestMs
  }

  /** Every known address, without a look-up. */
  states(): readonly AddressState[] {
    const now = this.system.now()
    return this.#list.map(({ text, trust, restsUntil, inFlight, protocol, engine, maxScannableBytes }) => ({
      text,
      state: trust === 'untrusted' ? 'untrusted' : restsUntil > now ? 'resting' : 'up',
      inFlight,
      protocol,
      engine,
      maxScannableBytes,
    }))
  }

  /** True if every name resolves to an address. */
  get areAllKnown(): boolean {
    return this.#resolver.areAllKnown
  }

  /** True if `max_concurrent` is set. */
  get isLimited(): boolean {
    return this.settings.maxConcurrent > 0
  }

  /** Smallest size limit of all addresses in bytes; Infinity: none has a limit. */
  get minScannableBytes(): number {
    const now = this.system.now()
    return this.#list.reduce((min, host) => Math.min(min, limitOf(host, now)), Infinity)
  }

  /** The addresses that get no message of this size. */
  passedOver(bytes: number): PassedOver {
    const untrusted = this.#list.filter(({ trust }) => trust === 'untrusted')
    const now = this.system.now()
    return {
      untrusted: untrusted.map(({ text }) => text),
      tooSmall: this.#list
        .filter((host) => !untrusted.includes(host))
        .map((host) => ({ text: host.text, maxScannableBytes: limitOf(host, now) }))
        .filter(({ maxScannableBytes }) => maxScannableBytes < bytes),
    }
  }

  /** Every known address, after the first look-up of the names. */
  async addresses(signal: CancelSignal): Promise<readonly Address[]> {
    await this.#resolved(signal)
    await this.#resolving(signal)
    return this.#list.map(({ address }) => address)
  }

  /**
   * The next address that is not in `tried`, finds the test file, and has no size limit below `bytes`. Waits until one has
   * a free place, or has been tested.
   * @returns null: none is left. Rejects with the signal's reason.
   */
  async take(tried: ReadonlySet<string>, signal: CancelSignal, bytes = 0): Promise<Lease | null> {
    await this.#resolved(signal)
    let hasPaused = false
    let hasLookedAgain = false
    for (;;) {
      signal.throwIfAborted()
      const now = this.system.now()
      const left = this.#list.filter(
        (one) => !tried.has(one.text) && one.trust !== 'untrusted' && bytes <= limitOf(one, now),
      )
      if (left.length === 0) {
        this.#resolver.resolveAfterFailure()
        if (!this.#resolver.resolving || hasLookedAgain) return null
        hasLookedAgain = true
        await this.#resolving(signal)
        continue
      }
      const candidates = this.#candidates(left)
      const chosen = candidates && this.#choose(candidates, tried.size > 0)
      if (!chosen) {
        await this.#waiting.wait(signal, this.#nextChangeMs(left))
        continue
      }
      if (hasPaused || chosen.dialling === 0 || !this.#isFirstContactPending(candidates))
        return this.#lease(chosen, othersOf(left, chosen))
      hasPaused = !(await this.#waiting.wait(signal, slowMs))
    }
  }

  /** Takes over what an older pool knows, when the settings that it depends on are the same. */
  inherit(old: HostPool): void {
    for (const host of [...old.#others.values(), ...old.#list]) this.#keep(inherited(host))
  }

  /** Call when no more self tests will end. */
  stopWaitingForChecks(): void {
    this.#checksDueAt = this.system.now()
    this.#waiting.wakeAll()
  }

  /** Stores facts about an address, also about one that is not in the list yet. */
  learn(address: Address, facts: AddressFacts): void {
    const text = addressText(address)
    const host = this.#list.find((one) => one.text === text)
    if (host) {
      apply(host, facts)
      this.#waiting.wakeAll()
      return
    }
    const other = this.#others.get(text) ?? newHostState(address)
    apply(other, facts)
    this.#keep(other)
  }

  /** Records the outcome of a PING. */
  report(address: Address, outcome: 'worked' | 'failed', protocol: Protocol | null): void {
    const host = this.#list.find(({ text }) => text === addressText(address))
    if (!host) return
    this.#recordOutcome(host, outcome)
    if (outcome === 'worked') host.protocol = host.verifiedProtocol ?? protocol
    this.#waiting.wakeAll()
  }

  /**
   * The tested addresses; all addresses once the time for self tests is over.
   * @returns null: no address that does not rest has been tested, so the message waits
   */
  #candidates(left: readonly HostState[]): readonly HostState[] | null {
    const now = this.system.now()
    if (now >= this.#checksDueAt) return left
    const awake = left.filter((host) => host.restsUntil <= now)
    const tested = awake.filter(({ trust }) => trust !== 'awaited')
    if (tested.length > 0) return tested
    return awake.length > 0 ? null : left
  }

  /**
   * The next address in turn with a free place. Resting addresses only when all rest, the one with the oldest rest first.
   * @param hasFailed an address has failed this message, so that healthy addresses come first
   */
  #choose(left: readonly HostState[], hasFailed: boolean): HostState | undefined {
    const now = this.system.now()
    const awake = left.filter((host) => host.restsUntil <= now)
    const { maxConcurrent } = this.settings
    const room = (host: HostState) => maxConcurrent === 0 || host.inFlight < maxConcurrent
    if (awake.length === 0) return [...left].sort((a, b) => a.restsUntil - b.restsUntil).find(room)

    const first = this.#next % this.#list.length
    const inTurn = [...this.#list.slice(first), ...this.#list.slice(0, first)]
    const withRoom = inTurn.filter((host) => awake.includes(host) && room(host))
    const well = withRoom.filter(({ failed }) => !failed)
    const open = hasFailed && well.length > 0 ? well : withRoom
    const moving = open.filter((host) => !this.#isStalled(host))
    const best = moving.length > 0 ? moving : open
    // A connection may never be made: one message waits for it, not every message.
    const inTime = best.filter((host) => !this.#isSlow(host))
    return (
      best.find(({ dialling }) => dialling === 0) ??
      inTime.find(({ wasReached }) => wasReached) ??
      inTime[0] ??
      best[0]
    )
  }

  #isStalled({ inFlight, quietSince }: HostState): boolean {
    return inFlight > 1 && this.system.now() - quietSince >= stallMs
  }

  #isSlow({ dialling, diallingSince }: HostState): boolean {
    return dialling > 0 && this.system.now() - diallingSince >= slowMs
  }

  /**
   * True while the first connection to one of them is being made. It is usually made at once; if not, one waiting message
   * is enough.
   */
  #isFirstContactPending(list: readonly HostState[]): boolean {
    if (list.length < 2) return false
    return list.some((host) => host.dialling > 0 && !host.wasReached && !host.failed && !this.#isSlow(host))
  }

  #lease(host: HostState, others: Others): Lease {
    const now = this.system.now()
    // A single scan does not show a stalled daemon: restart the clock with the second one.
    if (host.inFlight === 1 && now - host.quietSince >= stallMs) host.quietSince = now
    this.#next = this.#list.indexOf(host) + 1
    // After the rest one scan tests whether the address works; meanwhile other messages go elsewhere.
    if (host.failed) host.restsUntil = now + this.settings.restMs
    return new Lease(host, () => this.system.now(), others, this.#listener)
  }

  readonly #listener: LeaseListener = {
    reached: () => this.#waiting.wakeAll(),
    doubted: (host) => {
      host.failureEpoch++
      this.tell(host.address, 'doubted')
    },
    ended: (host, outcome) => {
      if (outcome) this.#recordOutcome(host, outcome)
      this.#waiting.wakeAll()
    },
  }

  #recordOutcome(host: HostState, outcome: AddressOutcome): void {
    const isBack = host.failed && outcome === 'worked'
    host.failed = outcome === 'failed'
    if (host.failed) host.failureEpoch++
    host.wasReached = !host.failed
    if (!host.failed) {
      host.finished++
      host.quietSince = this.system.now()
    }
    host.restsUntil = host.failed ? this.system.now() + this.settings.restMs : 0
    if (host.trust === 'untrusted') this.tell(host.address, 'untrusted')
    else if (isBack) this.tell(host.address, 'back')
    else if (host.failed) this.tell(host.address, 'failed')
    if (!host.failed) return
    // The daemon may come back as another release.
    host.protocol = host.verifiedProtocol
    host.hasSessions = false
    this.#resolver.resolveAfterFailure()
  }

  /** Milliseconds until the next rest ends, or the time for self tests; null: neither is pending. */
  #nextChangeMs(left: readonly HostState[]): number | null {
    const now = this.system.now()
    const times = [this.#checksDueAt, ...left.map(({ restsUntil }) => restsUntil)].filter(
      (time) => time > now,
    )
    return times.length === 0 ? null : Math.min(...times) - now
  }

  async #resolved(signal: CancelSignal): Promise<void> {
    if (this.#list.length > 0 && this.#resolver.areFresh) return
    const resolving = this.#resolver.resolve()
    if (this.#list.length > 0) return
    const first = new AbortController()
    const found = this.#waiting.wait(first.signal)
    try {
      await within(Promise.race([resolving, found.then(() => undefined)]), this.settings.connectMs, signal)
    } finally {
      first.abort()
    }
  }

  /** Waits for a running look-up, up to `connectMs`. */
  async #resolving(signal: CancelSignal): Promise<void> {
    const { resolving } = this.#resolver
    if (resolving) await within(resolving, this.settings.connectMs, signal)
  }

  /** Rebuilds the list from the names' current addresses, and keeps what is known of each. */
  #relist(): void {
    const before = new Map(this.#list.map((one) => [one.text, one]))
    const list = this.#resolver.addresses().map((address) => {
      const text = addressText(address)
      const host = before.get(text) ?? this.#others.get(text) ?? newHostState(address)
      this.#others.delete(text)
      return host
    })
    for (const one of this.#list) if (!list.includes(one)) this.#keep(one)
    this.#list = list
    if (list.length > 0) this.#waiting.wakeAll()
  }

  #keep(one: HostState): void {
    const [oldest = ''] = this.#others.size < maxOthers ? [] : this.#others.keys()
    this.#others.delete(oldest)
    this.#others.set(one.text, one)
  }
}

function othersOf(left: readonly HostState[], chosen: HostState): Others {
  const others = left.filter((one) => one !== chosen)
  if (others.length === 0) return 'none'
  return others.some(({ failed, failureEpoch, verifiedEpoch }) => !failed && verifiedEpoch >= failureEpoch)
    ? 'well'
    : 'doubtful'
}
