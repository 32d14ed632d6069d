/*
 * Runs the program of [notify] command: without a shell, few at a time, each for a limited time.
 */

import { spawn } from 'node:child_process'
import type { Writable } from 'node:stream'

const maxRunning = 2
const maxQueued = 100

interface Job {
  readonly command: string
  readonly line: string
}

export class NotifyCommand {
  readonly #queue: Job[] = []
  #running = 0

  /**
   * @param failed called with each failure
   * @param maxMs milliseconds for one run, which is then killed with its children
   */
  constructor(
    private readonly failed: (text: string) => void,
    private readonly maxMs = 30_000,
  ) {}

  /** Runs the program with a line on its standard input, as soon as there is room. */
  run(command: string, line: string): void {
    if (this.#queue.length < maxQueued) this.#queue.push({ command, line })
    else this.failed(`${command}: an event was left out, ${maxQueued} are waiting`)
    this.#next()
  }

  #next(): void {
    if (this.#running >= maxRunning) return
    const job = this.#queue.shift()
    if (!job) return
    this.#running++
    const ended = () => {
      this.#running--
      this.#next()
    }
    try {
      this.#start(job, ended)
    } catch (error) {
      // Out of memory, for example. When another program has just ended, this would end Haraka.
      this.failed(`${job.command}: ${String(error)}`)
      setImmediate(ended)
    }
  }

  #start({ command, line }: Job, ended: () => void): void {
    // A group of its own, so that its children are killed with it. Haraka's environment may hold secrets.
    const env = { PATH: process.env.PATH }
    const child = spawn(command, [], { cwd: '/', env, detached: true, stdio: ['pipe', 'ignore', 'ignore'] })
    let isKilled = false
    const timer = setTimeout(() => {
      isKilled = true
      this.failed(`${command}: killed after ${this.maxMs} ms`)
      if (child.pid !== undefined) kill(child.pid)
    }, this.maxMs)
    let isOver = false
    const end = (problem: string | null) => {
      if (isOver) return
      isOver = true
      clearTimeout(timer)
      if (problem !== null) this.failed(`${command}: ${problem}`)
      ended()
    }
    child.once('error', (error) => end(error.message))
    child.once('exit', (code, signal) => {
      end(code === 0 || isKilled ? null : `ended with ${signal ?? `code ${String(code)}`}`)
    })
    // Without a file descriptor there is no standard input, and 'error' follows.
    const input = child.stdin as Writable | undefined | null
    // A program that does not read its input is no failure of it.
    input?.on('error', () => undefined)
    input?.end(`${line}\n`)
  }
}

function kill(group: number): void {
  try {
    process.kill(-group, 'SIGKILL')
  } catch {
    // It has ended by itself.
  }
}
