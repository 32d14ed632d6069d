// A plugin inside a real Haraka that sees what no client can: how often each hook of ours called `next`, what was
// delivered, what the log said of a message, and what the process holds open. It is asked over SMTP, so that what it
// says comes after what it tells of, and a second answer to a message would be seen as one too many.
import assert from 'node:assert/strict'
import type { Note } from '../../../lib/policy/verdict'
import type { SmtpClient } from '../smtp/smtp'

/** What was seen of one message, known by its Subject. */
export interface SeenMessage {
  /** Each call of a hook of ours with how often `next` was called, in order. */
  hooks: { method: string; nexts: number; ms: number }[]
  note: Note | null
  /** What was delivered: every value of our header, and the message behind its own header section. */
  kept: { verdicts: string[]; body: string } | null
  log: string[]
}

/** What the process holds open: sockets of the system's, and Node's own resources by kind. */
export interface Held {
  sockets: number
  resources: Record<string, number>
}

/** List it as the last of `plugins`; it delivers, so no other plugin needs to. */
export const observer = `
const fs = require('node:fs')
const { performance } = require('node:perf_hooks')
const messages = new Map()
const byUuid = new Map()

exports.register = function () {
  this.register_hook('queue', 'keep')
  this.register_hook('unrecognized_command', 'tell')
  this.register_hook('log', 'read')
  watch(this.haraka_require('plugins').registered_plugins['clamav-stream'])
  const lookup = process.env.OBSERVER_LOOKUP
  // Names of the tests' own, which no name server has to know.
  if (lookup) require('node:dns/promises').lookup = lookups[lookup]
}

const lookups = {
  unknown: () => Promise.reject(new Error('getaddrinfo ENOTFOUND')),
  empty: () => Promise.resolve([]),
  silent: () => new Promise(() => undefined),
}

function watch(plugin) {
  for (const method of Object.keys(plugin).filter((name) => /^clamav_(?!check)/.test(name))) {
    const original = plugin[method]
    plugin[method] = function (next, connection, params) {
      const seen = method === 'clamav_drop' ? undefined : ofTransaction(connection.transaction)
      const call = { method, nexts: 0, ms: 0 }
      seen?.hooks.push(call)
      const begin = performance.now()
      const counted = (...args) => {
        call.nexts++
        call.ms = performance.now() - begin
        next(...args)
      }
      return original.call(this, counted, connection, params)
    }
  }
}

function ofTransaction(txn) {
  if (!txn) return undefined
  const id = txn.header.get('Subject').trim()
  if (!messages.has(id)) {
    messages.set(id, { hooks: [], notes: txn.notes, kept: null, log: [], uuid: txn.uuid })
    byUuid.set(txn.uuid, messages.get(id))
  }
  return messages.get(id)
}

exports.keep = function (next, connection) {
  const txn = connection.transaction
  const seen = ofTransaction(txn)
  const pieces = []
  const { Writable } = require('node:stream')
  const sink = new Writable({ write: (piece, encoding, done) => (pieces.push(piece), done()) })
  sink.on('finish', () => {
    const text = Buffer.concat(pieces).toString('latin1')
    const end = text.indexOf('\\r\\n\\r\\n') + 2
    const verdicts = [...text.slice(0, end).matchAll(/^X-MessageIsInfected *:(.*)\\r\\n/gim)]
    const body = require('node:crypto').createHash('sha256').update(text.slice(end + 2), 'latin1').digest('hex')
    seen.kept = { verdicts: verdicts.map(([, value]) => value.trim()), body }
    next(OK)
  })
  txn.message_stream.pipe(sink)
}

exports.read = function (next, logger, { data }) {
  const uuid = /^\\[\\w+\\] \\[([^\\]]*)\\]/.exec(data)?.[1]
  const seen = byUuid.get(uuid)
  if (!seen || !data.includes('[clamav-stream]')) return next()
  seen.log.push(data.replace(/^.*?\\[clamav-stream\\] /, ''))
  next(OK)
}

exports.tell = function (next, connection, [command, id]) {
  if (command === 'XHELD') {
    const resources = {}
    for (const kind of process.getActiveResourcesInfo()) resources[kind] = (resources[kind] ?? 0) + 1
    connection.respond(250, JSON.stringify({ sockets: sockets(), resources }), () => next(OK))
  } else if (command === 'XSEEN') {
    const { notes, uuid, ...seen } = messages.get(id) ?? {}
    messages.delete(id)
    byUuid.delete(uuid)
    const text = JSON.stringify({ id, ...seen, note: notes?.clamav_stream ?? null })
    connection.respond(250, text, () => next(OK))
  } else {
    next()
  }
}

function sockets() {
  return fs.readdirSync('/proc/self/fd').filter((fd) => {
    try {
      return fs.readlinkSync('/proc/self/fd/' + fd).startsWith('socket:')
    } catch {
      return false
    }
  }).length
}
`

/** Asks once for each message, on the connection that sent it and as the next command. */
export async function seenOf(client: SmtpClient, id: string): Promise<SeenMessage> {
  const { text } = await client.command(`XSEEN ${id}`)
  assert.ok(text.startsWith(`{"id":"${id}"`), `answered twice: ${text}`)
  return JSON.parse(text) as SeenMessage
}

export async function heldBy(client: SmtpClient): Promise<Held> {
  const { text } = await client.command('XHELD')
  return JSON.parse(text) as Held
}
