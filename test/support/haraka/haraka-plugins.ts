// The small Haraka plugins that make a site to test with: every client may send, to any address, and what is
// delivered is written to files. They run inside the server, so they are kept as source text, in the plain
// JavaScript of a Haraka plugin.

/** No look-up of names on the network, and every recipient is fine. */
export const acceptRcpt = `
exports.register = function () {
  this.register_hook('lookup_rdns', 'name_client')
  this.register_hook('rcpt', 'accept')
}
exports.name_client = function (next) {
  next(OK, 'client.example.com')
}
exports.accept = function (next) {
  next(OK)
}
`

/** Mail of every client is relayed. */
export const relayEverybody = `
exports.register = function () {
  this.register_hook('connect', 'relay')
}
exports.relay = function (next, connection) {
  connection.relaying = true
  next()
}
`

/**
 * Writes each message as it would be handed on to delivered/ID.eml, and what is known about it to ID.json, the latter
 * by renaming: who sees the .json finds both complete. IDs sort by time, also across the workers of a cluster.
 */
export const deliver = `
const fs = require('node:fs')
const path = require('node:path')
const directory = path.join(process.env.HARAKA, 'delivered')

exports.register = function () {
  this.register_hook('queue', 'deliver_inbound')
  this.register_hook('queue_outbound', 'deliver_outbound')
}
exports.deliver_inbound = function (next, connection) {
  deliver(next, connection, 'queue')
}
exports.deliver_outbound = function (next, connection) {
  deliver(next, connection, 'queue_outbound')
}

function deliver(next, connection, queue) {
  const txn = connection.transaction
  const id = String(process.hrtime.bigint()).padStart(24, '0')
  const about = {
    id,
    uuid: txn.uuid,
    mail_from: txn.mail_from.address,
    rcpt_to: txn.rcpt_to.map((rcpt) => rcpt.address),
    notes: txn.notes.clamav_stream,
    result: txn.results.get('clamav-stream'),
    queue,
  }
  const file = fs.createWriteStream(path.join(directory, id + '.eml'))
  file.once('error', (error) => next(DENYSOFT, error.message))
  file.once('close', () => {
    const unfinished = path.join(directory, id + '.part')
    fs.writeFileSync(unfinished, JSON.stringify(about))
    fs.renameSync(unfinished, path.join(directory, id + '.json'))
    next(OK)
  })
  txn.message_stream.pipe(file)
}
`

/** Every domain's mail exchanger is the given port on loopback. */
export function nextHop(port: number): string {
  return `
exports.register = function () {
  this.register_hook('get_mx', 'to_sink')
}
exports.to_sink = function (next) {
  next(OK, { priority: 0, exchange: '127.0.0.1', port: ${port} })
}
`
}
