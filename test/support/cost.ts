// What looking into a message costs the event loop.
import { Budget } from '../../lib/mime/budget'
import { defaultReadingLimits } from '../../lib/scan/readings/limits'
import { secondLook } from '../../lib/scan/second-look'
import { plainCheck, sourceOf } from './readings'

export interface Cost {
  /** Milliseconds of CPU in the longest turn of the event loop, and the longest one by the clock. */
  readonly turnMs: number
  readonly turnWallMs: number
  /** Of all turns together. */
  readonly cpuMs: number
  readonly contents: number
  readonly limits: string | null
}

/** CPU of all threads: garbage collection counts. */
function cpuMs(): number {
  const { user, system } = process.cpuUsage()
  return (user + system) / 1000
}

export async function costOf(mail: Buffer): Promise<Cost> {
  let [turnMs, turnWallMs, contents] = [0, 0, 0]
  const plain = plainCheck(mail)
  let [beganCpu, began] = [cpuMs(), performance.now()]
  const start = beganCpu
  const turn = () => {
    const [nowCpu, now] = [cpuMs(), performance.now()]
    turnMs = Math.max(turnMs, nowCpu - beganCpu)
    turnWallMs = Math.max(turnWallMs, now - began)
    ;[beganCpu, began] = [nowCpu, now]
    next = setImmediate(turn)
  }
  let next = setImmediate(turn)
  try {
    const { insight } = await secondLook(
      {
        message: sourceOf(mail),
        plain,
        parts: null,
        scope: 'all',
        maxBytes: 25 * 1024 * 1024,
        silentLimits: null,
        signatures: [],
        budget: new Budget(defaultReadingLimits, new AbortController().signal),
      },
      async () => {
        contents++
        // As every scan does.
        await new Promise((resolve) => setImmediate(resolve))
        return { reply: { kind: 'clean' as const } }
      },
    )
    const cpu = cpuMs()
    turnMs = Math.max(turnMs, cpu - beganCpu)
    turnWallMs = Math.max(turnWallMs, performance.now() - began)
    return {
      turnMs: Math.round(turnMs),
      turnWallMs: Math.round(turnWallMs),
      cpuMs: Math.round(cpu - start),
      contents,
      limits: insight.incompleteBecause,
    }
  } finally {
    clearImmediate(next)
  }
}
