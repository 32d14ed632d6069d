// clamd's words, cut, damaged and put together wrongly: only the one exact line, whole, alone and in good order, is
// clean, and nothing but a ClamdError is ever thrown.
import assert from 'node:assert/strict'
import type { Socket } from 'node:net'
import { Duplex } from 'node:stream'
import { test } from 'node:test'
import * as fc from 'fast-check'
import { CommandConnection } from '../../lib/clamd/connection'
import { ClamdError } from '../../lib/clamd/errors'
import { maxReplyBytes, parseCapabilities, parsePort, parseReply, type Reply } from '../../lib/clamd/protocol'
import { cuts, fuzz } from './chance'

const words = [
  'stream: OK',
  'stream: ',
  'OK',
  ' FOUND',
  ' ERROR',
  'Eicar-Test-Signature',
  'PONG',
  'PORT 1025',
  'UNKNOWN COMMAND',
  'INSTREAM size limit exceeded.',
  'COMMAND READ TIMED OUT',
  '(null)',
  '1: ',
  '\0',
  '\n',
  '\r',
  '\r\n',
  '\u202e',
  '\x1b[31m',
  '\xff',
  ' ',
]
const text = fc
  .array(
    fc.oneof(
      { weight: 4, arbitrary: fc.constantFrom(...words) },
      { weight: 1, arbitrary: fc.string({ unit: 'binary', maxLength: 20 }) },
      { weight: 1, arbitrary: fc.constantFrom('A'.repeat(200), 'B'.repeat(maxReplyBytes)) },
    ),
    { maxLength: 6 },
  )
  .map((pieces) => pieces.join(''))
/** What looks as clean as can be. */
const nearlyClean = fc
  .tuple(
    fc.constantFrom('', ' ', '\r', '\0', '\n', 'x', '1: '),
    fc.constantFrom('stream: OK', 'stream: ok'),
    text,
  )
  .map((pieces) => pieces.join(''))
const anything = fc.oneof(text, nearlyClean)

function assertFit(reply: Reply): void {
  const shown = reply.kind === 'found' ? reply.name : 'text' in reply ? reply.text : '-'
  assert.match(shown, /^[\x20-\x7e]{1,160}$/)
}

fuzz(
  'a reply is clean if it is the one clean reply, and printable whatever it is',
  1,
  fc.property(anything, (line) => {
    const reply = parseReply(line)
    assert.equal(reply.kind === 'clean', line === 'stream: OK')
    assert.equal(
      reply.kind === 'found',
      line.startsWith('stream: ') && line.endsWith(' FOUND') && line.length > 14,
    )
    assertFit(reply)
  }),
)

fuzz(
  'a port is a whole number of one to five digits, in range, behind PORT and nothing else',
  1,
  fc.property(
    fc.oneof(
      anything,
      fc.integer({ min: -10, max: 70_000 }).map((port) => `PORT ${port}`),
    ),
    (line) => {
      const port = parsePort(line)
      if (port !== null)
        assert.ok(Number.isInteger(port) && port > 0 && port < 65_536 && line === `PORT ${port}`)
      parseCapabilities(line)
    },
  ),
)

/** A socket whose other end is the test. */
class Wire extends Duplex {
  override _read(): void {
    // Bytes are pushed as the test wants them.
  }
  override _write(_chunk: Buffer, _encoding: string, done: () => void): void {
    done()
  }
}

interface Spoken {
  readonly said: string
  readonly at: readonly number[]
  readonly end: 'end' | 'reset' | 'abort'
  readonly complete: boolean
}

/** What a command connection makes of it: the reply, or what was thrown. */
async function heard({ said, at, end, complete }: Spoken): Promise<Reply | Error> {
  const wire = new Wire({ allowHalfOpen: true })
  const abort = new AbortController()
  const opening = CommandConnection.open({
    connect: () => wire as unknown as Socket,
    connectMs: 10_000,
    signal: abort.signal,
    address: { path: '/dev/null' },
  })
  wire.emit('connect')
  const line = await opening
  const reply = line.lastReply({ complete, bytes: 0 }).catch((error: unknown) => error as Error)
  const bytes = Buffer.from(said, 'latin1')
  for (const [from, to] of cuts(bytes.length, at)) {
    if (!wire.destroyed && to > from) wire.push(bytes.subarray(from, to))
    if (to % 3 === 0) await new Promise((resolve) => setImmediate(resolve))
  }
  if (at.length > 0) await new Promise((resolve) => setImmediate(resolve))
  if (end === 'abort') abort.abort(new ClamdError('reply', 'aborted'))
  else if (end === 'reset') wire.destroy(Object.assign(new Error('reset'), { code: 'ECONNRESET' }))
  else if (!wire.destroyed) wire.push(null)
  const outcome = await reply
  line.close()
  return outcome
}

fuzz(
  'a connection is clean after that reply alone, whole, and an orderly end, however the bytes came',
  0.1,
  fc.asyncProperty(
    fc.record({
      said: anything,
      at: fc.array(fc.nat(5000), { maxLength: 8 }),
      end: fc.constantFrom('end', 'end', 'end', 'reset', 'abort'),
      complete: fc.boolean(),
    }),
    async (spoken) => {
      const outcome = await heard(spoken)
      const isAlone = /^stream: OK[\0\n]$/.test(spoken.said)
      if (!(outcome instanceof Error)) assertFit(outcome)
      else assert.ok(outcome instanceof ClamdError, String(outcome.stack))
      const isClean = !(outcome instanceof Error) && outcome.kind === 'clean'
      if (isClean) assert.ok(isAlone && spoken.complete && spoken.end === 'end')
      if (isAlone && spoken.complete && spoken.end === 'end') assert.ok(isClean)
    },
  ),
)

test('an OK whose orderly end we did not wait for is not clean', async () => {
  const outcome = await heard({ said: 'stream: OK\n', at: [0], end: 'abort', complete: true })
  assert.ok(outcome instanceof ClamdError && outcome.text === 'aborted')
})

fuzz(
  'every way to cut the clean reply, and what follows it',
  0.1,
  fc.asyncProperty(
    fc.constantFrom('\0', '\n'),
    fc.array(fc.nat(12), { maxLength: 11 }),
    fc.constantFrom('', '\0', '\n', 'x', 'stream: Eicar FOUND\0'),
    async (terminator, at, more) => {
      const outcome = await heard({ said: `stream: OK${terminator}${more}`, at, end: 'end', complete: true })
      if (more !== '') assert.ok(outcome instanceof ClamdError && outcome.text.includes(' and then: '))
      else assert.ok(!(outcome instanceof Error) && outcome.kind === 'clean')
    },
  ),
)
