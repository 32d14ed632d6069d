// Long content is looked through in pieces, with a look at the clock between them. Nothing is timed here: the looks are
// counted, and what loops without one is seen whatever machine it runs on. How long turns take: test/readings/turns.ts.
import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import { Budget, OverBudget, turnMs } from '../../../lib/mime/budget'
import { cmsContent } from '../../../lib/mime/containers/cms'
import { textFiles } from '../../../lib/mime/containers/text-files'
import { decodingsOf } from '../../../lib/mime/lenient-decodings'
import { decodedPieces } from '../../../lib/mime/pieces'
import { stretchesOf } from '../../../lib/mime/stretches'
import { decoderOf } from '../../../lib/mime/transfer-encodings'
import { uudecoded } from '../../../lib/mime/uuencode'
import { bodiesIn } from '../../../lib/scan/readings/bodies'
import { isEncryptedOle } from '../../../lib/scan/readings/closed-ole'
import { isEncryptedPdf } from '../../../lib/scan/readings/closed-pdf'
import { defaultReadingLimits } from '../../../lib/scan/readings/limits'
import { lineEndVariants } from '../../../lib/scan/readings/line-ends'
import { textReadings } from '../../../lib/scan/readings/text-readings'
import { encryptedPdfs } from '../../support/encrypted-pdfs'
import { contentsOf } from '../../support/readings'
import { inspected } from '../../support/smtp/attachment-mails'
import { hostileMails } from '../../support/smtp/hostile-mails'

const never = new AbortController().signal

/** Counts the looks at the clock, which stands still. */
class Looks extends Budget {
  count = 0
  constructor() {
    super(defaultReadingLimits, never, () => 0)
  }
  override breathe(): Promise<void> {
    this.count++
    return super.breathe()
  }
  override get isTurnOver(): boolean {
    this.count++
    return false
  }
}

const filledBytes = 512 * 1024
/** Bytes of content between two looks, on average: a hundredth of a second at the worst. */
const maxBytesPerLook = 128 * 1024

async function all(items: AsyncIterable<unknown>): Promise<void> {
  const iterator = items[Symbol.asyncIterator]()
  while (!(await iterator.next()).done);
}

const filled = (unit: string, start = '') =>
  Buffer.concat([Buffer.from(start, 'latin1'), Buffer.alloc(filledBytes, unit, 'latin1')])

type Work = readonly [name: string, bytes: Buffer, work: (bytes: Buffer, budget: Budget) => Promise<unknown>]

const files = (name: string, unit: string, start = ''): Work => [
  `files: ${name}`,
  filled(unit, start),
  (bytes, budget) => all(textFiles(bytes, budget)),
]
const variants = (unit: string): Work => [
  `line ends: ${JSON.stringify(unit)}`,
  filled(unit),
  (bytes, budget) => all(lineEndVariants(bytes, budget)),
]
const texts = (head: string, unit: string): Work => [
  `texts: ${head}`,
  filled(unit),
  (bytes, budget) => all(textReadings(bytes, head, budget)),
]
const decodings = (unit: string): Work => [
  `decodings: ${JSON.stringify(unit)}`,
  filled(unit),
  (bytes, budget) => all(decodingsOf('content-transfer-encoding: quoted-printable;\n', bytes, budget)),
]
/** Signed data: all lengths are indefinite. */
const cmsStart = Buffer.from('308006092a864886f70d010702a0803080020101310030800609', 'hex').toString('latin1')
const cms = (name: string, unit: string): Work => [
  `CMS: ${name}`,
  filled(
    Buffer.from(unit, 'hex').toString('latin1'),
    `${cmsStart}\x2a\x86\x48\x86\xf7\x0d\x01\x07\x01\xa0\x80\x24\x80`,
  ),
  cmsContent,
]

const works: readonly Work[] = [
  variants('a\0b\rc\r\n'),
  variants('abc\r\n'),
  variants('\r'),
  texts('format=flowed', 'a b \r\n'),
  texts('charset=utf-16le', 'a\0'),
  texts('charset=utf-7', '+AGE-'),
  texts('charset=cp037', 'a'),
  texts('charset=iso-2022-jp', 'a\x1b(B'),
  texts('charset=hz', '~'),
  texts('', '\x1b'),
  texts('', '\xff\x1b(B\xff\xff\xff'),
  decodings('a=41\r\n'),
  decodings('=\r\r\nb'),
  decodings('='),
  ['base64', filled('QUJD'), (bytes, budget) => decodedPieces(bytes, decoderOf('base64'), budget)],
  ['lines of uuencode', filled('#86)C\n'), (bytes, budget) => uudecoded(bytes, 0, budget)],
  ['lines of nothing', filled('`\n'), (bytes, budget) => uudecoded(bytes, 0, budget)],
  ['stretches', filled('text of a mail\r\n'), (bytes, budget) => stretchesOf(bytes, 10_000, budget)],
  [
    'stretches with a boundary',
    filled('abc\n'.repeat(100), 'boundary=abc\n'),
    (bytes, budget) => stretchesOf(bytes, 10_000, budget).catch(orOver),
  ],
  files('begin lines', 'begin 644 a\r\n'),
  files('begin-base64 lines', 'begin-base64 644 a\r\n'),
  files('one base64 file', 'QUJD\r\n', 'begin-base64 644 a\r\n'),
  files('yEnc lines', '=ybegin a\r\n'),
  files('one yEnc file', 'klm\r\n', '=ybegin a\r\n'),
  files('BinHex lines', 'with BinHex\r\n:\r\n'),
  files('one BinHex file', '!N-$', 'with BinHex\r\n:'),
  files('a calendar', ' x\r\n', 'BEGIN:VCALENDAR\r\n'),
  files('entries without data', 'ENCODING=B ', 'BEGIN:VCARD\r\n'),
  files('entries on one line', 'ATTACH;ENCODING=B:QUJD;', 'BEGIN:VCARD\r\n'),
  files('entries with one colon', ';ENCODING=B', 'BEGIN:VCARD\r\nA'),
  files('quotes without end', '"', 'BEGIN:VCARD\r\nPHOTO;ENCODING=B;A='),
  files('names of files', ';FILENAME=a', 'BEGIN:VCARD\r\nATTACH'),
  files('text', 'text of a mail\r\n'),
  files('one entry', 'QUJD\r\n ', 'BEGIN:VCARD\r\nPHOTO;ENCODING=B:'),
  files('one data address', 'QUJD', 'data:;base64,'),
  files('one escaped data address', '%51', 'data:;base64,'),
  files('the word base64', 'base64 '),
  cms('pieces of one byte', '040141'),
  cms('empty pieces', '0400'),
  cms('pieces of pieces', '240304014124002400'),
  cms('open lengths', '24800401410000'),
  [
    'mentions in a PDF that opens without a password',
    Buffer.concat([
      Buffer.from(encryptedPdfs['owner-128'] ?? '', 'base64'),
      Buffer.from('\n/Encrypt 4 0 R'.repeat(60)),
      filled(' '),
    ]),
    isEncryptedPdf,
  ],
  ['marks of OLE', filled('EncryptedPackage\0'.split('').join('\0')), isEncryptedOle],
]

function orOver(error: unknown): void {
  if (!(error instanceof OverBudget)) throw error
}

describe('looks at the clock', () => {
  for (const [name, bytes, work] of works) {
    test(name, async () => {
      const looks = new Looks()
      await work(bytes, looks)
      const bytesPerLook = Math.round(bytes.length / looks.count)
      assert.ok(bytesPerLook <= maxBytesPerLook, `${bytesPerLook} bytes of ${bytes.length} at a time`)
    })
  }
})

test('runs of base64 count as places where something may begin', async () => {
  const runs = filled(`${'QUJD'.repeat(16)}\na text\n`)
  await assert.rejects(stretchesOf(runs, 100, new Looks()), /bodies may begin at more than 100 places/)
})

test('small parts: there are more looks than in long ones', async () => {
  const parts = filled('--b\r\n\r\n', 'Content-Type: multipart/mixed; boundary=b\r\n\r\n').subarray(
    0,
    100_000,
  )
  const looks = new Looks()
  await all(bodiesIn(parts, 1_000_000).bodies(looks))
  const partsPerLook = Math.round(parts.length / '--b\r\n\r\n'.length / looks.count)
  assert.ok(partsPerLook < 1000, `${partsPerLook} parts at a time`)
})

describe('hostile mails', () => {
  for (const [name, make] of Object.entries(hostileMails)) {
    test(`end, with nothing on the stack too long: ${name}`, async () => {
      const mail = make(60_000)
      const { summary } = await contentsOf(mail)
      assert.ok(summary.readings >= 0)
      const { denied } = await inspected(mail, { masks: 'type:svg content-type:none/* in:rar none.none' })
      assert.equal(denied, null)
    })
  }
})

test('a turn ends by the work since the last one, and the budget counts CPU where that is less', async () => {
  let [wall, cpu] = [0, 0]
  const budget = new Budget(
    { ...defaultReadingLimits, ms: 100 },
    never,
    () => wall,
    () => cpu,
  )
  budget.enter()
  wall += turnMs - 1
  assert.equal(budget.isTurnOver, false)
  budget.leave()
  wall += 1000
  budget.enter()
  assert.equal(budget.isTurnOver, false, 'waiting is no work')
  wall += 1
  assert.equal(budget.isTurnOver, true)
  await budget.breathe()
  assert.equal(budget.isTurnOver, false)
  wall += 1000
  cpu += 100
  await budget.breathe()
  cpu += 1
  await assert.rejects(budget.breathe(), OverBudget)
  budget.leave()
  const again = budget.restarted()
  assert.throws(() => again.checkTime(), OverBudget)
})
