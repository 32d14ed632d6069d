/*
 * Work that several messages want done at the same time, and that is done once for all of them: it goes on while one of
 * them still waits for it, and is broken off when the last one has gone.
 */

import { Cancellation, type CancelSignal } from '../base/cancellation'

interface Shared<T> {
  readonly result: Promise<T>
  readonly cancel: Cancellation
  waiting: number
}

export class SharedTests<T> {
  readonly #underWay = new Map<string, Shared<T>>()

  /** @param begin is not called while work is under way that has the same key. Rejects with the signal's reason. */
  async run(key: string, signal: CancelSignal, begin: (signal: CancelSignal) => Promise<T>): Promise<T> {
    signal.throwIfAborted()
    const shared = this.#underWay.get(key) ?? this.#begin(key, begin)
    shared.waiting++
    let onAbort: () => void = () => undefined
    try {
      return await new Promise<T>((resolve, reject) => {
        onAbort = () => reject(signal.reason)
        signal.addEventListener('abort', onAbort)
        shared.result.then(resolve, reject)
      })
    } finally {
      signal.removeEventListener('abort', onAbort)
      if (--shared.waiting === 0) {
        this.#forget(key, shared)
        shared.cancel.abort(new Error('no message waits for it any more'))
      }
    }
  }

  #begin(key: string, begin: (signal: CancelSignal) => Promise<T>): Shared<T> {
    const cancel = new Cancellation()
    const shared: Shared<T> = { result: begin(cancel), cancel, waiting: 0 }
    this.#underWay.set(key, shared)
    // Who comes after its end has not seen what it came to, and begins anew.
    const end = () => this.#forget(key, shared)
    shared.result.then(end, end)
    return shared
  }

  #forget(key: string, shared: Shared<T>): void {
    if (this.#underWay.get(key) === shared) this.#underWay.delete(key)
  }
}
