// A small SMTP client that says exactly what a test tells it to, in the bytes it was given: whole messages for most
// tests, single commands and raw bytes for those about broken clients. Every wait is bounded and fails with the
// dialogue so far. It judges nothing: answers are returned, whatever their code.
import net from 'node:net'

export interface Reply {
  code: number
  /** The answer without codes, its lines joined by a line feed. */
  text: string
  /** The lines as sent, codes included. */
  lines: string[]
}

export interface ConnectOptions {
  host?: string
  /** Sent before anything else, as `proxyLine()` makes it, to a Haraka started with `proxy: true`. */
  proxyLine?: string
  timeoutMs?: number
}

export interface SendOptions extends ConnectOptions {
  from?: string
  to?: string | string[]
  /** The message as it would be in a file; dots are stuffed and the end is written here. */
  data: Buffer | string
  auth?: { user: string; password: string }
  ehlo?: string
}

/** Neither private nor reserved in Haraka's eyes, unlike the ranges set aside for documentation. */
export const publicAddress = '11.22.33.44'

/** The HAProxy line that makes the client appear to come from `address`. */
export function proxyLine(address: string = publicAddress): string {
  const [family, local] = net.isIPv6(address) ? ['TCP6', '::1'] : ['TCP4', '127.0.0.1']
  return `PROXY ${family} ${address} ${local} 40000 25\r\n`
}

/** Lines end in CRLF, leading dots are doubled, and the final `.` line follows. */
export function dotStuffed(message: Buffer | string): Buffer {
  // One character per byte, so that eight-bit content passes untouched.
  const text = (typeof message === 'string' ? Buffer.from(message) : message).toString('latin1')
  const lines = text.replace(/\r?\n/g, '\r\n').replace(/^\./gm, '..')
  const end = lines === '' || lines.endsWith('\r\n') ? '.\r\n' : '\r\n.\r\n'
  return Buffer.from(lines + end, 'latin1')
}

export class SmtpClient {
  readonly socket: net.Socket
  readonly dialogue: string[] = []
  /** The greeting, set by `connect`. */
  greeting: Reply = { code: 0, text: '', lines: [] }
  closed = false
  readonly #timeoutMs: number
  readonly #replies: Reply[] = []
  #lines: string[] = []
  #unread = ''
  #wake: () => void = () => undefined

  constructor(socket: net.Socket, timeoutMs = 30_000) {
    this.socket = socket
    this.#timeoutMs = timeoutMs
    socket.on('data', (chunk: Buffer) => this.#read(chunk))
    socket.on('error', (error) => this.dialogue.push(`! ${error.message}`))
    socket.on('close', () => {
      this.closed = true
      this.#wake()
    })
  }

  /** The next answer, in the order they arrive. */
  async reply(): Promise<Reply> {
    return this.#until('an answer', () => this.#replies.shift())
  }

  /** The next answer, or undefined when the server closed instead. */
  async replyOrClose(): Promise<Reply | undefined> {
    const { reply } = await this.#until('an answer or the end', () => {
      const reply = this.#replies.shift()
      return reply !== undefined || this.closed ? { reply } : undefined
    })
    return reply
  }

  async waitForClose(): Promise<void> {
    await this.#until('the end of the connection', () => this.closed || undefined)
  }

  async command(line: string): Promise<Reply> {
    this.write(`${line}\r\n`)
    return this.reply()
  }

  /** Several commands in one write; their answers in order. */
  async pipeline(lines: string[]): Promise<Reply[]> {
    this.write(lines.map((line) => `${line}\r\n`).join(''))
    const replies: Reply[] = []
    while (replies.length < lines.length) replies.push(await this.reply())
    return replies
  }

  /** Raw bytes; nothing is added and nothing awaited. */
  write(bytes: Buffer | string): void {
    this.dialogue.push(`> ${shown(bytes)}`)
    this.socket.write(bytes)
  }

  async login(user: string, password: string): Promise<Reply> {
    return this.command(`AUTH PLAIN ${Buffer.from(`\0${user}\0${password}`).toString('base64')}`)
  }

  /** EHLO to the 354 after DATA; the first answer that is none of the expected ones ends it and is returned. */
  async envelope(options: Omit<SendOptions, 'data'> = {}): Promise<Reply> {
    const { from = 'sender@example.com', to = 'recipient@example.com', auth, ehlo } = options
    let reply = await this.command(`EHLO ${ehlo ?? 'client.example.com'}`)
    if (auth && reply.code === 250) reply = await this.login(auth.user, auth.password)
    if (reply.code >= 300) return reply
    return this.transaction(from, to)
  }

  /** MAIL FROM to the 354 after DATA, for a further message of the same connection. */
  async transaction(
    from = 'sender@example.com',
    to: string | string[] = 'recipient@example.com',
  ): Promise<Reply> {
    const recipients = [to].flat().map((address) => `RCPT TO:<${address}>`)
    for (const line of [`MAIL FROM:<${from}>`, ...recipients]) {
      const reply = await this.command(line)
      if (reply.code >= 300) return reply
    }
    return this.command('DATA')
  }

  /** The message after a 354, and the answer to it. */
  async message(data: Buffer | string): Promise<Reply> {
    this.write(dotStuffed(data))
    return this.reply()
  }

  async quit(): Promise<void> {
    if (!this.closed) {
      this.write('QUIT\r\n')
      await this.waitForClose()
    }
    this.destroy()
  }

  /** Drops the connection without a word. */
  destroy(): void {
    this.socket.destroy()
  }

  /** Drops it with a TCP reset. */
  reset(): void {
    this.socket.resetAndDestroy()
  }

  #read(chunk: Buffer): void {
    const lines = (this.#unread + chunk.toString()).split('\r\n')
    this.#unread = lines.pop() ?? ''
    for (const line of lines) {
      this.dialogue.push(`< ${line}`)
      this.#lines.push(line)
      if (line.charAt(3) === '-') continue
      const text = this.#lines.map((each) => each.slice(4)).join('\n')
      this.#replies.push({ code: Number(line.slice(0, 3)), text, lines: this.#lines })
      this.#lines = []
    }
    this.#wake()
  }

  async #until<T>(what: string, look: () => T | undefined): Promise<T> {
    const found = look()
    if (found !== undefined) return found
    return new Promise((resolve, reject) => {
      const fail = (why: string) => {
        clearTimeout(timer)
        this.#wake = () => undefined
        reject(new Error(`${why} while waiting for ${what}:\n${this.dialogue.join('\n')}`))
      }
      const timer = setTimeout(() => fail(`${this.#timeoutMs} ms passed`), this.#timeoutMs)
      this.#wake = () => {
        const found = look()
        if (found === undefined) {
          if (this.closed) fail('the connection ended')
          return
        }
        clearTimeout(timer)
        this.#wake = () => undefined
        resolve(found)
      }
      if (this.closed) fail('the connection had ended')
    })
  }
}

function shown(bytes: Buffer | string): string {
  const text = bytes.slice(0, 201).toString('latin1').trimEnd()
  return bytes.length > 200 ? `${text.slice(0, 200)}... (${bytes.length} bytes)` : text
}

/** Resolves with the greeting read. */
export async function connect(port: number, options: ConnectOptions = {}): Promise<SmtpClient> {
  const client = new SmtpClient(net.connect({ host: options.host ?? '127.0.0.1', port }), options.timeoutMs)
  if (options.proxyLine) client.write(options.proxyLine)
  client.greeting = await client.reply()
  return client
}

/** One message over a connection of its own; the answer that decided about it. */
export async function sendMessage(port: number, options: SendOptions): Promise<Reply> {
  const client = await connect(port, options)
  try {
    const reply = await client.envelope(options)
    if (reply.code !== 354) return reply
    return await client.message(options.data)
  } finally {
    client.destroy()
  }
}
