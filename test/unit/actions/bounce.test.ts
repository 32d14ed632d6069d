// The report about a refused message, parsed by a library that is not ours, and who may have one.
import assert from 'node:assert/strict'
import { test } from 'node:test'
import constants from 'haraka-constants'
import { simpleParser } from 'mailparser'
import { type BounceContext, type BounceSettings, composeReport } from '../../../lib/actions/bounce'
import { sendFromNull } from '../../../lib/actions/own-mail'
import { Invalid } from '../../../lib/base/invalid'
import { mailbox } from '../../../lib/config/value-types'
import type { Connection, Outbound, Transaction } from '../../../lib/haraka/types'
import { isAutomatic, senderOf } from '../../../lib/plugin/message-facts'
import { noReadings } from '../../../lib/policy/verdict'

const settings: BounceSettings = {
  from: { name: 'Mail system', address: 'MAILER-DAEMON@(me)' },
  notice: 'Warning: Grüße, this was not delivered.',
  include: 'headers',
  limit: { count: 2, perMs: 1000 },
}
const refused: BounceContext = {
  me: 'mx.example.com',
  sender: 'bob@example.com',
  recipients: ['ann@example.org', 'eve@example.net'],
  arrived: new Date(Date.UTC(2026, 0, 2, 3, 4, 5)),
  headers: ['Received: from x\n\tby y\n', 'Subject: =?utf-8?q?=C3=9Cber?= uns\n', 'X-Raw: grün\n'],
  messageId: '<1@example.com>',
  subject: 'Über uns',
  answer: { code: 550, subject: 7, detail: 1, text: 'Message is infected with Eicar' },
  verdict: {
    outcome: 'infected',
    virus: 'Eicar',
    clamd: '127.0.0.1:3310',
    engine: null,
    protocol: 'stream',
    bytes: 1,
    ms: 1,
    ...noReadings,
  },
}

test('a server whose name is not ASCII is named as DNS has it', async () => {
  const report = await composeReport(settings, { ...refused, me: 'bücher.example' })
  assert.match(report, /^Reporting-MTA: dns; xn--bcher-kva\.example\r$/m)
})

test('it is an RFC 3464 report that people and programs can read', async () => {
  const report = await composeReport(settings, refused)
  assert.match(report, /\r\n$/)
  assert.ok(
    Buffer.from(report, 'latin1').every((byte) => byte < 128),
    '7-bit',
  )
  assert.ok(report.split('\r\n').every((line) => line.length <= 998 && !line.includes('\n')))
  const mail = await simpleParser(report, { keepDeliveryStatus: true })
  assert.equal(mail.from?.text, '"Mail system" <MAILER-DAEMON@mx.example.com>')
  assert.equal(mail.subject, 'Undelivered: Über uns')
  assert.equal(mail.headers.get('auto-submitted'), 'auto-replied')
  assert.equal(mail.inReplyTo, '<1@example.com>')
  assert.ok(mail.date && mail.messageId)
  const type = mail.headers.get('content-type') as { value: string; params: Record<string, string> }
  assert.deepEqual([type.value, type.params['report-type']], ['multipart/report', 'delivery-status'])
  assert.match(mail.text ?? '', /Grüße[\s\S]*Über uns[\s\S]*ann@example.org, eve@example.net[\s\S]*Eicar/)
  const status = mail.attachments.find(({ contentType }) => contentType === 'message/delivery-status')
  const groups = (status?.content.toString() ?? '').trim().split(/\r?\n\r?\n/)
  assert.equal(groups.length, 3)
  assert.match(
    groups[0] ?? '',
    /^Reporting-MTA: dns; mx\.example\.com\r?\nArrival-Date: Fri, 02 Jan 2026 03:04:05 \+0000$/,
  )
  assert.match(
    groups[2] ?? '',
    /^Final-Recipient: rfc822; eve@example\.net\r?\nAction: failed\r?\nStatus: 5\.7\.1\r?\nDiagnostic-Code: smtp; 550 5\.7\.1 /,
  )
  const headers = mail.attachments.find(({ contentType }) => contentType === 'text/rfc822-headers')
  assert.equal(
    headers?.content.toString(),
    'Received: from x\r\n\tby y\r\nSubject: =?utf-8?q?=C3=9Cber?= uns\r\nX-Raw: grün\r\n',
  )
})

test('include=none sends no header back', async () => {
  const mail = await simpleParser(await composeReport({ ...settings, include: 'none' }, refused), {
    keepDeliveryStatus: true,
  })
  assert.deepEqual(
    mail.attachments.map(({ contentType }) => contentType),
    ['message/delivery-status'],
  )
})

test('a long header section is cut with a note', async () => {
  const headers = Array.from({ length: 4000 }, (_, n) => `X-Long-${n}: ${'x'.repeat(40)}\n`)
  const report = await composeReport(settings, { ...refused, headers })
  assert.ok(report.length < 150_000)
  assert.match(report, /X-Cut: \d+ more header fields are not repeated here/)
  assert.match(report, /X-Long-0:/)
  assert.doesNotMatch(report, /X-Long-3999:/)
})

test('hostile subjects, recipients and message ids bring no header, part or line of their own', async () => {
  const nasty = 'x\r\nBcc: victim@example.com\r\n\r\n--boundary\u2028\u202e'
  const report = await composeReport(settings, {
    ...refused,
    subject: nasty,
    recipients: [`"a\r\nB: c"@example.org`],
    messageId: `<1@example.com>\r\nBcc: victim@example.com`,
    answer: { code: 550, subject: 7, detail: 1, text: 'a\r\nAction: delivered' },
  })
  const mail = await simpleParser(report, { keepDeliveryStatus: true })
  assert.equal(mail.bcc, undefined)
  const status = mail.attachments.find(({ contentType }) => contentType === 'message/delivery-status')
  assert.equal(status?.content.toString().match(/^Action: /gm)?.length, 1)
})

/** The header section of a report, and its fields for each recipient. */
async function written(refusal: Partial<BounceContext>): Promise<{ head: string; recipients: string[] }> {
  const report = await composeReport(settings, { ...refused, ...refusal })
  return {
    head: report.slice(0, report.indexOf('\r\n\r\n')),
    recipients: [...report.matchAll(/^Final-Recipient: (.*)\r$/gm)].map(([, address = '']) => address),
  }
}

test('recipients that are not ASCII are named in the 7-bit forms of RFC 3464 and RFC 6533', async () => {
  const forms: Record<string, string> = {
    'r@bücher.example': 'rfc822; r@xn--bcher-kva.example',
    'müller@example.com': 'utf-8; m\\x{FC}ller@example.com',
    'a+b\\=用户📈@bücher.example':
      'utf-8; a\\x{2B}b\\x{5C}\\x{3D}\\x{7528}\\x{6237}\\x{1F4C8}@b\\x{FC}cher.example',
    'a+b@example.com': 'rfc822; a+b@example.com',
    '"r r"@example.com': 'rfc822; "r r"@example.com',
    'r@[192.0.2.1]': 'rfc822; r@[192.0.2.1]',
    'r@b ü%': 'utf-8; r@b\\x{20}\\x{FC}%',
    postmaster: 'rfc822; postmaster',
  }
  const { recipients } = await written({ recipients: Object.keys(forms) })
  assert.deepEqual(recipients, Object.values(forms))
})

test('a sender that is not ASCII is named in UTF-8, once', async () => {
  assert.match((await written({ sender: 'jörg@example.com' })).head, /^To: jörg@example\.com\r$/m)
  assert.match((await written({ sender: 'j@bücher.example' })).head, /^To: j@xn--bcher-kva\.example\r$/m)
})

test('a Message-ID that is not ASCII is not repeated', async () => {
  const { head } = await written({ messageId: '<ü@example.com>' })
  assert.doesNotMatch(head, /^(In-Reply-To|References):|[^\p{ASCII}]/imu)
})

for (const [written, from] of [
  ['Na:me; <a@(me)>', '"Na:me;" <a@mx.example.com>'],
  ['(x) <a@(me)>', '"(x)" <a@mx.example.com>'],
  ['Name, Inc. <a@(me)>', '"Name, Inc." <a@mx.example.com>'],
  [String.raw`"Quoted \"one\"" <a@(me)>`, String.raw`"Quoted \"one\"" <a@mx.example.com>`],
  ['Müller <a@(me)>', '=?UTF-8?Q?M=C3=BCller?= <a@mx.example.com>'],
  ['<a@(me)>', 'a@mx.example.com'],
  ['a@(me)', 'a@mx.example.com'],
] as const) {
  test(`[bounce] from=${written} is the From: of the report`, async () => {
    const address = mailbox.parse(written)
    assert.ok(!(address instanceof Invalid))
    const report = await composeReport({ ...settings, from: address }, refused)
    assert.equal(/^From: (.*)\r$/m.exec(report)?.[1], from)
  })
}

test('automatic messages, lists and reports are never answered', () => {
  const headers = (fields: Record<string, string>) => (name: string) => fields[name] ?? ''
  const automatic: Record<string, string>[] = [
    { 'Auto-Submitted': 'auto-replied\n' },
    { 'Auto-Submitted': 'auto-generated; x\n' },
    { Precedence: 'Bulk\n' },
    { Precedence: 'list\n' },
    { 'List-Id': '<a.example.com>\n' },
    { 'List-Unsubscribe': '<mailto:x@example.com>\n' },
    { 'Content-Type': 'multipart/report; report-type=delivery-status\n' },
  ]
  for (const fields of automatic) assert.ok(isAutomatic(headers(fields)), JSON.stringify(fields))
  const written: Record<string, string>[] = [
    {},
    { 'Auto-Submitted': 'no\n' },
    { Precedence: 'first-class\n', 'Content-Type': 'multipart/mixed\n' },
  ]
  for (const fields of written) assert.ok(!isAutomatic(headers(fields)), JSON.stringify(fields))
})

for (const [code, text] of [
  [constants.deny, 'no'],
  [constants.denysoft, undefined],
] as const) {
  test(`a report that the outbound queue refuses is none: ${code}`, async () => {
    const outbound: Outbound = { send_email: (_from, _to, _contents, next) => next(code, text) }
    await assert.rejects(sendFromNull(outbound, 'jane@example.com', 'report'), /did not accept it: (no|\d+)$/)
  })
}

test('a report that the outbound queue takes goes to no other address', async () => {
  const sent: unknown[][] = []
  const outbound: Outbound = {
    send_email: (from, to, contents, next) => {
      sent.push([from, to, contents])
      next(constants.ok)
    },
  }
  await sendFromNull(outbound, 'jane@example.com', 'report')
  assert.deepEqual(sent, [['<>', '<jane@example.com>', 'report']])
})

test('the address has to be plain: one that programs read differently gets no report', () => {
  const told = (address: string) => {
    const connection = { notes: { auth_user: 'jane' }, remote: {} } as unknown as Connection
    const transaction = { mail_from: { address }, header: { header_list: [] } } as unknown as Transaction
    return senderOf(connection, transaction).canReceiveBounce
  }
  assert.equal(told('jane@example.com'), true)
  assert.equal(told('"jane doe"@example.com'), true)
  for (const address of [
    '',
    '"x>,<victim@y"@example.com',
    '"<victim@z.example>"@example.com',
    'a\u202eb@example.com',
  ])
    assert.equal(told(address), false, address)
})
