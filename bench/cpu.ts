// CPU time of other processes, all their threads and children together. Linux only.
import { readdirSync, readFileSync } from 'node:fs'

/** Nanoseconds on a processor by `process/thread`, since the thread began. */
export type CpuSnapshot = ReadonlyMap<string, number>

/** schedstat counts nanoseconds; the ticks of 10 ms in stat would drown a small message. */
export function cpuSnapshot(roots: readonly number[]): CpuSnapshot {
  const threads = new Map<string, number>()
  for (const pid of roots.flatMap(withChildren)) {
    for (const thread of list(`/proc/${pid}/task`)) {
      const [ns = '0'] = read(`/proc/${pid}/task/${thread}/schedstat`).split(' ')
      threads.set(`${pid}/${thread}`, Number(ns))
    }
  }
  return threads
}

/**
 * Milliseconds between two snapshots. A thread that began in between counts whole; one that ended is lost, so the
 * servers are set up to keep theirs.
 */
export function cpuMsBetween(before: CpuSnapshot, after: CpuSnapshot): number {
  let ns = 0
  for (const [thread, spent] of after) ns += spent - (before.get(thread) ?? 0)
  return ns / 1e6
}

/** The processes and all below them. */
export function withChildren(pid: number): number[] {
  const children = list(`/proc/${pid}/task`).flatMap((thread) =>
    read(`/proc/${pid}/task/${thread}/children`).split(' ').filter(Boolean).map(Number),
  )
  return [pid, ...children.flatMap(withChildren)]
}

/** A process may end while one looks at it. */
function list(directory: string): string[] {
  try {
    return readdirSync(directory)
  } catch {
    return []
  }
}

function read(file: string): string {
  try {
    return readFileSync(file, 'utf8')
  } catch {
    return ''
  }
}
