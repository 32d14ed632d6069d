/*
 * The addresses of all configured hosts, their states and their scans in flight. Issues a Lease for each scan; pick.ts
 * chooses the address, host-state.ts says what follows from an event. Makes no connection and reads no message.
 */

import type { CancelSignal } from '../base/cancellation'
import { WaitQueue } from '../base/wait-queue'
import { type Address, addressText } from '../clamd/address'
import type { Protocol } from '../clamd/protocol'
import type { ClamdVersion } from '../clamd/version'
import {
  conditionOf,
  type HostEvent,
  type HostState,
  isUntrusted,
  limitOf,
  newHost,
  next,
} from './host-state'
import { KnownHosts } from './known-hosts'
import { type AddressOutcome, Lease, type LeaseListener } from './lease'
import { Load } from './load'
import { type Candidate, type Choice, pick } from './pick'
import { HostResolver, type ResolverSettings } from './resolver'
import type { System } from './system'

export interface HostSettings extends ResolverSettings {
  /** Milliseconds for which a failed address is used last. */
  readonly restMs: number
  /** Scans in flight per address; 0: no limit. */
  readonly maxConcurrent: number
}

/** An address at this moment, for metrics, page and commands. */
export interface AddressState {
  /** `host:port`, `[v6]:port` or the path of a socket. */
  readonly text: string
  readonly role: Candidate['role']
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

/** The pool alone writes the state, by `next`. */
interface PooledHost extends Candidate {
  state: HostState
  role: Candidate['role']
  readonly listener: LeaseListener
}

type Taken = Extract<Choice<PooledHost>, { readonly type: 'take' }>

export class HostPool {
  readonly #resolver: HostResolver
  readonly #known = new KnownHosts((address) => this.#create(address))
  #turn: number
  readonly #waiting = new WaitQueue()
  /** Until then messages wait for the self tests; in ms of `System.now`. */
  #checksDueAtMs: number

  /**
   * @param selfTestMs milliseconds from now for which a message waits for the first self test of an address; 0: there
   * are no self tests
   * @param tell called on each change of an address and on each failure: another process may have seen it work in between.
   * `isByMail`: not by the start-up check
   */
  constructor(
    private readonly settings: HostSettings,
    private readonly system: System,
    selfTestMs = 0,
    private readonly tell: (address: Address, news: AddressNews, isByMail: boolean) => void = () => undefined,
  ) {
    this.#resolver = new HostResolver(settings, system, () => {
      this.#known.relist(this.#resolver.addresses)
      if (this.#list.length > 0) this.#waiting.wakeAll()
    })
    this.#turn = Math.floor(system.random() * 2 ** 31)
    this.#checksDueAtMs = system.now() + selfTestMs
  }

  /** Every known address, without a look-up. */
  states(): readonly AddressState[] {
    const now = this.system.now()
    return this.#list.map(({ text, role, state, load }) => {
      const { protocol, engine, maxScannableBytes } = state
      const condition = conditionOf(state, now)
      return {
        text,
        role,
        state: condition === 'untrusted' || condition === 'resting' ? condition : 'up',
        inFlight: load.inFlight,
        protocol,
        engine,
        maxScannableBytes,
      }
    })
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
    return this.#list.reduce((min, { state }) => Math.min(min, limitOf(state, now)), Infinity)
  }

  /** The addresses that get no message of this size. */
  passedOver(bytes: number): PassedOver {
    const now = this.system.now()
    return {
      untrusted: this.#list.filter(({ state }) => isUntrusted(state)).map(({ text }) => text),
      tooSmall: this.#list
        .filter(({ state }) => !isUntrusted(state) && limitOf(state, now) < bytes)
        .map(({ text, state }) => ({ text, maxScannableBytes: limitOf(state, now) })),
    }
  }

  /** Every known address, after the first look-up of the names. */
  async addresses(signal: CancelSignal): Promise<readonly Address[]> {
    await this.#resolver.ready(signal)
    await this.#resolver.settled(signal)
    return this.#list.map(({ address }) => address)
  }

  /**
   * The next address that is not in `tried`, finds the test file, and has no size limit below `bytes`. Waits until one has
   * a free place, or has been tested.
   * @returns null: none is left. Rejects with the signal's reason.
   */
  async take(tried: ReadonlySet<string>, signal: CancelSignal, bytes = 0): Promise<Lease | null> {
    await this.#resolver.ready(signal)
    const { maxConcurrent } = this.settings
    let hasPaused = false
    let hasLookedAgain = false
    for (;;) {
      signal.throwIfAborted()
      const choice = pick(this.#list, {
        tried,
        bytes,
        maxConcurrent,
        hasPaused,
        turn: this.#turn,
        nowMs: this.system.now(),
        checksDueAtMs: this.#checksDueAtMs,
      })
      if (choice.type === 'take') return this.#lease(choice)
      if (choice.type === 'none') {
        this.#resolver.resolveAfterFailure()
        if (!this.#resolver.isResolving || hasLookedAgain) return null
        hasLookedAgain = true
        await this.#resolver.settled(signal)
      } else {
        const isWoken = await this.#waiting.wait(signal, choice.ms)
        if (choice.type === 'pause') hasPaused = !isWoken
      }
    }
  }

  /** Takes over what an older pool knows, when the settings that it depends on are the same. */
  inherit(old: HostPool): void {
    for (const { address, state } of old.#known.all)
      this.#known.keep(this.#create(address, next(state, { type: 'reloaded' })))
  }

  /** Call when no more self tests will end. */
  stopWaitingForChecks(): void {
    this.#checksDueAtMs = this.system.now()
    this.#waiting.wakeAll()
  }

  /** Applies an event that another source than the pool's own scans has found, also to an address outside the list. */
  learn(address: Address, event: HostEvent): void {
    const listed = this.#known.listed(address)
    this.#apply(listed ?? this.#known.other(address), event)
    if (listed) this.#waiting.wakeAll()
  }

  /** Records the outcome of a PING. */
  report(address: Address, outcome: AddressOutcome, protocol: Protocol | null): void {
    const host = this.#known.listed(address)
    if (!host) return
    this.#recordOutcome(host, outcome, false)
    const spoken = host.state.verifiedProtocol ?? protocol
    if (outcome === 'worked') this.#apply(host, { type: 'spoke', protocol: spoken })
    this.#waiting.wakeAll()
  }

  get #list(): readonly PooledHost[] {
    return this.#known.list
  }

  #create(address: Address, state = newHost): PooledHost {
    const listener: LeaseListener = {
      happened: (event) => {
        this.#apply(host, event)
        if (event.type === 'doubted') this.tell(address, 'doubted', true)
      },
      reached: () => this.#waiting.wakeAll(),
      ended: (outcome) => {
        if (outcome) this.#recordOutcome(host, outcome, true)
        this.#waiting.wakeAll()
      },
    }
    const load = new Load()
    const host: PooledHost = { address, text: addressText(address), role: 'host', state, load, listener }
    return host
  }

  #apply(host: PooledHost, event: HostEvent): void {
    host.state = next(host.state, event)
  }

  #lease({ host, others, spare }: Taken): Lease {
    this.#turn = this.#list.indexOf(host) + 1
    const now = () => this.system.now()
    // After the rest one scan tests whether the address works; meanwhile other messages go elsewhere.
    this.#apply(host, { type: 'probed', restsUntilMs: now() + this.settings.restMs })
    return new Lease(host, now, others, spare, host.listener)
  }

  #recordOutcome(host: PooledHost, outcome: AddressOutcome, isByMail: boolean): void {
    const { address, load } = host
    const now = this.system.now()
    const wasFailed = host.state.restsUntilMs !== null
    if (outcome === 'worked') {
      load.answered(now)
      this.#apply(host, { type: 'answered' })
    } else {
      load.failed()
      this.#apply(host, { type: 'failed', restsUntilMs: now + this.settings.restMs })
    }
    if (isUntrusted(host.state)) this.tell(address, 'untrusted', isByMail)
    else if (outcome === 'failed') this.tell(address, 'failed', isByMail)
    else if (wasFailed) this.tell(address, 'back', isByMail)
    if (outcome === 'failed') this.#resolver.resolveAfterFailure()
  }
}
