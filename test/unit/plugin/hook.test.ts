// The rule that every hook answers exactly once, and for its own message, whatever happens to that meanwhile.
import assert from 'node:assert/strict'
import path from 'node:path'
import { test } from 'node:test'
import constants from 'haraka-constants'
import type { CancelSignal } from '../../../lib/base/cancellation'
import type { Connection, Plugin, Transaction } from '../../../lib/haraka/types'
import { cancel, type Message, type NextArgs, runHook } from '../../../lib/plugin/hook'
import { load } from '../../../lib/plugin/runtime'

const fine: NextArgs = [constants.ok]

/** As it comes with the plugin. */
const config = path.resolve(__dirname, '..', '..', '..', 'config')

/** As much of Haraka as a message's context needs; the whole of it is in test/e2e. */
function scene() {
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
  const all = scene()
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
