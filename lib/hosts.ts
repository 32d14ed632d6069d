/*
 * The addresses of every configured host: which is asked next, which rests, how many scans each has in
 * flight, and what has been learnt of it. Looks names up; knows nothing of clamd or messages.
 */

import { addressText, type Address, type Host } from './address'
import type { Protocol } from './verdict'

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
}

/** An address with what is known of it. Forgotten when its name no longer resolves to it. */
interface Entry {
  readonly address: Address
  readonly text: string
  failed: boolean
  restsUntil: number
  inFlight: number
  /** Scans that came to their end there. */
  finished: number
  protocol: Protocol | null
}

/** The right to use one address for one scan; ends with exactly one call of `done`. */
export interface Lease {
  readonly address: Address
  readonly text: string
  /** What the daemon there was last seen to speak; set it when that is learnt. */
  protocol: Protocol | null
  /**
   * `late`: no verdict in time, which is a failure only if the address has finished no other scan since this one
   * began. `neither`: the scan ended for a reason that says nothing about the address.
   */
  done(outcome: 'worked' | 'failed' | 'late' | 'neither'): void
}

/** Least milliseconds between two look-ups that failures ask for. */
const lookupPauseMs = 1000

export class Hosts {
  #entries: Entry[] = []
  #byName = new Map<string, readonly string[]>()
  #turn: number
  #resolvedAt = -Infinity
  #resolving: Promise<void> | null = null
  #waiting: (() => void)[] = []

  constructor(
    private readonly settings: HostSettings,
    private readonly world: World,
  ) {
    this.#turn = Math.floor(world.random() * 2 ** 31)
  }

  /** Every address now known; looks the names up first if that has not been done. */
  async addresses(signal: AbortSignal): Promise<readonly Address[]> {
    await this.#known(signal)
    if (this.#resolving) await within(this.#resolving, this.settings.connectMs, signal)
    return this.#entries.map((entry) => entry.address)
  }

  /**
   * The next address that is not in `tried`, waiting for one to have room if need be.
   * @returns null when there is none left. Rejects with the signal's reason.
   */
  async take(tried: ReadonlySet<string>, signal: AbortSignal): Promise<Lease | null> {
    await this.#known(signal)
    for (let lookedAgain = false; ;) {
      signal.throwIfAborted()
      const left = this.#entries.filter((entry) => !tried.has(entry.text))
      if (left.length > 0) {
        const entry = this.#choose(left)
        if (entry) return this.#lease(entry)
        await new Promise<void>((resolve) => this.#wait(resolve, signal))
      } else if (this.#resolving && !lookedAgain) {
        lookedAgain = true
        await within(this.#resolving, this.settings.connectMs, signal)
      } else {
        return null
      }
    }
  }

  /** Tells what somebody else found out about an address. */
  note(address: Address, outcome: 'worked' | 'failed', protocol: Protocol | null): void {
    const entry = this.#entries.find(({ text }) => text === addressText(address))
    if (!entry) return
    this.#judge(entry, outcome)
    if (outcome === 'worked') entry.protocol = protocol
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
    const chosen = inTurn.find((entry) => awake.includes(entry) && room(entry))
    if (chosen) this.#turn = this.#entries.indexOf(chosen) + 1
    return chosen
  }

  #lease(entry: Entry): Lease {
    entry.inFlight++
    // After its rest one scan finds out whether the address is back; the others go on without it meanwhile.
    if (entry.failed) entry.restsUntil = this.world.now() + this.settings.restMs
    const { finished } = entry
    let open = true
    return {
      address: entry.address,
      text: entry.text,
      get protocol() {
        return entry.protocol
      },
      set protocol(protocol) {
        entry.protocol = protocol
      },
      done: (outcome) => {
        if (!open) return
        open = false
        entry.inFlight--
        if (outcome === 'worked' || outcome === 'failed') this.#judge(entry, outcome)
        // One that is at work and has too much of it, or met a message that takes for ever, is no dead one.
        if (outcome === 'late' && entry.finished === finished) this.#judge(entry, 'failed')
        this.#wakeAll()
      },
    }
  }

  #judge(entry: Entry, outcome: 'worked' | 'failed'): void {
    entry.failed = outcome === 'failed'
    if (!entry.failed) entry.finished++
    entry.restsUntil = entry.failed ? this.world.now() + this.settings.restMs : 0
    if (!entry.failed) return
    // What comes back may be another release, and a name may stand for other addresses by now.
    entry.protocol = null
    if (this.world.now() - this.#resolvedAt >= Math.min(lookupPauseMs, this.settings.resolveMs)) {
      void this.#resolve()
    }
  }

  #wait(resolve: () => void, signal: AbortSignal): void {
    const go = () => {
      signal.removeEventListener('abort', onAbort)
      resolve()
    }
    const onAbort = () => {
      this.#waiting = this.#waiting.filter((other) => other !== go)
      go()
    }
    signal.addEventListener('abort', onAbort, { once: true })
    this.#waiting.push(go)
  }

  /** All, since whoever is first may have tried the address that got free; they queue again in the same order. */
  #wakeAll(): void {
    for (const wake of this.#waiting.splice(0)) wake()
  }

  async #known(signal: AbortSignal): Promise<void> {
    if (this.#entries.length > 0 && this.world.now() - this.#resolvedAt < this.settings.resolveMs) return
    const resolving = this.#resolve()
    if (this.#entries.length > 0) return
    const first = new AbortController()
    const found = new Promise<void>((resolve) => this.#wait(resolve, first.signal))
    try {
      await within(Promise.race([resolving, found]), this.settings.connectMs, signal)
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
      const fresh = { address, text, failed: false, restsUntil: 0, inFlight: 0, finished: 0, protocol: null }
      entries.set(text, known.get(text) ?? fresh)
    }
    this.#entries = [...entries.values()]
    if (this.#entries.length > 0) this.#wakeAll()
  }

  #addressesOf(host: Host): Address[] {
    if (!('name' in host)) return [host]
    return (this.#byName.get(host.name) ?? []).map((address) => ({ host: address, port: host.port }))
  }
}

/** Waits for `work`, but no longer than `ms`. Rejects with the signal's reason. */
async function within(work: Promise<void>, ms: number, signal: AbortSignal): Promise<void> {
  signal.throwIfAborted()
  let timer: NodeJS.Timeout | undefined
  let onAbort: (() => void) | undefined
  const limit = new Promise<void>((resolve, reject) => {
    timer = setTimeout(resolve, ms)
    onAbort = () => reject(signal.reason as Error)
    signal.addEventListener('abort', onAbort)
  })
  try {
    await Promise.race([work, limit])
  } finally {
    clearTimeout(timer)
    if (onAbort) signal.removeEventListener('abort', onAbort)
  }
}
