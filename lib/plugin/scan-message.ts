/*
 * What is found in one message: the verdict of the scan, and the finding of the attachment names. A fault of ours is a
 * verdict or a finding as well, and never a harmless one.
 */

import type { Inspected } from '../attachments/findings'
import { Glance } from '../attachments/glance'
import { type CancelSignal, Deadline } from '../base/cancellation'
import type { MessageSource } from '../base/message-source'
import { readersBeforeScan } from '../haraka/environment'
import { TransactionMessage } from '../haraka/transaction-message'
import { type AttachmentFinding, failedVerdict, type Verdict } from '../policy/verdict'
import { inspect } from '../scan/inspect'
import { type Message, stackOf } from './hook'
import { attachmentTimeoutMs } from './runtime'

/** @param glance looks at the attachments meanwhile */
export function scanMessage(message: Message, glance: Glance | null): Promise<Verdict> {
  return scanSource(message, sourceOf(message), message.context.cancelled, glance)
}

/** Null: no attachment is to be denied. */
export function newGlance({ context }: Message): Glance | null {
  const { attachments } = context.runtime.settings
  return attachments.deny.length === 0 ? null : new Glance(attachments)
}

/** Scans a text on behalf of a message, with that message's settings and log. */
export function scanSource(
  { plugin, connection, context }: Message,
  source: MessageSource,
  signal: CancelSignal,
  glance: Glance | null = null,
): Promise<Verdict> {
  const { settings, scanner } = context.runtime
  const log = {
    trace: (text: string) => connection[settings.debug ? 'loginfo' : 'logdebug'](plugin, text),
    warn: (text: string) => connection.logwarn(plugin, text),
  }
  return scanner.scan(source, signal, log, glance).catch((error: unknown) => failedVerdict(stackOf(error)))
}

/** Null: no name is denied, or no mask is set. @param glance what was seen while the message was scanned */
export async function inspectAttachments(
  message: Message,
  glance: Glance | null,
): Promise<AttachmentFinding> {
  const { plugin, connection, context } = message
  const { deny, allow, insideArchives } = context.runtime.settings.attachments
  if (deny.length === 0) return null
  if (glance?.outcome) return findingOf(message, glance.outcome)
  // Each reading goes through the headers in one go. Other messages have their turn in between.
  await new Promise((resolve) => setImmediate(resolve))
  const signal = deadline(message, attachmentTimeoutMs)
  try {
    return findingOf(message, await inspect(sourceOf(message), { deny, allow, insideArchives, signal }))
  } catch (error) {
    if (!context.cancelled.aborted)
      connection.logerror(plugin, `attachments not looked at: ${stackOf(error)}`)
    return { unreadable: 'the message could not be looked into' }
  } finally {
    signal.end()
  }
}

function findingOf({ plugin, connection, context }: Message, found: Inspected): AttachmentFinding {
  const { debug } = context.runtime.settings.attachments
  for (const name of debug ? found.names : []) connection.loginfo(plugin, `attachment name: ${name}`)
  if (found.denied) return { denied: found.denied.mask, name: found.denied.name }
  return found.unreadable === null ? null : { unreadable: found.unreadable }
}

/** Ends with the message, or after `limitMs` milliseconds. */
export function deadline({ context }: Message, limitMs: number): Deadline {
  return new Deadline(context.cancelled, limitMs, () => new Error(`not done within ${limitMs} ms`))
}

function sourceOf({ plugin, transaction, context }: Message): MessageSource {
  const { connectMs } = context.runtime.settings.scan
  return new TransactionMessage(transaction, connectMs, 'unstuffed', () => readersBeforeScan(plugin))
}
