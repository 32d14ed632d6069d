// What the log says of an error, and which errors are of one kind.
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { ClamdError, errorText, isLocalShortage, isSessionError, TooLarge } from '../../../lib/clamd/errors'

const cause = (code: string) => Object.assign(new Error('system'), { code })

test('step, message, and the code of the system where there is one', () => {
  const plain = new ClamdError('reply', 'no reply')
  assert.deepEqual([plain.code, plain.text, errorText(plain)], ['failed', 'no reply', 'reply: no reply'])
  const caused = new ClamdError('connect', 'refused', { cause: cause('ECONNREFUSED') })
  assert.equal(errorText(caused), 'connect: refused (ECONNREFUSED)')
  assert.equal(new ClamdError('connect', 'odd', { cause: new Error('x') }).text, 'odd')
  assert.equal(errorText(new Error('a bug')), 'Error: a bug')
})

test('the end of a session is one kind of error, a shortage of this machine another', () => {
  assert.ok(isSessionError(new ClamdError('reply', '', { code: 'session_stale' })))
  assert.ok(!isSessionError(new ClamdError('reply', '', { code: 'no_reply' })))
  assert.ok(!isSessionError(Object.assign(new Error(), { code: 'session_stale' })))
  assert.deepEqual(['EMFILE', 'ENFILE', 'EPIPE'].map(cause).map(isLocalShortage), [true, true, false])
  assert.ok(!isLocalShortage(undefined))
})

test('a message that is too large says how much of it has come', () => {
  assert.equal(new TooLarge(26).message, 'message is larger than max_size: 26 bytes and more')
})
