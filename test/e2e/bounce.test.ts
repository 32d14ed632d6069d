// Reports to senders who have logged in: one for each refused message, from the null sender, with its headers at most, and none
// to an address that did not send the message. The next hop is an SMTP server; what it got is read by a library
// that is not ours.
import assert from 'node:assert/strict'
import { randomUUID } from 'node:crypto'
import { rmSync, writeFileSync } from 'node:fs'
import { hostname } from 'node:os'
import path from 'node:path'
import { test, type TestContext } from 'node:test'
import { type ParsedMail, simpleParser } from 'mailparser'
import { addressText } from '../../lib/clamd/address'
import { clamdOrSkip, startClamd } from '../support/clamd/clamd'
import { type FakeClamd, startFakeClamd } from '../support/clamd/fake-clamd'
import { eicar } from '../support/eicar'
import type { Haraka } from '../support/haraka/haraka'
import * as mails from '../support/smtp/mails'
import { type Sink, startSink, type SunkMessage } from '../support/smtp/sink'
import { type Reply, sendMessage, type SendOptions } from '../support/smtp/smtp'
import { drained, filesBelow, senderFor, startKeepingHaraka } from './messages'

const login = (user: string) => ({ user, password: 'secret' })
const users = { ann: 'secret', bob: 'secret', eve: 'secret' }

const statusType = 'message/delivery-status'

interface Site {
  haraka: Haraka
  clamd: FakeClamd
  sink: Sink
  /** Where copies are kept. */
  base: string
}

/** Finds something in whatever is sent in, and in a report only what stands in it. */
function judge(message: Buffer): Promise<string> {
  const head = message.subarray(0, message.indexOf('\r\n\r\n'))
  const isReport = head.includes('\r\nContent-Type: multipart/report;') && !head.includes('(Haraka')
  const isClean = isReport && !message.includes(marker)
  return Promise.resolve(isClean ? 'stream: OK' : 'stream: Test-Virus FOUND')
}

/** What a report is not to carry. */
const marker = 'harmless-marker-of-a-header'

async function startSite(
  t: TestContext,
  ini: string,
  signatures = '',
  files: Record<string, string | null> = {},
): Promise<Site> {
  const clamd = await startFakeClamd({ judge })
  t.after(() => clamd.stop())
  const sink = await startSink()
  t.after(() => sink.stop())
  const { haraka, base } = await startKeepingHaraka(t, {
    // The judge goes by whole messages.
    ini: `host=${addressText(clamd.address)}\nmax_pings=0\nscan=message\n${ini}`,
    signatures,
    files,
    users,
    nextHop: sink.port,
  })
  return { haraka, clamd, sink, base }
}

/** Sends a message; resolves with the answer and with whatever has left the server since then. */
async function refuse(
  site: Pick<Site, 'haraka' | 'sink'>,
  options: Partial<SendOptions> = {},
): Promise<{ from: string; reply: Reply; reports: SunkMessage[] }> {
  const before = site.sink.messages.length
  const from = options.from ?? senderFor('plain')
  const reply = await sendMessage(site.haraka.port, { data: mails.clean(), ...options, from })
  await drained(site.haraka)
  assert.deepEqual(site.haraka.delivered(), [])
  return { from, reply, reports: site.sink.messages.slice(before) }
}

const mailWith = (headers: readonly string[], body = 'Hello.\r\n') =>
  Buffer.from(`From: sender@example.com\r\n${headers.map((line) => `${line}\r\n`).join('')}\r\n${body}`)

/** The one report among what has left, after a look at what every report has to be. */
async function theReport(
  { from, reports }: { from: string; reports: SunkMessage[] },
  recipients = 1,
): Promise<ParsedMail> {
  assert.equal(reports.length, 1)
  const [{ data, ...envelope } = { data: Buffer.alloc(0) }] = reports
  assert.deepEqual(envelope, { from: '', to: [from] })
  const lines = data.toString('latin1').split('\r\n')
  assert.ok(data.every((byte) => byte < 128))
  assert.ok(lines.every((line) => line.length <= 998 && !/[\r\n]/.test(line)))
  const mail = await simpleParser(data, { keepDeliveryStatus: true })
  assert.equal([mail.to].flat()[0]?.text, from)
  assert.ok(mail.date && mail.messageId)
  for (const [name, value] of Object.entries({ 'auto-submitted': 'auto-replied', 'mime-version': '1.0' })) {
    assert.equal(mail.headers.get(name), value)
  }
  const type = mail.headers.get('content-type') as { value: string; params: Record<string, string> }
  assert.deepEqual([type.value, type.params['report-type']], ['multipart/report', 'delivery-status'])
  const groups = (partOf(mail, statusType) ?? '').trim().split(/\r?\n\r?\n/)
  assert.match(groups[0] ?? '', /^Reporting-MTA: dns; mx\.example\.com\r?\nArrival-Date: .* \+0000$/)
  assert.equal(groups.length, 1 + recipients)
  for (const group of groups.slice(1)) {
    assert.match(group, /^Final-Recipient: rfc822; \S+@\S+\r?\nAction: failed\r?\nStatus: 5\.7\.1\r?\n/)
    assert.match(group, /\nDiagnostic-Code: smtp; 550 5\.7\.1 Message is infected with Test-Virus$/)
  }
  return mail
}

function partOf({ attachments }: ParsedMail, type: string): string | undefined {
  return attachments.find(({ contentType }) => contentType === type)?.content.toString()
}

test('the sender gets one report: what was wrong, in which message, for which recipients, and the headers', async (t) => {
  const site = await startSite(t, '[infected]\nauthenticated=bounce\n')
  const secret = randomUUID()
  const subject = 'Quarterly numbers'
  const id = `<${randomUUID()}@example.com>`
  const headers = [`Subject: ${subject}`, `Message-ID: ${id}`, 'X-Folded: one\r\n\ttwo']
  const refused = await refuse(site, { auth: login('ann'), data: mailWith(headers, `${secret}\r\n`) })
  assert.equal(refused.reply.code, 250, refused.reply.text)
  assert.equal(refused.reply.lines.length, 1)

  const mail = await theReport(refused)
  assert.equal(mail.from?.value[0]?.address, 'MAILER-DAEMON@mx.example.com')
  assert.equal(mail.subject, `Undelivered: ${subject}`)
  assert.equal(mail.inReplyTo, id)
  assert.match(
    mail.text ?? '',
    /^Warning: We were unable to deliver the message below because it was found infected by virus\(es\)\.\n/,
  )
  assert.match(
    mail.text ?? '',
    /\nSubject: +Quarterly numbers\nSent to: +recipient@example\.com\nReceived: .* GMT\n(Reason: .*\n)?Found: +Test-Virus\n/,
  )
  const copied = partOf(mail, 'text/rfc822-headers') ?? ''
  for (const line of headers) assert.ok(copied.includes(`${line}\r\n`), copied)
  assert.match(copied, /^Received: /m)
  const everything = [
    refused.reports[0]?.data.toString('latin1') ?? '',
    ...mail.attachments.map(({ content }) => content.toString('latin1')),
    mail.text ?? '',
  ]
  assert.ok(!everything.some((part) => part.includes(secret)), 'the body of the message went out')
  assert.ok(!everything.some((part) => part.includes(Buffer.from(secret).toString('base64'))))

  // The report was scanned before it went, and by no hook after that.
  assert.equal(site.clamd.scans.length, 2)
})

test('include=none, notice and from', async (t) => {
  const notice = 'Grüße: Ihre Nachricht enthält Schadsoftware.'
  const from = 'Mail system <bounce-admin@example.org>'
  const site = await startSite(
    t,
    `[infected]\nauthenticated=bounce\n[bounce]\ninclude=none\nnotice=${notice}\nfrom=${from}\n`,
  )
  const refused = await refuse(site, {
    auth: login('ann'),
    data: mailWith(['Subject: x', 'X-Own: private']),
  })
  const mail = await theReport(refused)
  assert.deepEqual(mail.from?.value, [{ address: 'bounce-admin@example.org', name: 'Mail system' }])
  assert.ok(mail.text?.startsWith(`${notice}\n`), mail.text)
  assert.equal(partOf(mail, 'text/rfc822-headers'), undefined)
  assert.ok(!refused.reports[0]?.data.includes('X-Own'))
})

test('a sender that gets no report is refused at the door', async (t) => {
  const site = await startSite(t, '[infected]\naction=bounce\n')
  const auth = login('ann')
  const cases: Record<string, Partial<SendOptions>> = {
    'not authenticated': {},
    'relaying by address alone': { from: senderFor('plain', 'relaying') },
    'null sender': { auth, from: '' },
    'Auto-Submitted': { auth, data: mailWith(['Auto-Submitted: auto-generated']) },
    'Auto-Submitted, upper case': { auth, data: mailWith(['AUTO-SUBMITTED:  Auto-Replied (vacation)']) },
    'List-Id': { auth, data: mailWith(['List-Id: <list.example.com>']) },
    'List-Unsubscribe': { auth, data: mailWith(['List-Unsubscribe: <mailto:leave@example.com>']) },
    'Precedence: bulk': { auth, data: mailWith(['Precedence: bulk']) },
    'Precedence: list': { auth, data: mailWith(['Precedence: List']) },
    'a report': { auth, data: mailWith(['Content-Type: multipart/report; report-type=x; boundary=b']) },
    'a report, folded': { auth, data: mailWith(['Content-Type:\r\n multipart/report;\r\n\tboundary=b']) },
    'automatic and not': { auth, data: mailWith(['Auto-Submitted: no', 'Auto-Submitted: auto-replied']) },
    'spaces before the colon': { auth, data: mailWith(['Auto-Submitted : auto-replied']) },
  }
  for (const [title, options] of Object.entries(cases)) {
    await t.test(title, async () => {
      const { reply, reports } = await refuse(site, options)
      assert.match(`${reply.code} ${reply.text}`, /^550 5\.7\.1 Message is infected with Test-Virus/)
      assert.deepEqual(reports, [])
    })
  }
  await t.test('a report of ours that comes back', async () => {
    const [{ data } = { data: Buffer.alloc(0) }] = (await refuse(site, { auth })).reports
    for (const from of ['', senderFor('plain')]) {
      const { reply, reports } = await refuse(site, { auth, from, data })
      assert.equal(reply.code, 550, reply.text)
      assert.deepEqual(reports, [])
    }
  })
  await t.test('Auto-Submitted: no is written by a person', async () => {
    const refused = await refuse(site, { auth, data: mailWith(['Auto-Submitted: no']) })
    assert.equal(refused.reply.code, 250, refused.reply.text)
    await theReport(refused)
  })
  const messages = Object.keys(cases).length + 4
  const reports = 2
  assert.equal(site.clamd.scans.length, messages + reports)
})

/** All that a reader or a scanner may make of a report. */
async function readingsOf(data: Buffer): Promise<string[]> {
  const mail = await simpleParser(data, { keepDeliveryStatus: true })
  return [
    data.toString('latin1'),
    mail.subject,
    mail.text,
    ...mail.attachments.map(({ content }) => content.toString()),
  ].map((text) => text ?? '')
}

test('a report that would carry the virus goes without a word of the sender', async (t) => {
  const site = await startSite(t, '[infected]\nauthenticated=bounce\n')
  const auth = login('ann')
  const carriers: Record<string, Partial<SendOptions>> = {
    'a header': { data: mailWith(['Subject: hello', `X-Own: ${marker}`]) },
    'a folded header': { data: mailWith(['Subject: hello', `X-Own: a\r\n ${marker}`]) },
    'the subject': { data: mailWith([`Subject: ${marker}`]) },
    'an encoded subject': {
      data: mailWith([`Subject: =?utf-8?B?${Buffer.from(`x ${marker}`).toString('base64')}?=`]),
    },
    'a Message-ID': { data: mailWith([`Message-ID: <${marker}@example.com>`]) },
    'a recipient': { to: ['ann@example.com', `${marker}@example.org`] },
    'the sender': { from: `${marker}.${randomUUID()}@example.com` },
  }
  for (const [title, options] of Object.entries(carriers)) {
    await t.test(title, async () => {
      const { reply, reports, from } = await refuse(site, { auth, ...options })
      assert.equal(reply.code, 250, reply.text)
      const [{ data, ...envelope } = { data: Buffer.alloc(0) }, ...more] = reports
      assert.deepEqual(more, [])
      assert.deepEqual(envelope, { from: '', to: [from] })
      for (const text of await readingsOf(data))
        for (const word of [marker, 'hello', 'ann@', 'sender@', 'recipient@'])
          assert.ok(!text.includes(word), text)
      const mail = await simpleParser(data, { keepDeliveryStatus: true })
      assert.equal(mail.subject, 'Undelivered message')
      assert.match(mail.text ?? '', /^Warning: [^]*\nReceived: .* GMT\nReason: .*\nFound: +Test-Virus\n/)
      assert.match(
        mail.text ?? '',
        /Neither it nor its subject, headers and addresses are part of this report/,
      )
      const [about = '', ...groups] = (partOf(mail, statusType) ?? '').trim().split(/\r?\n\r?\n/)
      assert.match(about, /^Reporting-MTA: dns; mx\.example\.com\r?\n/)
      assert.equal(groups.length, 1)
      assert.match(
        groups[0] ?? '',
        /^Final-Recipient: rfc822; undisclosed-recipients:;\r?\nAction: failed\r?\n/,
      )
      assert.ok(
        site.haraka.log.some((line) => line.includes('report without headers, subject and addresses')),
      )
    })
  }
})

test('a report that cannot be scanned in time goes without a word of the sender', async (t) => {
  const site = await startSite(t, '[infected]\nauthenticated=bounce\n')
  site.clamd.queue([], [{ at: 'reply', do: 'stall' }])
  const { reply, reports } = await refuse(site, { auth: login('ann'), data: mailWith(['X-Own: private']) })
  assert.equal(reply.code, 250, reply.text)
  assert.equal(reports.length, 1)
  for (const text of await readingsOf(reports[0]?.data ?? Buffer.alloc(0)))
    assert.ok(!text.includes('private'))
  await site.clamd.idle()
})

test('a virus in a header, with the real clamd', async (t) => {
  if (!clamdOrSkip(t)) return
  const clamd = await startClamd()
  t.after(() => clamd.stop())
  const sink = await startSink()
  t.after(() => sink.stop())
  const { haraka } = await startKeepingHaraka(t, {
    ini: `host=${clamd.host}\nport=${clamd.port}\nmax_pings=0\n[infected]\nauthenticated=bounce\n`,
    users,
    nextHop: sink.port,
  })
  for (const [headers, isWhole] of [
    [[`X-Own: ${eicar()}`], false],
    [[`X-Own-Name-That-Makes-A-Long-Line-Of-It-Which-Is-Encoded: ${eicar()}`, 'X-Raw: grün'], false],
    [[`Subject: =?utf-8?B?${Buffer.from(eicar()).toString('base64')}?=`], false],
    [['X-Own: harmless'], true],
  ] as const) {
    const refused = await refuse(
      { haraka, sink },
      { auth: login('ann'), data: mailWith(headers, `${eicar()}\r\n`) },
    )
    assert.equal(refused.reply.code, 250, refused.reply.text)
    const readings = await readingsOf(refused.reports[0]?.data ?? Buffer.alloc(0))
    for (const text of readings) assert.ok(!text.includes(eicar()))
    assert.equal(readings.join('').includes('X-Own: harmless'), isWhole)
  }
})

test('recipients, subjects and headers of all kinds', async (t) => {
  const site = await startSite(t, '[infected]\nauthenticated=bounce\n')
  const auth = login('ann')
  const subjects: Record<string, string> = {
    'Subject: =?utf-8?B?R3LDvMOfZSBhdXMgWsO8cmljaA==?=': 'Grüße aus Zürich',
    'Subject: =?iso-8859-1?Q?Gr=FC=DFe?= aus =?utf-8?Q?Z=C3=BCrich?=': 'Grüße aus Zürich',
    'Subject: Grüße, unverschlüsselt': 'Grüße, unverschlüsselt',
    'Subject: =?utf-8?Q?=F0=9F=93=88_numbers?=': '📈 numbers',
    'Subject: a\r\n folded one': 'a folded one',
  }
  for (const [line, subject] of Object.entries(subjects)) {
    await t.test(line, async () => {
      const mail = await theReport(await refuse(site, { auth, data: mailWith([line]) }))
      assert.equal(mail.subject, `Undelivered: ${subject}`)
      assert.ok(mail.text?.includes(subject), mail.text)
    })
  }
  await t.test('no subject, no Message-ID', async () => {
    const mail = await theReport(await refuse(site, { auth, data: mailWith([]) }))
    assert.deepEqual([mail.subject, mail.inReplyTo], ['Undelivered message', undefined])
  })
  await t.test('a subject that would be more', async () => {
    const line = 'Subject: =?utf-8?Q?x=0D=0ABcc:_victim@example.org=0D=0A=0D=0Abody?='
    const refused = await refuse(site, { auth, data: mailWith([line]) })
    const mail = await theReport(refused)
    assert.equal(mail.bcc, undefined)
    assert.doesNotMatch(refused.reports[0]?.data.toString('latin1') ?? '', /^Bcc:/im)
  })
  await t.test('several recipients: one report that names all', async () => {
    const to = ['ann@example.com', 'bob@example.org', 'eve@example.net']
    const mail = await theReport(await refuse(site, { auth, to }), to.length)
    assert.ok(mail.text?.includes(`Sent to:  ${to.join(', ')}`), mail.text)
    const status = partOf(mail, statusType) ?? ''
    assert.deepEqual(
      [...status.matchAll(/^Final-Recipient: rfc822; (.*?)\r?$/gm)].map(([, address]) => address),
      to,
    )
  })
  await t.test('a header section of 200 kB is cut, with a note', async () => {
    const many = Array.from({ length: 900 }, (_, index) => `X-Long-${index}: ${'x'.repeat(210)}`)
    const refused = await refuse(site, { auth, data: mailWith(['Subject: long', ...many]) })
    const mail = await theReport(refused)
    assert.ok((refused.reports[0]?.data.length ?? 0) < 150_000)
    const copied = partOf(mail, 'text/rfc822-headers') ?? ''
    assert.match(copied, /^Subject: long\r\n/m)
    assert.match(copied, /^X-Long-0: /m)
    assert.doesNotMatch(copied, /^X-Long-899: /m)
    assert.match(copied, /^X-Cut: \d+ more header fields are not repeated here\r\n$/m)
  })
})

test('addresses that are not ASCII arrive as they are, and the report says so in 7-bit', async (t) => {
  const site = await startSite(t, '[infected]\nauthenticated=bounce\n')
  const [from, to] = [`jörg.${randomUUID()}@example.com`, 'müller@example.com']
  const { reply, reports } = await refuse(site, {
    auth: login('ann'),
    from,
    to: [to, 'r@bücher.example'],
    data: mailWith(['Message-ID: <ü@example.com>']),
  })
  assert.equal(reply.code, 250, reply.text)
  assert.equal(reports.length, 1)
  const [head = '', ...parts] = (reports[0]?.data.toString() ?? '').split(/(?<=\r\n)\r\n/)
  assert.match(head, new RegExp(`^To: ${from}\\r$`, 'm'))
  assert.doesNotMatch(head, /^(In-Reply-To|References):/m)
  assert.match(parts.join('\r\n'), /^\p{ASCII}*$/u)
  const status = partOf(await simpleParser(reports[0]?.data ?? '', { keepDeliveryStatus: true }), statusType)
  assert.deepEqual(
    [...(status ?? '').matchAll(/^Final-Recipient: (.*?)\r?$/gm)].map(([, address]) => address),
    ['utf-8; m\\x{FC}ller@example.com', 'rfc822; r@xn--bcher-kva.example'],
  )
})

test("without a config/me, reports come from the machine's", async (t) => {
  const site = await startSite(t, '[infected]\nauthenticated=bounce\n', '', { me: null })
  const { reports } = await refuse(site, { auth: login('ann') })
  const mail = await simpleParser(reports[0]?.data ?? '', { keepDeliveryStatus: true })
  assert.equal(mail.from?.value[0]?.address, `MAILER-DAEMON@${hostname()}`)
  assert.match(partOf(mail, statusType) ?? '', new RegExp(`^Reporting-MTA: dns; ${hostname()}\r?$`, 'm'))
  assert.ok(mail.messageId?.endsWith(`@${hostname()}>`), mail.messageId)
})

test('at most limit reports for each user; after that the message is rejected', async (t) => {
  const site = await startSite(t, '[infected]\nauthenticated=bounce\n[bounce]\nlimit=2/h\n')
  // From several connections and addresses; bob's do not count for ann.
  for (const [user, code] of [
    ['ann', 250],
    ['bob', 250],
    ['ann', 250],
    ['ann', 550],
    ['bob', 250],
    ['ann', 550],
    ['bob', 550],
    ['eve', 250],
  ] as const) {
    const refused = await refuse(site, { auth: login(user) })
    assert.equal(refused.reply.code, code, `${user}: ${refused.reply.text}`)
    if (code === 250) await theReport(refused)
    else assert.deepEqual(refused.reports, [])
  }
})

test('bounce with other words', async (t) => {
  const actions: Record<string, [answer: RegExp, isKept: boolean]> = {
    'bounce reject': [/^550 5\.7\.1 Message is infected with /, false],
    'bounce discard': [/^250 /, false],
    'bounce defer': [/^45\d 4\.7\.1 Message is infected with /, false],
    'quarantine bounce': [/^250 /, true],
    'bounce quarantine reject': [/^550 5\.7\.1 Message is infected with /, true],
    'discard bounce quarantine': [/^250 /, true],
  }
  const names = Object.keys(actions).map((action) => [action, `Act-${action.replaceAll(' ', '-')}`] as const)
  const site = await startSite(t, '', names.map(([action, name]) => `${name} ${action}\n`).join(''))
  for (const [action, name] of names) {
    await t.test(action, async () => {
      const [answer, isKept] = actions[action] ?? []
      assert.ok(answer)
      const before = filesBelow(site.base).length
      site.clamd.queue([{ at: 'reply', do: 'answer', text: `stream: ${name} FOUND` }])
      const { reply, reports, from } = await refuse(site, { auth: login('ann') })
      assert.match(`${reply.code} ${reply.text}`, answer)
      assert.deepEqual(
        reports.map(({ from: sender, to }) => [sender, to]),
        [['', [from]]],
      )
      assert.equal(filesBelow(site.base).length - before, isKept ? 2 : 0)
      const status = partOf(
        await simpleParser(reports[0]?.data ?? '', { keepDeliveryStatus: true }),
        statusType,
      )
      assert.match(
        status ?? '',
        action.includes('defer')
          ? /^Action: delayed\r?\nStatus: 4\.7\.1\r?$/m
          : /^Action: failed\r?\nStatus: 5\.7\.1\r?$/m,
      )
    })
  }
})

test('no report about a message that could not be kept', async (t) => {
  const site = await startSite(t, '[infected]\nauthenticated=bounce quarantine\n')
  rmSync(path.join(site.base, 'infected'), { recursive: true, force: true })
  writeFileSync(path.join(site.base, 'infected'), 'where the folder should be')
  const { reply, reports } = await refuse(site, { auth: login('ann') })
  assert.match(`${reply.code} ${reply.text}`, /^45\d 4\.3\.0 /)
  assert.deepEqual(reports, [])
})
