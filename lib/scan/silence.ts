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
  readonly #onAbort: () => void

  /**
   * @param everyMs milliseconds before each look
   * @param isSilent never rejects
   */
  constructor(
    private readonly outer: CancelSignal,
    private readonly everyMs: number,
    private readonly isSilent: () => Promise<boolean>,
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
  }

  #wait(): void {
    this.#timer = setTimeout(() => void this.#look(), this.everyMs)
  }

  async #look(): Promise<void> {
    const isSilent = await this.isSilent()
    if (this.#hasEnded || this.aborted) return
    const text = `no reply within ${this.everyMs} ms, and none to PING`
    if (isSilent) this.abort(new ClamdError('reply', text, { code: 'reply_timeout' }))
    else this.#wait()
  }
}
