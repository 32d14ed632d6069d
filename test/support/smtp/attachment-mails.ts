// Messages with attachments, and an inspection of them without a Haraka.
import type { Inspected } from '../../../lib/attachments/findings'
import { Glance } from '../../../lib/attachments/glance'
import { type Mask, parseMasks } from '../../../lib/attachments/masks'
import { Invalid } from '../../../lib/base/invalid'
import type { MessageSource, Sink } from '../../../lib/base/message-source'
import { receivedLine } from '../../../lib/clamd/protocol'
import { PlainCheck } from '../../../lib/mime/plain/plain-check'
import type { InspectOptions } from '../../../lib/scan/inspect'
import { inspect } from '../../../lib/scan/inspect'

export const boundary = '=_b'

/** A part as its header lines and its body. */
export type PartSpec = readonly [headers: readonly string[], body?: string | Buffer]

export function lines(...text: readonly string[]): string {
  return text.map((line) => `${line}\r\n`).join('')
}

/** Strings in one character per byte, so that a test can write raw bytes as `\xe9`. */
export function raw(...pieces: readonly (string | Buffer)[]): Buffer {
  return Buffer.concat(
    pieces.map((piece) => (typeof piece === 'string' ? Buffer.from(piece, 'latin1') : piece)),
  )
}

export function mixed(...parts: readonly PartSpec[]): Buffer {
  return raw(
    lines('Subject: test', 'MIME-Version: 1.0', `Content-Type: multipart/mixed; boundary="${boundary}"`, ''),
    ...parts.flatMap(([headers, body = 'text']) => [lines(`--${boundary}`, ...headers, ''), body, '\r\n']),
    lines(`--${boundary}--`),
  )
}

/** One part with the given headers. */
/** A part with these headers behind a delimiter of a multipart that is closed: only some programs see it. */
export function behindClosedMultipart(...headers: readonly string[]): Buffer {
  const multipart = (boundary: string) =>
    lines(`Content-Type: multipart/mixed; boundary=${boundary}`, '', `--${boundary}`)
  return raw(
    multipart('outer'),
    multipart('inner'),
    lines('', 'text', '--outer', '', 'text', '--inner', ...headers, '', 'x', '--outer--'),
  )
}

export function withHeaders(...headers: readonly string[]): Buffer {
  return mixed([['Content-Type: text/plain'], 'hello'], [headers])
}

export function base64(content: Buffer): string {
  return content.toString('base64').replace(/.{1,76}/g, '$&\r\n')
}

export function attached(name: string, content: Buffer): PartSpec {
  const type = `Content-Type: application/octet-stream; name="${name}"`
  return [[type, 'Content-Transfer-Encoding: base64'], base64(content)]
}

export class BufferSource implements MessageSource {
  readonly minBytes: number
  readonly maxBytes: number
  /** Bytes handed over so far, in all readings. */
  read = 0
  #at = 0
  closed = 0
  #sink: Sink | null = null

  constructor(
    private readonly bytes: Buffer,
    private readonly chunkBytes = 65_536,
  ) {
    this.minBytes = this.maxBytes = bytes.length
  }

  open(sink: Sink): Promise<void> {
    this.#sink = sink
    this.#at = 0
    this.#pour()
    return Promise.resolve()
  }

  close(): void {
    this.#sink = null
    this.closed++
  }

  #pour(): void {
    while (this.#sink && this.#at < this.bytes.length) {
      const chunk = this.bytes.subarray(this.#at, this.#at + this.chunkBytes)
      this.#at += chunk.length
      this.read += chunk.length
      if (this.#sink.write(chunk)) continue
      this.#sink.once('drain', () => this.#pour())
      return
    }
    this.#sink?.end()
  }
}

export interface Trial extends Partial<Omit<InspectOptions, 'deny' | 'allow'>> {
  masks?: string
  allow?: string
  /** In which it comes and is read. */
  chunkBytes?: number
}

export const commonMasks = '*.exe *.com *.bat *.cmd *.pif *.scr *.vbs *.avi *.mp3 *.mpeg *.shs'

/** @throws if one is wrong */
export function masksOf(setting: string): Mask[] {
  const masks = parseMasks(setting)
  if (masks instanceof Invalid) throw new Error(masks.why)
  return masks
}

export function inspected(message: Buffer, trial: Trial = {}): Promise<Inspected> {
  const { masks = commonMasks, allow = '', chunkBytes, limits, ...options } = trial
  return inspect(new BufferSource(message, chunkBytes), {
    deny: masksOf(masks),
    allow: masksOf(allow),
    insideArchives: true,
    signal: new AbortController().signal,
    limits: { ...limits, ...(chunkBytes && { blockBytes: chunkBytes }) },
    ...options,
  })
}

/** What is seen of it while it is sent, in pieces. */
export function glanced(mail: Buffer, masks = commonMasks, pieceBytes = 65_536): Glance {
  const glance = new Glance({ deny: masksOf(masks), allow: [], insideArchives: true })
  const check = new PlainCheck(glance.begin())
  check.write(receivedLine)
  for (let at = 0; at < mail.length; at += pieceBytes) check.write(mail.subarray(at, at + pieceBytes))
  glance.end(check.end())
  return glance
}
