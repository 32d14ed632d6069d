// Documents with a password, and those that only look as if they had one.
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { Budget } from '../../../lib/mime/budget'
import { closedIn } from '../../../lib/scan/readings/closed'
import { defaultReadingLimits } from '../../../lib/scan/readings/limits'
import { encryptedPdfs } from '../../support/encrypted-pdfs'
import { damaged, seeded } from '../../support/random'

async function closed(content: Buffer): Promise<string | null> {
  const budget = new Budget(defaultReadingLimits, new AbortController().signal)
  budget.enter()
  const { encrypted, limits } = await closedIn(content, null, budget)
  return encrypted ?? limits
}

for (const [name, text] of Object.entries(encryptedPdfs)) {
  const pdf = Buffer.from(text, 'base64')
  const isClosed = name.startsWith('user')
  test(`PDF: ${name} is ${isClosed ? 'encrypted' : 'open'}`, async () => {
    assert.equal(await closed(pdf), isClosed ? 'encrypted PDF' : null)
    const behind = Buffer.concat([Buffer.from('text in front\n'), pdf])
    assert.equal(await closed(behind), isClosed ? 'encrypted PDF' : null)
  })
}

const pdf = (text: string) => Buffer.from(`%PDF-1.4\n${text}\n%%EOF\n`, 'latin1')
const pdfs: readonly (readonly [name: string, text: string, says: string | null])[] = [
  ['the word in a text', '(about /Encrypt and /EncryptMetadata)', null],
  ['a certificate', 'trailer << /Encrypt << /Filter /Adobe.PubSec /V 4 >> >>', 'encrypted PDF'],
  ['an object that is not there', 'trailer << /Encrypt 7 0 R >>', 'encrypted PDF'],
  ['a number that ends alike', '17 0 obj << >> endobj trailer << /Encrypt 7 0 R >>', 'encrypted PDF'],
]
for (const [name, text, says] of pdfs) {
  test(`PDF: ${name}`, async () => assert.equal(await closed(pdf(text)), says))
}

test('PDF: whatever is damaged ends in an answer', async () => {
  const random = seeded(1)
  const words = ['/Encrypt', '/U (', '/O <', '<<', '(', '\\', '/R 6', '7 0 R'].map((word) =>
    Buffer.from(word),
  )
  for (const text of Object.values(encryptedPdfs)) {
    for (let count = 0; count < 50; count++) await closed(damaged(Buffer.from(text, 'base64'), random, words))
  }
})

/** A compound file, as far as it matters: its mark, and a stream at a sector. */
function ole(stream: string, at = 1024): Buffer {
  const content = Buffer.alloc(4096)
  content.write('d0cf11e0a1b11ae1', 'hex')
  content.write(stream, at, 'hex')
  return content
}

const wordStart = (flags: string) => `eca5c1000000000000 00${flags}`.replaceAll(' ', '')
const oles: readonly (readonly [name: string, content: Buffer, isEncrypted: boolean])[] = [
  ['Word', ole(wordStart('0013')), true],
  ['Word without a password', ole(wordStart('0012')), false],
  ['Word, the same bytes within a sector', ole(wordStart('0013'), 1100), false],
  ['Excel', ole(`0908100000060500${'00'.repeat(12)}2f003600`), true],
  ['Excel, small', ole(`0908100000060500${'00'.repeat(12)}2f003600`, 1088), true],
  ['Excel, protected from changes as well', ole(`0908100000060500${'00'.repeat(12)}860000002f003600`), true],
  ['Excel 95', ole(`0908080000050500${'00'.repeat(4)}2f000400`), true],
  ['Excel without a password', ole(`0908100000060500${'00'.repeat(12)}e1000200`), false],
  ['PowerPoint', ole('0000f60f1c00000014000000dfc4d1f3'), true],
  ['PowerPoint without a password', ole('0000f60f1c000000140000005fc091e3'), false],
]
for (const [name, content, isEncrypted] of oles) {
  test(`until 2003: ${name}`, async () => {
    assert.equal(await closed(content), isEncrypted ? 'encrypted Office document' : null)
  })
}
