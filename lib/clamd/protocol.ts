/*
 * clamd's commands and replies as bytes and values. No I/O here: the dialogues are in stream.ts and instream.ts. Wire
 * layouts are drawn in docs/reference/protocol.md.
 */

import { printable } from '../base/text'
import { type Address, isTls } from './address'
import { ClamdError } from './errors'

/** How a message goes to clamd. */
export type Protocol = 'stream' | 'instream'

/** Every release knows commands without a prefix; INSTREAM and VERSIONCOMMANDS need one. */
export const command = {
  ping: Buffer.from('PING\n'),
  version: Buffer.from('VERSION\n'),
  versionCommands: Buffer.from('nVERSIONCOMMANDS\n'),
  stream: Buffer.from('STREAM\n'),
  instream: Buffer.from('zINSTREAM\0'),
  /** Starts a session, in which replies are numbered, and its first message. */
  sessionInstream: Buffer.from('zIDSESSION\0zINSTREAM\0'),
} as const

/**
 * Sent before every message. clamd recognises mail by its first bytes, and misses attachments if the first header is one
 * that it does not expect (X-Foo, DKIM-Signature).
 */
export const receivedLine = Buffer.from('Received: by haraka-plugin-clamav-stream\r\n')

/** Size in bytes of the length field of an INSTREAM chunk, big-endian. */
const chunkHeaderBytes = 4

/** The length field of a chunk of `bytes`. */
export function chunkHeader(bytes: number): Buffer {
  const header = Buffer.allocUnsafe(chunkHeaderBytes)
  header.writeUInt32BE(bytes)
  return header
}

/** The chunk of length zero that ends an INSTREAM message. */
export const endOfChunks = chunkHeader(0)

/** Maximum reply size in bytes. Real replies are below 200; VERSIONCOMMANDS has the longest. */
export const maxReplyBytes = 4096

export type Reply =
  | { kind: 'pong' }
  | { kind: 'clean' }
  | { kind: 'found'; name: string }
  /** The daemon does not have the command, or has it switched off (COMMAND UNAVAILABLE, from 1.5). */
  | { kind: 'unknown_command'; text: string }
  /** Over the daemon's StreamMaxLength. INSTREAM only; STREAM cuts in silence. */
  | { kind: 'limit'; text: string }
  | { kind: 'error'; text: string }

/** Parses one reply without its terminator. A reply that is not in clamd's grammar is an error, never clean. */
export function parseReply(line: string): Reply {
  if (line === 'PONG') return { kind: 'pong' }
  if (line === 'stream: OK') return { kind: 'clean' }
  const found = /^stream: (.+) FOUND$/s.exec(line)?.[1]
  if (found !== undefined) return { kind: 'found', name: virusName(found) }
  const text = printable(line)
  if (line === 'UNKNOWN COMMAND' || line === 'COMMAND UNAVAILABLE') return { kind: 'unknown_command', text }
  if (line === 'INSTREAM size limit exceeded. ERROR') return { kind: 'limit', text }
  return { kind: 'error', text: text || 'an empty reply' }
}

/** True if clamd has decided on the message; over its limit is a decision as well. */
export function isVerdict({ kind }: Reply): boolean {
  return kind === 'clean' || kind === 'found' || kind === 'limit'
}

/** The reply to command number `n` of a session, as in `2: stream: OK`; null: another number, or none. */
export function numbered(line: string, n: number): string | null {
  const prefix = `${n}: `
  return line.startsWith(prefix) ? line.slice(prefix.length) : null
}

/** ExtendedDetectionInfo adds `(md5:size)` to the name in STREAM replies; rules match the name alone. */
function virusName(text: string): string {
  return printable(text.replace(/\([0-9a-f]{32}:\d+\)$/, '')) || 'unnamed'
}

/**
 * True for names that mean "not scanned to the end" (AlertExceedsMax), not a virus. `(null)` and Heuristics.Email.ExceedsMax
 * with a word behind it are those of older daemons.
 */
export function isLimitName(name: string): boolean {
  return name === '(null)' || /^Heuristics\.(Limits\.Exceeded\b|Email\.ExceedsMax)/i.test(name)
}

/** True for names that mean "encrypted, not scanned" (AlertEncrypted), not a virus. */
export function isEncryptedName(name: string): boolean {
  return /^Heuristics\.Encrypted\b/i.test(name)
}

/** True for replies by which the message may be delivered: they count only for all of it. */
export function isAboutAll(reply: Reply): boolean {
  return reply.kind === 'clean' || (reply.kind === 'found' && isEncryptedName(reply.name))
}

/** What was sent of a message when its reply came. */
export interface Sent {
  /** True once everything, including the end mark, has been handed to the system. */
  readonly complete: boolean
  /** Bytes of content, our Received line included. */
  readonly bytes: number
}

/**
 * The reply to a message. Replies by which it may be delivered count only if all of it was sent before, and if nothing
 * follows them.
 * @param rest bytes received after the reply
 * @param inSession the same goes for a virus, which may be that of another message
 * @throws ClamdError
 */
export function checkedReply(line: string, sent: Sent, rest: string, inSession = false): Reply {
  const reply = parseReply(line)
  if (!isAboutAll(reply) && !(inSession && reply.kind === 'found')) return reply
  const text = 'name' in reply ? `${reply.name} FOUND` : 'OK'
  if (!sent.complete)
    throw new ClamdError('reply', `${text} before the end of the message, after ${sent.bytes} bytes`)
  if (rest !== '') throw new ClamdError('reply', `${text}, and then: ${printable(rest)}`)
  return reply
}

/** The port of a `PORT n` line; null: another line, such as an error. */
export function parsePort(line: string): number | null {
  const digits = /^PORT (\d{1,5})$/.exec(line)?.[1]
  const port = Number(digits ?? 0)
  return port >= 1 && port <= 65535 ? port : null
}

/** clamd's reply to STREAM while every port of its range is in use by another scan. */
export const noFreePort = "Can't find any free port. ERROR"

/** STREAM: no data reached clamd at its data port, so another program accepted our data connection. */
export function isMissingCommand(reply: Reply): boolean {
  return reply.kind === 'error' && /^(Accept (timeout|poll)\.|accept\(\)) ERROR$/.test(reply.text)
}

export interface Capabilities {
  /** `ClamAV 1.4.6/27500/Sun Nov 22 …`; null: the daemon reports no version. */
  version: string | null
  /** null: the daemon does not list its commands (older than 0.95). */
  commands: readonly string[] | null
  /** A reply was missing after the time limit, so the values are incomplete. */
  isLate?: true
}

/** Parses the answer to VERSIONCOMMANDS or VERSION. */
export function parseCapabilities(line: string): Capabilities {
  const [said = '', list] = line.split('| COMMANDS:')
  // The first releases reply `clamd / ClamAV version 0.60`.
  const version = said.replace(/^clamd \/ ClamAV version /, 'ClamAV ')
  return {
    version: version.startsWith('ClamAV ') ? printable(version.trim()) : null,
    commands: list === undefined ? null : list.trim().split(/\s+/),
  }
}

/** True if the daemon lists IDSESSION: it scans several messages on one connection. */
export function hasSessions({ commands }: Capabilities): boolean {
  return commands?.includes('IDSESSION') ?? false
}

/** The configured protocol; `auto` is INSTREAM over TLS, because the data port of STREAM has none. */
export function protocolAt(address: Address, configured: Protocol | 'auto'): Protocol | 'auto' {
  return configured === 'auto' && isTls(address) ? 'instream' : configured
}

/** The protocol that `auto` starts with; null: the daemon does not list its commands. */
export function protocolOf({ commands }: Capabilities): Protocol | null {
  if (commands === null) return null
  if (commands.includes('STREAM')) return 'stream'
  return commands.includes('INSTREAM') ? 'instream' : null
}
