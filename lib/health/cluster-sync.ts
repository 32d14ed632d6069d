/*
 * Shares the states of the addresses in a cluster. The master checks the addresses and sends each event to all workers; a
 * worker sends what its scans find to the master, which passes it on. A new worker asks for all that is known.
 */

import type { ToMaster, ToWorkers } from '../base/cluster-channel'
import type { Address } from '../clamd/address'
import type { AddressNews } from '../hosts/host-pool'
import type { HealthEvent } from '../hosts/host-state'

/** Message from the master. */
interface Told {
  readonly told: readonly (readonly [Address, HealthEvent])[]
}

/** Message from a worker: an event of an address; null: a request for all that is known. */
interface Heard {
  readonly heard: { readonly address: Address; readonly news: AddressNews } | null
}

/**
 * In the master.
 * @param known the events for a worker that asks
 * @returns sends an event to all workers
 */
export function serveWorkers(
  workers: Pick<ToWorkers, 'send' | 'sendToAll' | 'listen'>,
  known: () => Told['told'],
  heard: (address: Address, news: AddressNews) => void,
  signal: AbortSignal,
): (address: Address, event: HealthEvent) => void {
  const tellAll = (address: Address, event: HealthEvent, but?: number) =>
    workers.sendToAll({ told: [[address, event]] } satisfies Told, but)
  const stop = workers.listen((words, from) => {
    const { heard: said } = words as Partial<Heard>
    if (said === null) workers.send(from, { told: known() } satisfies Told)
    if (!said) return
    const { address, news } = said
    // After a failure in one worker, all workers test the address before they send it mail.
    if (news !== 'back') tellAll(address, { type: 'doubted' }, from)
    heard(address, news)
  })
  signal.addEventListener('abort', stop, { once: true })
  return (address, event) => tellAll(address, event)
}

/** In a worker. @returns sends an event of an address to the master, which passes it on */
export function followMaster(
  master: Pick<ToMaster, 'send' | 'listen'>,
  learn: (address: Address, event: HealthEvent) => void,
  signal: AbortSignal,
): (address: Address, news: AddressNews) => void {
  const stop = master.listen((words) => {
    for (const [address, event] of (words as Partial<Told>).told ?? []) learn(address, event)
  })
  signal.addEventListener('abort', stop, { once: true })
  const send = (heard: Heard['heard']) => master.send({ heard } satisfies Heard)
  send(null)
  return (address, news) => send({ address, news })
}
