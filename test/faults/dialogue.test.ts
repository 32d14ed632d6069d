// The table of faults (fault-table.ts) against the packed plugin in a real Haraka: a front with a real clamd's verdicts
// that fails as the table says, alone and before two good ones. Each row is met by a clean and by an infected message, and
// by a part of such messages.
import assert from 'node:assert/strict'
import { after, before, describe, test } from 'node:test'
import { addressText } from '../../lib/clamd/address'
import type { Scope } from '../../lib/scan/second-look'
import { type RealClamd, skipWithoutClamd, startClamd } from '../support/clamd/clamd'
import { type FakeClamd, type FakeClamdOptions, startFakeClamd } from '../support/clamd/fake-clamd'
import { startStreamFront, type StreamFront } from '../support/clamd/stream-front'
import { type Cell, keepRecord } from '../support/faults/fault-record'
import { type Fate, FaultSite } from '../support/faults/fault-site'
import {
  type Content,
  labelOf,
  type Row,
  rows,
  type Setting,
  usual,
  withStranger,
} from '../support/faults/fault-table'
import { partRows, playAtParts, usualPart } from '../support/faults/part-table'

/**
 * The fuller form has `auto` as well, which asks a daemon in both protocols, and every row. The shorter one has a third of
 * the rows for each site: integration/scanner-faults.test.ts has them all, without a Haraka.
 */
const isFull = process.env.FAULTS_FULL === '1'
const settings: readonly Setting[] = isFull ? ['stream', 'instream', 'auto'] : ['stream', 'instream']

const seen: Cell[] = []
const seenOfParts: Cell[] = []
let clamd: RealClamd
let sites = 0

/** A Haraka with one faulty address, or with two good ones behind it. */
class Lab {
  private constructor(
    readonly site: FaultSite,
    readonly faulty: FakeClamd,
    readonly host: string,
    readonly fronts: readonly StreamFront[],
  ) {}

  static async start(protocol: Setting, addresses: 1 | 3, scanMs: number, scan?: Scope): Promise<Lab> {
    // Nobody else's, so that the port of a dead end stays one.
    const host = `127.0.9.${++sites}`
    const faulty = await startFakeClamd({ host, judge: (message) => clamd.scan(message) })
    const front = () => startStreamFront({ clamd: { host: clamd.host, port: clamd.port }, instream: true })
    const fronts = addresses === 3 ? [await front(), await front()] : []
    const hosts = [faulty, ...fronts].map(({ address }) => addressText(address)).join(' ')
    const more = scan ? { scan } : {}
    const site = await FaultSite.start({ host: hosts, protocol, scanMs, connectMs: 2000, ...more })
    return new Lab(site, faulty, host, fronts)
  }

  /** What is left open later is more than after this. */
  async begin(): Promise<void> {
    for (const content of ['clean', 'infected'] as const) {
      let fate = await this.site.send(content, usual)
      // A process is slow at its first message, and a short budget may not be enough for that.
      for (let tries = 1; fate.seen.note?.reason === 'timeout' && tries < 20; tries++) {
        fate = await this.site.send(content, usual)
      }
      assert.equal(fate.seen.note?.outcome, content, JSON.stringify(fate.seen))
    }
    await this.site.settle()
  }

  /** Until the faulty address is the first in turn; the messages before that are scanned by the others. */
  async meet(content: Content, bytes: number, lies = false): Promise<Fate> {
    const faulty = addressText(this.faulty.address)
    for (let tries = 1; ; tries++) {
      const fate = await this.site.send(content, bytes, lies)
      if (fate.addresses[0] === faulty) return fate
      const outcome = fate.seen.note?.outcome
      const isSlow = this.site.settings.scanMs < 2000 && fate.seen.note?.reason === 'timeout'
      if (!isSlow) assert.equal(outcome, content, JSON.stringify(fate.seen))
      assert.ok(tries < 20, 'the faulty address is never asked')
    }
  }

  /** `auto` remembers by which protocol a row before came to its verdict, until the address fails. */
  async forget(): Promise<void> {
    await this.faulty.play([{ at: 'command', do: 'reset' }])
    await this.meet('clean', usual)
    await this.faulty.play([])
    const fate = await this.meet('clean', usual)
    assert.equal(fate.seen.note?.outcome, 'clean', JSON.stringify(fate.seen))
  }

  async idle(): Promise<void> {
    await this.faulty.idle()
    assert.equal(this.faulty.open, 0)
    assert.deepEqual(this.faulty.violations, [])
    await Promise.all(this.fronts.map((front) => front.idle()))
    await this.site.assertNothingLeft()
  }

  async stop(): Promise<void> {
    await this.site.stop()
    await this.faulty.stop()
    await Promise.all(this.fronts.map((front) => front.stop()))
  }
}

/** The row's own ways of the daemon, for as long as the row is run. */
async function withDaemon<T>(
  faulty: FakeClamd,
  ways: FakeClamdOptions = {},
  run: () => Promise<T>,
): Promise<T> {
  const usualWays = { protocols: faulty.protocols, acceptMs: faulty.acceptMs }
  const { protocols = usualWays.protocols, acceptMs = usualWays.acceptMs } = ways
  Object.assign(faulty, { protocols, acceptMs })
  try {
    return await run()
  } finally {
    Object.assign(faulty, usualWays)
    await faulty.play([])
  }
}

async function runRow(row: Row, lab: Lab): Promise<void> {
  const { protocol, scanMs, scan } = lab.site.settings
  const { faulty } = lab
  const bytes = scan ? usualPart : (row.bytes ?? usual)
  const addresses = lab.fronts.length > 0 ? 3 : 1
  const meet = async (content: Content) => {
    const fate = await lab.meet(content, bytes, row.lies)
    const { note, log } = fate.seen
    const isOther = note?.clamd !== addressText(faulty.address)
    const got = `${note?.reason ?? note?.outcome ?? 'no note'}${isOther ? ' by another address' : ''}`
    const ends = [row.ends[protocol] ?? []].flat().map((end) => labelOf(end, content, addresses === 3))
    // Whether every byte had left us when the lie came, or the second reply was late, is a matter of luck.
    if (row.lies || (row.talksOn && content === 'clean')) ends.push('clean')
    assert.ok(ends.includes(got), `${content}: ${got}, not ${ends.join(' or ')}:\n${log.join('\n')}`)
    const cells = scan ? seenOfParts : seen
    cells.push({
      row: row.name,
      protocol,
      addresses,
      content,
      code: fate.reply.code,
      ms: fate.ms,
      budgetMs: scanMs,
    })
  }
  const run = async (port: number) => {
    const script = row.script(bytes, port)
    if (scan) {
      for (const content of ['clean', 'infected'] as const) {
        await playAtParts(faulty, script)
        await meet(content)
      }
      return
    }
    await faulty.play(script)
    if (addresses === 1) {
      await Promise.all([meet('clean'), meet('infected')])
      return
    }
    // While one message finds out about an address, others are spared it, and this one is to meet it.
    await meet('clean')
    await meet('infected')
  }
  if (protocol === 'auto') await lab.forget()
  await withDaemon(faulty, row.daemon, () => withStranger(row.stranger, run, lab.host))
  await lab.idle()
}

const shortMs = 700
const longMs = 20_000

describe('faults in a real Haraka', { concurrency: 4, skip: skipWithoutClamd() }, () => {
  before(async () => {
    clamd = await startClamd()
  })
  after(async () => {
    await clamd.stop()
    keepRecord('dialogue', seen)
    keepRecord('parts', seenOfParts)
  })
  const suite = (name: string, start: () => Promise<Lab>, ofSite: readonly Row[]) =>
    void describe(name, { concurrency: 1 }, () => {
      let lab: Lab
      before(async () => {
        lab = await start()
      })
      after(() => lab.stop())
      test('no fault', () => lab.begin())
      for (const row of ofSite) test(row.name, () => runRow(row, lab))
    })
  for (const protocol of settings) {
    for (const addresses of [1, 3] as const) {
      for (const scanMs of [longMs, shortMs]) {
        const isOfSite = (row: Row) =>
          row.ends[protocol] !== undefined && (row.scanner?.scanMs !== undefined) === (scanMs === shortMs)
        const name = `${protocol}, ${addresses === 1 ? 'one address' : 'three'}, ${scanMs} ms`
        const chosen = rows.filter((_, index) => isFull || (index + addresses) % 3 === 0)
        suite(name, () => Lab.start(protocol, addresses, scanMs), chosen.filter(isOfSite))
        if (protocol === 'auto') continue
        if (isFull) {
          suite(
            `a part, ${name}`,
            () => Lab.start(protocol, addresses, scanMs, 'auto'),
            partRows.filter(isOfSite),
          )
        } else if (addresses === 1 && scanMs === longMs) {
          const few = partRows.filter((row, index) => index % 9 === 0 && isOfSite(row))
          const scan = protocol === 'stream' ? 'auto' : 'parts'
          suite(`a part, scan=${scan}, ${name}`, () => Lab.start(protocol, addresses, scanMs, scan), few)
        }
      }
    }
  }
})
