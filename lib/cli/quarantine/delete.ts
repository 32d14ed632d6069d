/*
 * `clamav-stream quarantine delete`.
 */

import { rm } from 'node:fs/promises'
import { whyKept } from '../../actions/quarantine-record'
import { write, writeJson } from '../terminal'
import { type ChangeOptions, counted, describe, requireConsent, requireChoice, say } from './confirm'
import { openContext, stateOf } from './context'
import { type Attempt, deliveriesOf } from './release-log'
import { accessError, type KeptMessage } from './store'

export async function remove(ids: readonly string[], options: ChangeOptions): Promise<number> {
  requireChoice(ids, options)
  const { messages, releaseLog, entries, directory } = await openContext(ids, options)
  if (messages.length === 0) {
    say(options, null, 'nothing to delete')
    return 0
  }
  describe(messages)
  const unreleased = messages.filter(
    (one) => stateOf(one, deliveriesOf(entries, one.record.uuid)) !== 'released',
  )
  await requireConsent(
    `Delete ${counted(messages.length, 'message')} from ${directory}` +
      `${unreleased.length > 0 ? `, ${unreleased.length} of which nobody has` : ''}?`,
    options,
  )
  for (const one of messages) {
    const attempt = await releaseLog.begin(one.record.uuid, 'delete')
    try {
      await removeFiles(one, attempt)
    } finally {
      await attempt.end()
    }
    if (options.json) writeJson({ id: one.id, uuid: one.record.uuid, deleted: true })
    else write(`${one.id} deleted\n`)
  }
  return 0
}

/** The message first: what is left of a deletion that was cut short is still listed, and can be deleted. */
async function removeFiles(one: KeptMessage, attempt: Attempt): Promise<void> {
  const { envelope, time, message_id } = one.record
  await attempt.write({
    event: 'deleting',
    about: { file: one.file, why: whyKept(one.record), time, envelope, message_id },
  })
  try {
    await rm(one.file, { force: true })
    await rm(`${one.file}.json`, { force: true })
  } catch (error) {
    throw await accessError(error, one.file)
  }
}
