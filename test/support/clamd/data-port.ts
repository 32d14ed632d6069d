// The second listener of STREAM: one port, one connection, then it is closed. Used by both test daemons.
import { once } from 'node:events'
import { createServer, type Server, type Socket } from 'node:net'

export interface PortRange {
  min: number
  max: number
}

export class DataPort {
  readonly port: number
  readonly #server: Server
  readonly #connection: Promise<Socket>
  #handedOver = false

  private constructor(server: Server) {
    this.#server = server
    const address = server.address()
    this.port = address !== null && typeof address === 'object' ? address.port : 0
    this.#connection = new Promise((resolve) => {
      server.once('connection', (socket) => {
        server.close()
        resolve(socket)
      })
    })
  }

  /** Listens on a port of the range, beginning anywhere in it; undefined when all are taken. Without a range, any. */
  static async open(host: string, range: PortRange = { min: 0, max: 0 }): Promise<DataPort | undefined> {
    const size = range.max - range.min + 1
    const start = Math.floor(Math.random() * size)
    for (let i = 0; i < size; i++) {
      const server = createServer({ allowHalfOpen: true })
      server.listen({ host, port: range.min + ((start + i) % size), backlog: 1 })
      try {
        await once(server, 'listening')
        return new DataPort(server)
      } catch (error) {
        if ((error as NodeJS.ErrnoException).code !== 'EADDRINUSE') throw error
      }
    }
    return undefined
  }

  /** The one connection; 'late' after `ms` milliseconds, 'cancelled' when `until` resolves first. */
  async connection(ms: number, until: Promise<unknown>): Promise<Socket | 'late' | 'cancelled'> {
    let timer: NodeJS.Timeout | undefined
    const late = new Promise<'late'>((resolve) => (timer = setTimeout(() => resolve('late'), ms)))
    const cancelled = until.then(() => 'cancelled' as const)
    const outcome = await Promise.race([this.#connection, late, cancelled])
    clearTimeout(timer)
    if (typeof outcome === 'string') this.close()
    else this.#handedOver = true
    return outcome
  }

  close(): void {
    this.#server.close()
    // One that connected in the same moment is not served.
    void this.#connection.then((socket) => {
      if (!this.#handedOver) socket.destroy()
    })
  }
}
