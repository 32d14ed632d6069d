/*
 * Reads one message for its attachments (lib/attachments/): once as it streams by, and where it may be read in other ways as
 * well, everything that the scan would look into.
 */

import type { Inspected } from '../attachments/findings'
import { Inspection, type InspectOptions } from '../attachments/inspection'
import type { MessageSource } from '../base/message-source'
import { receivedLine } from '../clamd/protocol'
import { OverBudget, workMs } from '../mime/budget'
import { PlainCheck } from '../mime/plain/plain-check'
import { inspectionMemory } from './readings/memory'
import { Readings } from './readings/readings'

/** Rejects with the signal's reason, or with what kept the message from being read. */
export async function inspect(source: MessageSource, wanted: InspectOptions): Promise<Inspected> {
  const options = { ...wanted, limits: { ms: workMs(source.maxBytes), ...wanted.limits } }
  const check = new PlainCheck()
  check.write(receivedLine)
  const inspection = new Inspection(options, (block) => check.write(block))
  const { findings } = inspection
  try {
    await streamed(source, inspection, options)
    const isPlain = check.end().oddity === null
    const isRead = findings.isDenied || findings.isFull || (isPlain && !inspection.hasMissed)
    if (!isRead) await reread(source, inspection, isPlain, options)
  } catch (error) {
    if (!(error instanceof OverBudget)) throw error
    findings.trouble('message', error.message)
  } finally {
    inspection.stop()
  }
  return findings.outcome
}

async function streamed(
  source: MessageSource,
  { blocks }: Inspection,
  { signal }: InspectOptions,
): Promise<void> {
  const aborted = () => blocks.fail(signal.reason)
  signal.addEventListener('abort', aborted)
  try {
    signal.throwIfAborted()
    source.open(blocks).catch((error: unknown) => blocks.fail(error))
    await blocks.done
  } finally {
    signal.removeEventListener('abort', aborted)
    source.close()
  }
}

/** As every program might: parts that only some would see, and files within texts and containers; of a plain one what was missed. */
async function reread(
  source: MessageSource,
  inspection: Inspection,
  isPlain: boolean,
  options: InspectOptions,
): Promise<void> {
  const { signal, limits = {} } = options
  const { parts, ms } = limits
  const release = await inspectionMemory.take(source.maxBytes, signal)
  try {
    const readings = new Readings(source, {
      signal,
      isPlain,
      ...(!isPlain && { observer: inspection }),
      limits: { ...(parts !== undefined && { parts }), ...(ms !== undefined && { ms }) },
    })
    for await (const content of readings.contents()) {
      await inspection.content(content, isPlain)
      if (inspection.findings.isDenied) return
    }
    const { incompleteBecause } = readings.summary
    if (incompleteBecause !== null) inspection.trouble('message', incompleteBecause)
  } finally {
    release()
  }
}
