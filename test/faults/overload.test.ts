// More mail at once than clamd has threads and queue for, against the packed plugin in a real Haraka: everybody is
// answered inside the budget, nothing passes unscanned, and when the load is gone the next message is scanned at once.
import assert from 'node:assert/strict'
import { after, describe, test, type TestContext } from 'node:test'
import { setTimeout as delay } from 'node:timers/promises'
import { addressText } from '../../lib/clamd/address'
import { type RealClamd, skipWithoutClamd, startClamd } from '../support/clamd/clamd'
import { type FakeClamd, startFakeClamd } from '../support/clamd/fake-clamd'
import { keepRecord } from '../support/faults/fault-record'
import { type Fate, FaultSite, type SiteSettings } from '../support/faults/fault-site'
import type { Content } from '../support/faults/fault-table'

/** How one flood went. */
export interface Flood {
  name: string
  messages: number
  scanned: number
  deferred: number
  longestMs: number
  budgetMs: number
  /** Of the message after the flood, which is scanned. */
  nextMs: number
}

const floods: Flood[] = []
const bytes = 64 * 1024
const contentOf = (number: number): Content => (number % 5 === 4 ? 'infected' : 'clean')

async function start(t: TestContext, settings: Omit<SiteSettings, 'connectMs'>): Promise<FaultSite> {
  const site = await FaultSite.start({ connectMs: 5000, restMs: 30_000, ...settings })
  t.after(() => site.stop())
  return site
}

async function realClamd(t: TestContext): Promise<RealClamd> {
  const clamd = await startClamd({ config: { MaxThreads: 2, MaxQueue: 4 } })
  t.after(() => clamd.stop())
  return clamd
}

/** Two threads and a real clamd's verdicts, each after so long. */
async function slowFront(t: TestContext, clamd: RealClamd, ms: number): Promise<FakeClamd> {
  const threads = [Promise.resolve(''), Promise.resolve('')]
  let turn = 0
  const judge = (message: Buffer) => {
    const thread = turn++ % threads.length
    const before = threads[thread] ?? Promise.resolve('')
    const verdict = before.then(() => delay(ms)).then(() => clamd.scan(message))
    threads[thread] = verdict
    return verdict
  }
  const front = await startFakeClamd({ judge, protocols: ['INSTREAM'] })
  t.after(() => front.stop())
  return front
}

/** All at once, with a look at what is left and at the next message behind them. */
async function flood(
  name: string,
  site: FaultSite,
  messages: number,
  during?: () => unknown,
): Promise<Fate[]> {
  await site.send('clean', bytes)
  await site.settle()
  const sent = Array.from({ length: messages }, (_, number) => site.send(contentOf(number), bytes))
  const [fates] = await Promise.all([Promise.all(sent), during?.()])
  for (const { content, seen } of fates) {
    const isVerdict = seen.note?.outcome === content
    assert.ok(isVerdict || seen.note?.reason === 'timeout', seen.log.join('\n'))
  }
  const [next, infected] = [await site.send('clean', bytes), await site.send('infected', bytes)]
  assert.equal(next.reply.code, 250, next.seen.log.join('\n'))
  assert.equal(infected.reply.code, 550, infected.seen.log.join('\n'))
  await site.assertNothingLeft()
  const scanned = fates.filter(({ reply }) => reply.code !== 451).length
  floods.push({
    name,
    messages,
    scanned,
    deferred: messages - scanned,
    longestMs: Math.max(...fates.map(({ ms }) => ms)),
    budgetMs: site.settings.scanMs,
    nextMs: next.ms,
  })
  return fates
}

const isWaiter = ({ seen }: Fate) =>
  seen.log.some((line) => line.includes('waiting for an address with room'))

describe('overload', { concurrency: 2, skip: skipWithoutClamd() }, () => {
  after(() => keepRecord('overload', floods))

  for (const protocol of ['auto', 'instream'] as const) {
    test(`60 messages at once for a clamd with two threads and a queue of four, ${protocol}`, async (t) => {
      const clamd = await realClamd(t)
      const site = await start(t, { host: `${clamd.host}:${clamd.port}`, protocol, scanMs: 20_000 })
      const fates = await flood(`two threads, queue of four, protocol=${protocol}`, site, 60)
      assert.ok(fates.every(({ reply }) => reply.code !== 451))
    })
  }

  test('a clamd that stands still under the flood, and comes back', async (t) => {
    const clamd = await realClamd(t)
    const site = await start(t, { host: `${clamd.host}:${clamd.port}`, protocol: 'instream', scanMs: 4000 })
    await site.send('clean', bytes)
    clamd.pause()
    // It comes back behind the last answer: the flood is over, and the only address has failed all the time.
    const sent = await Promise.all(Array.from({ length: 40 }, (_, i) => site.send(contentOf(i), bytes)))
    assert.ok(sent.every(({ reply }) => reply.code === 451))
    clamd.resume()
    await flood('after a flood on a clamd that stood still', site, 10)
  })

  test('max_concurrent: what finds no room is deferred in time, and the log says why', async (t) => {
    const front = await slowFront(t, await realClamd(t), 400)
    const settings = { host: addressText(front.address), protocol: 'instream' as const, scanMs: 4000 }
    const site = await start(t, { ...settings, maxConcurrent: 2 })
    let maxBytes = 0
    const ended = new AbortController()
    const watch = async () => {
      while (!ended.signal.aborted) {
        maxBytes = Math.max(maxBytes, front.open)
        await delay(5)
      }
    }
    const watching = watch()
    const fates = await flood('max_concurrent=2, two scans of 400 ms at a time', site, 40)
    ended.abort()
    await watching
    const waiters = fates.filter(isWaiter)
    assert.ok(waiters.length >= 10, `${waiters.length}`)
    assert.ok(waiters.every(({ reply }) => reply.code === 451))
    // clamd gets no work whose result is not awaited: only what did not wait in vain, once, and the three of `flood`.
    assert.equal(front.scans.length, fates.length - waiters.length + 3)
    assert.ok(maxBytes <= 2, `${maxBytes} at a time`)
  })

  test('one address of three stands still: with max_concurrent it holds up as many messages as it has places', async (t) => {
    const clamd = await realClamd(t)
    const [still, ...good] = [
      await startFakeClamd({ judge: (message) => clamd.scan(message) }),
      await slowFront(t, clamd, 50),
      await slowFront(t, clamd, 50),
    ]
    t.after(() => still.stop())
    const host = [still, ...good].map(({ address }) => addressText(address)).join(' ')
    const site = await start(t, { host, protocol: 'instream', scanMs: 10_000, maxConcurrent: 2 })
    await still.play((scan) => (scan < 2 ? [] : [{ at: 'first', do: 'stall' }]))
    for (let i = 0; i < 6; i++) await site.send('clean', bytes)
    const fates = await Promise.all(Array.from({ length: 40 }, (_, i) => site.send(contentOf(i), bytes)))
    const deferred = fates.filter(({ reply }) => reply.code === 451)
    assert.ok(deferred.length <= 2, `${deferred.length} deferred`)
    for (const { seen } of deferred) assert.equal(seen.note?.clamd, addressText(still.address))
    // It rests now: no message meets it any more.
    await flood('one of three stands still, max_concurrent=2', site, 20)
  })
})
