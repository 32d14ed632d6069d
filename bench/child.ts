// Runs a TypeScript file of this directory in a separate process, so that its CPU time is counted separately. It answers
// one request at a time over Node's IPC channel, and ends with this process.
import { type ChildProcess, fork } from 'node:child_process'
import { once } from 'node:events'
import path from 'node:path'
import { onProcessEnd } from '../test/support/process'

export class Child<Question, Answer> {
  readonly #process: ChildProcess
  readonly #forget: () => void

  constructor(file: string, args: readonly string[] = []) {
    this.#process = fork(path.join(__dirname, file), [...args], { execArgv: ['--import', 'tsx'] })
    this.#forget = onProcessEnd(() => this.#process.kill('SIGKILL'))
  }

  get pid(): number {
    if (this.#process.pid === undefined) throw new Error('the process did not start')
    return this.#process.pid
  }

  async ask(question: Question): Promise<Answer> {
    const answer = this.answer()
    this.#process.send(question as object)
    return answer
  }

  /** The next thing it says; rejects if it ends instead. */
  async answer(): Promise<Answer> {
    return new Promise((resolve, reject) => {
      const onMessage = (answer: unknown) => {
        this.#process.off('exit', onExit)
        resolve(answer as Answer)
      }
      const onExit = () => {
        this.#process.off('message', onMessage)
        reject(new Error(`${this.#process.spawnargs.join(' ')} ended`))
      }
      this.#process.once('message', onMessage).once('exit', onExit)
    })
  }

  async stop(): Promise<void> {
    this.#forget()
    if (this.#process.exitCode !== null || this.#process.signalCode !== null) return
    const exit = once(this.#process, 'exit')
    this.#process.disconnect()
    await exit
  }
}

/** For the child's side: runs `main`, and ends the process with its parent or on a failure. */
export function runAsChild(main: () => Promise<void>): void {
  process.once('disconnect', () => process.exit())
  main().catch((error: unknown) => {
    console.error(error)
    process.exit(1)
  })
}
