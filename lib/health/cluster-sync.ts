/*
 * What the master of a cluster finds out about the addresses, told to its workers, so that they do not all ask; and
 * what mail in one worker finds out, told to the master and the other workers. A worker that starts asks what is known
 * so far. How they reach each other is channel.ts' business.
 */

import type { ToMaster, ToWorkers } from '../base/cluster-channel'
import type { Address } from '../clamd/address'
import type { AddressNews } from '../hosts/host-pool'
import type { AddressFacts } from '../hosts/host-state'

/** From the master. */
interface Told {
  readonly told: readonly (readonly [Address, AddressFacts])[]
}

/** From a worker: news of an address; null: it wants to know what is known. */
interface Heard {
  readonly heard: { readonly address: Address; readonly news: AddressNews } | null
}

/** In the master. `known` answers workers that ask. @returns tells all workers */
export function serveWorkers(
  workers: Pick<ToWorkers, 'send' | 'sendToAll' | 'listen'>,
  known: () => Told['told'],
  heard: (address: Address, news: AddressNews) => void,
  signal: AbortSignal,
): (address: Address, facts: AddressFacts) => void {
  const tellAll = (address: Address, facts: AddressFacts, but?: number) =>
    workers.sendToAll({ told: [[address, facts]] } satisfies Told, but)
  const stop = workers.listen((words, from) => {
    const { heard: said } = words as Partial<Heard>
    if (said === null) workers.send(from, { told: known() } satisfies Told)
    if (!said) return
    const { address, news } = said
    // What one worker has seen fail, all of them have to try before they believe it.
    if (news !== 'back') tellAll(address, { hasFailedElsewhere: true }, from)
    heard(address, news)
  })
  signal.addEventListener('abort', stop, { once: true })
  return (address, facts) => tellAll(address, facts)
}

/** In a worker. @returns tells the master, and by way of it the others, of an address */
export function followMaster(
  master: Pick<ToMaster, 'send' | 'listen'>,
  learn: (address: Address, facts: AddressFacts) => void,
  signal: AbortSignal,
): (address: Address, news: AddressNews) => void {
  const stop = master.listen((words) => {
    for (const [address, facts] of (words as Partial<Told>).told ?? []) learn(address, facts)
  })
  signal.addEventListener('abort', stop, { once: true })
  const send = (heard: Heard['heard']) => master.send({ heard } satisfies Heard)
  send(null)
  return (address, news) => send({ address, news })
}
