// The rule that every hook answers exactly once, and for its own message, also when that is dropped or replaced.
import assert from 'node:assert/strict'
import path from 'node:path'
import { test } from 'node:test'
import constants from 'haraka-constants'
import type { CancelSignal } from '../../../lib/base/cancellation'
import type { Connection, Plugin, Transaction } from '../../../lib/haraka/types'
import { cancel, type Message, messageHook, type NextArgs, runHook } from '../../../lib/plugin/hook'
import { load } from '../../../lib/plugin/load'
import type { MessageFacts } from '../../../lib/plugin/message-facts'

const fine: NextArgs = [constants.ok]

/** As it comes with the plugin. */
const config = path.resolve(__dirname, '..', '..', '..', 'config')

/** As much of Haraka as a message's context needs; the whole of it is in test/e2e. */
function setUp() {
  const silent = () => undefined
  const plugin = {
    name: 'clamav-stream',
    timeout: 30,
    config: { get: (name: string) => (name.endsWith('.ini') ? { main: {} } : []), root_path: config },
    haraka_require: () => ({}),
    loginfo: silent,
    logdebug: silent,
    lognotice: silent,
    logwarn: silent,
    logerror: silent,
  } as unknown as Plugin
  const transaction = (): Transaction =>
    ({
      header: { header_list: [] },
      message_stream: { idx: {} },
      notes: {},
    }) as unknown as Transaction
  const errors: string[] = []
  const connection = {
    transaction: transaction(),
    logerror: (_: unknown, text: string) => errors.push(text),
  } as unknown as Connection & { transaction: Transaction | null }
  const answers: NextArgs[] = []
  const next = (...args: unknown[]) => void answers.push(args as unknown as NextArgs)
  const run = (body: (message: Message) => NextArgs | Promise<NextArgs>) =>
    runHook(plugin, next, connection, body)
  return { plugin, connection, transaction, answers, errors, run }
}

function loaded() {
  const all = setUp()
  load(all.plugin)
  return all
}

const later = () => new Promise<void>((resolve) => setImmediate(resolve))

test('the answer of the body, at once or later', async () => {
  const { answers, run } = loaded()
  run(() => fine)
  run(() => Promise.resolve(fine))
  await later()
  assert.deepEqual(answers, [
    [constants.ok, undefined],
    [constants.ok, undefined],
  ])
})

test('a body that waits for nothing is answered at once', () => {
  const { answers, run } = loaded()
  run(() => fine)
  assert.deepEqual(answers, [[constants.ok, undefined]])
})

test('the wrapped method answers for the plugin that Haraka calls it on', () => {
  const { plugin, connection, answers } = loaded()
  const method = messageHook((message) => {
    assert.equal(message.plugin, plugin)
    return fine
  })
  method.call(plugin, (...args) => void answers.push(args as unknown as NextArgs), connection)
  assert.deepEqual(answers, [[constants.ok, undefined]])
})

test('the facts are taken once in a hook, and again in the next one', () => {
  const { connection, run } = loaded()
  const address = (user: string) => ({ address: `${user}@example.com`, user, host: 'example.com' })
  const recipients = [address('ann')]
  Object.assign(connection, { notes: {}, remote: { ip: '192.0.2.1', host: null }, hello: { host: 'client' } })
  Object.assign(connection.transaction ?? {}, {
    uuid: 'ONE.1',
    mail_from: address('bob'),
    rcpt_to: recipients,
    header: { header_list: [], get: () => ' <id@example.com>\n', get_decoded: () => ' Hello\n' },
  })
  const seen: MessageFacts[] = []
  const body = (message: Message): NextArgs => {
    seen.push(message.facts)
    // What another plugin does between two hooks.
    recipients.push(address('eve'))
    seen.push(message.facts)
    return fine
  }
  run(body)
  run(body)
  const [first, again, second] = seen
  assert.equal(first, again)
  assert.deepEqual(first?.to, ['ann@example.com'])
  assert.equal(first.envelope.recipients.length, 1)
  assert.deepEqual(second?.to, ['ann@example.com', 'eve@example.com'])
  assert.deepEqual(
    [first.from, first.subject, first.messageId],
    ['bob@example.com', 'Hello', '<id@example.com>'],
  )
})

test('without a message, and when the body throws, the message is deferred', async () => {
  const { connection, answers, errors, run } = loaded()
  run(() => {
    throw new Error('a bug')
  })
  run(() => Promise.reject(new Error('another bug')))
  await later()
  assert.equal(errors.length, 2)
  connection.transaction = null
  run(() => fine)
  assert.deepEqual(
    answers.map(([code]) => code),
    [constants.denysoft, constants.denysoft, constants.denysoft],
  )
})

test('a message that is dropped is answered at once, and not again when the body is done', async () => {
  const { connection, answers, run } = loaded()
  let finish: (args: NextArgs) => void = () => undefined
  run(() => new Promise<NextArgs>((resolve) => (finish = resolve)))
  cancel(connection)
  assert.deepEqual(answers, [[constants.denysoft, undefined]])
  cancel(connection)
  finish(fine)
  await later()
  assert.equal(answers.length, 1)
})

test('an answer that comes when the connection has another message is not given for that', async () => {
  const { connection, transaction, answers, run } = loaded()
  let finish: (args: NextArgs) => void = () => undefined
  run(() => new Promise<NextArgs>((resolve) => (finish = resolve)))
  connection.transaction = transaction()
  finish(fine)
  await later()
  assert.deepEqual(answers, [[constants.denysoft, undefined]])
})

test('a message is forgotten when it is dropped: what comes then begins anew', () => {
  const { connection, run } = loaded()
  const contexts: unknown[] = []
  const body = ({ context }: Message): NextArgs => {
    contexts.push(context)
    return fine
  }
  run(body)
  run(body)
  cancel(connection)
  run(body)
  assert.equal(contexts[0], contexts[1])
  assert.notEqual(contexts[1], contexts[2])
})

test('while a hook that Haraka gave up is still at work, the next one defers the message', async () => {
  const { connection, answers, run } = loaded()
  let cancelled: CancelSignal | null = null
  let finish: (args: NextArgs) => void = () => undefined
  const slow = ({ context }: Message) => {
    cancelled = context.cancelled
    return new Promise<NextArgs>((resolve) => (finish = resolve))
  }
  run(slow)
  run(() => assert.fail('two hooks at work on one message'))
  assert.deepEqual(answers, [[constants.denysoft, undefined]])
  finish(fine)
  await later()
  run(() => fine)
  assert.deepEqual(answers.slice(1), [
    [constants.ok, undefined],
    [constants.ok, undefined],
  ])
  run(slow)
  run(() => assert.fail('two hooks at work on one message'))
  cancel(connection)
  assert.equal((cancelled as CancelSignal | null)?.aborted, true)
})
