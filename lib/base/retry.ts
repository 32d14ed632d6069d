/*
 * Repeats a failed first attempt with p-retry. The caller makes the first attempt itself: nearly all succeed, and then no
 * promise is needed.
 */

import pRetry, { type Options } from 'p-retry'
import type { CancelSignal } from './cancellation'

export interface RetryOptions extends Pick<Options, 'minTimeout' | 'maxTimeout' | 'factor'> {
  /** Milliseconds from now after which no attempt is started. */
  readonly maxRetryTime: number
  /** True if another attempt may succeed. */
  readonly isPassing: (error: unknown) => boolean
  readonly signal?: CancelSignal
}

/** @param failure error of the first attempt. Rejects with the error of the last one, or with the signal's reason */
export function retryAfter<T>(
  failure: unknown,
  attempt: () => T | Promise<T>,
  { isPassing, signal, ...pace }: RetryOptions,
): Promise<T> {
  const attemptOrFail = (number: number) => {
    if (number === 1) throw failure
    return attempt()
  }
  return pRetry(attemptOrFail, {
    ...pace,
    retries: Infinity,
    shouldRetry: ({ error }) => isPassing(error),
    // p-retry uses only the members of AbortSignal that CancelSignal has.
    signal: signal as AbortSignal | undefined,
  })
}
