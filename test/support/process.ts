// A child process whose log lines a test can wait for, and a temporary directory, both of which are gone when the
// test process is: at its normal end, on a failed assertion and when it is ended by a signal.
// Readiness and what the program says belong to clamd.ts and haraka.ts.
import { type ChildProcess, spawn } from 'node:child_process'
import { EventEmitter } from 'node:events'
import { mkdtempSync, rmSync } from 'node:fs'
import { constants, tmpdir } from 'node:os'
import path from 'node:path'
import { createInterface } from 'node:readline'

type Cleanup = () => void

const cleanups = new Set<Cleanup>()
let watching = false

/** Runs `cleanup` when this process ends, whichever way short of SIGKILL; the returned function calls that off. */
export function onProcessEnd(cleanup: Cleanup): () => void {
  if (!watching) watchProcessEnd()
  cleanups.add(cleanup)
  return () => void cleanups.delete(cleanup)
}

function watchProcessEnd(): void {
  watching = true
  const cleanUp = () => {
    // Newest first: a process stops before the directory it works in goes.
    for (const cleanup of [...cleanups].reverse()) cleanup()
    cleanups.clear()
  }
  process.once('exit', cleanUp)
  for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) {
    process.once(signal, () => {
      // Whoever listens as well (scripts/start.ts) decides when to end; the exit event then cleans up.
      if (process.listenerCount(signal) === 0) process.exit(128 + constants.signals[signal])
    })
  }
}

export class TemporaryDirectory {
  readonly path: string
  readonly #forget: () => void

  constructor(prefix: string) {
    this.path = mkdtempSync(path.join(tmpdir(), `${prefix}-`))
    this.#forget = onProcessEnd(() => this.remove())
  }

  remove(): void {
    this.#forget()
    rmSync(this.path, { recursive: true, force: true, maxRetries: 5 })
  }
}

export interface Exit {
  code: number | null
  signal: NodeJS.Signals | null
}

/** A started program: its standard output and error by line, its end, and the ways to bring that about. */
export class LoggedProcess {
  readonly child: ChildProcess
  readonly lines: string[] = []
  readonly exited: Promise<Exit>
  exit: Exit | undefined
  readonly #lineAdded = new EventEmitter()
  readonly #forget: () => void

  constructor(
    command: string,
    args: readonly string[],
    options: { cwd?: string; env?: NodeJS.ProcessEnv } = {},
  ) {
    // A process group of its own, so that workers of a cluster go with their master.
    this.child = spawn(command, args, { ...options, stdio: ['ignore', 'pipe', 'pipe'], detached: true })
    this.#lineAdded.setMaxListeners(0)
    for (const output of [this.child.stdout, this.child.stderr]) {
      if (!output) continue
      createInterface({ input: output }).on('line', (line) => {
        this.lines.push(line)
        this.#lineAdded.emit('line', line)
      })
    }
    this.#forget = onProcessEnd(() => this.kill())
    this.exited = new Promise((resolve) => {
      const ended = (exit: Exit) => {
        this.exit = exit
        this.#forget()
        this.#lineAdded.emit('exit')
        resolve(exit)
      }
      this.child.once('error', (error) => {
        this.lines.push(error.message)
        ended({ code: null, signal: null })
      })
      // `close` comes after the last line was read, `exit` may not.
      this.child.once('close', (code, signal) => ended({ code, signal }))
    })
  }

  get pid(): number {
    if (this.child.pid === undefined) throw new Error('the process did not start')
    return this.child.pid
  }

  get log(): string {
    return this.lines.join('\n')
  }

  onLine(listener: (line: string) => void): void {
    this.#lineAdded.on('line', listener)
  }

  /** The first line, past or to come (from line number `from` on), that matches; rejects at the process's end. */
  async waitForLine(pattern: RegExp, timeoutMs = 30_000, from = 0): Promise<string> {
    const seen = this.lines.slice(from).find((line) => pattern.test(line))
    if (seen !== undefined) return seen
    return new Promise((resolve, reject) => {
      const settle = (act: () => void) => {
        clearTimeout(timer)
        this.#lineAdded.off('line', onLine).off('exit', onExit)
        act()
      }
      const fail = (why: string) => settle(() => reject(new Error(`${why} ${String(pattern)}:\n${this.log}`)))
      const onLine = (line: string) => {
        if (pattern.test(line)) settle(() => resolve(line))
      }
      const onExit = () => fail(`ended (${JSON.stringify(this.exit)}) before a log line matched`)
      const timer = setTimeout(() => fail(`no log line in ${timeoutMs} ms matched`), timeoutMs)
      this.#lineAdded.on('line', onLine).on('exit', onExit)
      if (this.exit) onExit()
    })
  }

  signal(signal: NodeJS.Signals): void {
    if (!this.exit && this.child.pid !== undefined) process.kill(this.child.pid, signal)
  }

  /** SIGKILL to the whole group, at once. */
  kill(): void {
    if (this.child.pid === undefined) return
    try {
      process.kill(-this.child.pid, 'SIGKILL')
    } catch {
      // Already gone.
    }
  }

  /** Asks with `signal`, and after `timeoutMs` no longer asks. */
  async stop(signal: NodeJS.Signals, timeoutMs = 5_000): Promise<Exit> {
    this.signal(signal)
    const timer = setTimeout(() => this.kill(), timeoutMs)
    const exit = await this.exited
    clearTimeout(timer)
    return exit
  }
}

export interface Finished extends Exit {
  output: string
}

/** Runs a command to its end; its output, standard error included, comes back with the exit code. */
export async function run(
  command: string,
  args: readonly string[],
  options: { cwd?: string; env?: NodeJS.ProcessEnv } = {},
): Promise<Finished> {
  const child = new LoggedProcess(command, args, options)
  const exit = await child.exited
  return { ...exit, output: child.log }
}
