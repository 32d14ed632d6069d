// Signatures of every kind, in every place and encoding that a plain mail may have: HTML and text by their normalised form, a
// file by its hash, an archive by its positions. clamd reads some of them in some places only.
import assert from 'node:assert/strict'
import { createHash } from 'node:crypto'
import { writeFileSync } from 'node:fs'
import path from 'node:path'
import { suite, test } from 'node:test'
import { skipWithoutClamd, startClamd } from '../support/clamd/clamd'
import { Scanning } from '../support/clamd/scanning'
import { eicar, testSignatures } from '../support/eicar'
import { TemporaryDirectory } from '../support/process'
import { zip } from '../support/zip-builder'

const crlf = (...lines: readonly string[]) => lines.map((line) => `${line}\r\n`).join('')
const head = crlf('From: a@example.com', 'Subject: test', 'MIME-Version: 1.0')
const [htmlMark, textMark] = ['<b>evil html</b>', 'evil text of a script']
const small = Buffer.from('a file without a line end')
const hashed = Buffer.from(crlf('first line', '', 'second line', '', '') + 'last line')
/** An extra field with a line end in front of the content. */
const archive = zip([
  { name: 'a.com', content: eicar(), localExtra: Buffer.from('\x01\x99\x02\x00\r\n', 'latin1') },
])

interface Payload {
  readonly type: string
  readonly bytes: Buffer
  /** Without it is no more than text, of which no program makes a file. */
  readonly isFile: boolean
}

const payloads: Readonly<Record<string, Payload>> = {
  HTML: { type: 'text/html', bytes: Buffer.from(`<html><body>${htmlMark}</body></html>`), isFile: false },
  'a text': { type: 'text/plain', bytes: Buffer.from(`X ${textMark.toUpperCase()} X`), isFile: false },
  'a script': {
    type: 'text/javascript; name="a.js"',
    bytes: Buffer.from(crlf('var a', textMark.toUpperCase()) + 'var b'),
    isFile: false,
  },
  'a file by its hash': { type: 'application/octet-stream; name="a.bin"', bytes: hashed, isFile: true },
  'a small file by its hash': { type: 'image/png', bytes: small, isFile: true },
  'an archive': { type: 'application/octet-stream; name="a.zip"', bytes: archive, isFile: true },
}

/** Line ends as they are; null: it cannot be written so. */
const encodings: Readonly<Record<string, (bytes: Buffer) => string | null>> = {
  'no encoding': as(''),
  '7bit': as('7bit'),
  '8bit': as('8bit'),
  'quoted-printable': (bytes) => {
    const lines = bytes.toString('latin1').split('\r\n')
    const written = lines.map((line) =>
      (line.match(/[^]{1,20}/g) ?? ['']).map((some) => some.replace(/[^A-Za-z]/g, escaped)).join('=\r\n'),
    )
    return `Content-Transfer-Encoding: quoted-printable\r\n\r\n${written.join('\r\n')}\r\n`
  },
  base64: (bytes) =>
    `Content-Transfer-Encoding: base64\r\n\r\n${bytes.toString('base64').replace(/.{1,76}/g, '$&\r\n')}`,
}

function as(encoding: string) {
  const field = encoding && `Content-Transfer-Encoding: ${encoding}\r\n`
  return (bytes: Buffer) =>
    /[^\t\r\n -~]/.test(bytes.toString('latin1')) ? null : `${field}\r\n${bytes.toString('latin1')}\r\n`
}

function escaped(character: string): string {
  return `=${character.charCodeAt(0).toString(16).toUpperCase().padStart(2, '0')}`
}

const text = crlf('Content-Type: text/plain', '', 'Hello')
const picture = crlf('Content-Type: image/png', 'Content-Transfer-Encoding: base64', '', 'QUJD')
const multipart = (subtype: string, boundary: string, ...parts: readonly string[]) =>
  `Content-Type: multipart/${subtype}; boundary="${boundary}"\r\n\r\n` +
  parts.map((part) => `--${boundary}\r\n${part}`).join('') +
  `--${boundary}--\r\n`
const message = (entity: string) => `Content-Type: message/rfc822\r\n\r\n${head}${entity}`

/** The entity, somewhere. */
const places: Readonly<Record<string, (entity: string) => string>> = {
  'the whole mail': (entity) => entity,
  'a part': (entity) => multipart('mixed', 'b1', text, entity),
  'the first part': (entity) => multipart('mixed', 'b1', entity, picture),
  'an alternative': (entity) => multipart('alternative', 'b1', text, entity),
  'the first of what is related': (entity) => multipart('related', 'b1', entity, picture),
  'the last of what is related': (entity) => multipart('related', 'b1', picture, entity),
  'related to others': (entity) =>
    multipart('related', 'b1', entity, multipart('alternative', 'b2', text, text)),
  'a report': (entity) =>
    multipart(
      'report',
      'b1',
      text,
      crlf('Content-Type: message/delivery-status', '', 'Reporting-MTA: dns; x'),
      entity,
    ),
  'a message': (entity) => multipart('mixed', 'b1', text, message(entity)),
  'a message in a report': (entity) => multipart('report', 'b1', text, message(entity)),
  'a message between files': (entity) => multipart('mixed', 'b1', picture, message(entity), picture),
  'a message in a message': (entity) =>
    multipart('mixed', 'b1', text, message(multipart('mixed', 'b2', picture, message(entity)))),
  'parts in a message': (entity) =>
    multipart('mixed', 'b1', text, message(multipart('alternative', 'b2', text, entity))),
  'a message with a file': (entity) =>
    multipart('mixed', 'b1', text, message(multipart('mixed', 'b2', entity, picture))),
}

suite('what clamd has a signature for', { skip: skipWithoutClamd() }, () => {
  test('is found wherever it is and however it is written', async (t) => {
    const directory = new TemporaryDirectory('signatures')
    testSignatures(directory.path)
    const hex = (bytes: string) => Buffer.from(bytes).toString('hex')
    const rows = [`Test.Html:3:*:${hex(htmlMark)}`, `Test.Text:7:*:${hex(textMark)}`]
    writeFileSync(path.join(directory.path, 'kinds.ndb'), rows.map((row) => `${row}\n`).join(''))
    const hashes = [hashed, small].map(
      (bytes) => `${createHash('md5').update(bytes).digest('hex')}:${bytes.length}:Test.Hash\n`,
    )
    writeFileSync(path.join(directory.path, 'kinds.hdb'), hashes.join(''))
    const clamd = await startClamd({ databaseDirectory: directory.path })
    t.after(() => clamd.stop())
    const address = { host: clamd.host, port: clamd.port }
    const scanning = new Scanning([address], { protocol: 'instream', sessions: true, scope: 'auto' })
    const missed: string[] = []
    let scanned = 0
    for (const [place, mailWith] of Object.entries(places))
      for (const [encoding, write] of Object.entries(encodings))
        for (const [what, { type, bytes, isFile }] of Object.entries(payloads)) {
          const written = write(bytes)
          // The last line end of a mail belongs to what it is.
          if (written === null || (isFile && place === 'the whole mail')) continue
          const verdict = await scanning.scan(
            Buffer.from(`${head}${mailWith(`Content-Type: ${type}\r\n${written}`)}`, 'latin1'),
          )
          scanned++
          if (verdict.outcome !== 'infected')
            missed.push(`${what}, ${encoding}, ${place}: ${JSON.stringify(verdict)}`)
        }
    assert.deepEqual(missed, [])
    assert.ok(scanned > 200, String(scanned))
  })
})
