/*
 * A worker thread that opens archives: started with the first one, one archive at a time, ended when it takes too long or
 * when there is nothing to do. Whatever an archive does to it costs that time and nothing else.
 */

import { Worker } from 'node:worker_threads'
import type { CancelSignal } from '../../base/cancellation'
import type { LibraryAnswer, LibraryRequest } from './library-messages'
import { Semaphore } from './semaphore'

/** What is known before anything is unpacked. */
type Known = Pick<LibraryAnswer, 'listing' | 'names'>

/** Milliseconds without work after which the worker ends. */
const idleMs = 60_000
/** Of JavaScript objects; what is unpacked has bounds of its own. */
const resourceLimits = { maxOldGenerationSizeMb: 128, maxYoungGenerationSizeMb: 16, stackSizeMb: 4 }

interface Terms {
  readonly limitMs: number
  readonly signal: CancelSignal
  /** Called when the work begins. */
  readonly started: () => void
}

/** Milliseconds after which the work ends if another one waits. */
interface GivesWay {
  readonly giveWayMs: number
}

/** The work ended for another one. */
class GaveWay extends Error {
  override readonly name = 'GaveWay'
}

export class LibraryThread {
  #worker: Worker | null = null
  #idle: NodeJS.Timeout | null = null
  /** Archives that are being opened or wait. */
  #jobs = 0
  /** Ends the work that runs; null: it need not give way, or not yet. */
  #giveWay: (() => void) | null = null
  readonly #turn = new Semaphore(1)

  /**
   * Rejects with the signal's reason alone.
   * @param request its archive is empty afterwards, but for work that may give way
   * @returns null: it gave way
   */
  open(request: LibraryRequest, terms: Terms): Promise<LibraryAnswer>
  open(request: LibraryRequest, terms: Terms & GivesWay): Promise<LibraryAnswer | null>
  async open(request: LibraryRequest, terms: Terms & Partial<GivesWay>): Promise<LibraryAnswer | null> {
    this.#jobs++
    this.#giveWay?.()
    try {
      return await this.#turn.run(() => {
        terms.started()
        return this.#open(request, terms)
      }, terms.signal)
    } finally {
      this.#jobs--
    }
  }

  async #open(request: LibraryRequest, terms: Terms & Partial<GivesWay>): Promise<LibraryAnswer | null> {
    if (this.#idle) clearTimeout(this.#idle)
    const worker = (this.#worker ??= this.#start())
    worker.ref()
    const work = new Work(worker, terms)
    const { giveWayMs } = terms
    const late = giveWayMs === undefined ? undefined : setTimeout(() => this.#mayGiveWay(work), giveWayMs)
    try {
      return await work.answer(
        request,
        giveWayMs === undefined ? [request.archive.buffer as ArrayBuffer] : [],
      )
    } catch (error) {
      this.#end(worker)
      if (terms.signal.aborted) throw terms.signal.reason
      return error instanceof GaveWay
        ? null
        : { ...work.known, members: [], trouble: (error as Error).message }
    } finally {
      clearTimeout(late)
      this.#giveWay = null
      if (this.#worker === worker) this.#rest(worker)
    }
  }

  #mayGiveWay(work: Work): void {
    this.#giveWay = () => work.end(new GaveWay())
    if (this.#jobs > 1) this.#giveWay()
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

/** One archive in the worker. */
class Work {
  known: Known = { listing: null, names: [] }
  #fail: (error: Error) => void = () => undefined

  constructor(
    private readonly worker: Worker,
    private readonly terms: Terms,
  ) {}

  /** The answer is to be an error. */
  end(error: Error): void {
    this.#fail(error)
  }

  /** @param handedOver what the worker gets of the request without a copy */
  answer(request: LibraryRequest, handedOver: ArrayBuffer[]): Promise<LibraryAnswer> {
    const { worker } = this
    const { limitMs, signal } = this.terms
    return new Promise<LibraryAnswer>((resolve, reject) => {
      signal.throwIfAborted()
      const end = () => {
        clearTimeout(timer)
        worker.off('message', answered).off('error', crashed).off('exit', crashed)
        signal.removeEventListener('abort', aborted)
      }
      this.#fail = (error) => {
        end()
        reject(error)
      }
      const answered = (answer: LibraryAnswer | Known) => {
        if (!('members' in answer)) {
          this.known = answer
          return
        }
        end()
        resolve(answer)
      }
      const crashed = () => this.#fail(new Error('it makes the library fail'))
      const aborted = () => this.#fail(new Error('dropped'))
      const timedOut = () => this.#fail(new Error(`it takes more than ${Math.round(limitMs)} ms`))
      const timer = setTimeout(timedOut, limitMs)
      worker.on('message', answered).on('error', crashed).on('exit', crashed)
      signal.addEventListener('abort', aborted)
      worker.postMessage(request, handedOver)
    })
  }
}
