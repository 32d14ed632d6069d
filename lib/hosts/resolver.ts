/*
 * The configured hosts as addresses: names looked up, and again after a while or when an address fails. Knows
 * nothing of what becomes of an address.
 */

import { type Address, addressText, type Host } from '../clamd/address'
import type { System } from './system'

export interface ResolverSettings {
  readonly hosts: readonly Host[]
  /** Milliseconds after which names are looked up again. */
  readonly resolveMs: number
}

/** Least milliseconds between two look-ups that failures ask for. */
const failurePauseMs = 1000

export class HostResolver {
  #byName = new Map<string, readonly string[]>()
  #resolvedAt = -Infinity
  #resolving: Promise<void> | null = null

  /** @param changed told whenever there may be other addresses */
  constructor(
    private readonly settings: ResolverSettings,
    private readonly system: Pick<System, 'lookup' | 'now' | 'warn'>,
    private readonly changed: () => void,
  ) {}

  /** In the order of the hosts, each once, as the names now stand. */
  addresses(): Address[] {
    const addresses = new Map<string, Address>()
    for (const address of this.settings.hosts.flatMap((host) => this.#addressesOf(host))) {
      const text = addressText(address)
      if (!addresses.has(text)) addresses.set(text, address)
    }
    return [...addresses.values()]
  }

  /** Whether every name stands for addresses. */
  get areAllKnown(): boolean {
    return this.settings.hosts.every((host) => this.#addressesOf(host).length > 0)
  }

  get areFresh(): boolean {
    return this.#ageMs < this.settings.resolveMs
  }

  /** The look-up that is under way; null: none is. */
  get resolving(): Promise<void> | null {
    return this.#resolving
  }

  /** Looks all names up, unless that is being done already. Never rejects. */
  resolve(): Promise<void> {
    this.#resolving ??= this.#lookUpAll().finally(() => {
      this.#resolving = null
    })
    return this.#resolving
  }

  /** A name may stand for other addresses by now. */
  resolveAfterFailure(): void {
    if (this.#ageMs >= Math.min(failurePauseMs, this.settings.resolveMs)) void this.resolve()
  }

  get #ageMs(): number {
    return this.system.now() - this.#resolvedAt
  }

  /** What is found is used at once, so that a silent name server holds up nobody who can do without it. */
  async #lookUpAll(): Promise<void> {
    this.changed()
    const resolver = new Set(this.settings.hosts.flatMap((host) => ('name' in host ? [host.name] : [])))
    await Promise.all(
      [...resolver].map(async (name) => {
        await this.#lookUp(name)
        this.changed()
      }),
    )
    this.#resolvedAt = this.system.now()
  }

  /** A name that cannot be looked up keeps the addresses it had. */
  async #lookUp(name: string): Promise<void> {
    try {
      this.#byName.set(name, await this.system.lookup(name))
    } catch (error) {
      this.system.warn(`cannot look up ${name}: ${(error as Error).message}`)
    }
  }

  #addressesOf(host: Host): Address[] {
    if (!('name' in host)) return [host]
    return (this.#byName.get(host.name) ?? []).map((address) => ({ host: address, port: host.port }))
  }
}
