/*
 * Archives that are opened with a library, in a worker thread: started with the first one, one archive at a time, ended when
 * it takes too long or when there is nothing to do. Whatever an archive does to it costs that time and nothing else.
 */

import { Worker } from 'node:worker_threads'
import type { CancelSignal } from '../../base/cancellation'
import { Semaphore } from './semaphore'

export interface LibraryRequest {
  readonly archive: Uint8Array
  readonly maxEntries: number
  /**
   * `files`: all of every file. `beginnings`: all of those that may hold files, and the beginnings of the others. `archives`:
   * of those that may hold files all, or what begins with the mark of a RAR archive; nothing of the others.
   */
  readonly keep: 'files' | 'beginnings' | 'archives'
  /** Of everything that is kept of what is unpacked. */
  readonly maxBytes: number
}

/** A file in the archive. */
export interface Member {
  /** As it would lie on a disk; null: it has none of its own. */
  readonly name: string | null
  /** All of it, or its beginning, as it was asked for. */
  readonly bytes: Uint8Array
  /** Of all of it, in bytes. */
  readonly size: number
}

/** What an archive says of all that is in it. */
export interface Listing {
  readonly isEncrypted: boolean
  /** How files are packed, as 7-Zip calls it: `BCJ LZMA2:12k`. */
  readonly methods: readonly string[]
  readonly entries: number
  /** Of the largest file. */
  readonly maxBytes: number
}

export interface LibraryAnswer {
  /** Null: it could not be listed. */
  readonly listing: Listing | null
  /** As the archive has them, directories left out; there may be other members, and members without a name. */
  readonly names: readonly string[]
  readonly members: readonly Member[]
  /** Why there may be more; null: this is all. */
  readonly trouble: string | null
}

/** What is known before anything is unpacked. */
type Known = Pick<LibraryAnswer, 'listing' | 'names'>

/** Milliseconds without work after which the worker ends. */
const idleMs = 60_000
/** Of JavaScript objects; what is unpacked has bounds of its own. */
const resourceLimits = { maxOldGenerationSizeMb: 128, maxYoungGenerationSizeMb: 16, stackSizeMb: 4 }

export class Library {
  #worker: Worker | null = null
  #idle: NodeJS.Timeout | null = null
  readonly #turn = new Semaphore(1)

  /** Threads that run at the moment. */
  get workers(): number {
    return this.#worker === null ? 0 : 1
  }

  /**
   * Rejects with the signal's reason alone.
   * @param request its archive is handed over, and is empty afterwards
   * @param limitMs from the beginning of the work, waiting left out
   * @param started called when the work begins
   */
  open(
    request: LibraryRequest,
    limitMs: number,
    signal: CancelSignal,
    started: () => void = () => undefined,
  ): Promise<LibraryAnswer> {
    return this.#turn.run(() => {
      started()
      return this.#open(request, limitMs, signal)
    }, signal)
  }

  async #open(request: LibraryRequest, limitMs: number, signal: CancelSignal): Promise<LibraryAnswer> {
    if (this.#idle) clearTimeout(this.#idle)
    const worker = (this.#worker ??= this.#start())
    worker.ref()
    let known: Known = { listing: null, names: [] }
    try {
      return await answerOf(worker, request, (listed) => (known = listed), limitMs, signal)
    } catch (error) {
      this.#end(worker)
      if (signal.aborted) throw signal.reason
      return { ...known, members: [], trouble: (error as Error).message }
    } finally {
      if (this.#worker === worker) this.#rest(worker)
    }
  }

  #start(): Worker {
    const file = require.resolve('./library-worker')
    // The tests run the sources.
    const execArgv = file.endsWith('.ts') ? ['--require', 'tsx/cjs'] : []
    const worker = new Worker(file, { resourceLimits, stdin: true, execArgv })
    worker.on('error', () => this.#end(worker))
    worker.on('exit', () => this.#end(worker))
    return worker
  }

  #rest(worker: Worker): void {
    worker.unref()
    this.#idle = setTimeout(() => this.#end(worker), idleMs).unref()
  }

  #end(worker: Worker): void {
    if (this.#worker === worker) this.#worker = null
    void worker.terminate()
  }
}

function answerOf(
  worker: Worker,
  request: LibraryRequest,
  listed: (known: Known) => void,
  limitMs: number,
  signal: CancelSignal,
): Promise<LibraryAnswer> {
  return new Promise<LibraryAnswer>((resolve, reject) => {
    signal.throwIfAborted()
    const failed = (why: string) => () => {
      end()
      reject(new Error(why))
    }
    const answered = (answer: LibraryAnswer | Known) => {
      if (!('members' in answer)) {
        listed(answer)
        return
      }
      end()
      resolve(answer)
    }
    const [crashed, aborted] = [failed('it makes the library fail'), failed('dropped')]
    const timer = setTimeout(failed(`it takes more than ${Math.round(limitMs)} ms`), limitMs)
    const end = () => {
      clearTimeout(timer)
      worker.off('message', answered).off('error', crashed).off('exit', crashed)
      signal.removeEventListener('abort', aborted)
    }
    worker.on('message', answered).on('error', crashed).on('exit', crashed)
    signal.addEventListener('abort', aborted)
    worker.postMessage(request, [request.archive.buffer as ArrayBuffer])
  })
}

export const library = new Library()
