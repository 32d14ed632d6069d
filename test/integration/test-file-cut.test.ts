// A box between Haraka and clamd that stops whatever contains the EICAR test file: the log names it as the likely cause.
import assert from 'node:assert/strict'
import { once } from 'node:events'
import { connect, createServer, type Socket } from 'node:net'
import { test, type TestContext } from 'node:test'
import type { Address } from '../../lib/clamd/address'
import { ClamdError } from '../../lib/clamd/errors'
import { runSelfTest } from '../../lib/health/self-test'
import { testFile } from '../../lib/health/test-mails'
import { clamdOrSkip } from '../support/clamd/clamd'
import { bounded, fake, never, real, usual, verdictOn } from '../support/clamd/self-testing'

/** The first bytes of the test file as an attachment has them. */
const pattern = testFile().toString('base64').slice(0, 40)

/** Passes connections on until the client has sent the pattern; then resets them, or passes nothing more. */
async function startBox(t: TestContext, clamd: { host: string; port: number }, does: 'reset' | 'drop') {
  const sockets = new Set<Socket>()
  const box = createServer((client) => {
    const daemon = connect(clamd.port, clamd.host)
    let sent = ''
    for (const socket of [client, daemon]) {
      sockets.add(socket)
      socket.on('error', () => undefined)
    }
    client.on('data', (piece) => {
      sent += piece.toString('latin1')
      if (!sent.includes(pattern)) daemon.write(piece)
      else if (does === 'reset') client.resetAndDestroy()
    })
    client.on('close', () => daemon.destroy())
    daemon.pipe(client)
  }).listen(0, '127.0.0.1')
  await once(box, 'listening')
  t.after(() => {
    box.close()
    for (const socket of sockets) socket.destroy()
  })
  const { port } = box.address() as { port: number }
  return { host: '127.0.0.1', port }
}

async function failure(address: Address, scanMs: number): Promise<ClamdError> {
  const result = await runSelfTest(address, { ...usual, scanMs }, connect, never).catch(
    (error: unknown) => error,
  )
  return result instanceof ClamdError ? result : assert.fail('the self test has a result')
}

for (const does of ['reset', 'drop'] as const) {
  test(`a box that answers the test file with ${does} is named`, bounded, async (t) => {
    if (!clamdOrSkip(t)) return
    const { clamd } = await real(t)
    const box = await startBox(t, clamd, does)
    const { text, code } = await failure(box, 1000)
    assert.match(text, /EICAR test file, while a harmless mail is scanned: a firewall .* self_test=off/)
    assert.equal(code, does === 'drop' ? 'reply_timeout' : 'no_reply')
  })
}

test('a clamd that hangs up on every mail is no such box', bounded, async (t) => {
  const clamd = await fake(t, [{ at: 'reply', do: 'reset' }], {
    judge: (mail) => Promise.resolve(verdictOn(mail)),
  })
  assert.doesNotMatch((await failure(clamd.address, 1000)).text, /firewall/)
})
