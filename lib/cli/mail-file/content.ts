/*
 * What is in a file: a message, an mbox with many, or something else, which then is scanned as it would
 * arrive by mail, that is, as an attachment.
 */

import type { FileHandle } from 'node:fs/promises'
import type { Readable } from 'node:stream'
import MimeNode from 'nodemailer/lib/mime-node'
import { openRegular, reading } from '../../base/safe-files'
import { SmtpLines } from './lines'
import { isMbox, messagesOf, type Range } from './mbox'
import { FileMessage, through } from './message'

/** The most of a file that is looked at to tell what it is. */
const headBytes = 64 * 1024

export interface Content {
  /** Counted from 1 in an mbox; null in a file that is one message. */
  readonly number: number | null
  /** Bytes of the file that it takes. */
  readonly bytes: number
  message(onError: (error: Error) => void): FileMessage
}

/**
 * The messages in a file, none in an empty one. Rejects when it cannot be read.
 * @param isMail by its place or name it is a message, whatever it looks like
 * @param isNamed by the user, so that a link is followed
 */
export async function* contentsOf(
  file: string | Buffer,
  isMail: boolean,
  isNamed = true,
): AsyncGenerator<Content> {
  const opening = () => openRegular(file, isNamed)
  const handle = await opening()
  try {
    const { size } = await handle.stat()
    const head = await headOf(handle)
    if (head.length === 0) return
    if (isMbox(head)) {
      let number = 0
      for await (const range of messagesOf(handle)) yield asMessage(opening, range, ++number)
    } else if (isMail || looksLikeMail(head)) {
      yield asMessage(opening, { start: 0, end: size }, null)
    } else {
      yield asAttachment(opening, size)
    }
  } finally {
    await handle.close()
  }
}

/** Opens a file; asked for each reading of it. */
type Opening = () => Promise<FileHandle>

/** A message that is known to be one. */
export function asMessage(opening: Opening, { start, end }: Range, number: number | null): Content {
  const bytes = end - start
  const read = () => through(reading(opening, start, end), new SmtpLines(number !== null))
  return {
    number,
    bytes,
    // At worst each byte is a line's end that grows by one; of an mbox each line may lose one.
    message: (onError) =>
      new FileMessage(read, number === null ? 0 : Math.floor(bytes / 2), 2 * bytes + 2, onError),
  }
}

function asAttachment(opening: Opening, bytes: number): Content {
  const read = (): Readable => {
    const mail = new MimeNode('multipart/mixed')
    mail.setHeader({
      from: 'scan@localhost',
      to: 'scan@localhost',
      subject: 'A file',
      date: new Date(0).toUTCString(),
    })
    const content = reading(opening)
    mail.createChild('application/octet-stream', { filename: 'file' }).setContent(content)
    const whole: Readable = mail.createReadStream()
    // MimeNode leaves it open when its own stream is destroyed.
    whole.once('close', () => content.destroy())
    return whole
  }
  const encoded = Math.ceil(bytes / 3) * 4
  return {
    number: null,
    bytes,
    message: (onError) => new FileMessage(read, encoded, Math.ceil(encoded * 1.1) + 4096, onError),
  }
}

async function headOf(file: FileHandle): Promise<Buffer> {
  const head = Buffer.alloc(headBytes)
  let length = 0
  while (length < headBytes) {
    const { bytesRead } = await file.read(head, length, headBytes - length, length)
    if (bytesRead === 0) break
    length += bytesRead
  }
  return head.subarray(0, length)
}

/** Its first lines are headers, and one of them is of a message. */
export function looksLikeMail(head: Buffer): boolean {
  const text = head.toString('latin1').replace(/^\xef\xbb\xbf/, '')
  const lines = text.split(/\r?\n(?![ \t])/)
  let hasOne = false
  for (const line of lines) {
    if (line === '') break
    const name = /^([!-9;-~]+)[ \t]*:/.exec(line)?.[1]
    if (name === undefined) return hasOne
    hasOne ||=
      /^(from|to|cc|subject|date|received|return-path|delivered-to|message-id|mime-version|content-type)$/i.test(
        name,
      )
  }
  return hasOne
}
