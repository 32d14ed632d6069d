// Notices: what the mail and the JSON say, of hostile texts too; the limit; and a program that hangs, fails or is many.
import assert from 'node:assert/strict'
import { chmodSync, existsSync, readFileSync, writeFileSync } from 'node:fs'
import path from 'node:path'
import { after, test } from 'node:test'
import constants from 'haraka-constants'
import { simpleParser } from 'mailparser'
import { composeNotice, type Notified, notify, type NotifySettings } from '../../../lib/actions/notify'
import { NotifyCommand } from '../../../lib/actions/notify-command'
import { withPrograms } from '../../../lib/config/programs'
import type { Settings } from '../../../lib/config/settings'
import type { Plugin } from '../../../lib/haraka/types'
import { isNotice } from '../../../lib/plugin/message-facts'
import { failedVerdict } from '../../../lib/policy/verdict'
import { clean } from '../../support/monitoring-site'
import { TemporaryDirectory } from '../../support/process'

const folder = new TemporaryDirectory('notify')
after(() => folder.remove())

const from = { name: '', address: 'MAILER-DAEMON@(me)' }
const to = { name: '', address: 'postmaster@(me)' }
const settings: NotifySettings = {
  to,
  on: ['infected', 'failed_copy'],
  limit: { count: 2, perMs: 3_600_000 },
  command: null,
}
const infected: Notified = {
  me: 'mx.example.com',
  id: 'ID.1',
  from: 'bob@example.com',
  to: ['ann@example.org'],
  subject: 'Grüße',
  verdict: { ...clean, outcome: 'infected', virus: 'Eicar' },
  action: 'reject',
}

/** A plugin whose outbound queue keeps what it gets, and answers with `code`. */
function plugin(code = constants.ok) {
  const sent: string[] = []
  const errors: string[] = []
  const outbound = {
    send_email: (sender: string, recipient: string, contents: string, done: (code: number) => void) => {
      assert.deepEqual([sender, recipient], ['<>', '<postmaster@mx.example.com>'])
      sent.push(contents)
      done(code)
    },
  }
  const haraka = {
    haraka_require: () => outbound,
    loginfo: () => undefined,
    logerror: (text: string) => void errors.push(text),
  }
  return { plugin: haraka as unknown as Plugin, sent, errors }
}

/** Everything that goes on in the background has ended: composing takes no timers. */
const settled = async () => {
  for (let turns = 0; turns < 50; turns++) await new Promise((resolve) => setImmediate(resolve))
}

test('the mail says what happened, to which message, and nothing of its content', async () => {
  const mail = await simpleParser(await composeNotice(to, from, 'infected', infected, 3))
  assert.deepEqual(
    [mail.from?.text, [mail.to].flat()[0]?.text, mail.subject, mail.headers.get('auto-submitted')],
    [
      'MAILER-DAEMON@mx.example.com',
      'postmaster@mx.example.com',
      'clamav-stream: infected (Eicar)',
      'auto-generated',
    ],
  )
  assert.equal(
    mail.text?.trim(),
    'Server:  mx.example.com\nMessage: ID.1\nFrom:    bob@example.com\nTo:      ann@example.org\nSubject: Grüße\n' +
      'Verdict: infected (Eicar)\nAction:  reject\n\n3 earlier events were left out: see [notify] limit, and the log.',
  )
})

test('hostile subjects, senders and recipients make no line of their own', async () => {
  const nasty = 'x\r\nBcc: victim@example.com\r\n\r\nAction:  accept\u2028\u202e\0'
  const hostile = {
    ...infected,
    subject: nasty,
    from: nasty,
    to: Array.from({ length: 500 }, () => nasty),
    action: 'reject',
  }
  const text = await composeNotice(to, from, 'infected', hostile, 0)
  const mail = await simpleParser(text)
  assert.equal(mail.bcc, undefined)
  assert.equal(mail.text?.match(/^Action:/gm)?.length, 1)
  assert.doesNotMatch(mail.text ?? '', /[\u2028\u202e\0]/)
  assert.match(mail.text ?? '', /and 490 more/)
  assert.ok(text.length < 8000 && /^\p{ASCII}*$/u.test(text))
})

test('at most limit mails, and the next one has the number of those left out', async (t) => {
  let now = 1000
  t.mock.method(performance, 'now', () => now)
  const { plugin: haraka, sent } = plugin()
  for (let event = 0; event < 5; event++) notify(haraka, settings, from, 'infected', () => infected)
  await settled()
  assert.equal(sent.length, 2)
  now += settings.limit.perMs
  notify(haraka, settings, from, 'infected', () => infected)
  await settled()
  assert.equal(sent.length, 3)
  assert.match(sent[2] ?? '', /3 earlier events were left out/)
})

test('nothing is done when off, for another event, or for a notice', async () => {
  const { plugin: haraka, sent } = plugin()
  const never = () => assert.fail('it was asked')
  notify(haraka, { ...settings, to: null }, from, 'infected', never)
  notify(haraka, settings, from, 'unscanned', never)
  notify(haraka, settings, from, 'infected', () => null)
  await settled()
  assert.deepEqual(sent, [])
  const automatic = ['Auto-Submitted: auto-generated\n']
  assert.equal(isNotice({ from: '', headers: automatic }), true)
  assert.equal(isNotice({ from: '', headers: ['Subject: x\n'] }), false)
  assert.equal(isNotice({ from: 'bob@example.com', headers: automatic }), false)
})

test('failures are logged once a minute, and never thrown', async () => {
  const { plugin: haraka, errors } = plugin(constants.denysoft)
  for (let event = 0; event < 2; event++) notify(haraka, settings, from, 'infected', () => infected)
  notify(haraka, settings, from, 'failed_copy', () => {
    throw new Error('facts')
  })
  await settled()
  assert.equal(errors.length, 1)
  assert.match(errors[0] ?? '', /^notice not sent: /)
})

/** An executable shell script. */
function script(name: string, body: string): string {
  const file = path.join(folder.path, name)
  writeFileSync(file, `#!/bin/sh\n${body}\n`)
  chmodSync(file, 0o755)
  return file
}

/** Resolves when the file is there. */
async function appeared(file: string): Promise<string> {
  while (!existsSync(file)) await new Promise((resolve) => setTimeout(resolve, 10))
  return readFileSync(file, 'utf8')
}

test('the program gets one line of JSON, no arguments and no environment', { timeout: 30_000 }, async () => {
  const got = path.join(folder.path, 'got')
  const command = script('tell', `{ cat; echo "$#"; env; } > '${got}.new'; mv '${got}.new' '${got}'`)
  process.env.A_SECRET = 'hidden'
  const { plugin: haraka } = plugin()
  const unscanned = { ...infected, from: '', subject: 'a\r\nb', verdict: failedVerdict('down') }
  notify(haraka, { ...settings, to: null, command, on: ['unscanned'] }, from, 'unscanned', () => unscanned)
  const [json = '', count, ...rest] = (await appeared(got)).split('\n')
  const { time, ...facts } = JSON.parse(json) as Record<string, unknown>
  assert.ok(Date.parse(String(time)) > 0)
  assert.deepEqual(facts, {
    event: 'unscanned',
    server: 'mx.example.com',
    id: 'ID.1',
    from: '',
    to: ['ann@example.org'],
    recipients: 1,
    subject: 'a b',
    outcome: 'unscanned',
    virus: null,
    reason: 'error',
    action: 'reject',
  })
  assert.equal(count, '0')
  assert.ok(!rest.some((line) => line.includes('hidden')))
})

test(
  'two run at once, 100 wait, the rest is left out; what hangs is killed with its children',
  { timeout: 60_000 },
  async () => {
    const failures: string[] = []
    const started = path.join(folder.path, 'started')
    const command = script('hang', `echo x >> '${started}'; sleep 1000 & sleep 1000`)
    const queue = new NotifyCommand((text) => failures.push(text), 300)
    for (let event = 0; event < 103; event++) queue.run(command, '{}')
    assert.deepEqual(failures, [`${command}: an event was left out, 100 are waiting`])
    while (failures.length < 5) await new Promise((resolve) => setTimeout(resolve, 10))
    assert.ok(failures.slice(1).every((text) => text === `${command}: killed after 300 ms`))
    assert.ok(readFileSync(started, 'utf8').split('\n').length < 12)
  },
)

test(
  'a program that cannot even be started takes no place from the next one',
  { timeout: 30_000 },
  async () => {
    const failures: string[] = []
    const done = path.join(folder.path, 'started-after')
    const queue = new NotifyCommand((text) => failures.push(text))
    // spawn() throws for such a path.
    for (let event = 0; event < 3; event++) queue.run('/bin/\0', '{}')
    queue.run(script('after', `touch '${done}'`), '{}')
    await appeared(done)
    assert.equal(failures.length, 3)
  },
)

test(
  'a program that ends at once, with a code, is killed or gone is a failure, and the next one runs',
  { timeout: 30_000 },
  async () => {
    const failures: string[] = []
    const done = path.join(folder.path, 'done')
    const queue = new NotifyCommand((text) => failures.push(text))
    queue.run(script('wrong', 'exit 3'), 'x'.repeat(1_000_000))
    queue.run(path.join(folder.path, 'gone'), '{}')
    queue.run(script('killed', 'kill -KILL $$'), '{}')
    queue.run(script('right', `cat > /dev/null; : > '${done}'`), '{}')
    await appeared(done)
    while (failures.length < 3) await new Promise((resolve) => setTimeout(resolve, 10))
    assert.equal(failures.length, 3)
    assert.match(failures.join('\n'), /killed: ended with SIGKILL/)
    assert.match(failures.join('\n'), /wrong: ended with code 3/)
    assert.match(failures.join('\n'), /gone: .*ENOENT/)
  },
)

test('a program that cannot be run, or that everybody may write, stops the start', () => {
  const of = (command: string) => ({ notify: { ...settings, command } }) as unknown as Settings
  const plain = script('plain', 'true')
  assert.equal(withPrograms(of(plain)).notify.command, plain)
  chmodSync(plain, 0o644)
  assert.throws(() => withPrograms(of(plain)), /\[notify\] command = .*plain: it cannot be run: EACCES/)
  chmodSync(plain, 0o757)
  assert.throws(() => withPrograms(of(plain)), /every user may write it; chmod o-w/)
  assert.throws(() => withPrograms(of('/nonexistent/x')), /cannot be run: ENOENT/)
  assert.throws(() => withPrograms(of('/usr')), /it is no file/)
})
