/*
 * The addresses of every configured host: which is asked next, which rests, how many scans each has in
 * flight, and what has been learnt of it. Makes no connection and reads no message.
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
  /** Milliseconds for which a failed address is asked last. */
  readonly restMs: number
  /** Milliseconds that anybody waits for a name. */
  readonly connectMs: number
  /** Scans in flight per address; 0: no limit. */
  readonly maxConcurrent: number
}

/** An address at this moment, for whoever watches. */
export interface AddressState {
  /** `host:port`, `[v6]:port` or the path of a socket. */
  readonly text: string
  /** `resting`: failed, asked last. `untrusted`: it does not find the EICAR test file and gets no mail. */
  readonly state: 'up' | 'resting' | 'untrusted'
  readonly inFlight: number
  readonly protocol: Protocol | null
  readonly engine: ClamdVersion | null
  /** Largest message it was proven to scan, in bytes; null: not proven. */
  readonly maxScannableBytes: number | null
}

/** The addresses that a message of some size is kept from, and why. */
export interface PassedOver {
  readonly untrusted: readonly string[]
  readonly tooSmall: readonly { readonly text: string; readonly maxScannableBytes: number }[]
}

/**
 * What others may want to hear of an address, as mail found out: it failed; it works again; it does what it would not have
 * done before, and may be another daemon; it does not find the test file.
 */
export type AddressNews = 'failed' | 'back' | 'doubted' | 'untrusted'

/** Milliseconds after which a connection that is still being made counts as slow, and other messages go elsewhere. */
const slowMs = 100

/**
 * Milliseconds without a finished scan after which an address that has several counts as standing still: a daemon that was
 * stopped takes connections and messages all the same, and each of them would be lost to it for its whole budget.
 */
const stillMs = 2000

/** Most addresses outside the list of which something is kept; names may stand for ever new ones. */
const maxOthers = 1000

export class HostPool {
  readonly #resolver: HostResolver
  #list: HostState[] = []
  /**
   * Addresses that are not in the list, or not at the moment: some name servers tell of a few at a time, and one that
   * comes back must not get what it is known not to scan.
   */
  readonly #others = new Map<string, HostState>()
  #next: number
  readonly #waiting = new WaitQueue()
  /** Until then proofs are waited for. */
  #checksDueAt: number

  /**
   * @param proofMs milliseconds from now for which a message waits rather than goes to an address that nobody has
   * tried to prove yet; 0: nobody does
   * @param tell told of what changes with an address, and of each failure: others may have seen it work in between
   */
  constructor(
    private readonly settings: HostSettings,
    private readonly system: System,
    proofMs = 0,
    private readonly tell: (address: Address, news: AddressNews) => void = () => undefined,
  ) {
    this.#resolver = new HostResolver(settings, system, () => this.#relist())
    this.#next = Math.floor(system.random() * 2 ** 31)
    this.#checksDueAt = system.now() + proofMs
  }

  /** Every address now known, looking nothing up. */
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

  /** Whether every name stands for addresses. */
  get areAllKnown(): boolean {
    return this.#resolver.areAllKnown
  }

  /** Whether an address has room for so many scans only. */
  get isLimited(): boolean {
    return this.settings.maxConcurrent > 0
  }

  /** Smallest size in bytes that some address is proven to scan and no more; Infinity where none has such a limit. */
  get minScannableBytes(): number {
    const now = this.system.now()
    return this.#list.reduce((least, host) => Math.min(least, limitOf(host, now)), Infinity)
  }

  /** The addresses that get no message of so many bytes. */
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

  /** Every address now known; looks the names up first if that has not been done. */
  async addresses(signal: CancelSignal): Promise<readonly Address[]> {
    await this.#resolved(signal)
    await this.#resolving(signal)
    return this.#list.map(({ address }) => address)
  }

  /**
   * The next address that is not in `tried`, not untrusted, and not known to scan less than so many bytes, waiting for
   * one to have room, or to be proven, if need be.
   * @returns null when there is none left. Rejects with the signal's reason.
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
        await this.#waiting.wait(signal, this.#changeMs(left))
        continue
      }
      if (hasPaused || chosen.dialling === 0 || !this.#areBeingMet(candidates))
        return this.#lease(chosen, othersOf(left, chosen))
      hasPaused = !(await this.#waiting.wait(signal, slowMs))
    }
  }

  /** Takes over what the old ones found out about their addresses, by settings under which it is as true. */
  inherit(old: HostPool): void {
    for (const host of [...old.#others.values(), ...old.#list]) this.#keep(inherited(host))
  }

  /** No more proofs will come. */
  stopWaitingForChecks(): void {
    this.#checksDueAt = this.system.now()
    this.#waiting.wakeAll()
  }

  /** Takes in what somebody found out about an address, also before the address is known here. */
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

  /** Tells what somebody else's attempt came to. */
  report(address: Address, outcome: 'worked' | 'failed', protocol: Protocol | null): void {
    const host = this.#list.find(({ text }) => text === addressText(address))
    if (!host) return
    this.#judge(host, outcome)
    if (outcome === 'worked') host.protocol = host.verifiedProtocol ?? protocol
    this.#waiting.wakeAll()
  }

  /**
   * Those of which something is known; all, when no more is to be waited for.
   * @returns null when all that do not rest are still to be proven, and it is worth while to wait for that
   */
  #candidates(left: readonly HostState[]): readonly HostState[] | null {
    const now = this.system.now()
    if (now >= this.#checksDueAt) return left
    const awake = left.filter((host) => host.restsUntil <= now)
    const host = awake.filter(({ trust }) => trust !== 'awaited')
    if (host.length > 0) return host
    return awake.length > 0 ? null : left
  }

  /**
   * The next in turn of those with room; the ones that rest only when all do, the longest at rest first.
   * @param hasFailed the message has met one that failed, and is spared others that may
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
    const moving = open.filter((host) => !this.#standsStill(host))
    const best = moving.length > 0 ? moving : open
    // Where a connection is still being made, it may never be: one message waits for that, not all that come meanwhile.
    const inTime = best.filter((host) => !this.#isSlow(host))
    return (
      best.find(({ dialling }) => dialling === 0) ??
      inTime.find(({ wasReached }) => wasReached) ??
      inTime[0] ??
      best[0]
    )
  }

  #standsStill({ inFlight, quietSince }: HostState): boolean {
    return inFlight > 1 && this.system.now() - quietSince >= stillMs
  }

  #isSlow({ dialling, diallingSince }: HostState): boolean {
    return dialling > 0 && this.system.now() - diallingSince >= slowMs
  }

  /**
   * Somebody finds out at this moment whether one of them is to be reached at all. It is known in an instant as a rule,
   * and if not, one message that waits for it is enough.
   */
  #areBeingMet(list: readonly HostState[]): boolean {
    if (list.length < 2) return false
    return list.some((host) => host.dialling > 0 && !host.wasReached && !host.failed && !this.#isSlow(host))
  }

  #lease(host: HostState, others: Others): Lease {
    const now = this.system.now()
    // Nobody could tell that one at work on a single message is not: it has to be sent another one.
    if (host.inFlight === 1 && now - host.quietSince >= stillMs) host.quietSince = now
    this.#next = this.#list.indexOf(host) + 1
    // After its rest one scan finds out whether the address is back; the others go on without it meanwhile.
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
      if (outcome) this.#judge(host, outcome)
      this.#waiting.wakeAll()
    },
  }

  #judge(host: HostState, outcome: AddressOutcome): void {
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
    // What comes back may be another release.
    host.protocol = host.verifiedProtocol
    host.hasSessions = false
    this.#resolver.resolveAfterFailure()
  }

  /** Milliseconds until something is different for these by itself: a rest is over, or the time for proofs. */
  #changeMs(left: readonly HostState[]): number | null {
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

  /** When the look-up that is under way has ended, or has taken too long. */
  async #resolving(signal: CancelSignal): Promise<void> {
    const { resolving } = this.#resolver
    if (resolving) await within(resolving, this.settings.connectMs, signal)
  }

  /** The list as the names now stand, with what was known of each address. */
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
