/*
 * clamd's words as bytes and values: commands, replies, the STREAM port, what a daemon offers.
 * No I/O here: the dialogues are in stream.ts and instream.ts. Wire layouts are drawn in docs/reference/protocol.md.
 */

import { printable } from '../base/text'

/** How a message goes to clamd. */
export type Protocol = 'stream' | 'instream'

/** Commands as they go over the wire. Bare ones are understood by every release; INSTREAM and VERSIONCOMMANDS need a prefix. */
export const command = {
  ping: Buffer.from('PING\n'),
  version: Buffer.from('VERSION\n'),
  versionCommands: Buffer.from('nVERSIONCOMMANDS\n'),
  stream: Buffer.from('STREAM\n'),
  instream: Buffer.from('zINSTREAM\0'),
  /** Begins a session, in which replies are numbered, and its first message. */
  sessionInstream: Buffer.from('zIDSESSION\0zINSTREAM\0'),
} as const

/**
 * Goes in front of every message. clamd tells mail from other content by the first bytes and misses
 * attachments behind a first header it does not expect (X-Foo, DKIM-Signature); a Received line settles it.
 */
export const receivedLine = Buffer.from('Received: by haraka-plugin-clamav-stream\r\n')

/** Bytes before the content of an INSTREAM chunk: its length, big-endian. */
const chunkHeaderBytes = 4

/** What goes in front of a chunk of so many bytes. */
export function chunkHeader(bytes: number): Buffer {
  const header = Buffer.allocUnsafe(chunkHeaderBytes)
  header.writeUInt32BE(bytes)
  return header
}

/** The chunk of length zero that ends an INSTREAM message. */
export const endOfChunks = chunkHeader(0)

/** The most of a reply that is read, in bytes. Real ones are below 200; VERSIONCOMMANDS is the longest. */
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

/** Parses one reply without its terminator. What is not in clamd's grammar is an error, never clean. */
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

/** The reply to a session's command number `n`; null if it is not that: `2: stream: OK`. */
export function numbered(line: string, n: number): string | null {
  const prefix = `${n}: `
  return line.startsWith(prefix) ? line.slice(prefix.length) : null
}

/** ExtendedDetectionInfo adds `(md5:size)` to the name in STREAM replies; rules and people want the name. */
function virusName(text: string): string {
  return printable(text.replace(/\([0-9a-f]{32}:\d+\)$/, '')) || 'unnamed'
}

/** True for names that mean "not scanned to the end" (AlertExceedsMax, and `(null)` from old daemons), not a virus. */
export function isLimitName(name: string): boolean {
  return name === '(null)' || /^Heuristics\.Limits\.Exceeded\b/i.test(name)
}

/** True for names that mean "nobody could look into it" (AlertEncrypted), not a virus. */
export function isEncryptedName(name: string): boolean {
  return /^Heuristics\.Encrypted\b/i.test(name)
}

/** The port of a `PORT n` line, or null if it is anything else (an error line comes in its place). */
export function parsePort(line: string): number | null {
  const digits = /^PORT (\d{1,5})$/.exec(line)?.[1]
  const port = Number(digits ?? 0)
  return port >= 1 && port <= 65535 ? port : null
}

/** In place of a port: every one of clamd's range is in use, until another scan ends. */
export const noFreePort = "Can't find any free port. ERROR"

/** STREAM: clamd waited at its data port, and whatever took our connection there was not clamd. */
export function isMissingCommand(reply: Reply): boolean {
  return reply.kind === 'error' && /^(Accept (timeout|poll)\.|accept\(\)) ERROR$/.test(reply.text)
}

export interface Capabilities {
  /** As in `ClamAV 1.4.6/27500/Sun Nov 22 …`; null when the daemon did not say. */
  version: string | null
  /** null: the daemon does not list its commands (older than 0.95). */
  commands: readonly string[] | null
  /** Not all of it was told in time, which is no reason to think that there is less. */
  isLate?: true
}

/** Parses the answer to VERSIONCOMMANDS or VERSION. */
export function parseCapabilities(line: string): Capabilities {
  const [said = '', list] = line.split('| COMMANDS:')
  // The first releases say `clamd / ClamAV version 0.60`.
  const version = said.replace(/^clamd \/ ClamAV version /, 'ClamAV ')
  return {
    version: version.startsWith('ClamAV ') ? printable(version.trim()) : null,
    commands: list === undefined ? null : list.trim().split(/\s+/),
  }
}

/** Whether several messages may go over one connection; no daemon that does not say so is asked to. */
export function hasSessions({ commands }: Capabilities): boolean {
  return commands?.includes('IDSESSION') ?? false
}

/** What `auto` will speak; null: the daemon does not say, so the first message will show. */
export function protocolOf({ commands }: Capabilities): Protocol | null {
  if (commands === null) return null
  if (commands.includes('STREAM')) return 'stream'
  return commands.includes('INSTREAM') ? 'instream' : null
}
