/*
 * `clamav-stream quarantine delete`.
 */

import { whyKept } from '../../actions/quarantine-record'
import { write, writeJson } from '../terminal'
import { type ChangeOptions, counted, describe, requireChoice, requireConfirmation, say } from './confirm'
import { type CommonOptions, openContext, placeOf, stateOf } from './context'
import { deliveriesOf, type ReleaseLog } from './release-log'
import { type KeptMessage, removeFiles } from './store'

export async function remove(ids: readonly string[], options: ChangeOptions): Promise<number> {
  requireChoice(ids, options)
  const { messages, releaseLog, entries, directory } = await openContext(placeOf(options), ids, options)
  if (messages.length === 0) {
    say(options, null, 'nothing to delete')
    return 0
  }
  describe(messages)
  const states = messages.map((one) => stateOf(one, deliveriesOf(entries, one.record.uuid)))
  await requireConfirmation(
    `${counted(messages.length, 'message')} in ${directory}. ${releasedText(states)}Delete for good?`,
    options,
  )
  for (const one of messages) await removeLogged(one, releaseLog, options)
  return 0
}

/** What is lost by the deletion. */
function releasedText(states: readonly string[]): string {
  const sentence = (some: readonly string[], text: string) => {
    if (some.length === 0) return ''
    return states.length === 1 ? `It was ${text}. ` : `${some.length} of them were ${text}. `
  }
  return (
    sentence(
      states.filter((state) => state === 'kept'),
      'never released',
    ) +
    sentence(
      states.filter((state) => /^released to|^in doubt/.test(state)),
      'not released to all recipients',
    )
  )
}

/** Deletes a message, after the log has it. */
export async function removeLogged(
  one: KeptMessage,
  log: ReleaseLog,
  { json }: CommonOptions,
): Promise<void> {
  const { uuid, envelope, time, message_id } = one.record
  const attempt = await log.begin(uuid, 'delete')
  try {
    await attempt.write({
      event: 'deleting',
      about: { file: one.file, why: whyKept(one.record), time, envelope, message_id },
    })
    await removeFiles(one)
  } finally {
    await attempt.end()
  }
  if (json) writeJson({ id: one.id, uuid, deleted: true })
  else write(`${one.id} deleted\n`)
}
