// An address on loopback that neither refuses nor accepts: a connect to it hangs until the client gives up.
// The kernel completes connects on its own up to the listener's backlog and then drops further SYNs. So a thread
// listens with the smallest backlog and sleeps instead of accepting, and connections of ours fill the queue.
// Only TCP can do this: a connect to a unix socket with a full queue fails at once with EAGAIN.
import { once } from 'node:events'
import { connect, type Socket } from 'node:net'
import { Worker } from 'node:worker_threads'

/** A connect on loopback takes microseconds; one that took so long was dropped. */
const fullAfterMs = 150

// A thread of its own because Node accepts by itself whenever its event loop turns.
const sleepingListener = `
  const { parentPort, workerData } = require('node:worker_threads')
  const server = require('node:net').createServer()
  server.on('error', (error) => parentPort.postMessage(error.message))
  server.listen({ host: workerData.host, port: workerData.port, backlog: 1 }, () => {
    parentPort.postMessage(server.address().port)
    Atomics.wait(workerData.asleep, 0, 0)
    server.close()
  })
`

export interface BlackHole {
  readonly port: number
  /** The port is free again afterwards, and connects that were hanging are refused. */
  close(): Promise<void>
}

export async function openBlackHole(host = '127.0.0.1', port = 0): Promise<BlackHole> {
  const asleep = new Int32Array(new SharedArrayBuffer(4))
  const thread = new Worker(sleepingListener, {
    eval: true,
    execArgv: [],
    workerData: { host, port, asleep },
  })
  const exited = once(thread, 'exit')
  const [bound] = (await once(thread, 'message')) as [number | string]
  if (typeof bound === 'string') throw new Error(`no black hole on ${host}:${port}: ${bound}`)
  // A forgotten black hole must not keep a test process alive.
  thread.unref()
  const fillers = await fill(host, bound)
  return {
    port: bound,
    close: async () => {
      for (const filler of fillers) filler.destroy()
      Atomics.store(asleep, 0, 1)
      Atomics.notify(asleep, 0)
      thread.ref()
      await exited
    },
  }
}

async function fill(host: string, port: number): Promise<Socket[]> {
  const fillers: Socket[] = []
  for (;;) {
    const socket = connect({ host, port }).on('error', () => undefined)
    if (!(await connects(socket))) {
      socket.destroy()
      return fillers
    }
    fillers.push(socket.unref())
  }
}

function connects(socket: Socket): Promise<boolean> {
  return new Promise((resolve) => {
    const timer = setTimeout(() => {
      // On a busy machine the timer may be due before the connect event that waits behind it was delivered.
      setImmediate(() => setImmediate(() => resolve(false)))
    }, fullAfterMs)
    socket.once('connect', () => {
      clearTimeout(timer)
      resolve(true)
    })
  })
}
