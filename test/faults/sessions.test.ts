// Faults of a kept connection (IDSESSION) against the packed plugin in a real Haraka. Whatever becomes of a connection
// that has carried a message before, the next message has its verdict at once, over a new one, and no address is blamed.
import assert from 'node:assert/strict'
import { after, before, describe, test } from 'node:test'
import { setTimeout as delay } from 'node:timers/promises'
import { addressText } from '../../lib/clamd/address'
import { type RealClamd, skipWithoutClamd, startClamd } from '../support/clamd/clamd'
import type { Act, Step } from '../support/clamd/clamd-script'
import { type FakeClamd, startFakeClamd } from '../support/clamd/fake-clamd'
import { type Fate, FaultSite } from '../support/faults/fault-site'
import { type Content, usual as bytes } from '../support/faults/fault-table'

const contents: readonly Content[] = ['clean', 'infected']

const command = (act: Act): Step => ({ at: 'command', ...act })
const middle = (act: Act): Step => ({ at: 'middle', after: bytes >> 1, ...act })
const lastByte = (act: Act): Step => ({ at: 'middle', after: bytes, ...act })
const reply = (act: Act): Step => ({ at: 'reply', ...act })

/** What the daemon does with a message over a connection that has carried others. */
const faults: Record<string, readonly Step[]> = {
  'no fault': [],
  ...Object.fromEntries(
    (['close', 'reset', 'halfClose'] as const).flatMap((act) =>
      Object.entries({ command, middle, lastByte, reply }).map(([when, at]) => [
        `${act} at ${when}`,
        [at({ do: act })],
      ]),
    ),
  ),
  'COMMAND READ TIMED OUT': [
    command({ do: 'answer', text: 'COMMAND READ TIMED OUT', end: '\n', number: null }),
  ],
  'half a reply': [reply({ do: 'answer', text: '{verdict}', end: '' })],
  'the number of the first': [reply({ do: 'say', text: '{verdict}', number: 1 })],
  'no number': [reply({ do: 'say', text: '{verdict}', number: null })],
  'OK and FOUND in one write': [reply({ do: 'say', text: 'stream: OK\x002: stream: Second.Test FOUND' })],
  'one reply too many': [reply({ do: 'say', text: '{verdict}\x003: stream: OK' })],
  garbage: [reply({ do: 'garbage', bytes: 1024 * 1024, terminators: true })],
}

describe('faults of a kept connection in a real Haraka', { concurrency: 1, skip: skipWithoutClamd() }, () => {
  let clamd: RealClamd
  let faulty: FakeClamd
  let site: FaultSite

  before(async () => {
    clamd = await startClamd()
    faulty = await startFakeClamd({
      sessions: true,
      protocols: ['INSTREAM'],
      judge: (message) => clamd.scan(message),
    })
    const host = addressText(faulty.address)
    site = await FaultSite.start({ host, protocol: 'auto', scanMs: 20_000, connectMs: 2000, sessions: true })
    await site.settle()
  })
  after(async () => {
    await site.stop()
    await faulty.stop()
    await clamd.stop()
  })

  const isKept = (fate: Fate) => fate.seen.log.some((line) => line.includes(': connect: reused'))
  const isAnew = (fate: Fate) => fate.seen.log.some((line) => line.includes(': connect: new, '))

  /** Sends it over a kept connection; a slow machine may be too late for that, and tries again. */
  async function meet(content: Content, steps: readonly Step[]): Promise<Fate> {
    for (let tries = 1; tries <= 20; tries++) {
      await faulty.play([])
      const deadline = performance.now() + 20_000
      while (!isKept(await site.send('clean', bytes))) {
        assert.ok(performance.now() < deadline, 'no connection is ever kept')
        await delay(20)
      }
      await faulty.play((scan) => (scan === 0 ? steps : []))
      const fate = await site.send(content, bytes)
      if (isKept(fate)) return fate
    }
    throw new Error('no kept connection is ever used')
  }

  for (const [name, steps] of Object.entries(faults)) {
    for (const content of contents) {
      test(`${name}, ${content}`, async () => {
        const fate = await meet(content, steps)
        const log = fate.seen.log.join('\n')
        assert.equal(fate.seen.note?.outcome, content, log)
        assert.equal(isAnew(fate), steps.length > 0, log)
        assert.deepEqual(faulty.violations, [])
      })
    }
  }

  test('nothing is left', async () => {
    await faulty.idle()
    await site.assertNothingLeft()
  })
})
