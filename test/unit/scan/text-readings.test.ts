// A text in charsets in which ASCII is not what it looks like: named, marked, or guessed.
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { Budget } from '../../../lib/mime/budget'
import { defaultReadingLimits } from '../../../lib/scan/readings/limits'
import { textReadings } from '../../../lib/scan/readings/text-readings'

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
  assert.deepEqual(await readings(Buffer.from('85a785', 'hex'), 'charset=IBM-037'), ['ibm-037: exe'])
  assert.deepEqual(await readings(Buffer.from('85a785', 'hex'), 'charset = x-EBCDIC'), ['x-ebcdic: exe'])
})

test('flowed lines are joined', async () => {
  const head = 'Content-Type: text/plain; format=flowed'
  assert.deepEqual(await readings(Buffer.from('a \r\nb \nc\r\nd'), head), ['flowed: abc\r\nd'])
})
