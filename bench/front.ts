// The STREAM front of the tests in a process of its own, so that its CPU time is nobody else's. The other end of this
// is front-process.ts.
import { fork, type ChildProcess } from 'node:child_process'
import { once } from 'node:events'
import path from 'node:path'
import { onProcessEnd } from '../test/support/process'

export class FrontProcess {
  readonly port: number
  readonly #child: ChildProcess
  readonly #forget: () => void

  private constructor(child: ChildProcess, port: number) {
    this.#child = child
    this.port = port
    this.#forget = onProcessEnd(() => child.kill('SIGKILL'))
  }

  /** In front of the clamd on this loopback port. */
  static async start(clamdPort: number): Promise<FrontProcess> {
    const file = path.join(__dirname, 'front-process.ts')
    const child = fork(file, [String(clamdPort)], { execArgv: ['--import', 'tsx'] })
    const [port] = (await once(child, 'message')) as [number]
    return new FrontProcess(child, port)
  }

  get pid(): number {
    if (this.#child.pid === undefined) throw new Error('the front did not start')
    return this.#child.pid
  }

  async stop(): Promise<void> {
    this.#forget()
    this.#child.disconnect()
    await once(this.#child, 'exit')
  }
}
