// What a mail reader opens in an odd mail is among the contents that are scanned, or the mail is plain: then clamd reads it
// as all do, which test/integration/plain.test.ts holds. Limits are no excuse, unless they are told.
import assert from 'node:assert/strict'
import { test } from 'node:test'
import * as fc from 'fast-check'
import { contentsOf, plainCheck } from '../support/readings'
import { judge } from '../support/smtp/judges'
import { type OddMail, oddMail, singleForms } from '../support/smtp/odd-mails'
import { mutated, type Mutation, mutations } from '../support/smtp/odd-mails/mutations'
import { fuzz } from './chance'

const payload = Buffer.from('The-Payload, which is: 68 bytes long + stands for (a) virus! {x}\\%$@')

async function holds(odd: OddMail, changes: readonly Mutation[] = []): Promise<void> {
  const mail = mutated(odd.carrying(payload), changes)
  if (plainCheck(mail).oddity !== null && !(await isFound(mail))) {
    assert.deepEqual(await judge(mail, payload), [], `${odd.toString()} ${JSON.stringify(changes)}`)
  }
}

async function isFound(mail: Buffer): Promise<boolean> {
  const { contents, summary } = await contentsOf(mail)
  return summary.incompleteBecause !== null || contents.some(({ bytes }) => bytes.includes(payload))
}

test('every form by itself', async () => {
  for (const odd of singleForms()) await holds(odd)
})

fuzz(
  'forms by chance',
  0.1,
  fc.asyncProperty(oddMail, (odd) => holds(odd)),
)

fuzz('forms by chance, with small changes', 0.1, fc.asyncProperty(oddMail, mutations, holds))
