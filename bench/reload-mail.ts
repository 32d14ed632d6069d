// Mail at a steady rate, whatever becomes of it: each one has a time at which it is due, and its delay counts from there.
import { connect, type SmtpClient } from '../test/support/smtp/smtp'
import { uniqueMessage } from './messages'

export interface Answer {
  /** In ms of performance.now(). */
  readonly dueMs: number
  readonly answeredMs: number
  readonly isInfected: boolean
  /** null: none. */
  readonly code: number | null
  readonly text: string
}

const bytes = 20_000
/** Number of messages of which one is infected. */
const infectedShare = 10
const timeoutMs = 300_000

export class SteadyMail {
  readonly #answers: Answer[] = []
  readonly #idle: SmtpClient[] = []
  readonly #pending = new Set<Promise<void>>()
  readonly #due: { readonly dueMs: number; readonly isInfected: boolean }[] = []
  #open = 0
  #count = 0
  #timer: NodeJS.Timeout | undefined

  /** `rate`: mails a second. `sessions`: connections at most; 0: as many as it takes */
  constructor(
    private readonly port: number,
    private readonly options: { readonly rate: number; readonly sessions: number },
  ) {}

  begin(): void {
    this.#timer = setInterval(() => {
      this.#due.push({ dueMs: performance.now(), isInfected: this.#count++ % infectedShare === 0 })
      this.#next()
    }, 1000 / this.options.rate)
  }

  /** Sends no more, and waits for all answers. */
  async end(): Promise<readonly Answer[]> {
    clearInterval(this.#timer)
    while (this.#pending.size > 0) await Promise.all(this.#pending)
    await Promise.all(this.#idle.map((client) => client.quit()))
    return this.#answers
  }

  #next(): void {
    const { sessions } = this.options
    if (this.#due.length === 0 || (sessions > 0 && this.#open - this.#idle.length >= sessions)) return
    const [mail] = this.#due.splice(0, 1)
    const client = this.#idle.pop()
    if (!client) this.#open++
    const sending = this.#send(client, mail ?? { dueMs: 0, isInfected: false }).then((left) => {
      this.#pending.delete(sending)
      if (left) this.#idle.push(left)
      else this.#open--
      this.#next()
    })
    this.#pending.add(sending)
  }

  /** @returns the session for the next mail; null: it is gone */
  async #send(
    idle: SmtpClient | undefined,
    { dueMs, isInfected }: { readonly dueMs: number; readonly isInfected: boolean },
  ): Promise<SmtpClient | null> {
    const answered = (code: number | null, text: string) =>
      this.#answers.push({ dueMs, answeredMs: performance.now(), isInfected, code, text })
    try {
      const client = idle && !idle.closed ? idle : await this.#session()
      const begun = await client.transaction()
      const reply =
        begun.code === 354
          ? await client.message(uniqueMessage(bytes, isInfected ? 'infected' : 'plain'))
          : begun
      client.dialogue.length = 0
      answered(reply.code, reply.text)
      return client
    } catch (error) {
      answered(null, String(error).slice(0, 500))
      return null
    }
  }

  async #session(): Promise<SmtpClient> {
    const client = await connect(this.port, { timeoutMs })
    await client.command('EHLO client.example.com')
    return client
  }
}
