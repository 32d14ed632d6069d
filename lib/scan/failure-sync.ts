/*
 * Shares the memory of failed messages in a cluster, for a retry may come to any worker. A worker sends each change to the
 * master, which passes it on to the other workers and keeps all for a worker that starts later.
 */

import type { ToMaster, ToWorkers } from '../base/cluster-channel'
import type { FailureMemory, MemoryChange } from './failure-memory'

/** `all`: the changes are asked for, and not told. */
type Words = { readonly changes: readonly MemoryChange[] } | { readonly all: true }

/** In the master, for as long as it lives. */
export function keepFailures(
  memory: FailureMemory,
  workers: Pick<ToWorkers, 'send' | 'sendToAll' | 'listen'>,
): void {
  workers.listen((payload, from) => {
    const words = payload as Words
    if ('all' in words) {
      workers.send(from, { changes: memory.all() } satisfies Words)
      return
    }
    for (const change of words.changes) memory.learn(change)
    workers.sendToAll(words, from)
  })
}

/** In a worker, for as long as it lives. */
export function followFailures(memory: FailureMemory, master: Pick<ToMaster, 'send' | 'listen'>): void {
  master.listen((payload) => {
    for (const change of (payload as Partial<{ changes: readonly MemoryChange[] }>).changes ?? [])
      memory.learn(change)
  })
  memory.onChange = (change) => master.send({ changes: [change] } satisfies Words)
  master.send({ all: true } satisfies Words)
}
