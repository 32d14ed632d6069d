// The next hop for mail that Haraka forwards or sends itself: an SMTP server on loopback that takes everything and
// keeps each message byte for byte, dots un-stuffed, or hands it on instead. It checks nothing.
import { EventEmitter, once } from 'node:events'
import net from 'node:net'

export interface SunkMessage {
  from: string
  to: string[]
  data: Buffer
}

export interface SinkOptions {
  /** Takes every message; none is then kept in `messages`, nor waited for. */
  keep?: (message: SunkMessage) => void
}

export class Sink {
  readonly messages: SunkMessage[] = []
  readonly #server: net.Server
  readonly #sockets = new Set<net.Socket>()
  readonly #arrived = new EventEmitter()

  constructor({ keep }: SinkOptions = {}) {
    this.#arrived.setMaxListeners(0)
    this.#server = net.createServer((socket) => {
      this.#sockets.add(socket)
      socket.on('close', () => this.#sockets.delete(socket))
      serve(socket, (message) => {
        if (keep) {
          keep(message)
          return
        }
        this.messages.push(message)
        this.#arrived.emit('message')
      })
    })
  }

  get port(): number {
    const address = this.#server.address()
    if (address === null || typeof address === 'string') throw new Error('the sink does not listen')
    return address.port
  }

  async start(): Promise<this> {
    this.#server.listen(0, '127.0.0.1')
    await once(this.#server, 'listening')
    return this
  }

  /** Resolves with all messages as soon as there are `count`. */
  async waitFor(count: number, timeoutMs = 30_000): Promise<SunkMessage[]> {
    const signal = AbortSignal.timeout(timeoutMs)
    while (this.messages.length < count) {
      await once(this.#arrived, 'message', { signal }).catch((cause: unknown) => {
        const got = `${this.messages.length} of ${count} messages arrived in ${timeoutMs} ms`
        throw new Error(got, { cause })
      })
    }
    return this.messages
  }

  async stop(): Promise<void> {
    for (const socket of this.#sockets) socket.destroy()
    await new Promise((resolve) => this.#server.close(resolve))
  }
}

/** A running sink; the caller stops it. */
export async function startSink(options: SinkOptions = {}): Promise<Sink> {
  return new Sink(options).start()
}

function serve(socket: net.Socket, keep: (message: SunkMessage) => void): void {
  let unread = ''
  let from = ''
  let to: string[] = []
  let lines: string[] | undefined

  const answerTo = (line: string): string => {
    const verb = line.slice(0, 4).toUpperCase()
    const address = /<(.*?)>/.exec(line)?.[1] ?? ''
    if (verb === 'MAIL') from = address
    if (verb === 'RCPT') to.push(address)
    if (verb === 'DATA') {
      lines = []
      return '354 go on'
    }
    if (verb === 'RSET') to = []
    return verb === 'QUIT' ? '221 bye' : '250 ok'
  }
  const takeData = (line: string): string | undefined => {
    if (line !== '.') {
      lines?.push(`${line.startsWith('.') ? line.slice(1) : line}\r\n`)
      return undefined
    }
    keep({ from, to, data: Buffer.from(lines?.join('') ?? '', 'latin1') })
    to = []
    lines = undefined
    return '250 taken'
  }

  socket.on('error', () => undefined)
  socket.on('data', (chunk: Buffer) => {
    // latin1: one character per byte, so nothing is lost.
    const received = (unread + chunk.toString('latin1')).split('\r\n')
    unread = received.pop() ?? ''
    for (const line of received) {
      const answer = lines ? takeData(line) : answerTo(line)
      if (answer !== undefined) socket.write(`${answer}\r\n`)
      if (answer?.startsWith('221')) socket.end()
    }
  })
  socket.write('220 sink.example.com ESMTP\r\n')
}
