/*
 * Resolves the configured hosts to addresses: at start, after `resolveMs`, and when an address fails.
 */

import type { CancelSignal } from '../base/cancellation'
import { WaitQueue, within } from '../base/wait-queue'
import { type Address, addressText, type Host } from '../clamd/address'
import type { System } from './system'

export interface ResolverSettings {
  readonly hosts: readonly Host[]
  /** Used when none of `hosts` can be. */
  readonly backups?: readonly Host[]
  /** Milliseconds after which names are looked up again. */
  readonly resolveMs: number
  /** Time limit in milliseconds for a message that waits for a look-up. */
  readonly connectMs: number
}

export interface ResolvedAddress {
  readonly address: Address
  /** The key of [main] that lists it; `host` if both do. */
  readonly role: 'host' | 'backup'
}

type ConfiguredHosts = Pick<ResolverSettings, 'hosts' | 'backups'>

/** Looks up the names that are not among the old ones. @returns one text for each that has no address */
export async function unresolved(
  now: ConfiguredHosts,
  before: ConfiguredHosts,
  lookup: System['lookup'],
): Promise<string[]> {
  const names = ({ hosts, backups = [] }: ConfiguredHosts) =>
    [...hosts, ...backups].flatMap((host) => ('name' in host ? [host.name] : []))
  const old = names(before)
  const found = names(now)
    .filter((name) => !old.includes(name))
    .map((name) =>
      lookup(name).then(
        () => [],
        (error: unknown) => [`cannot look up ${name}: ${(error as Error).message}`],
      ),
    )
  return (await Promise.all(found)).flat()
}

/** Minimum milliseconds between two look-ups after failures. */
const failurePauseMs = 1000

export class HostResolver {
  #byName = new Map<string, readonly string[]>()
  #resolvedAt = -Infinity
  #resolving: Promise<void> | null = null
  readonly #waiting = new WaitQueue()
  #addresses: readonly ResolvedAddress[] = []

  /** @param changed called when the addresses may have changed */
  constructor(
    private readonly settings: ResolverSettings,
    private readonly system: Pick<System, 'lookup' | 'now' | 'warn'>,
    private readonly changed: () => void,
  ) {}

  /** The current addresses in the order of the hosts, without duplicates. */
  get addresses(): readonly ResolvedAddress[] {
    return this.#addresses
  }

  /** True if every name resolves to an address. */
  get areAllKnown(): boolean {
    return this.#hosts.every((host) => this.#addressesOf(host).length > 0)
  }

  /** Looks the names up if that is due. Waits for it only while no address is known, up to `connectMs`. */
  async ready(signal: CancelSignal): Promise<void> {
    if (this.#isKnown && this.#ageMs < this.settings.resolveMs) return
    const resolving = this.resolve()
    if (this.#isKnown) return
    const first = new AbortController()
    const found = this.#waiting.wait(first.signal)
    try {
      await within(Promise.race([resolving, found.then(() => undefined)]), this.settings.connectMs, signal)
    } finally {
      first.abort()
    }
  }

  /** True while a look-up is running. */
  get isResolving(): boolean {
    return this.#resolving !== null
  }

  /** Waits for the running look-up, up to `connectMs`. */
  async settled(signal: CancelSignal): Promise<void> {
    if (this.#resolving) await within(this.#resolving, this.settings.connectMs, signal)
  }

  /** Looks up all names, or joins the running look-up. Never rejects. */
  resolve(): Promise<void> {
    this.#resolving ??= this.#lookUpAll().finally(() => {
      this.#resolving = null
    })
    return this.#resolving
  }

  /** After a failure the name may have other addresses. */
  resolveAfterFailure(): void {
    if (this.#ageMs >= Math.min(failurePauseMs, this.settings.resolveMs)) void this.resolve()
  }

  get #hosts(): readonly Host[] {
    return [...this.settings.hosts, ...(this.settings.backups ?? [])]
  }

  /** False while only backups are known because the first look-up is still running. */
  get #isKnown(): boolean {
    if (this.#resolvedAt > -Infinity) return this.#addresses.length > 0
    return this.#addresses.some(({ role }) => role === 'host')
  }

  get #ageMs(): number {
    return this.system.now() - this.#resolvedAt
  }

  /** Each result is used at once: a silent name server must not delay messages for other hosts. */
  async #lookUpAll(): Promise<void> {
    this.#update()
    const names = new Set(this.#hosts.flatMap((host) => ('name' in host ? [host.name] : [])))
    await Promise.all(
      [...names].map(async (name) => {
        await this.#lookUp(name)
        this.#update()
      }),
    )
    this.#resolvedAt = this.system.now()
  }

  #update(): void {
    const { hosts } = this.settings
    const addresses = new Map<string, ResolvedAddress>()
    for (const [index, host] of this.#hosts.entries()) {
      const role = index < hosts.length ? 'host' : 'backup'
      for (const address of this.#addressesOf(host)) {
        const text = addressText(address)
        if (!addresses.has(text)) addresses.set(text, { address, role })
      }
    }
    this.#addresses = [...addresses.values()]
    this.changed()
    if (this.#isKnown) this.#waiting.wakeAll()
  }

  /** A name keeps its addresses when a look-up fails. */
  async #lookUp(name: string): Promise<void> {
    try {
      this.#byName.set(name, await this.system.lookup(name))
    } catch (error) {
      this.system.warn(`cannot look up ${name}: ${(error as Error).message}`)
    }
  }

  #addressesOf(host: Host): Address[] {
    if (!('name' in host)) return [host]
    const { name, ...rest } = host
    return (this.#byName.get(name) ?? []).map((address) => ({ ...rest, host: address }))
  }
}
