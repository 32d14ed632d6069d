// The pipeline of James' ClamAVScan documentation with the settings that docs/guide/james.md gives for it, message by message,
// with a real clamd and a next hop for the reports.
import assert from 'node:assert/strict'
import { readdirSync, readFileSync } from 'node:fs'
import path from 'node:path'
import { after, before, test } from 'node:test'
import { simpleParser } from 'mailparser'
import { findClamd, type RealClamd, startClamd } from '../support/clamd/clamd'
import { eicar } from '../support/eicar'
import { type Haraka, startHaraka } from '../support/haraka/haraka'
import { TemporaryDirectory } from '../support/process'
import * as mails from '../support/smtp/mails'
import { type Sink, startSink } from '../support/smtp/sink'
import { sendMessage } from '../support/smtp/smtp'
import { messagePlugins, messageSources, ourHeaders, post, roles, users } from './messages'

const ini = `
[infected]
action = quarantine discard
authenticated = bounce quarantine
[bounce]
from = bounce-admin@xxx.com
include = headers
notice = Warning: We were unable to deliver the message below because it was found infected by virus(es).
[attachments]
deny = *.exe *.com *.bat *.cmd *.pif *.scr *.vbs *.avi *.mp3 *.mpeg *.shs
inside_archives = true
debug = true
`

/** A zip with tools/SETUP.EXE, and one with that zip as inner.zip. */
const zipped = Buffer.from(
  'UEsDBBQAAAAAAAAAIVpdm7CPAgAAAAIAAAAPAAAAdG9vbHMvU0VUVVAuRVhFTVpQSwECFAMUAAAAAAAAACFaXZuwjwIAAAACAAAADwAAAAAAAAAA' +
    'AAAAgAEAAAAAdG9vbHMvU0VUVVAuRVhFUEsFBgAAAAABAAEAPQAAAC8AAAAAAA==',
  'base64',
)
const zippedTwice = Buffer.from(
  'UEsDBBQAAAAAAAAAIVoALbfQggAAAIIAAAAJAAAAaW5uZXIuemlwUEsDBBQAAAAAAAAAIVpdm7CPAgAAAAIAAAAPAAAAdG9vbHMvU0VUVVAuRVhF' +
    'TVpQSwECFAMUAAAAAAAAACFaXZuwjwIAAAACAAAADwAAAAAAAAAAAAAAgAEAAAAAdG9vbHMvU0VUVVAuRVhFUEsFBgAAAAABAAEAPQAAAC8AAAAA' +
    'AFBLAQIUAxQAAAAAAAAAIVoALbfQggAAAIIAAAAJAAAAAAAAAAAAAACAAQAAAABpbm5lci56aXBQSwUGAAAAAAEAAQA3AAAAqQAAAAAA',
  'base64',
)

const skip = findClamd() || process.env.CI ? false : 'clamd is not installed'
let clamd: RealClamd
let sink: Sink
let haraka: Haraka
const kept = new TemporaryDirectory('quarantine')
before(async () => {
  if (skip) return
  clamd = await startClamd()
  sink = await startSink()
  haraka = await startHaraka({
    ini: `host=${clamd.host}\nport=${clamd.port}\n${ini}`,
    plugins: [...messagePlugins, 'clamav-stream', 'queue/quarantine'],
    sources: messageSources,
    files: { 'quarantine.ini': `quarantine_path=${kept.path}\n` },
    users,
    nextHop: sink.port,
  })
})
after(async () => {
  if (!skip) {
    await haraka.stop()
    await sink.stop()
    await clamd.stop()
  }
  kept.remove()
})

/** The copies of messages from a sender, each with its record. */
function copiesFrom(from: string): { copy: string; record: Record<string, unknown> }[] {
  return readdirSync(kept.path, { recursive: true, encoding: 'utf8' })
    .filter((name) => name.endsWith('.json'))
    .map((name) => path.join(kept.path, name))
    .map((file) => ({
      copy: readFileSync(file.replace(/\.json$/, ''), 'latin1'),
      record: JSON.parse(readFileSync(file, 'utf8')) as Record<string, unknown>,
    }))
    .filter(({ record }) => (record.envelope as { mail_from?: string } | undefined)?.mail_from === from)
}

for (const role of roles) {
  test(`clean, ${role}: delivered with its header`, { skip }, async () => {
    const { reply, delivered, told } = await post(haraka, mails.clean(), { role })
    assert.equal(reply.code, 250, reply.text)
    assert.deepEqual(
      delivered.map(({ message }) => ourHeaders(message)),
      [['X-MessageIsInfected: false']],
    )
    assert.deepEqual(copiesFrom(told.from), [])
  })
}

for (const role of ['inbound', 'relaying'] as const) {
  test(`infected, ${role}: kept, dropped in silence`, { skip }, async () => {
    const reports = sink.messages.length
    const { reply, delivered, told } = await post(haraka, mails.eicarAttachment(), { role })
    assert.equal(reply.code, 250, reply.text)
    assert.deepEqual(delivered, [])
    const [{ copy, record } = { copy: '', record: {} }, ...more] = copiesFrom(told.from)
    assert.deepEqual(more, [])
    assert.match(copy, /^X-MessageIsInfected: true$/m)
    assert.match(copy, /^Content-Disposition: attachment; filename="test.txt"$/m)
    assert.deepEqual(record.envelope, { mail_from: told.from, rcpt_to: ['recipient@example.com'] })
    assert.deepEqual(record.verdict, told.note)
    assert.equal(sink.messages.length, reports)
  })
}

test('infected, authenticated: kept, and the sender gets the notice and the heads', { skip }, async () => {
  const reports = sink.messages.length
  const { reply, delivered, told } = await post(haraka, mails.eicarAttachment(), { role: 'authenticated' })
  assert.equal(reply.code, 250, reply.text)
  assert.deepEqual(delivered, [])
  assert.equal(copiesFrom(told.from).length, 1)

  const report = (await sink.waitFor(reports + 1)).at(-1)
  assert.ok(report)
  assert.deepEqual([report.from, report.to], ['', [told.from]])
  const mail = await simpleParser(report.data, { keepDeliveryStatus: true })
  assert.equal(mail.from?.text, 'bounce-admin@xxx.com')
  assert.match(mail.text ?? '', /^Warning: We were unable to deliver the message below because it was found /)
  const heads = mail.attachments.find(({ contentType }) => contentType === 'text/rfc822-headers')
  assert.match(heads?.content.toString() ?? '', /^Subject: With attachments\r$/m)
  assert.doesNotMatch(report.data.toString('latin1'), /test\.txt|See the attachment/)
})

test('infected, authenticated, but no address for the report: kept and rejected', { skip }, async () => {
  const reports = sink.messages.length
  const auth = { user: 'somebody', password: 'secret' }
  const before = copiesFrom('').length
  const reply = await sendMessage(haraka.port, { from: '', data: mails.eicarBody(), auth })
  assert.match(`${reply.code} ${reply.text}`, /^550 5\.7\.1 /)
  assert.equal(copiesFrom('').length, before + 1)
  assert.equal(sink.messages.length, reports)
})

const attachments: Record<string, [message: Buffer, mask: string, shown: string]> = {
  'setup.exe': [mails.withAttachments({ name: 'setup.exe', content: 'MZ' }), '*.exe', 'setup.exe'],
  'SETUP.SCR': [mails.withAttachments({ name: 'SETUP.SCR', content: 'MZ' }), '*.scr', 'SETUP.SCR'],
  'report for example.com': [
    mails.withAttachments({ name: 'report for example.com', content: 'text' }),
    '*.com',
    'report for example.com',
  ],
  'in a zip': [mails.withAttachments({ name: 'tools.zip', content: zipped }), '*.exe', 'SETUP.EXE'],
  'in a zip of another name': [
    mails.withAttachments({ name: 'tools.doc', content: zipped }),
    '*.exe',
    'SETUP.EXE',
  ],
  'in a zip in a zip': [
    mails.withAttachments({ name: 'tools.zip', content: zippedTwice }),
    '*.exe',
    'SETUP.EXE',
  ],
  'the second of two': [
    mails.withAttachments({ name: 'a.txt', content: 'text' }, { name: 'b.mp3', content: 'ID3' }),
    '*.mp3',
    'b.mp3',
  ],
}
for (const [title, [message, mask, shown]] of Object.entries(attachments)) {
  for (const role of roles) {
    test(`denied attachment, ${title}, ${role}: rejected, and told which mask`, { skip }, async () => {
      const from = haraka.log.length
      const { reply, delivered, told } = await post(haraka, message, { role })
      assert.match(`${reply.code} ${reply.text}`, /^550 5\.7\.1 /)
      assert.ok(reply.text.includes(mask), reply.text)
      assert.ok(!reply.text.toLowerCase().includes(shown.toLowerCase()), reply.text)
      assert.equal(reply.lines.length, 1)
      assert.deepEqual(delivered, [])
      assert.deepEqual(copiesFrom(told.from), [])
      assert.equal(told.note?.outcome, 'clean', 'it was not scanned')
      const seen = haraka.log.slice(from).filter((line) => line.includes('attachment name: '))
      assert.ok(
        seen.some((line) => line.toLowerCase().includes(shown.toLowerCase())),
        seen.join('\n'),
      )
    })
  }
}

test('harmless attachments are delivered, and their names are in the log', { skip }, async () => {
  const from = haraka.log.length
  const message = mails.withAttachments(
    { name: 'letter.pdf', content: '%PDF-1.4' },
    { name: 'executable.exe.txt', content: 'text' },
  )
  const { reply, delivered } = await post(haraka, message)
  assert.equal(reply.code, 250, reply.text)
  assert.equal(delivered.length, 1)
  for (const name of ['letter.pdf', 'executable.exe.txt']) {
    assert.ok(haraka.log.slice(from).some((line) => line.includes(`attachment name: ${name}`)))
  }
})

test('a denied attachment hides no infection', { skip }, async () => {
  const infected = mails.withAttachments(
    { name: 'setup.exe', content: 'MZ' },
    { name: 'test.txt', content: eicar() },
  )
  const { reply, delivered, told } = await post(haraka, infected)
  assert.equal(reply.code, 250, reply.text)
  assert.deepEqual(delivered, [])
  assert.equal(told.note?.infected, true)
  assert.equal(copiesFrom(told.from).length, 1)
})
