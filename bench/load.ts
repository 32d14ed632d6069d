// The sending client, in a separate process (load-process.ts). Messages are made before the clock starts.
import { Child } from './child'
import type { Kind } from './messages'

/** Where messages go: to a mail server, or straight to a clamd, by its port on loopback. */
export type Target = { smtp: number } | { instream: number } | { stream: number }

export interface Load {
  bytes: number
  count: number
  /** Connections at the same time, or for a clamd as many scans. */
  sessions: number
  /** Default 'plain'. */
  kind?: Kind
  /** The reply code that is expected from a mail server. Default 250. */
  expected?: number
}

export interface Sent {
  /** From the first message's start to the last one's answer. */
  wallMs: number
  /** Of each message: from its first byte, or from the connect to clamd, to the answer. */
  latenciesMs: number[]
  /** When each message was answered, since the start. */
  answeredMs: number[]
}

export type Order = { do: 'prepare'; load: Load; target: Target } | { do: 'send' }
export type Report = { is: 'ready' } | ({ is: 'sent' } & Sent) | { is: 'failed'; error: string }

export class LoadClient {
  readonly #child = new Child<Order, Report>('load-process.ts')

  /** Makes the messages and opens the sessions. */
  async prepare(target: Target, load: Load): Promise<void> {
    await this.#ask({ do: 'prepare', load, target })
  }

  /** Sends what was prepared. Rejects if any answer was not the expected one. */
  async send(): Promise<Sent> {
    const report = await this.#ask({ do: 'send' })
    if (report.is !== 'sent') throw new Error(`the client said ${report.is}`)
    return report
  }

  async stop(): Promise<void> {
    await this.#child.stop()
  }

  async #ask(order: Order): Promise<Report> {
    const report = await this.#child.ask(order)
    if (report.is === 'failed') throw new Error(`the client failed: ${report.error}`)
    return report
  }
}
