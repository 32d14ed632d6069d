// The client's side, in a process of its own, so that none of its work is counted as a server's. What is sent is made
// before the clock starts. The other end of this is load-process.ts.
import { fork, type ChildProcess } from 'node:child_process'
import { once } from 'node:events'
import path from 'node:path'
import { onProcessEnd } from '../test/support/process'

/** Where messages go: to a mail server, or straight to a clamd. */
export type Target = { smtp: number } | { instream: number } | { stream: number }

export interface Load {
  bytes: number
  count: number
  /** Connections at the same time, or for a clamd as many scans. */
  sessions: number
  attachmentName?: string
}

export interface Sent {
  /** From the first message's start to the last one's answer. */
  wallMs: number
  /** Of each message from MAIL FROM, or from the connect to clamd, to the answer. */
  latenciesMs: number[]
  /** Answers that were no 250, or for a clamd not clean. */
  refused: string[]
}

export type Order = { do: 'prepare'; load: Load; target: Target } | { do: 'send' }
export type Report = { is: 'ready' } | ({ is: 'sent' } & Sent) | { is: 'failed'; error: string }

export class LoadClient {
  readonly #child: ChildProcess
  readonly #forget: () => void

  private constructor(child: ChildProcess) {
    this.#child = child
    this.#forget = onProcessEnd(() => child.kill('SIGKILL'))
  }

  static start(): LoadClient {
    const child = fork(path.join(__dirname, 'load-process.ts'), { execArgv: ['--import', 'tsx'] })
    return new LoadClient(child)
  }

  /** Makes the messages and opens the sessions. */
  async prepare(target: Target, load: Load): Promise<void> {
    await this.#ask({ do: 'prepare', load, target })
  }

  /** Sends what was prepared. */
  async send(): Promise<Sent> {
    const report = await this.#ask({ do: 'send' })
    if (report.is !== 'sent') throw new Error(`the client said ${report.is}`)
    return report
  }

  async stop(): Promise<void> {
    this.#forget()
    this.#child.disconnect()
    await once(this.#child, 'exit')
  }

  async #ask(order: Order): Promise<Report> {
    const answer = new Promise<Report>((resolve, reject) => {
      const onMessage = (report: Report) => {
        this.#child.off('exit', onExit)
        resolve(report)
      }
      const onExit = () => {
        this.#child.off('message', onMessage)
        reject(new Error('the client ended'))
      }
      this.#child.once('message', onMessage).once('exit', onExit)
    })
    this.#child.send(order)
    const report = await answer
    if (report.is === 'failed') throw new Error(`the client failed: ${report.error}`)
    return report
  }
}
