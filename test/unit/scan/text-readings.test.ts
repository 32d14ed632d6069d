// A text in charsets in which ASCII is not what it looks like: named, marked, or guessed.
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { Budget } from '../../../lib/mime/budget'
import { textFormsIn } from '../../../lib/mime/charset-names'
import { defaultReadingLimits } from '../../../lib/scan/readings/limits'
import { textReadings } from '../../../lib/scan/readings/text-readings'
import { seeded } from '../../support/random'

const text = 'begin 644 evil.exe'

async function readings(bytes: Buffer, head = ''): Promise<string[]> {
  const budget = new Budget(defaultReadingLimits, new AbortController().signal)
  budget.enter()
  const found: string[] = []
  for await (const { how, bytes: shown } of textReadings(bytes, head, budget))
    found.push(`${how}: ${shown.toString()}`)
  return found
}

const utf16le = Buffer.from(text, 'utf16le')
const utf16be = Buffer.from(utf16le).swap16()
const utf32le = Buffer.from(Array.from(text).flatMap((one) => [one.charCodeAt(0), 0, 0, 0]))
const utf32be = Buffer.from(utf32le).swap32()
const wide = { 'utf-16le': utf16le, 'utf-16be': utf16be, 'utf-32le': utf32le, 'utf-32be': utf32be }
const marks = { 'utf-16le': 'fffe', 'utf-16be': 'feff', 'utf-32le': 'fffe0000', 'utf-32be': '0000feff' }

for (const [charset, bytes] of Object.entries(wide)) {
  test(`${charset}: guessed, marked, and named`, async () => {
    assert.deepEqual(await readings(bytes), [`${charset}: ${text}`])
    const mark = Buffer.from(marks[charset as keyof typeof marks], 'hex')
    const [first = ''] = await readings(Buffer.concat([mark, bytes]))
    assert.ok(first.startsWith(`${charset}: `) && first.endsWith(text))
    const named = await readings(bytes.subarray(0, 12), `Content-Type: text/plain; charset="${charset}"`)
    assert.equal(named[0], `${charset}: ${text.slice(0, 12 / (charset.includes('16') ? 2 : 4))}`)
  })
}

test('a charset without an order of bytes is read in both', async () => {
  const [little, big] = await readings(utf16be.subarray(0, 8), 'Content-Type: text/plain; charset=UTF-16')
  assert.ok(little?.startsWith('utf-16le: '))
  assert.equal(big, 'utf-16be: begi')
})

test('plain text has no other reading, nor has one with a NUL here and there', async () => {
  assert.deepEqual(await readings(Buffer.from(text), 'Content-Type: text/plain; charset=utf-8'), [])
  assert.deepEqual(await readings(Buffer.from(`${text}\0${text}\0`)), [])
  assert.deepEqual(await readings(Buffer.from('a\0b\0')), [])
})

test('UTF-7 and EBCDIC, by their names', async () => {
  assert.deepEqual(await readings(Buffer.from('a+AOk-'), 'charset=utf-7'), ['utf-7: aé'])
  assert.deepEqual(await readings(Buffer.from('85a785', 'hex'), 'charset=IBM-037'), ['ebcdic: exe'])
  assert.deepEqual(await readings(Buffer.from('85a785', 'hex'), 'charset = x-EBCDIC'), ['ebcdic: exe'])
})

const names: Readonly<Record<string, readonly string[]>> = {
  'utf-7': [
    ...[
      'utf7',
      'UTF_7',
      'u7',
      'unicode-1-1-utf-7',
      'unicode-2-0-utf-7',
      'csUnicode11UTF7',
      'csUTF7',
      'x-utf-7',
    ],
    ...[
      'cp65000',
      'windows-65000',
      '"utf\\-7"',
      'utf-7 (a comment)',
      '(a comment) utf-7',
      '\n utf-7',
      'utf-7,x',
    ],
    ...['=?us-ascii?q?utf-7?='],
  ],
  'utf-7-imap': ['utf-7-imap', 'x-imap-utf-7'],
  'utf-16le utf-16be': ['utf_16', 'u16', 'UCS-2', 'ISO-10646-UCS-2', 'csUnicode', 'unicode'],
  'utf-16le': ['utf-16le', 'UTF_16LE', 'ucs-2le', 'UnicodeLittle', 'cp1200'],
  'utf-16be': ['utf16-be', 'x-UTF-16BE', 'UnicodeBigEndian', '1201'],
  'utf-32le utf-32be': ['utf32', 'u32', 'UCS-4', 'ISO-10646-UCS-4', 'csUCS4'],
  'utf-32be': ['UTF-32BE', 'cp12001'],
  'utf-16le utf-16be utf-32le utf-32be': ['ISO-10646'],
  ebcdic: [
    ...[
      '500',
      '037',
      '00500',
      'cp037',
      'CP-500',
      'ebcdic-cp-us',
      'csIBM037',
      'ibm1047',
      'IBM-1047',
      'x-ibm-thai',
    ],
    ...['EBCDIC-INT', 'ccsid273'],
  ],
  'iso-2022': ['ISO-2022-JP', 'iso-2022-jp-2', 'csISO2022KR', 'iso2022_cn', 'JIS', 'cp50221'],
  hz: ['HZ-GB-2312', 'hz', 'cp52936'],
  '': [
    ...[
      'utf-8',
      'cp65001',
      'us-ascii',
      'iso-8859-1',
      'windows-1252',
      'cp1252',
      'cp437',
      '850',
      'koi8-r',
      'big5',
    ],
    ...['gb2312', 'shift_jis', 'euc-jp', 'macintosh', 'x-none', ''],
  ],
}

for (const [forms, written] of Object.entries(names)) {
  test(`charsets: ${forms || 'none'}`, () => {
    for (const name of written)
      assert.equal([...textFormsIn(`Content-Type: text/plain; charset=${name}; x=y`)].join(' '), forms, name)
  })
}

const parameters: readonly (readonly [parameters: string, forms: string])[] = [
  ["charset*=us-ascii''utf-7", 'utf-7'],
  ["charset*=us-ascii'en'%75tf%2D7", 'utf-7'],
  ["charset*=us-ascii''037", 'ebcdic'],
  ['charset*0=ut; charset*1=f-7', 'utf-7'],
  ['charset*1=f-7; x=y; charset*0="ut"', 'utf-7'],
  ["charset*0*=us-ascii''u%74; charset*1=f-7", 'utf-7'],
  ['charset=us-ascii; CHARSET=utf-7', 'utf-7'],
  ['charset="utf-7', 'utf-7'],
  [`charset${' '.repeat(300)}=${' '.repeat(300)}utf-7`, 'utf-7'],
  ['charset=us-ascii (not unicode)', ''],
  ['charset=us-ascii', ''],
]
for (const [text, forms] of parameters) {
  test(`a charset as ${text}`, () =>
    assert.equal([...textFormsIn(`Content-Type: text/plain; ${text}`)].join(' '), forms))
}

test('UTF-7 of IMAP has a decoder of its own', async () => {
  assert.deepEqual(await readings(Buffer.from('a&AOk-'), 'charset=utf-7-imap'), ['utf-7-imap: aé'])
})

const escaped: readonly (readonly [text: string, head: string, shown: string[]])[] = [
  ['X5O\x1b(B!P%', 'charset=iso-2022-jp', ['iso-2022: X5O!P%']],
  ['X5O\x1b$B\x1b(J!P\x1b$(D\x1b(B%', 'charset=utf-8', ['iso-2022: X5O!P%']],
  ['\x1b$)CX5O\x0e\x0f!P%', '', ['iso-2022: X5O!P%']],
  ['X5O\x0e\x0f!P%', 'charset=iso-2022-kr', ['iso-2022: X5O!P%']],
  ['X5O\x1b-A!\x1b.F\x1bNP\x1bo%', '', ['iso-2022: X5O!P%']],
  ['X5O~{~}!~\nP~~%~', 'charset=hz-gb-2312', ['hz: X5O!P~%~']],
  ['X5O~{~}!P%', 'charset=utf-8', []],
  ['\x1b[31mred\x1b[0m', '', []],
]
for (const [bytes, head, shown] of escaped) {
  test(`escape sequences: ${JSON.stringify(bytes)} ${head}`, async () =>
    assert.deepEqual(await readings(Buffer.from(bytes, 'latin1'), head), shown))
}

test('an escape sequence across two pieces is left out, and of tildes each second one', async () => {
  for (let shift = 0; shift < 5; shift++) {
    const front = 'x'.repeat(64 * 1024 - shift)
    const [shown] = await readings(Buffer.from(`${front}\x1b$(D!`), '')
    assert.equal(shown, `iso-2022: ${front}!`)
    const tildes = await readings(Buffer.from(`${front}~~~~~{!`), 'charset=hz')
    assert.deepEqual(tildes, [`hz: ${front}~~!`])
  }
})

test('files that are no text have escape sequences by chance', async () => {
  const random = seeded(3)
  const bytes = Buffer.from(Array.from({ length: 400_000 }, () => random(256)))
  assert.ok(bytes.includes('\x1b(B'.slice(0, 2)))
  assert.deepEqual(await readings(bytes), [])
})

test('flowed lines are joined', async () => {
  const head = 'Content-Type: text/plain; format=flowed'
  assert.deepEqual(await readings(Buffer.from('a \r\nb \nc\r\nd'), head), ['flowed: abc\r\nd'])
})
