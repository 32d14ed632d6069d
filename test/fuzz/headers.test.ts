// Forged verdict headers in every disguise, among others: after stripping no reader of mail finds one, and the others
// are as they were. Read by Haraka itself, by mailparser, and by a reader as lenient as they come.
import assert from 'node:assert/strict'
import { createRequire } from 'node:module'
import * as fc from 'fast-check'
import { simpleParser } from 'mailparser'
import { type Headed, infectedName, removeForged, statusName } from '../../lib/haraka/headers'
import { fuzz } from './chance'

interface HarakaTransaction extends Headed {
  readonly header: Headed['header'] & { get(name: string): string }
  readonly message_stream: Headed['message_stream'] & {
    get_data(options: object, done: (message: Buffer) => void): void
  }
  add_data(line: Buffer): void
  end_data(done: () => void): void
}
const haraka = createRequire(__filename)('Haraka/transaction') as { createTransaction(): HarakaTransaction }

/** What may stand between, in front of or behind the characters of a name without making it another for everybody. */
const noise = fc.constantFrom(
  '',
  '',
  '',
  '',
  '\0',
  '\t',
  ' ',
  '\x0b',
  '\x0c',
  '\x7f',
  '\xa0',
  '\xe9',
  '\r\n ',
  '\r\n\t',
  '\r',
)
const disguised = fc
  .record({
    name: fc.constantFrom(infectedName, statusName),
    isUpper: fc.array(fc.boolean(), { minLength: 1, maxLength: 8 }),
    inside: fc.nat(18),
    middle: noise,
    front: fc.constantFrom('', '', '', ' ', '\t', '\0', '\xef\xbb\xbf', '\r\n', '.'),
    behind: fc.array(noise, { maxLength: 3 }),
    fold: fc.constantFrom('', ' ', '\r\n ', '\r\n\t', '\r\n \r\n '),
    value: fc.constantFrom('false', 'true', 'clean', '', 'x'.repeat(900)),
  })
  .map(({ name, isUpper, inside, middle, front, behind, fold, value }) => {
    const cased = Array.from(name)
      .map((c, i) => (isUpper[i % isUpper.length] ? c.toUpperCase() : c.toLowerCase()))
      .join('')
    const spelled = cased.slice(0, inside) + middle + cased.slice(inside)
    return `${front}${spelled}${behind.join('')}:${fold}${value}`
  })
const harmless = fc.constantFrom(
  'Subject: one',
  'X-MessageIsInfectedNot: false',
  'Not-X-Virus-Status: clean',
  'X-Folded: a\r\n X-MessageIsInfected: false',
  'Received: by here;\r\n\tMon, 02 Jan 2023 10:00:00 +0000',
  'Subject: X-Virus-Status: clean',
  'X-Eight: \xc3\xa9',
  'Content-Type: text/plain',
)
const garbage = fc.constantFrom(
  'no header at all',
  'From me Mon Jan 2 2023',
  ': nameless',
  ' \t',
  '__proto__: x',
  '=',
)

const section = fc.array(
  fc.oneof(
    { weight: 4, arbitrary: disguised.map((text) => ({ kind: 'forged' as const, text })) },
    { weight: 4, arbitrary: harmless.map((text) => ({ kind: 'harmless' as const, text })) },
    { weight: 1, arbitrary: garbage.map((text) => ({ kind: 'garbage' as const, text })) },
  ),
  { maxLength: 8 },
)

function received(raw: Buffer): HarakaTransaction {
  const transaction = haraka.createTransaction()
  for (let from = 0; from < raw.length;) {
    const to = raw.indexOf('\n', from) + 1 || raw.length
    transaction.add_data(Buffer.from(raw.subarray(from, to)))
    from = to
  }
  transaction.end_data(() => undefined)
  return transaction
}

const isOurs = (name: string) =>
  [infectedName, statusName].some(
    (ours) => name.replace(/[^\x21-\x7e]/g, '').toLowerCase() === ours.toLowerCase(),
  )

/** Splits where any program might: at every CR, LF or both. */
function lenientNames(head: string): string[] {
  const lines = head.replace(/(?:\r\n|\r|\n)[ \t]+/g, ' ').split(/\r\n|\r|\n/)
  return lines.flatMap((line) => (line.includes(':') ? [line.slice(0, line.indexOf(':'))] : []))
}

// Haraka says of every such line that it does not look right.
console.log = () => undefined

fuzz(
  'no reader finds a forged header, and the others stay',
  0.2,
  fc.asyncProperty(section, fc.boolean(), async (headers, hasEnd) => {
    const raw = Buffer.from(
      `${headers.map(({ text }) => `${text}\r\n`).join('')}${hasEnd ? '\r\n' : ''}body of it\r\n`,
      'latin1',
    )
    const transaction = received(raw)
    const before = [...transaction.header.header_list]
    removeForged(transaction, true)
    const message = await new Promise<Buffer>((resolve) => transaction.message_stream.get_data({}, resolve))

    for (const name of [infectedName, statusName]) assert.equal(transaction.header.get(name), '')
    const { headerLines } = await simpleParser(message, { skipHtmlToText: true, skipTextToHtml: true })
    for (const { line } of headerLines) assert.ok(!isOurs(line.split(':', 1)[0] ?? ''), `mailparser: ${line}`)
    const [head = ''] = `\r\n${message.toString('latin1')}`.split('\r\n\r\n', 1)
    for (const name of lenientNames(head)) assert.ok(!isOurs(name), `a lenient reader: ${name}`)

    const kept = before.filter(
      (line) => !isOurs(line.includes(':') ? line.slice(0, line.indexOf(':')) : line),
    )
    if (kept.length > 0) assert.deepEqual([...transaction.header.header_list], kept)
  }),
)
