// A worker of a cluster for test/unit/base/cluster-channel.test.ts: says and does what the master tells it to, on the topic of its
// first argument, and tells what it has heard.
import cluster from 'node:cluster'
import { ToMaster } from '../../../lib/base/cluster-channel'

const say = (message: object) => process.send?.(message)
const master = new ToMaster('topic', (error) => say({ failed: String(error) }))

const orders: Record<string, (words: object) => void> = {
  say: (words) => master.send(words),
  send: (words) => say(words),
  disconnect: (words) => {
    process.once('disconnect', () => {
      master.send(words)
      // Still here after all that Node may have put off.
      setTimeout(() => process.exit(7), 100)
    })
    cluster.worker?.disconnect()
  },
  listen: () => {
    const stop = master.listen((words) => {
      if ('fault' in words) throw new Error('fault')
      if ('stop' in words) stop()
      say({ heard: words })
    })
  },
}

process.on('message', (message: { order?: string; words?: object } | null) => {
  if (message?.order !== undefined) orders[message.order]?.(message.words ?? {})
})
say({ up: true })
