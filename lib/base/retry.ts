/*
 * Trying again, with p-retry, what has failed a first time: an attempt that succeeds at once, as nearly all do, costs
 * the message no promise of ours.
 */

import pRetry, { type Options } from 'p-retry'
import type { CancelSignal } from './cancellation'

export interface RetryOptions extends Pick<Options, 'minTimeout' | 'maxTimeout' | 'factor'> {
  /** Milliseconds from now after which no attempt begins any more. */
  readonly maxRetryTime: number
  /** Whether it is worth another attempt. */
  readonly isPassing: (error: unknown) => boolean
  readonly signal?: CancelSignal
}

/** @param failure of the first attempt. Rejects with that of the last one, or with the signal's reason */
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
    // No more of an AbortSignal is used than a CancelSignal has.
    signal: signal as AbortSignal | undefined,
  })
}
