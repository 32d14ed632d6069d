/*
 * Reads one message for its attachments (lib/attachments/): once as it streams by, and where it may be read in other ways as
 * well, everything that the scan would look into.
 */

import type { Inspected } from '../attachments/findings'
import { Inspection, type Wanted } from '../attachments/inspection'
import type { CancelSignal } from '../base/cancellation'
import type { MessageSource } from '../base/message-source'
import { receivedLine } from '../clamd/protocol'
import { Budget, defaultLimits, type Limits, OverBudget, workMs } from '../mime/budget'
import { PlainCheck } from '../mime/plain/plain-check'
import { defaultReadingLimits } from './readings/limits'
import { inspectionMemory } from './readings/memory'
import { Readings } from './readings/readings'

export interface InspectOptions extends Wanted {
  readonly limits?: Partial<Limits>
  readonly signal: CancelSignal
}

/**
 * Reads a message in each way, up to the first denied file. Rejects with the signal's reason, or with what kept the message
 * from being read.
 */
export async function inspect(message: MessageSource, wanted: InspectOptions): Promise<Inspected> {
  const limits = { ...defaultLimits, ms: workMs(message.maxBytes), ...wanted.limits }
  const budget = new Budget(limits, wanted.signal)
  const names: string[] = []
  let unreadable: string | null = null
  for (let one: MessageSource | null = message; one; one = one.nextReading?.() ?? null) {
    const found = await inspectReading(one, wanted, budget.restarted())
    names.push(...found.names)
    unreadable ??= found.unreadable
    if (found.denied) return { denied: found.denied, unreadable, names }
  }
  return { denied: null, unreadable, names }
}

async function inspectReading(source: MessageSource, wanted: Wanted, budget: Budget): Promise<Inspected> {
  const check = new PlainCheck()
  check.write(receivedLine)
  const inspection = new Inspection(wanted, budget, (block) => check.write(block))
  const { findings } = inspection
  try {
    await streamed(source, inspection, budget.signal)
    const isPlain = check.end().oddity === null
    const isRead = findings.isDenied || findings.isFull || (isPlain && !inspection.hasMissed)
    if (!isRead) await reread(source, inspection, isPlain, budget)
  } catch (error) {
    if (!(error instanceof OverBudget)) throw error
    findings.trouble('message', error.message)
  } finally {
    inspection.stop()
  }
  return findings.outcome
}

async function streamed(source: MessageSource, { blocks }: Inspection, signal: CancelSignal): Promise<void> {
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

/**
 * Reads the message as every program might: parts that only some would see, and files within texts and containers. Of a plain
 * one it reads what was missed.
 */
async function reread(
  source: MessageSource,
  inspection: Inspection,
  isPlain: boolean,
  budget: Budget,
): Promise<void> {
  const { signal } = budget
  const { parts, ms } = budget.limits
  const limits = { ...defaultReadingLimits, parts, ms }
  const release = await inspectionMemory.take(source.maxBytes, signal)
  try {
    const readings = new Readings(source, {
      signal,
      isPlain,
      ...(!isPlain && { observer: inspection }),
      limits,
      budget: budget.restarted(limits),
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
