// What can happen between a message and its parts, against the packed plugin in a real Haraka with a real clamd's verdicts:
// to the client, to the settings, to the clamd. Faults of the dialogue over a part are in dialogue.test.ts.
import assert from 'node:assert/strict'
import { after, before, describe, test } from 'node:test'
import { addressText } from '../../lib/clamd/address'
import { type RealClamd, skipWithoutClamd, startClamd } from '../support/clamd/clamd'
import { type FakeClamd, startFakeClamd } from '../support/clamd/fake-clamd'
import { until } from '../support/clamd/scanning'
import { FaultSite } from '../support/faults/fault-site'
import type { Content } from '../support/faults/fault-table'
import { messageWith, playAtParts, usualPart } from '../support/faults/part-table'
import { dotStuffed } from '../support/smtp/smtp'

const contents: readonly Content[] = ['clean', 'infected']

/** A Haraka with one address: a front that has a real clamd's verdicts. */
class Lab {
  private constructor(
    readonly clamd: RealClamd,
    readonly front: FakeClamd,
    readonly site: FaultSite,
  ) {}

  static async start(protocol: 'stream' | 'instream', sessions: boolean): Promise<Lab> {
    const clamd = await startClamd()
    const front = await startFakeClamd({ sessions, judge: (message) => clamd.scan(message) })
    const host = addressText(front.address)
    const settings = { host, protocol, sessions, scan: 'auto' as const, scanMs: 30_000, connectMs: 10_000 }
    const lab = new Lab(clamd, front, await FaultSite.start(settings))
    await lab.assertWell()
    await lab.site.settle()
    return lab
  }

  /** Does so when clamd has a verdict on the next message, before it is told. */
  between(happen: () => unknown): void {
    this.front.judge = async (message) => {
      this.front.judge = (next) => this.clamd.scan(next)
      const verdict = await this.clamd.scan(message)
      await happen()
      return verdict
    }
  }

  async assertWell(): Promise<void> {
    await this.front.play([])
    for (const content of contents) {
      const { seen } = await this.site.send(content, usualPart)
      assert.equal(seen.note?.outcome, content, seen.log.join('\n'))
    }
  }

  async assertNothingLeft(): Promise<void> {
    await this.front.idle()
    assert.deepEqual(this.front.violations, [])
    await this.site.assertNothingLeft()
  }

  async stop(): Promise<void> {
    await this.site.stop()
    await this.front.stop()
    await this.clamd.stop()
  }
}

/** The fuller form has all of them. */
const isFull = process.env.FAULTS_FULL === '1'
const ways = [
  { how: 'STREAM', protocol: 'stream', sessions: false },
  { how: 'INSTREAM', protocol: 'instream', sessions: false },
  { how: 'a session', protocol: 'instream', sessions: true },
] as const
const chosen = isFull ? ways : ways.filter(({ how }) => how !== 'INSTREAM')

describe('between a message and its parts', { concurrency: 3, skip: skipWithoutClamd() }, () => {
  for (const { how, protocol, sessions } of chosen) {
    describe(how, { concurrency: 1 }, () => {
      let lab: Lab
      before(async () => {
        lab = await Lab.start(protocol, sessions)
      })
      after(() => lab.stop())

      for (const leave of ['destroy', 'reset'] as const) {
        test(`the client goes away (${leave})`, async () => {
          for (const at of ['command', 'first', 'reply'] as const) {
            const before = lab.front.scans.length
            await playAtParts(lab.front, [{ at, do: 'stall' }])
            const id = `gone-${leave}-${at}`
            const client = await lab.site.client()
            assert.equal((await client.transaction()).code, 354)
            client.write(dotStuffed(messageWith('infected', usualPart, id)))
            await until(() => lab.front.scans.length === before + 2)
            client[leave]()
            await lab.front.idle()
            assert.equal((await lab.site.seen(id)).kept, null)
          }
          await lab.assertWell()
          await lab.assertNothingLeft()
        })
      }

      test('the client says RSET before the answer', async () => {
        for (const content of contents) {
          const client = await lab.site.client()
          assert.equal((await client.transaction()).code, 354)
          const sent = dotStuffed(messageWith(content, usualPart, `rset-${content}`))
          lab.between(() => client.write('RSET\r\n'))
          client.write(sent)
          assert.equal((await client.reply()).code, content === 'clean' ? 250 : 550)
          client.destroy()
          assert.equal((await lab.site.seen(`rset-${content}`)).kept !== null, content === 'clean')
        }
        await lab.assertWell()
        await lab.assertNothingLeft()
      })

      test('the settings are reloaded: those before hold for the parts', async () => {
        lab.between(() => lab.site.reload({ scan: 'message' }))
        const { seen } = await lab.site.send('infected', usualPart)
        assert.equal(seen.note?.outcome, 'infected', seen.log.join('\n'))
        await lab.site.reload({ scan: 'auto' })
        await lab.assertWell()
        await lab.assertNothingLeft()
      })

      const happenings: Record<string, (clamd: RealClamd) => unknown> = {
        'clamd is killed': (clamd) => clamd.kill(),
        'clamd is restarted': (clamd) => clamd.restart(),
        'clamd reloads its signatures': (clamd) => clamd.ask('nRELOAD\n'),
      }
      for (const [name, happen] of Object.entries(happenings)) {
        test(name, async () => {
          for (const content of contents) {
            lab.between(() => happen(lab.clamd))
            const { seen, reply } = await lab.site.send(content, usualPart)
            if (name === 'clamd is killed') {
              assert.equal(reply.code, 451)
              assert.equal(seen.note?.reason, 'error', seen.log.join('\n'))
              await lab.clamd.restart()
            } else assert.equal(seen.note?.outcome, content, seen.log.join('\n'))
          }
          await lab.assertWell()
          await lab.assertNothingLeft()
        })
      }
    })
  }
})
