// What is compared: who takes mail, who scans it on the way, and whose CPU time is whose. How the servers are started is
// the business of test/support and postfix.ts.
import type { RealClamd } from '../test/support/clamd'
import { checkoutHaraka, startHaraka, type HarakaOptions } from '../test/support/haraka'
import { FrontProcess } from './front'
import type { Target } from './load'

export const contenderNames = ['none', 'null', 'clamd', 'instream', 'stream', 'bare', 'bare-stream'] as const
export type ContenderName = (typeof contenderNames)[number]

export const titles: Record<ContenderName, string> = {
  none: 'Haraka without scanning',
  null: 'Haraka, null sink',
  clamd: 'Haraka, haraka-plugin-clamd',
  instream: 'Haraka, this plugin, INSTREAM',
  stream: 'Haraka, this plugin, STREAM',
  bare: 'bare client, one frame',
  'bare-stream': 'bare client, STREAM',
}

/** The same server without scanning; undefined for the bare clients, which have no server. */
export const baselines: Partial<Record<ContenderName, ContenderName>> = {
  null: 'none',
  clamd: 'none',
  instream: 'none',
  stream: 'none',
}

export interface Contender {
  name: ContenderName
  target: Target
  /** Roots of the mail server's processes. */
  serverPids: number[]
  /** The test front's, which is neither the server's nor clamd's. */
  frontPids: number[]
  stop(): Promise<void>
}

/** Takes every message and keeps nothing, so that delivery costs the same nothing everywhere. */
const swallow = `
exports.register = function () {
  this.register_hook('queue', 'swallow')
}
exports.swallow = function (next) {
  next(OK)
}
`

/** Reads every message the way a scanner does and forgets it, with the least that a pipe needs to write to. */
const nullSink = `
const { EventEmitter } = require('node:events')
exports.register = function () {
  this.register_hook('data_post', 'read')
}
exports.read = function (next, connection) {
  const sink = new EventEmitter()
  sink.write = () => true
  sink.end = () => next()
  connection.transaction.message_stream.pipe(sink)
}
`

/** The largest message anybody takes. */
const maxBytes = 104_857_600

export async function startContender(name: ContenderName, clamd: RealClamd): Promise<Contender> {
  switch (name) {
    case 'none':
      return haraka(name, { plugins: ['swallow'] })
    case 'null':
      return haraka(name, { plugins: ['null_sink', 'swallow'] })
    case 'clamd':
      return haraka(name, haraClamd(`${clamd.host}:${clamd.port}`))
    case 'instream':
      return haraka(name, clamavStream(`host=${clamd.host}:${clamd.port}`))
    case 'stream': {
      const front = await FrontProcess.start(clamd.port)
      const contender = await haraka(name, clamavStream(`host=127.0.0.1:${front.port}\nprotocol=stream`))
      return withFront(contender, front)
    }
    case 'bare':
      return bare(name, { instream: clamd.port })
    case 'bare-stream': {
      const front = await FrontProcess.start(clamd.port)
      return withFront(bare(name, { stream: front.port }), front)
    }
  }
}

/** Configuration of haraka-plugin-clamd for these addresses. */
export function haraClamd(addresses: string): HarakaOptions {
  return {
    plugins: ['clamd', 'swallow'],
    files: { 'clamd.ini': `clamd_socket=${addresses}\nmax_size=${maxBytes}\n` },
  }
}

/** Configuration of this plugin with these lines of [main]. */
export function clamavStream(main: string, sections = ''): HarakaOptions {
  return { plugins: ['clamav-stream', 'swallow'], ini: `[main]\nmax_size=100M\n${main}\n${sections}` }
}

export async function haraka(name: ContenderName, options: HarakaOptions): Promise<Contender> {
  const server = await startHaraka({
    sources: { swallow, null_sink: nullSink },
    deliver: false,
    haraka: checkoutHaraka(),
    loglevel: 'NOTICE',
    connection: { bytes: 0 },
    ...options,
  })
  return {
    name,
    target: { smtp: server.port },
    serverPids: [server.pid],
    frontPids: [],
    stop: async () => void (await server.stop()),
  }
}

function bare(name: ContenderName, target: Target): Contender {
  return { name, target, serverPids: [], frontPids: [], stop: () => Promise.resolve() }
}

function withFront(contender: Contender, front: FrontProcess): Contender {
  return {
    ...contender,
    frontPids: [front.pid],
    stop: async () => {
      await contender.stop()
      await front.stop()
    },
  }
}
