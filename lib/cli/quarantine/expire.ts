/*
 * `clamav-stream quarantine expire`: deletes the oldest messages, for a timer: it asks nothing.
 */

import { sizeText } from '../../base/text'
import { withInterrupt } from '../signals'
import { UserError } from '../user-error'
import { counted, say } from './confirm'
import { type CommonOptions, openContext, placeOf } from './context'
import { removeLogged } from './delete'
import type { KeptMessage } from './store'

export interface ExpireOptions extends CommonOptions {
  /** Milliseconds. */
  readonly older?: number
  /** Bytes. */
  readonly max?: number
}

export async function expire(options: ExpireOptions): Promise<number> {
  const { older, max } = options
  if (older === undefined && max === undefined)
    throw new UserError('say what is too old or too much: --older 30d, --max 10G, or both')
  const { messages, releaseLog } = await openContext(placeOf(options), [], options)
  const due = expired(messages, options, Date.now())
  return withInterrupt(async (signal) => {
    for (const one of due) {
      if (signal.aborted) return 2
      await removeLogged(one, releaseLog, options)
    }
    const left = messages.filter((one) => !due.includes(one))
    const bytes = sizeText(sizeOf(left))
    say(
      options,
      null,
      `${counted(due.length, 'message')} deleted, ${counted(left.length, 'message')} kept, ${bytes}`,
    )
    return 0
  })
}

/** @param messages oldest first */
export function expired(
  messages: readonly KeptMessage[],
  { older = Infinity, max = Infinity }: Pick<ExpireOptions, 'older' | 'max'>,
  nowMs: number,
): KeptMessage[] {
  let bytes = sizeOf(messages)
  return messages.filter((one) => {
    const isDue = nowMs - one.keptMs >= older || bytes > max
    if (isDue) bytes -= one.bytes ?? 0
    return isDue
  })
}

function sizeOf(messages: readonly KeptMessage[]): number {
  return messages.reduce((sum, { bytes }) => sum + (bytes ?? 0), 0)
}
