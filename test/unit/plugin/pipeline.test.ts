// From message to action: what is scanned and what is not, when a result still holds, and whose action counts.
import assert from 'node:assert/strict'
import { test, type TestContext } from 'node:test'
import { Cancellation } from '../../../lib/base/cancellation'
import { Message, type MessageContext } from '../../../lib/plugin/hook'
import { load } from '../../../lib/plugin/load'
import { currentEvaluation, evaluate, resolveAction } from '../../../lib/plugin/pipeline'
import { runtimeOf } from '../../../lib/plugin/runtime'
import { parseAction } from '../../../lib/policy/action'
import {
  clean,
  type FakeConnection,
  FakeSite,
  infected,
  mailbox,
  type SiteOptions,
  unscanned,
} from '../../support/haraka/fake-haraka'
import { lines } from '../../support/smtp/attachment-mails'

function setUp(t: TestContext, options: SiteOptions = {}) {
  const site = new FakeSite(t, options)
  load(site.plugin)
  const messageOf = (connection: FakeConnection) => {
    const cancelled = new Cancellation()
    const context: MessageContext & { cancelled: Cancellation } = {
      runtime: runtimeOf(site.plugin),
      cancelled,
      evaluation: null,
      settlement: null,
    }
    const again = () => new Message(site.plugin, connection, connection.transaction, context)
    return { message: again(), again, context, connection, transaction: connection.transaction }
  }
  return { site, messageOf }
}

const authenticated = { notes: { auth_user: 'bob' } }
const withName = lines(
  'Subject: x',
  'Content-Type: application/octet-stream; name=evil.exe',
  '',
  'content',
).split('\r\n')

test('a message is scanned, and its result written down in every place', async (t) => {
  const { site, messageOf } = setUp(t, { ini: 'details_header=true' })
  const sources = site.answer(t, infected)
  const { message, context, connection, transaction } = messageOf(site.connection())
  const evaluation = await evaluate(message)
  assert.equal(sources.length, 1)
  assert.equal(context.evaluation, evaluation)
  assert.deepEqual(
    [evaluation.verdict, evaluation.finding, evaluation.decision.action.text],
    [infected, null, 'reject'],
  )
  const note = transaction.notes.clamav_stream as Record<string, unknown>
  assert.deepEqual([note.outcome, note.action], ['infected', 'reject'])
  assert.deepEqual(connection.results.fail, ['Eicar'])
  assert.deepEqual(
    transaction.header.header_list.slice(-2).map((line) => line.trimEnd()),
    ['X-MessageIsInfected: true', 'X-Virus-Status: infected (Eicar)'],
  )
  assert.match(site.log.join('\n'), /^notice infected \(Eicar\) clamd=127\.0\.0\.1:3310 .* action=reject$/m)
})

test('how loud a result is logged, and that an error is in the result', async (t) => {
  const { site, messageOf } = setUp(t)
  const rows = [
    [clean, 'info', []],
    [{ ...clean, ignored: ['PUA.X'] }, 'notice', []],
    [infected, 'notice', []],
    [unscanned('encrypted'), 'notice', []],
    [unscanned('error'), 'warn', ['refused']],
    [unscanned('limits'), 'warn', []],
  ] as const
  for (const [verdict, level, errors] of rows) {
    site.answer(t, verdict)
    site.log.length = 0
    const { message, connection } = messageOf(site.connection())
    await evaluate(message)
    assert.deepEqual(
      site.log.map((line) => line.split(' ')[0]),
      [level],
    )
    assert.deepEqual(connection.results.err, errors)
    t.mock.restoreAll()
  }
})

test('old signatures are told in the result', async (t) => {
  const { site, messageOf } = setUp(t)
  const engine = { release: 'ClamAV 1', signatures: { number: 1, builtMs: 0 }, line: '' }
  site.answer(t, { ...clean, engine })
  const { message, connection } = messageOf(site.connection())
  await evaluate(message)
  assert.match(String(connection.results.msg), /^signatures 1 are \d+ days old$/)
})

test('exempt by [check] or by the list: nothing is scanned and nothing looked into', async (t) => {
  const options = {
    ini: '[check]\nauthenticated=false\n[attachments]\ndeny=*.exe\n',
    exempt: 'recipient ann@example.org\n',
  }
  const { site, messageOf } = setUp(t, options)
  const sources = site.answer(t, clean)
  for (const [more, text] of [
    [authenticated, ''],
    [{}, 'recipient ann@example.org'],
  ] as const) {
    const { message, transaction } = messageOf(site.connection(more, withName))
    if (text === '') transaction.rcpt_to = [mailbox('eve@example.org')]
    const { verdict, finding, decision } = await evaluate(message)
    assert.deepEqual(
      [verdict.outcome === 'unscanned' && verdict.reason, verdict.outcome === 'unscanned' && verdict.text],
      ['exempt', text],
    )
    assert.deepEqual([finding, decision.action.text], [null, 'accept'])
  }
  assert.equal(sources.length, 0)
  assert.ok(site.log.every((line) => line.startsWith('info ')))
})

test('attachments count unless the message is rejected for a virus anyway', async (t) => {
  const { site, messageOf } = setUp(t, { ini: '[attachments]\ndeny=*.exe\naction=quarantine\n' })
  for (const [verdict, finding, action] of [
    [clean, { denied: '*.exe', name: 'evil.exe' }, 'quarantine'],
    [unscanned('error'), { denied: '*.exe', name: 'evil.exe' }, 'quarantine'],
    [infected, null, 'reject'],
  ] as const) {
    site.answer(t, verdict)
    const { message } = messageOf(site.connection({}, withName))
    const evaluation = await evaluate(message)
    assert.deepEqual([evaluation.finding, evaluation.decision.action.text], [finding, action])
    t.mock.restoreAll()
  }
})

test('of a message that is dropped during the scan, nothing is written down', async (t) => {
  const { site, messageOf } = setUp(t)
  const { message, context, transaction } = messageOf(site.connection())
  site.answer(t, () => {
    context.cancelled.abort(new Error('gone'))
    return Promise.resolve(unscanned('error'))
  })
  assert.equal((await evaluate(message)).verdict.outcome, 'unscanned')
  assert.equal(context.evaluation, null)
  assert.equal(transaction.notes.clamav_stream, undefined)
  assert.deepEqual(site.log, [])
})

test('a fault of the scan is no verdict of a clamd', async (t) => {
  const { site, messageOf } = setUp(t)
  site.answer(t, () => Promise.reject(new Error('a bug')))
  const { verdict, decision } = await evaluate(messageOf(site.connection()).message)
  assert.ok(verdict.outcome === 'unscanned' && verdict.reason === 'error' && verdict.text.includes('a bug'))
  assert.equal(decision.action.text, 'defer')
})

test('an exemption ends when a recipient is added that no entry covers', async (t) => {
  const { site, messageOf } = setUp(t, { exempt: 'recipient ann@example.org\n' })
  const { message, again, transaction } = messageOf(site.connection())
  assert.equal(currentEvaluation(message), null)
  const evaluation = await evaluate(message)
  assert.equal(currentEvaluation(again()), evaluation)
  transaction.rcpt_to.push(mailbox('eve@example.org'))
  site.log.length = 0
  assert.equal(currentEvaluation(again()), null)
  assert.match(site.log.join('\n'), /^notice no longer exempt/)
})

test('a scan holds whatever recipients are added; so does an exemption that another plugin made a rejection', async (t) => {
  const { site, messageOf } = setUp(t, { exempt: 'recipient ann@example.org\n' })
  site.answer(t, clean)
  const scanned = messageOf(site.connection())
  scanned.transaction.rcpt_to.push(mailbox('eve@example.org'))
  const evaluation = await evaluate(scanned.message)
  scanned.transaction.rcpt_to.push(mailbox('joe@example.org'))
  assert.equal(currentEvaluation(scanned.again()), evaluation)

  for (const [word, holds] of [
    ['reject', true],
    ['tag', false],
  ] as const) {
    const { message, again, transaction } = messageOf(site.connection())
    const exempt = await evaluate(message)
    ;(transaction.notes.clamav_stream as { action: string }).action = word
    resolveAction(again(), exempt)
    transaction.rcpt_to.push(mailbox('eve@example.org'))
    assert.equal(currentEvaluation(again()), holds ? exempt : null)
  }
})

async function settled(t: TestContext, noted: unknown, more: object = {}, ini = '') {
  const { site, messageOf } = setUp(t, { ini })
  site.answer(t, infected)
  const { message, again, context, transaction } = messageOf(site.connection(more))
  const evaluation = await evaluate(message)
  if (noted === undefined) delete transaction.notes.clamav_stream
  else Object.assign(transaction.notes.clamav_stream as object, noted)
  site.log.length = 0
  const action = resolveAction(again(), evaluation)
  return { site, action, again, context, evaluation, transaction }
}

const noteIn = (transaction: { notes: Record<string, unknown> }) =>
  (transaction.notes.clamav_stream as { action?: string } | undefined)?.action

test('the decision stands unless another plugin has noted another action', async (t) => {
  for (const noted of [undefined, {}, { action: 'reject' }]) {
    const { site, action, context, evaluation, transaction } = await settled(t, noted)
    assert.equal(action, evaluation.decision.action)
    assert.deepEqual(context.settlement, { evaluation, action })
    assert.equal(noteIn(transaction), 'reject')
    assert.deepEqual(site.log, [])
  }
  const { site, action, transaction } = await settled(t, { action: 'Discard' })
  assert.deepEqual(action, parseAction('discard'))
  assert.equal(noteIn(transaction), 'discard')
  assert.deepEqual(site.log, ['notice another plugin made "reject" into "discard"'])
})

test('what is no action is refused, and the decision stays', async (t) => {
  const { site, action, transaction } = await settled(t, { action: 'deliver' })
  assert.equal(action.text, 'reject')
  assert.equal(noteIn(transaction), 'reject')
  assert.deepEqual(site.log, ['error note.action \'deliver\' is no action, "reject" stays'])
})

test('an action is settled once for each evaluation', async (t) => {
  const { action, again, evaluation, transaction } = await settled(t, {})
  Object.assign(transaction.notes.clamav_stream as object, { action: 'accept' })
  assert.equal(resolveAction(again(), evaluation), action)
  assert.equal(resolveAction(again(), { ...evaluation }).text, 'accept')
})

test('a report is a rejection for a sender who can have none, also by then', async (t) => {
  assert.equal((await settled(t, { action: 'bounce' })).action.text, 'reject')
  assert.equal((await settled(t, { action: 'bounce' }, authenticated)).action.text, 'bounce')
  const { site, messageOf } = setUp(t, { ini: '[infected]\naction=bounce\n' })
  site.answer(t, infected)
  const { message, again, transaction } = messageOf(site.connection(authenticated))
  const evaluation = await evaluate(message)
  assert.equal(evaluation.decision.action.text, 'bounce')
  transaction.add_header('List-Id', '<list.example.com>')
  assert.equal(resolveAction(again(), evaluation).text, 'reject')
})

test('other plugins learn that a copy is wanted, and where', async (t) => {
  const kept = await settled(t, { action: 'quarantine' }, {}, '[quarantine]\nfolder=viruses\n')
  assert.equal(kept.transaction.notes.quarantine, 'viruses')
  assert.deepEqual((kept.transaction.notes.queue as { wants?: string }).wants, 'quarantine')
  const { transaction } = await settled(t, { action: 'discard' })
  assert.equal(transaction.notes.quarantine, undefined)
  assert.equal(transaction.notes.queue, undefined)
})
