/*
 * The addresses that the names resolve to now, and those that they resolved to before: some name servers return a few
 * addresses at a time, and what is known of an address must hold when it comes back.
 */

import { BoundedMap } from '../base/bounded-map'
import { type Address, addressText } from '../clamd/address'
import type { ResolvedAddress } from './resolver'

/** Maximum number of remembered addresses outside the list: a name may resolve to new ones for ever. */
const maxOthers = 1000

export class KnownHosts<Host extends { readonly text: string; role: ResolvedAddress['role'] }> {
  #list: readonly Host[] = []
  readonly #others = new BoundedMap<Host>(maxOthers)

  constructor(private readonly create: (address: Address) => Host) {}

  /** The current addresses. */
  get list(): readonly Host[] {
    return this.#list
  }

  /** The current addresses and the others. */
  get all(): readonly Host[] {
    return [...this.#others.values(), ...this.#list]
  }

  /** @returns undefined: not among the current addresses */
  listed(address: Address): Host | undefined {
    const text = addressText(address)
    return this.#list.find((one) => one.text === text)
  }

  /** An address outside the list, which is remembered from now on. */
  other(address: Address): Host {
    const host = this.#others.get(addressText(address)) ?? this.create(address)
    this.keep(host)
    return host
  }

  /** Replaces the list. What is known of each address is kept. */
  relist(addresses: readonly ResolvedAddress[]): void {
    const before = this.#list
    this.#list = addresses.map(({ address, role }) => {
      const text = addressText(address)
      const host = before.find((one) => one.text === text) ?? this.#others.get(text) ?? this.create(address)
      this.#others.delete(text)
      host.role = role
      return host
    })
    for (const one of before) if (!this.#list.includes(one)) this.keep(one)
  }

  keep(one: Host): void {
    this.#others.set(one.text, one)
  }
}
