/*
 * The last listed messages of a whole Haraka, in one place: the process itself, or the master of a cluster, which its
 * workers tell of theirs and ask for all. So a message outlives the worker that had it.
 */

import type { ToMaster, ToWorkers } from '../../base/cluster-channel'
import type { ListedMessage } from './listed-message'

export const maxMessages = 1000

/** How far a reader has come. `epoch` changes when a log begins anew. */
export interface Cursor {
  readonly epoch: number
  readonly seq: number
}

/** The messages after a cursor, oldest first. All that there are, if its epoch is another. */
export interface LogPage extends Cursor {
  /** In the whole list. */
  readonly total: number
  readonly messages: readonly ListedMessage[]
}

export interface MessageStore {
  /** Takes no time to speak of: it is called while a message waits. */
  add(message: ListedMessage): void
  /** @param cursor null: no messages, only where the list ends */
  after(cursor: Cursor | null): Promise<LogPage>
  forget(): void
}

/** For the one process that has the list. */
export class MessageLog implements MessageStore {
  readonly #messages: ListedMessage[] = []
  #epoch: number
  #seq = 0

  /** @param now milliseconds since the epoch */
  constructor(private readonly now: () => number) {
    this.#epoch = now()
  }

  add(message: ListedMessage): void {
    this.#messages.push(message)
    this.#seq++
    if (this.#messages.length > maxMessages) this.#messages.shift()
  }

  after(cursor: Cursor | null): Promise<LogPage> {
    const isKnown = cursor?.epoch === this.#epoch && cursor.seq <= this.#seq
    const count = cursor === null ? 0 : isKnown ? this.#seq - cursor.seq : this.#messages.length
    const messages = count === 0 ? [] : this.#messages.slice(-count)
    return Promise.resolve({ epoch: this.#epoch, seq: this.#seq, total: this.#messages.length, messages })
  }

  forget(): void {
    if (this.#messages.length === 0) return
    this.#messages.length = 0
    this.#seq = 0
    this.#epoch = Math.max(this.now(), this.#epoch + 1)
  }
}

/** Worker to master: add, ask, forget; master to worker: page. */
type Payload =
  | { readonly kind: 'add'; readonly messages: readonly ListedMessage[] }
  | { readonly kind: 'ask'; readonly id: number; readonly cursor: Cursor | null }
  | { readonly kind: 'forget' }
  | { readonly kind: 'page'; readonly id: number; readonly page: LogPage }

/** Milliseconds that messages wait for others, so that a flood is not one message to the master each. */
const gatherMs = 200
const askMs = 3000

/** In a worker of a cluster. */
export class RelayedLog implements MessageStore {
  #asked = 0
  #unsent: ListedMessage[] = []
  #timer: NodeJS.Timeout | null = null
  readonly #waiting = new Map<number, (page: LogPage) => void>()

  constructor(
    private readonly master: Pick<ToMaster, 'send'>,
    private readonly pauseMs = gatherMs,
    private readonly limitMs = askMs,
  ) {}

  add(message: ListedMessage): void {
    this.#unsent.push(message)
    if (this.#unsent.length > maxMessages) this.#unsent.shift()
    this.#timer ??= setTimeout(() => this.#flush(), this.pauseMs).unref()
  }

  /** Rejects if the master does not answer. */
  after(cursor: Cursor | null): Promise<LogPage> {
    this.#flush()
    return new Promise((resolve, reject) => {
      const id = ++this.#asked
      const timer = setTimeout(() => {
        this.#waiting.delete(id)
        reject(new Error(`the master did not answer within ${this.limitMs} ms`))
      }, this.limitMs)
      this.#waiting.set(id, (page) => {
        clearTimeout(timer)
        this.#waiting.delete(id)
        resolve(page)
      })
      this.#send({ kind: 'ask', id, cursor })
    })
  }

  forget(): void {
    this.#unsent = []
    this.#send({ kind: 'forget' })
  }

  /** Call it with every message of the master. */
  receive(received: object): void {
    const payload = received as Payload
    if (payload.kind === 'page') this.#waiting.get(payload.id)?.(payload.page)
  }

  #flush(): void {
    if (this.#timer) clearTimeout(this.#timer)
    this.#timer = null
    if (this.#unsent.length > 0) this.#send({ kind: 'add', messages: this.#unsent })
    this.#unsent = []
  }

  #send(payload: Payload): void {
    this.master.send(payload)
  }
}

/** In the master. Call the result with every message of a worker. */
export function logForWorkers(
  log: MessageStore,
  workers: Pick<ToWorkers, 'send'>,
): (received: object, from: number) => void {
  return (received, from) => {
    const payload = received as Payload
    if (payload.kind === 'forget') log.forget()
    if (payload.kind === 'add') for (const message of payload.messages) log.add(message)
    if (payload.kind !== 'ask') return
    const { id } = payload
    log.after(payload.cursor).then(
      (page) => workers.send(from, { kind: 'page', id, page } satisfies Payload),
      // The worker has its own timeout.
      () => undefined,
    )
  }
}
