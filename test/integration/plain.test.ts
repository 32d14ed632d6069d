// Of a plain mail clamd reads all that carries something: if it says OK to one with the test virus, the grammar is too wide.
import assert from 'node:assert/strict'
import { after, before, suite, test } from 'node:test'
import { receivedLine } from '../../lib/clamd/protocol'
import { type RealClamd, skipWithoutClamd, startClamd } from '../support/clamd/clamd'
import { eicar, phishingMarker } from '../support/eicar'
import { plainCheck } from '../support/readings'
import { judge } from '../support/smtp/judges'
import { type OddMail, oddMails, singleForms } from '../support/smtp/odd-mails'
import { ordinaryMails } from '../support/smtp/ordinary-mails'

const virus = Buffer.from(eicar())

suite('plain mail', { skip: skipWithoutClamd() }, () => {
  let clamd: RealClamd
  before(async () => (clamd = await startClamd()))
  after(() => clamd.stop())

  const isFound = async (mail: Buffer) =>
    (await clamd.scan(Buffer.concat([receivedLine, mail]))).endsWith(' FOUND')

  /** @returns how many are plain */
  async function check(mails: readonly OddMail[]): Promise<number> {
    let plain = 0
    for (const odd of mails) {
      const mail = odd.carrying(virus)
      if (plainCheck(mail).oddity !== null) continue
      plain++
      // What no reader opens either is not in the mail.
      if (!(await isFound(mail))) assert.deepEqual(await judge(mail, virus), [], odd.toString())
    }
    return plain
  }

  test('every odd form by itself', async () => {
    assert.ok((await check(singleForms())) > 200)
  })

  test('odd mails by chance', async () => {
    assert.ok((await check(oddMails(20_261_130, 1500))) > 150)
  })

  test('every place of ordinary mails that are plain', async () => {
    const marker = Buffer.from(phishingMarker.text)
    for (const ordinary of ordinaryMails) {
      if (plainCheck(await ordinary.bytes()).oddity !== null) continue
      for (const place of await ordinary.places()) {
        assert.ok(await isFound(await ordinary.carrying(marker, place)), `${ordinary.name}: ${place}`)
      }
    }
  })
})

/** Those of which clamd does not read everything, or of which only some programs do. */
const notPlain: Readonly<Record<string, string>> = {
  'format=flowed and delsp by Apple Mail': 'delsp',
  'an invitation by Google': 'delsp',
  'a file as the whole mail, a semicolon behind its name': 'Content-Disposition',
  'winmail.dat by Outlook': 'application/ms-tnef',
  'form data by a web form': 'multipart/form-data',
  'a digest of a list': 'multipart/digest',
  'a digest without types': 'multipart/digest',
  'encrypted by PGP': 'multipart/encrypted',
  'encrypted by S/MIME': 'application/pkcs7-mime',
}

test('ordinary mails are plain, but for those of a few kinds', async () => {
  for (const mail of ordinaryMails) {
    const { oddity } = plainCheck(await mail.bytes())
    if (oddity === 'multipart/signed') continue
    assert.equal(oddity, notPlain[mail.name] ?? null, mail.name)
  }
})
