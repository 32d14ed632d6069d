/*
 * The addresses of every configured host: which is asked next, which rests, how many scans each has in
 * flight, and what has been learnt of it. Looks names up; knows nothing of clamd or messages.
 */

import { addressText, type Address, type Host } from './address'
import type { CancelSignal } from './cancellation'
import type { Engine } from './clamd/engine'
import type { Protocol } from './clamd/protocol'
import { fits, fresh, takeIn, type Entry, type Findings } from './entry'
import { Lease, type Outcome } from './lease'
import { Waiting, within } from './waiting'

export type { Findings } from './entry'

export interface HostSettings {
  readonly hosts: readonly Host[]
  /** Milliseconds for which a failed address is asked last. */
  readonly restMs: number
  /** Milliseconds after which names are looked up again. */
  readonly resolveMs: number
  /** Milliseconds that anybody waits for a name. */
  readonly connectMs: number
  /** Scans in flight per address; 0: no limit. */
  readonly maxConcurrent: number
}

export interface World {
  /** Every address of a name as the system resolves it, /etc/hosts included. */
  readonly lookup: (name: string) => Promise<readonly string[]>
  /** Milliseconds that never go backwards. */
  readonly now: () => number
  /** 0 ≤ n < 1; where the rotation starts in this process. */
  readonly random: () => number
  readonly warn: (text: string) => void
  /** Told when a failed address has worked again. */
  readonly recovered?: (address: Address) => void
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
  readonly limitBytes: number | null
}

/** The addresses that a message of some size is kept from, and why. */
export interface PassedOver {
  readonly untrusted: readonly string[]
  readonly tooSmall: readonly { readonly text: string; readonly limitBytes: number }[]
}

/** Milliseconds after which a connection that is still being made may well never be. */
const slowMs = 100

/** Least milliseconds between two look-ups that failures ask for. */
const lookupPauseMs = 1000

/** Most addresses outside the list of which something is kept; names may stand for ever new ones. */
const mostOthers = 1000

export class Hosts {
  #entries: Entry[] = []
  #byName = new Map<string, readonly string[]>()
  // Some name servers tell of a few at a time, and what comes back must not get what it is known not to scan.
  /** Addresses that are not in the list, or not at the moment. */
  readonly #others = new Map<string, Entry>()
  #turn: number
  #resolvedAt = -Infinity
  #resolving: Promise<void> | null = null
  readonly #waiting = new Waiting()
  /** Until then proofs are waited for. */
  readonly #proofsDueAt: number

  /**
   * @param proofMs milliseconds from now for which a message rather waits than goes to an address that nobody has
   * tried to prove yet; 0: nobody does
   */
  constructor(
    private readonly settings: HostSettings,
    private readonly world: World,
    proofMs = 0,
  ) {
    this.#turn = Math.floor(world.random() * 2 ** 31)
    this.#proofsDueAt = world.now() + proofMs
  }

  /** Every address now known, looking nothing up. */
  states(): readonly AddressState[] {
    const now = this.world.now()
    return this.#entries.map(({ text, trust, restsUntil, inFlight, protocol, engine, limitBytes }) => ({
      text,
      state: trust === 'untrusted' ? 'untrusted' : restsUntil > now ? 'resting' : 'up',
      inFlight,
      protocol,
      engine,
      limitBytes,
    }))
  }

  /** Whether an address has room for so many scans only. */
  get isLimited(): boolean {
    return this.settings.maxConcurrent > 0
  }

  /** Smallest size in bytes that some address is proven to scan and no more; Infinity where none has such a limit. */
  get leastLimitBytes(): number {
    return this.#entries.reduce((least, { limitBytes }) => Math.min(least, limitBytes ?? Infinity), Infinity)
  }

  /** The addresses that get no message of so many bytes. */
  passedOver(bytes: number): PassedOver {
    const untrusted = this.#entries.filter(({ trust }) => trust === 'untrusted')
    const tooSmall = this.#entries.filter((entry) => !untrusted.includes(entry) && !fits(entry, bytes))
    return {
      untrusted: untrusted.map(({ text }) => text),
      tooSmall: tooSmall.map(({ text, limitBytes }) => ({ text, limitBytes: limitBytes ?? Infinity })),
    }
  }

  /** Every address now known; looks the names up first if that has not been done. */
  async addresses(signal: CancelSignal): Promise<readonly Address[]> {
    await this.#resolved(signal)
    if (this.#resolving) await within(this.#resolving, this.settings.connectMs, signal)
    return this.#entries.map((entry) => entry.address)
  }

  /**
   * The next address that is not in `tried`, not untrusted, and not known to scan less than so many bytes, waiting for
   * one to have room, or to be proven, if need be.
   * @returns null when there is none left. Rejects with the signal's reason.
   */
  async take(tried: ReadonlySet<string>, signal: CancelSignal, bytes = 0): Promise<Lease | null> {
    await this.#resolved(signal)
    let mayPause = true
    for (let lookedAgain = false; ;) {
      signal.throwIfAborted()
      const left = this.#entries.filter(
        (entry) => !tried.has(entry.text) && entry.trust !== 'untrusted' && fits(entry, bytes),
      )
      if (left.length > 0) {
        const known = this.#known(left)
        const entry = known && this.#choose(known)
        const isWorthAMoment = entry && mayPause && entry.dialling > 0 && this.#areBeingMet(known)
        if (entry && !isWorthAMoment) return this.#lease(entry)
        const isWoken = await this.#waiting.wait(signal, entry ? slowMs : this.#changeMs(left))
        if (entry && !isWoken) mayPause = false
      } else if (this.#resolving && !lookedAgain) {
        lookedAgain = true
        await within(this.#resolving, this.settings.connectMs, signal)
      } else {
        return null
      }
    }
  }

  /** Takes in what somebody found out about an address, also before the address is known here. */
  learn(address: Address, findings: Findings): void {
    const text = addressText(address)
    const entry = this.#entries.find((one) => one.text === text)
    if (entry) {
      takeIn(entry, findings)
      this.#waiting.wakeAll()
      return
    }
    const other = this.#others.get(text) ?? fresh(address)
    takeIn(other, findings)
    this.#keep(other)
  }

  /** Tells what somebody else's attempt came to. */
  note(address: Address, outcome: 'worked' | 'failed', protocol: Protocol | null): void {
    const entry = this.#entries.find(({ text }) => text === addressText(address))
    if (!entry) return
    this.#judge(entry, outcome)
    if (outcome === 'worked') entry.protocol = entry.provenProtocol ?? protocol
    this.#waiting.wakeAll()
  }

  /**
   * Those of which something is known; all, when no more is to be waited for.
   * @returns null when all that do not rest are still to be proven, and it is worth while to wait for that
   */
  #known(left: readonly Entry[]): readonly Entry[] | null {
    const now = this.world.now()
    if (now >= this.#proofsDueAt) return left
    const awake = left.filter((entry) => entry.restsUntil <= now)
    const known = awake.filter(({ trust }) => trust !== 'awaited')
    if (known.length > 0) return known
    return awake.length > 0 ? null : left
  }

  /** The next in turn of those with room; the ones that rest only when all do, the longest at rest first. */
  #choose(left: readonly Entry[]): Entry | undefined {
    const now = this.world.now()
    const awake = left.filter((entry) => entry.restsUntil <= now)
    const { maxConcurrent } = this.settings
    const room = (entry: Entry) => maxConcurrent === 0 || entry.inFlight < maxConcurrent
    if (awake.length === 0) return [...left].sort((a, b) => a.restsUntil - b.restsUntil).find(room)

    const first = this.#turn % this.#entries.length
    const inTurn = [...this.#entries.slice(first), ...this.#entries.slice(0, first)]
    const open = inTurn.filter((entry) => awake.includes(entry) && room(entry))
    // Where a connection is still being made, it may never be: one message waits for that, not all that come meanwhile.
    const inTime = open.filter((entry) => !this.#isSlow(entry))
    return (
      open.find(({ dialling }) => dialling === 0) ??
      inTime.find(({ wasReached }) => wasReached) ??
      inTime[0] ??
      open[0]
    )
  }

  #isSlow({ dialling, diallingSince }: Entry): boolean {
    return dialling > 0 && this.world.now() - diallingSince >= slowMs
  }

  /**
   * Somebody finds out at this moment whether one of them is to be reached at all. It is known in an instant as a rule,
   * and if not, one message that waits for it is enough.
   */
  #areBeingMet(entries: readonly Entry[]): boolean {
    if (entries.length < 2) return false
    return entries.some(
      (entry) => entry.dialling > 0 && !entry.wasReached && !entry.failed && !this.#isSlow(entry),
    )
  }

  #lease(entry: Entry): Lease {
    const now = this.world.now()
    this.#turn = this.#entries.indexOf(entry) + 1
    // After its rest one scan finds out whether the address is back; the others go on without it meanwhile.
    if (entry.failed) entry.restsUntil = now + this.settings.restMs
    return new Lease(entry, now, this.#onEnd, this.#onReached)
  }

  readonly #onReached = (): void => this.#waiting.wakeAll()

  readonly #onEnd = (entry: Entry, outcome: Outcome): void => {
    if (outcome) this.#judge(entry, outcome)
    this.#waiting.wakeAll()
  }

  #judge(entry: Entry, outcome: 'worked' | 'failed'): void {
    const isBack = entry.failed && outcome === 'worked'
    entry.failed = outcome === 'failed'
    entry.wasReached = !entry.failed
    if (!entry.failed) entry.finished++
    entry.restsUntil = entry.failed ? this.world.now() + this.settings.restMs : 0
    if (isBack) this.world.recovered?.(entry.address)
    if (!entry.failed) return
    // What comes back may be another release, and a name may stand for other addresses by now.
    entry.protocol = entry.provenProtocol
    entry.hasSessions = false
    if (this.world.now() - this.#resolvedAt >= Math.min(lookupPauseMs, this.settings.resolveMs)) {
      void this.#resolve()
    }
  }

  /** Milliseconds until something is different for these by itself: a rest is over, or the time for proofs. */
  #changeMs(left: readonly Entry[]): number | null {
    const now = this.world.now()
    const times = [this.#proofsDueAt, ...left.map(({ restsUntil }) => restsUntil)].filter(
      (time) => time > now,
    )
    return times.length === 0 ? null : Math.min(...times) - now
  }

  async #resolved(signal: CancelSignal): Promise<void> {
    if (this.#entries.length > 0 && this.world.now() - this.#resolvedAt < this.settings.resolveMs) return
    const resolving = this.#resolve()
    if (this.#entries.length > 0) return
    const first = new AbortController()
    const found = this.#waiting.wait(first.signal)
    try {
      await within(Promise.race([resolving, found.then(() => undefined)]), this.settings.connectMs, signal)
    } finally {
      first.abort()
    }
  }

  #resolve(): Promise<void> {
    this.#resolving ??= this.#lookUpAll().finally(() => {
      this.#resolving = null
    })
    return this.#resolving
  }

  /** What is found is used at once, so that a silent name server holds up nobody who can do without it. */
  async #lookUpAll(): Promise<void> {
    this.#list()
    const names = new Set(this.settings.hosts.flatMap((host) => ('name' in host ? [host.name] : [])))
    await Promise.all(
      [...names].map(async (name) => {
        await this.#lookUp(name)
        this.#list()
      }),
    )
    this.#resolvedAt = this.world.now()
  }

  /** A name that cannot be looked up keeps the addresses it had. */
  async #lookUp(name: string): Promise<void> {
    try {
      this.#byName.set(name, await this.world.lookup(name))
    } catch (error) {
      this.world.warn(`cannot look up ${name}: ${(error as Error).message}`)
    }
  }

  /** The list as the names now stand, each address once, with what was known of it. */
  #list(): void {
    const known = new Map(this.#entries.map((entry) => [entry.text, entry]))
    const entries = new Map<string, Entry>()
    for (const address of this.settings.hosts.flatMap((host) => this.#addressesOf(host))) {
      const text = addressText(address)
      if (entries.has(text)) continue
      entries.set(text, known.get(text) ?? this.#others.get(text) ?? fresh(address))
      this.#others.delete(text)
    }
    for (const entry of this.#entries) if (!entries.has(entry.text)) this.#keep(entry)
    this.#entries = [...entries.values()]
    if (this.#entries.length > 0) this.#waiting.wakeAll()
  }

  #keep(entry: Entry): void {
    const [oldest = ''] = this.#others.size < mostOthers ? [] : this.#others.keys()
    this.#others.delete(oldest)
    this.#others.set(entry.text, entry)
  }

  #addressesOf(host: Host): Address[] {
    if (!('name' in host)) return [host]
    return (this.#byName.get(host.name) ?? []).map((address) => ({ host: address, port: host.port }))
  }
}
