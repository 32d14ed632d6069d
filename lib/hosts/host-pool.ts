/*
 * The addresses of every configured host: which is asked next, which rests, how many scans each has in
 * flight, and what has been learnt of it. Makes no connection and reads no message.
 */

import type { CancelSignal } from '../base/cancellation'
import { Waiting, within } from '../base/wait-queue'
import { type Address, addressText } from '../clamd/address'
import type { Protocol } from '../clamd/protocol'
import type { Engine } from '../clamd/version'
import { type AddressFacts, apply, fits, inherited, type KnownAddress, unknownAddress } from './host-state'
import { type AddressOutcome, Lease, type LeaseListener, type Others } from './lease'
import { Names, type NameSettings } from './resolver'
import type { World } from './system'

export interface HostSettings extends NameSettings {
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
  readonly engine: Engine | null
  /** Largest message it was proven to scan, in bytes; null: not proven. */
  readonly provenBytes: number | null
}

/** The addresses that a message of some size is kept from, and why. */
export interface PassedOver {
  readonly untrusted: readonly string[]
  readonly tooSmall: readonly { readonly text: string; readonly provenBytes: number }[]
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
const mostOthers = 1000

export class Hosts {
  readonly #names: Names
  #list: KnownAddress[] = []
  /**
   * Addresses that are not in the list, or not at the moment: some name servers tell of a few at a time, and one that
   * comes back must not get what it is known not to scan.
   */
  readonly #others = new Map<string, KnownAddress>()
  #next: number
  readonly #waiting = new Waiting()
  /** Until then proofs are waited for. */
  #proofsDueAt: number

  /**
   * @param proofMs milliseconds from now for which a message waits rather than goes to an address that nobody has
   * tried to prove yet; 0: nobody does
   * @param tell told of what changes with an address, and of each failure: others may have seen it work in between
   */
  constructor(
    private readonly settings: HostSettings,
    private readonly world: World,
    proofMs = 0,
    private readonly tell: (address: Address, news: AddressNews) => void = () => undefined,
  ) {
    this.#names = new Names(settings, world, () => this.#relist())
    this.#next = Math.floor(world.random() * 2 ** 31)
    this.#proofsDueAt = world.now() + proofMs
  }

  /** Every address now known, looking nothing up. */
  states(): readonly AddressState[] {
    const now = this.world.now()
    return this.#list.map(({ text, trust, restsUntil, inFlight, protocol, engine, provenBytes }) => ({
      text,
      state: trust === 'untrusted' ? 'untrusted' : restsUntil > now ? 'resting' : 'up',
      inFlight,
      protocol,
      engine,
      provenBytes,
    }))
  }

  /** Whether every name stands for addresses. */
  get areAllKnown(): boolean {
    return this.#names.areAllKnown
  }

  /** Whether an address has room for so many scans only. */
  get isLimited(): boolean {
    return this.settings.maxConcurrent > 0
  }

  /** Smallest size in bytes that some address is proven to scan and no more; Infinity where none has such a limit. */
  get leastProvenBytes(): number {
    return this.#list.reduce((least, { provenBytes }) => Math.min(least, provenBytes ?? Infinity), Infinity)
  }

  /** The addresses that get no message of so many bytes. */
  passedOver(bytes: number): PassedOver {
    const untrusted = this.#list.filter(({ trust }) => trust === 'untrusted')
    const tooSmall = this.#list.filter((known) => !untrusted.includes(known) && !fits(known, bytes))
    return {
      untrusted: untrusted.map(({ text }) => text),
      tooSmall: tooSmall.map(({ text, provenBytes }) => ({ text, provenBytes: provenBytes ?? Infinity })),
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
      const left = this.#list.filter(
        (one) => !tried.has(one.text) && one.trust !== 'untrusted' && fits(one, bytes),
      )
      if (left.length === 0) {
        this.#names.resolveAfterFailure()
        if (!this.#names.resolving || hasLookedAgain) return null
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
  inherit(old: Hosts): void {
    for (const known of [...old.#others.values(), ...old.#list]) this.#keep(inherited(known))
  }

  /** No more proofs will come. */
  awaitNoProofs(): void {
    this.#proofsDueAt = this.world.now()
    this.#waiting.wakeAll()
  }

  /** Takes in what somebody found out about an address, also before the address is known here. */
  learn(address: Address, facts: AddressFacts): void {
    const text = addressText(address)
    const known = this.#list.find((one) => one.text === text)
    if (known) {
      apply(known, facts)
      this.#waiting.wakeAll()
      return
    }
    const other = this.#others.get(text) ?? unknownAddress(address)
    apply(other, facts)
    this.#keep(other)
  }

  /** Tells what somebody else's attempt came to. */
  report(address: Address, outcome: 'worked' | 'failed', protocol: Protocol | null): void {
    const known = this.#list.find(({ text }) => text === addressText(address))
    if (!known) return
    this.#judge(known, outcome)
    if (outcome === 'worked') known.protocol = known.provenProtocol ?? protocol
    this.#waiting.wakeAll()
  }

  /**
   * Those of which something is known; all, when no more is to be waited for.
   * @returns null when all that do not rest are still to be proven, and it is worth while to wait for that
   */
  #candidates(left: readonly KnownAddress[]): readonly KnownAddress[] | null {
    const now = this.world.now()
    if (now >= this.#proofsDueAt) return left
    const awake = left.filter((known) => known.restsUntil <= now)
    const known = awake.filter(({ trust }) => trust !== 'awaited')
    if (known.length > 0) return known
    return awake.length > 0 ? null : left
  }

  /**
   * The next in turn of those with room; the ones that rest only when all do, the longest at rest first.
   * @param hasFailed the message has met one that failed, and is spared others that may
   */
  #choose(left: readonly KnownAddress[], hasFailed: boolean): KnownAddress | undefined {
    const now = this.world.now()
    const awake = left.filter((known) => known.restsUntil <= now)
    const { maxConcurrent } = this.settings
    const room = (known: KnownAddress) => maxConcurrent === 0 || known.inFlight < maxConcurrent
    if (awake.length === 0) return [...left].sort((a, b) => a.restsUntil - b.restsUntil).find(room)

    const first = this.#next % this.#list.length
    const inTurn = [...this.#list.slice(first), ...this.#list.slice(0, first)]
    const withRoom = inTurn.filter((known) => awake.includes(known) && room(known))
    const well = withRoom.filter(({ failed }) => !failed)
    const open = hasFailed && well.length > 0 ? well : withRoom
    const moving = open.filter((known) => !this.#standsStill(known))
    const best = moving.length > 0 ? moving : open
    // Where a connection is still being made, it may never be: one message waits for that, not all that come meanwhile.
    const inTime = best.filter((known) => !this.#isSlow(known))
    return (
      best.find(({ dialling }) => dialling === 0) ??
      inTime.find(({ wasReached }) => wasReached) ??
      inTime[0] ??
      best[0]
    )
  }

  #standsStill({ inFlight, quietSince }: KnownAddress): boolean {
    return inFlight > 1 && this.world.now() - quietSince >= stillMs
  }

  #isSlow({ dialling, diallingSince }: KnownAddress): boolean {
    return dialling > 0 && this.world.now() - diallingSince >= slowMs
  }

  /**
   * Somebody finds out at this moment whether one of them is to be reached at all. It is known in an instant as a rule,
   * and if not, one message that waits for it is enough.
   */
  #areBeingMet(list: readonly KnownAddress[]): boolean {
    if (list.length < 2) return false
    return list.some(
      (known) => known.dialling > 0 && !known.wasReached && !known.failed && !this.#isSlow(known),
    )
  }

  #lease(known: KnownAddress, others: Others): Lease {
    const now = this.world.now()
    // Nobody could tell that one at work on a single message is not: it has to be sent another one.
    if (known.inFlight === 1 && now - known.quietSince >= stillMs) known.quietSince = now
    this.#next = this.#list.indexOf(known) + 1
    // After its rest one scan finds out whether the address is back; the others go on without it meanwhile.
    if (known.failed) known.restsUntil = now + this.settings.restMs
    return new Lease(known, now, others, this.#listener)
  }

  readonly #listener: LeaseListener = {
    reached: () => this.#waiting.wakeAll(),
    doubted: (known) => {
      known.doubts++
      this.tell(known.address, 'doubted')
    },
    ended: (known, outcome) => {
      if (outcome) this.#judge(known, outcome)
      this.#waiting.wakeAll()
    },
  }

  #judge(known: KnownAddress, outcome: AddressOutcome): void {
    const isBack = known.failed && outcome === 'worked'
    known.failed = outcome === 'failed'
    if (known.failed) known.doubts++
    known.wasReached = !known.failed
    if (!known.failed) {
      known.finished++
      known.quietSince = this.world.now()
    }
    known.restsUntil = known.failed ? this.world.now() + this.settings.restMs : 0
    if (known.trust === 'untrusted') this.tell(known.address, 'untrusted')
    else if (isBack) this.tell(known.address, 'back')
    else if (known.failed) this.tell(known.address, 'failed')
    if (!known.failed) return
    // What comes back may be another release.
    known.protocol = known.provenProtocol
    known.hasSessions = false
    this.#names.resolveAfterFailure()
  }

  /** Milliseconds until something is different for these by itself: a rest is over, or the time for proofs. */
  #changeMs(left: readonly KnownAddress[]): number | null {
    const now = this.world.now()
    const times = [this.#proofsDueAt, ...left.map(({ restsUntil }) => restsUntil)].filter(
      (time) => time > now,
    )
    return times.length === 0 ? null : Math.min(...times) - now
  }

  async #resolved(signal: CancelSignal): Promise<void> {
    if (this.#list.length > 0 && this.#names.areFresh) return
    const resolving = this.#names.resolve()
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
    const { resolving } = this.#names
    if (resolving) await within(resolving, this.settings.connectMs, signal)
  }

  /** The list as the names now stand, with what was known of each address. */
  #relist(): void {
    const before = new Map(this.#list.map((one) => [one.text, one]))
    const list = this.#names.addresses().map((address) => {
      const text = addressText(address)
      const known = before.get(text) ?? this.#others.get(text) ?? unknownAddress(address)
      this.#others.delete(text)
      return known
    })
    for (const one of this.#list) if (!list.includes(one)) this.#keep(one)
    this.#list = list
    if (list.length > 0) this.#waiting.wakeAll()
  }

  #keep(one: KnownAddress): void {
    const [oldest = ''] = this.#others.size < mostOthers ? [] : this.#others.keys()
    this.#others.delete(oldest)
    this.#others.set(one.text, one)
  }
}

function othersOf(left: readonly KnownAddress[], chosen: KnownAddress): Others {
  const others = left.filter((one) => one !== chosen)
  if (others.length === 0) return 'none'
  return others.some(({ failed, doubts, dispelled }) => !failed && dispelled >= doubts) ? 'well' : 'doubtful'
}
