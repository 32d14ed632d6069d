/*
 * The channel that Node keeps between the master of a cluster and each worker, for those parts of the plugin that talk
 * on it. Haraka and other plugins do so as well: ours goes under our name and a topic, and all else is left alone. No
 * message ends a process, whether it cannot be sent, cannot be understood, or comes from another release of the plugin.
 */

import cluster, { type Worker } from 'node:cluster'

interface Envelope {
  readonly clamav_stream: { readonly topic: string; readonly words: object }
}

/** Told what was thrown where something was to be said or heard. */
export type Failed = (error: unknown) => void

/** In the master: all its workers. Words are plain JSON; nobody has looked at those that are heard. */
export class ToWorkers {
  /** @param topic those who have the same one hear each other */
  constructor(
    private readonly topic: string,
    private readonly failed: Failed,
  ) {}

  /** Those that can be told something, by cluster's number. */
  ids(): number[] {
    return Object.values(cluster.workers ?? {}).flatMap((worker) =>
      worker?.isConnected() ? [worker.id] : [],
    )
  }

  /** Never throws; who has gone hears nothing. */
  send(to: number, words: object): void {
    post(cluster.workers?.[to], this.topic, words, this.failed)
  }

  sendToAll(words: object, but?: number): void {
    for (const id of this.ids()) if (id !== but) this.send(id, words)
  }

  /**
   * @param lost told of every worker whose channel has closed
   * @returns ends it
   */
  listen(
    receive: (words: object, from: number) => void,
    onExit: (worker: number) => void = () => undefined,
  ): () => void {
    const onMessage = guarded((worker: Worker, message: unknown) => {
      const words = wordsOf(message, this.topic)
      if (words) receive(words, worker.id)
    }, this.failed)
    const onDisconnect = guarded(({ id }: Worker) => onExit(id), this.failed)
    cluster.on('message', onMessage)
    // Not "exit": Haraka takes all listeners off that for a restart.
    cluster.on('disconnect', onDisconnect)
    return () => {
      cluster.off('message', onMessage)
      cluster.off('disconnect', onDisconnect)
    }
  }
}

/** In a worker: its master. */
export class ToMaster {
  /** @param topic as in ToWorkers */
  constructor(
    private readonly topic: string,
    private readonly failed: Failed,
  ) {}

  /** Never throws; a master that has gone hears nothing. */
  send(words: object): void {
    post(cluster.worker, this.topic, words, this.failed)
  }

  /** @returns ends it */
  listen(receive: (words: object) => void): () => void {
    const onMessage = guarded((message: unknown) => {
      const words = wordsOf(message, this.topic)
      if (words) receive(words)
    }, this.failed)
    process.on('message', onMessage)
    return () => process.off('message', onMessage)
  }
}

function post(other: Worker | undefined, topic: string, words: object, failed: Failed): void {
  if (!other?.isConnected()) return
  try {
    // With a callback: without one, a process that is just going away would end this one.
    other.send({ clamav_stream: { topic, words } } satisfies Envelope, () => undefined)
  } catch (error) {
    failed(error)
  }
}

function wordsOf(message: unknown, topic: string): object | null {
  const { clamav_stream: ours } = (message ?? {}) as Partial<Envelope>
  const words: unknown = ours?.topic === topic ? ours.words : null
  return typeof words === 'object' ? words : null
}

/** What is thrown in a listener would end the process. */
function guarded<A extends unknown[]>(work: (...args: A) => void, failed: Failed): (...args: A) => void {
  return (...args) => {
    try {
      work(...args)
    } catch (error) {
      failed(error)
    }
  }
}
