/*
 * Shares facts about addresses in a cluster. The master checks the addresses and sends the results to all workers; a worker
 * sends what its scans find to the master, which passes it on. A new worker asks for all known facts.
 */

import type { ToMaster, ToWorkers } from '../base/cluster-channel'
import type { Address } from '../clamd/address'
import type { AddressNews } from '../hosts/host-pool'
import type { AddressFacts } from '../hosts/host-state'

/** Message from the master. */
interface Told {
  readonly told: readonly (readonly [Address, AddressFacts])[]
}

/** Message from a worker: an event of an address; null: a request for all known facts. */
interface Heard {
  readonly heard: { readonly address: Address; readonly news: AddressNews } | null
}

/**
 * In the master.
 * @param known the facts for a worker that asks
 * @returns sends facts to all workers
 */
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
    // After a failure in one worker, all workers test the address before they send it mail.
    if (news !== 'back') tellAll(address, { hasFailedElsewhere: true }, from)
    heard(address, news)
  })
  signal.addEventListener('abort', stop, { once: true })
  return (address, facts) => tellAll(address, facts)
}

/** In a worker. @returns sends an event of an address to the master, which passes it on */
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
