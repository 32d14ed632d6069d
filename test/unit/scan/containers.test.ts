// What a program opens that is not told by MIME: each container of the odd mails, and what lies in it among the contents.
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { contentsOf } from '../../support/readings'
import { OddMail } from '../../support/smtp/odd-mails'
import { containers } from '../../support/smtp/odd-mails/containers'
import { ordinaryLeaf, ordinaryMail, ordinaryMultipart } from '../../support/smtp/odd-mails/spec'

const payload = Buffer.from('The-Payload, which is: 68 bytes long + stands for (a) virus! {x}\\%$@')

for (const container of Object.keys(containers)) {
  test(`opened: ${container}`, async () => {
    const part = { ...ordinaryLeaf, container }
    const mail = new OddMail({ ...ordinaryMail, root: { ...ordinaryMultipart, part } }).carrying(payload)
    const { contents, summary } = await contentsOf(mail)
    assert.ok(contents.some(({ bytes }) => bytes.includes(payload)))
    assert.equal(summary.incompleteBecause, null)
  })
}
