// Each kind of file that is read in text: a mail with one is not plain, wherever the text stands, or nobody would look for it.
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { Budget, defaultLimits } from '../../../lib/mime/budget'
import { textFileKinds, textFiles } from '../../../lib/mime/containers/text-files'
import { plainCheck } from '../../support/readings'
import { base64, inspected, lines, mixed, raw } from '../../support/smtp/attachment-mails'

/** BinHex of a file without content has no forks: this one has the byte `a`. */
const binHex = lines(
  '(This file must be converted with BinHex 4.0)',
  '',
  ':!(4k-T9e&3!!!!!!!!!!!!!"!!!!!!!!!@%!!!!!!:',
)
const samples: Readonly<Record<string, string>> = {
  'uuencoded file': lines('begin 644 evil.exe', '#86)C', '`', 'end'),
  'yEnc file': lines('=ybegin line=128 size=4 name=evil.exe', 'abcd', '=yend size=4'),
  'BinHex file': binHex,
  'calendar attachment': lines('BEGIN:VCALENDAR', 'ATTACH;ENCODING=BASE64:QUJD', 'END:VCALENDAR'),
  'data address': lines('<html>', '<a href="data:application/zip;base64,UEsDBA==">'),
}
const type = (kind: string) =>
  `Content-Type: text/${kind === 'calendar attachment' ? 'calendar' : 'html'}; charset=utf-8`

test('there is a sample of each kind', () => {
  assert.deepEqual(Object.keys(samples), textFileKinds())
})

for (const [kind, text] of Object.entries(samples)) {
  test(kind, async () => {
    const found = textFiles(Buffer.from(text), new Budget(defaultLimits, new AbortController().signal))
    const kinds: string[] = []
    for await (const file of found) if (file.bytes?.length) kinds.push(file.kind)
    assert.ok(kinds.includes(kind), 'the sample holds none')

    const part = mixed([[type(kind)], 'hello'])
    const mails: Readonly<Record<string, Buffer>> = {
      'in a part': mixed([[type(kind)], text]),
      'in base64': mixed([[type(kind), 'Content-Transfer-Encoding: base64'], base64(Buffer.from(text))]),
      'in front of the parts': raw(part.toString('latin1').replace('\r\n\r\n', `\r\n\r\n${text}`)),
      'behind the parts': raw(part, text),
    }
    for (const [where, mail] of Object.entries(mails)) {
      // clamd decodes the addresses in a page, and scans what is in them.
      const isPlain = kind === 'data address' && !where.includes('the parts')
      const { oddity } = plainCheck(mail)
      assert.equal(oddity === null, isPlain, `${where}: ${oddity}`)
    }
  })
}

test('a text that is called uuencode has a name with any mode', async () => {
  const mail = mixed([
    ['Content-Type: text/plain', 'Content-Transfer-Encoding: x-uuencode'],
    lines('begin 6 evil.exe', '#86)C', '`', 'end'),
  ])
  assert.equal((await inspected(mail)).denied?.mask, '*.exe')
})
