/*
 * Breaks one exchange off when its address answers nothing at all: a clamd that is stopped, or loads signatures without
 * ConcurrentDatabaseReload, still accepts connections, and its messages would wait there until their time is up.
 */

import { Cancellation, type CancelSignal } from '../base/cancellation'
import { ClamdError } from '../clamd/errors'

/** Aborts with `outer`, or when the address is silent. Call `end` when the exchange is over. */
export class SilenceWatch extends Cancellation {
  #timer: NodeJS.Timeout | undefined
  #hasEnded = false
  /** Of the look that is under way. */
  #looking: Cancellation | null = null
  readonly #onAbort: () => void

  /**
   * @param everyMs milliseconds before each look
   * @param isSilent never rejects; its signal aborts when the exchange is over
   */
  constructor(
    private readonly outer: CancelSignal,
    private readonly everyMs: number,
    private readonly isSilent: (signal: CancelSignal) => Promise<boolean>,
  ) {
    super()
    this.#onAbort = () => this.abort(outer.reason)
    outer.addEventListener('abort', this.#onAbort)
    if (outer.aborted) this.#onAbort()
    this.#wait()
  }

  end(): void {
    this.#hasEnded = true
    clearTimeout(this.#timer)
    this.outer.removeEventListener('abort', this.#onAbort)
    this.#looking?.abort(new Error('the exchange is over'))
  }

  #wait(): void {
    this.#timer = setTimeout(() => void this.#look(), this.everyMs)
  }

  async #look(): Promise<void> {
    this.#looking = new Cancellation()
    const isSilent = await this.isSilent(this.#looking)
    if (this.#hasEnded || this.aborted) return
    const text = `no reply within ${this.everyMs} ms, and none to PING`
    if (isSilent) this.abort(new ClamdError('reply', text, { code: 'reply_timeout' }))
    else this.#wait()
  }
}
