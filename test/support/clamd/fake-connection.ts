// One accepted connection as a test daemon sees it: bytes are pulled piece by piece, and the end of the other side,
// by FIN or RST, is noticed even while nothing is pulled. Also how a clamd reads its command line.
// What the bytes mean is up to the daemons (fake-clamd.ts, stream-front.ts).
import { Socket } from 'node:net'

/** Unpulled bytes above this stop the reading, so that a daemon that does not keep up is felt by the client. */
const highWater = 256 * 1024

export type Piece = Buffer | 'end' | 'silence'

export class FakeConnection {
  /** Resolves when the other side has ended its half or the connection is closed, by either side. */
  readonly over: Promise<void>
  readonly closed: Promise<void>
  /** True when the other side ended by FIN or RST, or the connection is closed. */
  ended = false
  wasReset = false
  halfClosed = false
  #closing = false
  #chunks: Buffer[] = []
  #queued = 0
  #kept = true
  #frozen = false
  #mayFreeze = true
  #wake: () => void = () => undefined

  constructor(readonly socket: Socket) {
    let settleOver: () => void = () => undefined
    this.over = new Promise((resolve) => (settleOver = resolve))
    this.closed = new Promise((resolve) => socket.once('close', () => resolve()))
    const end = () => {
      this.ended = true
      settleOver()
      this.#wake()
    }
    socket.setNoDelay(true)
    socket.on('data', (chunk: Buffer) => this.#receive(chunk))
    socket.on('error', (error: NodeJS.ErrnoException) => (this.wasReset ||= error.code === 'ECONNRESET'))
    socket.on('end', end)
    socket.on('close', end)
  }

  /** False once we have closed it or the connection is gone. */
  get isOpen(): boolean {
    return !this.#closing && !this.socket.destroyed
  }

  /** The next bytes; 'end' after the last; 'silence' if there was nothing for `silenceMs` (0: wait for ever). */
  async next(silenceMs = 0): Promise<Piece> {
    if (this.#chunks.length === 0 && !this.ended) {
      let timer: NodeJS.Timeout | undefined
      await new Promise<void>((resolve) => {
        this.#wake = resolve
        if (silenceMs > 0) timer = setTimeout(resolve, silenceMs)
      })
      clearTimeout(timer)
    }
    const chunk = this.#chunks.shift()
    if (!chunk) return this.ended ? 'end' : 'silence'
    this.#queued -= chunk.length
    if (this.#queued <= highWater && !this.#frozen) this.socket.resume()
    return chunk
  }

  putBack(bytes: Buffer): void {
    if (bytes.length === 0) return
    this.#chunks.unshift(bytes)
    this.#queued += bytes.length
  }

  /** Reads on and forgets, so that the other side feels nothing and its end is noticed. */
  swallow(): void {
    this.#kept = false
    this.#chunks = []
    this.#queued = 0
    this.thaw()
  }

  /** Stops reading, so that the other side's writes get stuck; its end goes unnoticed until `swallow`. */
  freeze(): void {
    this.#frozen = true
    if (this.#mayFreeze) this.socket.pause()
    else this.swallow()
  }

  /** A client that is gone may have left before the script freezes the connection. */
  endFreezing(): void {
    this.#mayFreeze = false
    if (this.#frozen) this.swallow()
  }

  thaw(): void {
    this.#frozen = false
    this.socket.resume()
  }

  /** Resolves when the bytes are with the kernel or the connection is gone; never rejects. */
  async write(bytes: Buffer): Promise<void> {
    if (!this.socket.writable || bytes.length === 0) return
    const written = new Promise<void>((resolve) => this.socket.write(bytes, () => resolve()))
    await Promise.race([written, this.closed])
  }

  halfClose(): void {
    this.halfClosed = true
    this.socket.end()
  }

  /** close(2) after what was written is on its way: FIN, or RST if the other side's bytes lie unread. */
  close(): void {
    this.#closing = true
    this.socket.destroySoon()
  }

  reset(): void {
    // Only TCP has RST; closing a unix socket with unread bytes looks the same to the other side.
    if (this.socket.remoteFamily === undefined) this.socket.destroy()
    else this.socket.resetAndDestroy()
  }

  #receive(chunk: Buffer): void {
    if (!this.#kept) return
    this.#chunks.push(chunk)
    this.#queued += chunk.length
    if (this.#queued > highWater) this.socket.pause()
    this.#wake()
  }
}

export interface Command {
  name: string
  prefix: 'n' | 'z' | ''
  /** How the command was ended, and so how clamd ends its reply. */
  end: '\n' | '\0'
}

/** As long as clamd's longest, a path; a line beyond it is no command. */
const maxCommandBytes = 4096

/** Reads `nCMD\n`, `zCMD\0` or bare `CMD\n`; undefined if the line does not end. */
export async function readCommand(connection: FakeConnection): Promise<Command | undefined> {
  let line = Buffer.alloc(0)
  for (;;) {
    const piece = await connection.next()
    if (typeof piece === 'string') return undefined
    line = Buffer.concat([line, piece])
    const prefix = /^[nz]/.exec(line.toString('latin1', 0, 1))?.[0] ?? ''
    const end = prefix === 'z' ? '\0' : '\n'
    const length = line.indexOf(end)
    if (length !== -1) {
      connection.putBack(line.subarray(length + 1))
      const name = line.toString('latin1', prefix.length, length).replace(/\r$/, '')
      return { name, prefix: prefix as Command['prefix'], end }
    }
    if (line.length > maxCommandBytes) return undefined
  }
}
