/*
 * Messages between the master of a cluster and its workers, over Node's own channel. Haraka and other plugins use it too:
 * ours carry our name and a topic, all others are ignored. A message that cannot be sent or read, or that comes from
 * another release of the plugin, never ends the process.
 */

import cluster, { type Worker } from 'node:cluster'

interface Envelope {
  readonly clamav_stream: { readonly topic: string; readonly payload: object }
}

/** Called with an error from sending or from a listener. */
export type Failed = (error: unknown) => void

/** The master's side. Payloads are plain JSON; received ones are unchecked. */
export class ToWorkers {
  /** @param topic only listeners with the same topic receive the message */
  constructor(
    private readonly topic: string,
    private readonly failed: Failed,
  ) {}

  /** Ids of the connected workers. */
  ids(): number[] {
    return Object.values(cluster.workers ?? {}).flatMap((worker) =>
      worker?.isConnected() ? [worker.id] : [],
    )
  }

  /** Never throws. Has no effect for a worker that has ended. */
  send(to: number, payload: object): void {
    post(cluster.workers?.[to], this.topic, payload, this.failed)
  }

  sendToAll(payload: object, but?: number): void {
    for (const id of this.ids()) if (id !== but) this.send(id, payload)
  }

  /**
   * @param onExit called with the id of each worker whose channel has closed
   * @returns a function that removes the listeners
   */
  listen(
    receive: (payload: object, from: number) => void,
    onExit: (worker: number) => void = () => undefined,
  ): () => void {
    const onMessage = guarded((worker: Worker, message: unknown) => {
      const payload = payloadOf(message, this.topic)
      if (payload) receive(payload, worker.id)
    }, this.failed)
    const onDisconnect = guarded(({ id }: Worker) => onExit(id), this.failed)
    cluster.on('message', onMessage)
    // Not "exit": Haraka removes all listeners from that for a restart.
    cluster.on('disconnect', onDisconnect)
    return () => {
      cluster.off('message', onMessage)
      cluster.off('disconnect', onDisconnect)
    }
  }
}

/** A worker's side. */
export class ToMaster {
  /** @param topic as in ToWorkers */
  constructor(
    private readonly topic: string,
    private readonly failed: Failed,
  ) {}

  /** Never throws. Has no effect after the master has ended. */
  send(payload: object): void {
    post(cluster.worker, this.topic, payload, this.failed)
  }

  /** @returns a function that removes the listener */
  listen(receive: (payload: object) => void): () => void {
    const onMessage = guarded((message: unknown) => {
      const payload = payloadOf(message, this.topic)
      if (payload) receive(payload)
    }, this.failed)
    process.on('message', onMessage)
    return () => process.off('message', onMessage)
  }
}

function post(other: Worker | undefined, topic: string, payload: object, failed: Failed): void {
  if (!other?.isConnected()) return
  try {
    // Without a callback, sending to a process that ends right now would throw and end this one.
    other.send({ clamav_stream: { topic, payload } } satisfies Envelope, () => undefined)
  } catch (error) {
    failed(error)
  }
}

function payloadOf(message: unknown, topic: string): object | null {
  const { clamav_stream: ours } = (message ?? {}) as Partial<Envelope>
  const payload: unknown = ours?.topic === topic ? ours.payload : null
  return typeof payload === 'object' ? payload : null
}

/** An error thrown in a listener would end the process. */
function guarded<A extends unknown[]>(work: (...args: A) => void, failed: Failed): (...args: A) => void {
  return (...args) => {
    try {
      work(...args)
    } catch (error) {
      failed(error)
    }
  }
}
