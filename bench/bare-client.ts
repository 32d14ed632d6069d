// The lower bound: a client that has the whole message in memory and sends it to clamd on a new connection, with as few
// writes as the protocol allows and without any check.
import net from 'node:net'

const host = '127.0.0.1'

/** INSTREAM with one frame; resolves with the reply, without its NUL. */
export async function scanInOneFrame(port: number, message: Buffer): Promise<string> {
  const header = Buffer.alloc(4)
  header.writeUInt32BE(message.length)
  const socket = net.connect({ host, port, noDelay: true })
  socket.cork()
  for (const bytes of ['zINSTREAM\0', header, message, Buffer.alloc(4)]) socket.write(bytes)
  socket.uncork()
  const reply = await wholeReply(socket)
  return reply.replace(/\0$/, '')
}

/** STREAM; resolves with the last line, without its line feed. */
export async function scanByStream(port: number, message: Buffer): Promise<string> {
  const socket = net.connect({ host, port, noDelay: true })
  socket.write('STREAM\n')
  const reply = await wholeReply(socket, (line) => {
    const dataPort = Number(/^PORT (\d+)$/.exec(line)?.[1] ?? NaN)
    net
      .connect({ host, port: dataPort, noDelay: true })
      .on('error', () => undefined)
      .end(message)
  })
  return reply.trimEnd().split('\n').at(-1) ?? ''
}

function wholeReply(socket: net.Socket, onFirstLine?: (line: string) => void): Promise<string> {
  return new Promise((resolve, reject) => {
    let reply = ''
    socket.on('data', (chunk: Buffer) => {
      const hadLine = reply.includes('\n')
      reply += chunk.toString('latin1')
      if (!hadLine && reply.includes('\n')) onFirstLine?.(reply.slice(0, reply.indexOf('\n')))
    })
    socket.once('error', reject).once('close', () => resolve(reply))
  })
}
