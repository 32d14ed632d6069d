// The reply to one message: a connection of its own and a session have one rule for what makes it count.
import assert from 'node:assert/strict'
import type { Socket } from 'node:net'
import { Duplex } from 'node:stream'
import { test } from 'node:test'
import { CommandConnection } from '../../../lib/clamd/connection'
import { ClamdError } from '../../../lib/clamd/errors'
import { Session } from '../../../lib/clamd/session-pool'

/** A connection on which clamd says `said` and closes in good order. */
async function connectionThatSays(said: string): Promise<CommandConnection> {
  const wire = new Duplex({ read: () => undefined, write: (_chunk, _encoding, done) => done() })
  const opening = CommandConnection.open({
    connect: () => wire as unknown as Socket,
    connectMs: 10_000,
    signal: new AbortController().signal,
    address: { path: '/dev/null' },
  })
  wire.emit('connect')
  const connection = await opening
  wire.push(Buffer.from(said, 'latin1'))
  wire.push(null)
  return connection
}

type Way = 'alone' | 'in a session'

async function outcome(way: Way, line: string, complete: boolean, rest: string): Promise<string> {
  const numbered = way === 'alone' ? line : `1: ${line}`
  const connection = await connectionThatSays(`${numbered}\0${rest}`)
  const session = new Session(connection)
  session.nextCommand()
  const sent = { complete, bytes: 7 }
  try {
    const reply = await (way === 'alone' ? connection.lastReply(sent) : session.reply(sent))
    return `${reply.kind}${'name' in reply ? ` ${reply.name}` : 'text' in reply ? ` ${reply.text}` : ''}`
  } catch (error) {
    assert.ok(error instanceof ClamdError, String(error))
    return `${error.step}: ${error.message}`
  } finally {
    connection.close()
  }
}

const early = (said: string) => `reply: ${said} before the end of the message, after 7 bytes`
const followed = (said: string) => `reply: ${said}, and then: more`

const encrypted = 'Heuristics.Encrypted.Zip'

/** By line: after the whole message, before its end, and with more behind it. */
const table: Record<string, readonly [whole: string, tooEarly: string, followed: string]> = {
  'stream: OK': ['clean', early('OK'), followed('OK')],
  [`stream: ${encrypted} FOUND`]: [
    `found ${encrypted}`,
    early(`${encrypted} FOUND`),
    followed(`${encrypted} FOUND`),
  ],
  ...Object.fromEntries(
    [
      ['stream: Broken ERROR', 'error stream: Broken ERROR'],
      ['INSTREAM size limit exceeded. ERROR', 'limit INSTREAM size limit exceeded. ERROR'],
      ['UNKNOWN COMMAND', 'unknown_command UNKNOWN COMMAND'],
      ['COMMAND UNAVAILABLE', 'unknown_command COMMAND UNAVAILABLE'],
      ['PONG', 'pong'],
      ['', 'error an empty reply'],
      ['stream: OK ', 'error stream: OK'],
      ['stream: ok', 'error stream: ok'],
      ['OK', 'error OK'],
    ].map(([line = '', reply = '']) => [line, [reply, reply, reply]]),
  ),
}

for (const [line, ends] of Object.entries(table)) {
  for (const way of ['alone', 'in a session'] as const) {
    test(`${JSON.stringify(line)}, ${way}`, async () => {
      assert.deepEqual(
        [
          await outcome(way, line, true, ''),
          await outcome(way, line, false, ''),
          await outcome(way, line, true, 'more'),
        ],
        ends,
      )
    })
  }
}

test('a virus counts at any time, but in a session only as clean does: it may be in another message', async () => {
  const line = 'stream: Eicar FOUND'
  for (const way of ['alone', 'in a session'] as const)
    assert.equal(await outcome(way, line, true, ''), 'found Eicar')
  assert.equal(await outcome('alone', line, false, ''), 'found Eicar')
  assert.equal(await outcome('alone', line, true, 'more'), 'found Eicar')
  assert.equal(await outcome('in a session', line, false, ''), early('Eicar FOUND'))
  assert.equal(await outcome('in a session', line, true, 'more'), followed('Eicar FOUND'))
})
