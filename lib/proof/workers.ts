/*
 * What the master of a cluster finds out about the addresses, told to its workers over Node's own channel between
 * them, so that they do not all ask. A worker that starts asks what is known so far. Other plugins and Haraka use the
 * same channel: what is not ours is left alone.
 */

import cluster, { type Worker } from 'node:cluster'
import type { Address } from '../address'
import type { AddressFacts } from '../known-address'

const event = 'clamav_stream'

/** From the master. */
interface Told {
  readonly event: typeof event
  /** Which plugin, and by which settings: during a reload master and workers may have different ones. */
  readonly topic: string
  readonly told: readonly (readonly [Address, AddressFacts])[]
}

/** From a worker: it wants to know what is known, or an address works again. */
interface Asked {
  readonly event: typeof event
  readonly topic: string
  readonly recovered: Address | null
}

function isOf<T extends Told | Asked>(message: unknown, topic: string, part: keyof T): message is T {
  const { event: name, topic: of, ...rest } = (message ?? {}) as Partial<Told & Asked>
  return name === event && of === topic && part in rest
}

/** In the master. `known` answers workers that ask. @returns tells all workers */
export function serveWorkers(
  topic: string,
  known: () => Told['told'],
  recovered: (address: Address) => void,
  signal: AbortSignal,
): (address: Address, facts: AddressFacts) => void {
  const tell = (worker: Worker | undefined, told: Told['told']) => {
    // Without a callback a worker that is just going away would end the master.
    if (worker?.isConnected()) worker.send({ event, topic, told } satisfies Told, () => undefined)
  }
  const onMessage = (worker: Worker, message: unknown) => {
    if (!isOf<Asked>(message, topic, 'recovered')) return
    if (message.recovered) recovered(message.recovered)
    else tell(worker, known())
  }
  cluster.on('message', onMessage)
  signal.addEventListener('abort', () => cluster.off('message', onMessage), { once: true })
  return (address, findings) => {
    for (const worker of Object.values(cluster.workers ?? {})) tell(worker, [[address, findings]])
  }
}

/** In a worker. @returns tells the master that an address works again */
export function followMaster(
  topic: string,
  learn: (address: Address, facts: AddressFacts) => void,
  signal: AbortSignal,
): (address: Address) => void {
  const onMessage = (message: unknown) => {
    if (isOf<Told>(message, topic, 'told'))
      for (const [address, findings] of message.told) learn(address, findings)
  }
  const ask = (recovered: Address | null) => {
    if (process.connected) {
      process.send?.({ event, topic, recovered } satisfies Asked, undefined, undefined, () => undefined)
    }
  }
  process.on('message', onMessage)
  signal.addEventListener('abort', () => process.off('message', onMessage), { once: true })
  ask(null)
  return ask
}
