// A scripted clamd that finds the EICAR test file and scans every mail, but one that holds the mark: that one it answers
// with an error, never, or with its own crash.
import type { TestContext } from 'node:test'
import { type FakeClamd, type FakeClamdOptions, judgeByItself, startFakeClamd } from './fake-clamd'

export const mark = 'no clamd can finish this one'

/**
 * What a daemon does with a marked mail: it answers ERROR; it calls it too large; it says nothing; it hangs up and is away
 * for `awayMs`.
 */
export type Trouble = 'error' | 'limit' | 'silence' | 'crash'

/** The mark may be moved or taken out at any time: the trouble is over then. */
export interface Marked {
  readonly daemon: FakeClamd
  trouble: Trouble | null
  /** Marked mails that it has got. */
  readonly visits: () => number
}

export async function startMarked(
  trouble: Trouble,
  { awayMs = 200, ...options }: FakeClamdOptions & { awayMs?: number } = {},
): Promise<Marked> {
  let visits = 0
  let back: NodeJS.Timeout | undefined
  const crash = async () => {
    await daemon.play([{ at: 'connect', do: 'refuse' }])
    await daemon.resetAll()
    back = setTimeout(() => void daemon.play([]), awayMs)
    daemon.stopped.addEventListener('abort', () => clearTimeout(back))
  }
  const judge = async (message: Buffer): Promise<string> => {
    if (!message.includes(mark)) return judgeByItself(message)
    visits++
    if (marked.trouble === 'error') return "stream: Can't parse data ERROR"
    if (marked.trouble === 'limit') return 'INSTREAM size limit exceeded. ERROR'
    if (marked.trouble === 'silence') await ended(daemon.stopped)
    if (marked.trouble === 'crash') await crash()
    return 'stream: OK'
  }
  const daemon = await startFakeClamd({ judge, ...options })
  const marked: Marked = { daemon, trouble, visits: () => visits }
  return marked
}

/** Several of the same kind, which end with the test. */
export async function markedClamds(
  t: TestContext,
  trouble: Trouble,
  count = 3,
  options: FakeClamdOptions & { awayMs?: number } = {},
): Promise<Marked[]> {
  const all = await Promise.all(
    Array.from({ length: count }, () =>
      startMarked(trouble, { ...(trouble === 'crash' && { host: ownHost() }), ...options }),
    ),
  )
  t.after(() => Promise.all(all.map(({ daemon }) => daemon.stop())))
  return all
}

let ownHosts = 0

/** While a daemon is away, its port belongs to nobody, and on 127.0.0.1 another test may be given it. */
function ownHost(): string {
  ownHosts++
  return `127.0.${80 + (ownHosts >> 7)}.${1 + (ownHosts & 127)}`
}

/** Of all of them together. */
export function visitsOf(clamds: readonly Marked[]): number {
  return clamds.reduce((sum, { visits }) => sum + visits(), 0)
}

function ended(signal: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    if (signal.aborted) resolve()
    signal.addEventListener('abort', () => resolve(), { once: true })
  })
}
