// What is found in one message: a fault of ours is a verdict or a finding as well, and never a harmless one.
import assert from 'node:assert/strict'
import { test, type TestContext } from 'node:test'
import { Cancellation } from '../../../lib/base/cancellation'
import { Message } from '../../../lib/plugin/hook'
import { load } from '../../../lib/plugin/load'
import { runtimeOf } from '../../../lib/plugin/runtime'
import { deadline, inspectAttachments, newGlance, scanMessage } from '../../../lib/plugin/scan-message'
import type { ScanLog } from '../../../lib/scan/message-scan'
import { clean, FakeSite } from '../../support/haraka/fake-haraka'
import { mixed } from '../../support/smtp/attachment-mails'

const part = (name: string) => [`Content-Type: application/x; name=${name}`] as const
const linesOf = (mail: Buffer) => mail.toString('latin1').replace(/\r\n$/, '').split('\r\n')

function setUp(t: TestContext, ini: string, mail = mixed([part('a.txt')], [part('b.exe')])) {
  const site = new FakeSite(t, { ini })
  load(site.plugin)
  const connection = site.connection({}, linesOf(mail))
  const cancelled = new Cancellation()
  const context = { runtime: runtimeOf(site.plugin), cancelled, evaluation: null, settlement: null }
  return { site, cancelled, message: new Message(site.plugin, connection, connection.transaction, context) }
}

test('attachments are looked at only if some are denied', async (t) => {
  const { message } = setUp(t, '')
  assert.equal(newGlance(message), null)
  assert.equal(await inspectAttachments(message, null), null)
  assert.notEqual(newGlance(setUp(t, '[attachments]\ndeny=*.exe\n').message), null)
})

test('a denied name, what cannot be read, and neither', async (t) => {
  const { message, site } = setUp(t, '[attachments]\ndeny=*.exe\n')
  assert.deepEqual(await inspectAttachments(message, null), { denied: '*.exe', name: 'b.exe' })
  assert.deepEqual(site.log, [])
  assert.equal(await inspectAttachments(setUp(t, '[attachments]\ndeny=*.scr\n').message, null), null)
  const partial = mixed([['Content-Type: message/partial; id=x']])
  assert.deepEqual(await inspectAttachments(setUp(t, '[attachments]\ndeny=*.scr\n', partial).message, null), {
    unreadable: 'part 1: it is one piece of a message',
  })
})

test('an exception, and archives that are left alone, are as the settings say', async (t) => {
  const allowing = setUp(t, '[attachments]\ndeny=*.exe\nallow=b.exe\n')
  assert.equal(await inspectAttachments(allowing.message, null), null)
})

test('names are logged where the settings say so', async (t) => {
  const { message, site } = setUp(t, '[attachments]\ndeny=*.scr\ndebug=true\n')
  await inspectAttachments(message, null)
  assert.deepEqual(site.log, ['info attachment name: a.txt', 'info attachment name: b.exe'])
})

test('what was seen during the scan counts, and nothing is read again', async (t) => {
  const { message } = setUp(t, '[attachments]\ndeny=*.exe\n')
  const glance = newGlance(message) ?? assert.fail()
  t.mock.getter(glance, 'outcome', () => ({ denied: { mask: 'm', name: 'n' }, unreadable: null, names: [] }))
  assert.deepEqual(await inspectAttachments(message, glance), { denied: 'm', name: 'n' })
})

test('a fault is unreadable, and logged unless the message is dropped', async (t) => {
  const { message, site, cancelled } = setUp(t, '[attachments]\ndeny=*.exe\n')
  t.mock.method(message.transaction.message_stream, 'pipe', () => {
    throw new Error('a bug')
  })
  const finding = { unreadable: 'the message could not be looked into' }
  assert.deepEqual(await inspectAttachments(message, null), finding)
  assert.match(
    site.log.join('\n'),
    /^error attachments not looked at: ClamdError: the message cannot be read/,
  )
  site.log.length = 0
  cancelled.abort(new Error('gone'))
  assert.deepEqual(await inspectAttachments(message, null), finding)
  assert.deepEqual(site.log, [])
})

test('each step of a scan is logged for those who look, at info if the settings say so', async (t) => {
  for (const [ini, level] of [
    ['', 'debug'],
    ['debug=true\n', 'info'],
  ] as const) {
    const { message, site } = setUp(t, ini)
    t.mock.method(
      message.context.runtime.scanner,
      'scan',
      (_source: unknown, _signal: unknown, log: ScanLog) => {
        log.trace('step')
        log.warn('trouble')
        return Promise.resolve(clean)
      },
    )
    assert.equal(await scanMessage(message, null), clean)
    assert.deepEqual(site.log, [`${level} step`, 'warn trouble'])
  }
})

test('work for a message ends with it, or in time', (t) => {
  t.mock.timers.enable({ apis: ['setTimeout'] })
  const { message, cancelled } = setUp(t, '')
  const late = deadline(message, 20)
  t.mock.timers.tick(19)
  assert.equal(late.aborted, false)
  t.mock.timers.tick(1)
  assert.match(late.reason.message, /^not done within 20 ms$/)
  const dropped = deadline(message, 20)
  cancelled.abort(new Error('gone'))
  assert.match(dropped.reason.message, /^gone$/)
})
