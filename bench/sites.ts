// The compared Haraka sites: the same server with different plugins. None delivers mail.
import { checkoutHaraka, type Haraka, type HarakaOptions, startHaraka } from '../test/support/haraka/haraka'

/** The largest message that a contender takes, in bytes: 100 MiB. */
export const maxBytes = 104_857_600

export type Site = Pick<HarakaOptions, 'plugins' | 'files' | 'ini' | 'sources'>

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

/**
 * Sends every message as one frame over a connection that it keeps, and takes whatever comes back for a yes. It has no
 * limits, no other address, no header, note or gate: less cannot be done by who has clamd scan a message.
 */
const minScan = (port: number) => `
const { EventEmitter } = require('node:events')
const net = require('node:net')
const idle = new Set()
const open = () => {
  const socket = net.connect({ port: ${port}, noDelay: true })
  socket.write('zIDSESSION\\0')
  socket.once('close', () => idle.delete(socket))
  return socket
}
exports.register = function () {
  this.register_hook('data_post', 'send')
}
exports.send = function (next, connection) {
  const lines = [Buffer.from('Received: by a plugin that only sends\\r\\n')]
  const sink = new EventEmitter()
  sink.write = (line) => lines.push(line) > 0
  sink.end = () => {
    const message = Buffer.concat(lines)
    const length = Buffer.alloc(4)
    length.writeUInt32BE(message.length)
    const [socket = open()] = idle
    idle.delete(socket)
    socket.once('data', () => {
      idle.add(socket)
      next()
    })
    socket.cork()
    socket.write('zINSTREAM\\0')
    socket.write(length)
    socket.write(message)
    socket.write(Buffer.alloc(4))
    socket.uncork()
  }
  connection.transaction.message_stream.pipe(sink)
}
`

/** Keeps large messages where a scan would keep them, and never lets go of them. */
const hold = `
exports.register = function () {
  this.register_hook('data_post', 'hold')
}
exports.hold = function (next, connection) {
  if (connection.transaction.message_stream.bytes_read < 1_000_000) next()
}
`

/** On SIGUSR2 collects all garbage and logs how many bytes are left. */
const memory = `
const v8 = require('node:v8')
const vm = require('node:vm')
exports.register = function () {
  v8.setFlagsFromString('--expose-gc')
  const gc = vm.runInNewContext('gc')
  process.on('SIGUSR2', () => {
    gc()
    gc()
    const { heapUsed, external } = process.memoryUsage()
    this.lognotice('retained ' + (heapUsed + external))
  })
}
`

export function withoutScanning(): Site {
  return { plugins: ['swallow'] }
}

/** Without scanning, but large messages stay as long as those that wait for a clamd that never answers. */
export function withHeldMessages(): Site {
  return { plugins: ['hold', 'swallow'], files: { plugin_timeout: '300\n' } }
}

export function withNullSink(): Site {
  return { plugins: ['null_sink', 'swallow'] }
}

export function withLeastScan(clamdPort: number): Site {
  return { plugins: ['least_scan', 'swallow'], sources: { least_scan: minScan(clamdPort) } }
}

/** With haraka-plugin-clamd, for `host:port` of one or more. */
export function withHarakaPluginClamd(addresses: readonly string[], main = ''): Site {
  return {
    plugins: ['clamd', 'swallow'],
    files: { 'clamd.ini': `clamd_socket=${addresses.join(' ')}\nmax_size=${maxBytes}\n${main}` },
  }
}

/**
 * With this plugin, for `host:port` of one or more; further lines of [main], and sections. Without the self test, whose
 * cost is that of a start and not of a message: bench/proof.ts.
 */
export function withClamavStream(addresses: readonly string[], main = '', sections = ''): Site {
  const ini = `[main]\nhost=${addresses.join(' ')}\nmax_size=100M\nself_test=off\n${main}\n${sections}`
  return { plugins: ['clamav-stream', 'swallow'], ini }
}

export async function startSite(site: Site, more: readonly string[] = []): Promise<Haraka> {
  return startHaraka({
    ...site,
    plugins: [...more, ...(site.plugins ?? [])],
    sources: { swallow, hold, memory, null_sink: nullSink, ...site.sources },
    deliver: false,
    haraka: checkoutHaraka(),
    loglevel: 'NOTICE',
    connection: { bytes: 0 },
  })
}
