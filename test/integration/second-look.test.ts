// Every reading of a message is scanned: mails by chance from odd forms, through the scanner and a real clamd. Whatever a
// mail reader opens in one is never called clean, and the same mail without a virus is not held back.
import assert from 'node:assert/strict'
import { randomBytes } from 'node:crypto'
import { after, before, test } from 'node:test'
import type { Scope } from '../../lib/scan/second-look'
import { type RealClamd, skipWithoutClamd, startClamd } from '../support/clamd/clamd'
import { BufferMessage, Scanning, type ScanningOptions } from '../support/clamd/scanning'
import { eicar } from '../support/eicar'
import { judge } from '../support/smtp/judges'
import { clean, eicarAttachment } from '../support/smtp/mails'
import { oddMails } from '../support/smtp/odd-mails'
import { ordinaryMails } from '../support/smtp/ordinary-mails'

const skip = skipWithoutClamd()
const seed = Number(process.env.FUZZ_SEED ?? 11)
const virus = Buffer.from(eicar())
const harmless = Buffer.from(eicar().replace('EICAR', 'RACIE'))

let clamd: RealClamd
before(async () => {
  if (skip === false) clamd = await startClamd()
})
after(() => (skip === false ? clamd.stop() : undefined))

function scanningBy(options: ScanningOptions = {}): Scanning {
  const address = { host: clamd.host, port: clamd.port }
  return new Scanning([address], { protocol: 'instream', sessions: true, scope: 'auto', ...options })
}

for (const scope of ['auto', 'parts'] as const) {
  test(`scan=${scope}: what a reader opens in an odd mail is found`, { skip }, async () => {
    const scanning = scanningBy({ scope })
    // So that it is taken apart where it is plain.
    const payload = scope === 'parts' ? Buffer.concat([virus, randomBytes(48 * 1024)]) : virus
    let readOtherwise = 0
    for (const odd of oddMails(seed, scope === 'parts' ? 60 : 120)) {
      const mail = odd.carrying(payload)
      const verdict = await scanning.scan(mail)
      if (verdict.outcome === 'infected') {
        if (verdict.part !== null) readOtherwise++
        continue
      }
      if (verdict.outcome === 'clean') assert.deepEqual(await judge(mail, virus), [], odd.toString())
    }
    assert.ok(readOtherwise > 10, `${readOtherwise} found in a reading only`)
    assert.ok(scanning.open <= 1, 'one session is kept')
  })
}

test('the same mails without a virus are clean, or only closed', { skip }, async () => {
  const scanning = scanningBy()
  for (const odd of oddMails(seed, 60)) {
    const verdict = await scanning.scan(odd.carrying(harmless))
    assert.notEqual(verdict.outcome, 'infected', odd.toString())
    assert.ok(
      verdict.outcome === 'clean' || (verdict.outcome === 'unscanned' && verdict.reason !== 'error'),
      odd.toString(),
    )
  }
})

test('ordinary mail is clean, and nearly all of it in one look', { skip }, async () => {
  const scanning = scanningBy()
  let looked = 0
  for (const mail of ordinaryMails) {
    const verdict = await scanning.scan(await mail.bytes())
    assert.ok(
      verdict.outcome === 'clean' || ('reason' in verdict && verdict.reason === 'encrypted'),
      mail.name,
    )
    if (verdict.readings > 0) looked++
  }
  assert.ok(looked < ordinaryMails.length / 4, `${looked} of ${ordinaryMails.length} are not plain`)
})

test(
  'a plain message is one scan, all sends its parts as well, and message nothing else',
  { skip },
  async () => {
    const readings = async (scope: Scope, mail: Buffer) => (await scanningBy({ scope }).scan(mail)).readings
    assert.equal(await readings('auto', clean()), 0)
    assert.equal(await readings('message', clean()), 0)
    assert.ok((await readings('all', clean())) > 0)
  },
)

const signed = (part: string) =>
  Buffer.from(
    [
      'From: a@example.com',
      'MIME-Version: 1.0',
      'Content-Type: multipart/signed; boundary=b',
      '',
      '--b',
      'Content-Type: text/plain',
      '',
      'harmless',
      '--b',
      'Content-Type: application/octet-stream',
      'Content-Transfer-Encoding: base64',
      '',
      Buffer.from(part).toString('base64'),
      '--b--',
      '',
    ].join('\r\n'),
  )

test(
  'a message whose beginning shows that it needs readings is read from Haraka once',
  { skip },
  async () => {
    const text = 'a line of text\r\n'.repeat(20_000)
    const scanning = scanningBy()
    const odd = new BufferMessage(signed(text))
    assert.ok((await scanning.scan(odd)).readings > 0)
    assert.equal(odd.readings, 1)
    const later = new BufferMessage(Buffer.concat([clean(), Buffer.from(`${text}a bare\rCR\r\n`)]))
    assert.ok((await scanning.scan(later)).readings > 0)
    assert.equal(later.readings, 2)
  },
)

for (const sessions of [true, false]) {
  test(
    `a virus in a part names the part, ${sessions ? 'in a session' : 'on connections'}`,
    { skip },
    async () => {
      const verdict = await scanningBy({ sessions }).scan(signed(eicar()))
      assert.equal(verdict.outcome, 'infected')
      assert.match(verdict.part ?? '', /^part 2 \(base64\)$/)
      assert.equal(verdict.oddity, 'multipart/signed')
      assert.ok(verdict.parts >= 3 && verdict.readings >= 1)
    },
  )
}

test('what clamd finds in the whole message needs no second look', { skip }, async () => {
  const verdict = await scanningBy().scan(eicarAttachment())
  assert.equal(verdict.outcome, 'infected')
  assert.equal(verdict.readings, 0)
})
