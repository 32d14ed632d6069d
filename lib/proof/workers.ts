/*
 * What the master of a cluster finds out about the addresses, told to its workers over Node's own channel between
 * them, so that they do not all ask; and what mail in one worker finds out, told to the master and the other workers.
 * A worker that starts asks what is known so far. Other plugins and Haraka use the same channel: what is not ours is
 * left alone.
 */

import cluster, { type Worker } from 'node:cluster'
import type { Address } from '../address'
import type { AddressNews } from '../hosts'
import type { AddressFacts } from '../known-address'

const event = 'clamav_stream'

/** From the master. */
interface Told {
  readonly event: typeof event
  /** Which plugin, and by which settings: during a reload master and workers may have different ones. */
  readonly topic: string
  readonly told: readonly (readonly [Address, AddressFacts])[]
}

/** From a worker: news of an address; null: it wants to know what is known. */
interface Heard {
  readonly event: typeof event
  readonly topic: string
  readonly heard: { readonly address: Address; readonly news: AddressNews } | null
}

function isOf<T extends Told | Heard>(message: unknown, topic: string, part: keyof T): message is T {
  const { event: name, topic: of, ...rest } = (message ?? {}) as Partial<Told & Heard>
  return name === event && of === topic && part in rest
}

/** In the master. `known` answers workers that ask. @returns tells all workers */
export function serveWorkers(
  topic: string,
  known: () => Told['told'],
  heard: (address: Address, news: AddressNews) => void,
  signal: AbortSignal,
): (address: Address, facts: AddressFacts) => void {
  const tell = (worker: Worker | undefined, told: Told['told']) => {
    // Without a callback a worker that is just going away would end the master.
    if (worker?.isConnected()) worker.send({ event, topic, told } satisfies Told, () => undefined)
  }
  const tellAll = (address: Address, facts: AddressFacts, but?: Worker) => {
    for (const worker of Object.values(cluster.workers ?? {}))
      if (worker !== but) tell(worker, [[address, facts]])
  }
  const onMessage = (worker: Worker, message: unknown) => {
    if (!isOf<Heard>(message, topic, 'heard')) return
    if (!message.heard) {
      tell(worker, known())
      return
    }
    const { address, news } = message.heard
    // What one worker has seen fail, all of them have to try before they believe it.
    if (news !== 'back') tellAll(address, { isDoubted: true }, worker)
    heard(address, news)
  }
  cluster.on('message', onMessage)
  signal.addEventListener('abort', () => cluster.off('message', onMessage), { once: true })
  return tellAll
}

/** In a worker. @returns tells the master, and by way of it the others, of an address */
export function followMaster(
  topic: string,
  learn: (address: Address, facts: AddressFacts) => void,
  signal: AbortSignal,
): (address: Address, news: AddressNews) => void {
  const onMessage = (message: unknown) => {
    if (isOf<Told>(message, topic, 'told')) for (const [address, facts] of message.told) learn(address, facts)
  }
  const say = (heard: Heard['heard']) => {
    if (process.connected) {
      process.send?.({ event, topic, heard } satisfies Heard, undefined, undefined, () => undefined)
    }
  }
  process.on('message', onMessage)
  signal.addEventListener('abort', () => process.off('message', onMessage), { once: true })
  say(null)
  return (address, news) => say({ address, news })
}
