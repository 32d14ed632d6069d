// CPU time of other processes, in milliseconds, all their threads together. Linux only.
import { readdirSync, readFileSync } from 'node:fs'

/** Time on a processor since its start; a thread that has ended is no longer counted. */
export function cpuMs(pid: number): number {
  const threads = readdirSync(`/proc/${pid}/task`)
  return threads.reduce((sum, thread) => sum + threadNs(pid, thread), 0) / 1e6
}

function threadNs(pid: number, thread: string): number {
  try {
    // schedstat counts nanoseconds; stat's ticks of 10 ms would drown a small message.
    return Number(readFileSync(`/proc/${pid}/task/${thread}/schedstat`, 'utf8').split(' ')[0])
  } catch {
    return 0
  }
}
