/*
 * The messages in a file: one, the many of an mbox, or any other file, which is scanned as the attachment of a message.
 */

import type { FileHandle } from 'node:fs/promises'
import type { Readable } from 'node:stream'
import MimeNode from 'nodemailer/lib/mime-node'
import { FileMessage, through } from '../../base/file-message'
import { openRegular, reading } from '../../base/safe-files'
import { SmtpLines } from '../../base/smtp-lines'
import { isMbox, messagesOf, type Range } from './mbox'

/** Bytes that are read to recognize the type of a file. */
const headBytes = 64 * 1024

export interface Content {
  /** Counted from 1 in an mbox; null in a file that is one message. */
  readonly number: number | null
  /** Its length in the file. */
  readonly bytes: number
  message(onError: (error: Error) => void): FileMessage
}

/**
 * The messages in a file, none in an empty one. Rejects if it cannot be read.
 * @param isMail its name or folder says that it is a message
 * @param isNamed named on the command line, so that a symbolic link is followed
 */
export async function* contentsOf(
  file: string | Buffer,
  isMail: boolean,
  isNamed = true,
): AsyncGenerator<Content> {
  const openFile = () => openRegular(file, isNamed)
  const handle = await openFile()
  try {
    const { size } = await handle.stat()
    const head = await headOf(handle)
    if (head.length === 0) return
    if (isMbox(head)) {
      let number = 0
      for await (const range of messagesOf(handle)) yield asMessage(openFile, range, ++number)
    } else if (isMail || looksLikeMail(head)) {
      yield asMessage(openFile, { start: 0, end: size }, null)
    } else {
      yield asAttachment(openFile, size)
    }
  } finally {
    await handle.close()
  }
}

/** Opens a file; called for each reading. */
type OpenFile = () => Promise<FileHandle>

/** A range of a file as a message. */
export function asMessage(openFile: OpenFile, { start, end }: Range, number: number | null): Content {
  const bytes = end - start
  const read = () => through(reading(openFile, start, end), new SmtpLines(number !== null))
  return {
    number,
    bytes,
    // At most every byte is an LF that becomes CRLF; in an mbox every line may lose a `>`.
    message: (onError) =>
      new FileMessage(read, number === null ? 0 : Math.floor(bytes / 2), 2 * bytes + 2, onError),
  }
}

function asAttachment(openFile: OpenFile, bytes: number): Content {
  const read = (): Readable => {
    const mail = new MimeNode('multipart/mixed')
    mail.setHeader({
      from: 'scan@localhost',
      to: 'scan@localhost',
      subject: 'A file',
      date: new Date(0).toUTCString(),
    })
    const content = reading(openFile)
    mail.createChild('application/octet-stream', { filename: 'file' }).setContent(content)
    const message: Readable = mail.createReadStream()
    // MimeNode leaves `content` open when its own stream is destroyed.
    message.once('close', () => content.destroy())
    return message
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

/** True if the first lines are headers, one of them a usual mail header. */
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
