// What is seen of attachments while a message is scanned is what reading it by itself would see, or nothing.
import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import { archiveOf } from '../../support/made-archives'
import {
  attached,
  glanced,
  inspected,
  lines,
  mixed,
  type PartSpec,
  raw,
} from '../../support/smtp/attachment-mails'
import { zip } from '../../support/zip-builder'

const text: PartSpec = [['Content-Type: text/plain'], 'hello']
const picture = Buffer.concat([Buffer.from('89504e470d0a1a0a', 'hex'), Buffer.alloc(100_000, 7)])
const masks = '*.exe type:pe type:html content-type:application/x-ms*'

describe('a plain message without archives is seen at a glance', () => {
  const rows: Readonly<Record<string, Buffer>> = {
    'nothing denied': mixed(text, attached('a.png', picture)),
    'a denied name': mixed(text, attached('evil.exe', picture)),
    'an encoded one': mixed(text, [
      ["Content-Type: image/png; name*0*=utf-8''ev%69l; name*1=.exe", 'Content-Transfer-Encoding: base64'],
      'AAAA',
    ]),
    'one in a message within': mixed([
      ['Content-Type: message/rfc822'],
      raw(
        lines(
          'Subject: x',
          'Content-Type: image/png; name=evil.exe',
          'Content-Transfer-Encoding: base64',
          '',
        ),
        lines('AAAA'),
      ),
    ]),
    'a denied type': mixed(text, attached('a.png', Buffer.from(`MZ${'\0'.repeat(100_000)}`))),
    'a denied Content-Type': mixed(text, [
      ['Content-Type: application/x-msdownload', 'Content-Transfer-Encoding: base64'],
      'AAAA',
    ]),
    'a page that is attached': mixed([['Content-Type: text/html; name=a.txt'], '<html>']),
    'a page that is shown': mixed([['Content-Type: text/html'], '<html>']),
  }
  for (const [what, mail] of Object.entries(rows)) {
    test(what, async () => {
      const { denied, unreadable } = await inspected(mail, { masks })
      for (const pieceBytes of [65_536, 700]) {
        const { outcome } = glanced(mail, masks, pieceBytes)
        assert.ok(outcome)
        assert.deepEqual({ denied: outcome.denied, unreadable: outcome.unreadable }, { denied, unreadable })
      }
    })
  }
})

describe('nothing is known of', () => {
  const behind = (content: Buffer) => Buffer.concat([picture, content])
  const rows: Readonly<Record<string, Buffer>> = {
    'a zip archive': mixed(attached('a.zip', zip(['b.txt']))),
    'a zip archive behind a picture': mixed(attached('a.png', behind(zip(['b.txt'])))),
    'another archive': mixed(attached('a.rar', archiveOf('rar 5'))),
    'an old document': mixed(attached('a.doc', archiveOf('macros in a document'))),
    'a message that is not plain': mixed([
      ['Content-Type: text/plain'],
      lines('begin 644 a', '#86)C', '`', 'end'),
    ]),
    'headers beyond a limit': mixed(
      [
        [
          `Content-Type: image/png; name=${'x'.repeat(900)}`,
          ...Array.from({ length: 40 }, (_, i) => `Content-Description-${i}: x`),
        ],
      ],
      ...Array.from({ length: 40 }, (_, i): PartSpec => [
        [`Content-Type: image/png; name=${i}${'x'.repeat(900)}`],
        'x',
      ]),
    ),
  }
  for (const [what, mail] of Object.entries(rows)) {
    test(what, () => assert.equal(glanced(mail, '*.exe').outcome, null))
  }

  test('a message that was begun once more, or has another reading', () => {
    const glance = glanced(mixed(text), '*.exe')
    assert.ok(glance.outcome)
    glance.begin()
    assert.equal(glance.outcome, null)
    glance.miss()
    glance.end({ oddity: null, encrypted: null, hasContainers: false })
    assert.equal(glance.outcome, null)
  })
})

test('a zip header that lies across two pieces is seen', () => {
  const mail = mixed(attached('a.png', Buffer.concat([picture, zip(['evil.exe'])])))
  for (let pieceBytes = 600; pieceBytes < 640; pieceBytes++)
    assert.equal(glanced(mail, '*.exe', pieceBytes).outcome, null)
})
