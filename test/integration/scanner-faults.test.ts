// Every way a clamd can fail at every step of the dialogue, in both protocols, alone and with two healthy addresses.
// In every case: only a message it has got whole and answered `stream: OK` is clean, another address is asked when that
// makes sense, the budget holds, and nothing stays behind.
import assert from 'node:assert/strict'
import { after, describe, test } from 'node:test'
import { addressText, type Host } from '../../lib/clamd/address'
import { receivedLine } from '../../lib/clamd/protocol'
import type { Verdict } from '../../lib/policy/verdict'
import type { ConnectDeadEnd, Step } from '../support/clamd/clamd-script'
import { type FakeClamd, startFakeClamd } from '../support/clamd/fake-clamd'
import { runningTimers, Scanning, until } from '../support/clamd/scanning'
import {
  type Content,
  labelOf,
  large,
  message,
  type Row,
  rows,
  type Setting,
  usual,
  withStranger,
} from '../support/faults/fault-table'

function label(verdict: Verdict, faulty: string): string {
  const what = verdict.outcome === 'unscanned' ? verdict.reason : verdict.outcome
  return verdict.clamd === faulty ? what : `${what} by another address`
}

function assertTold(text: string, what: RegExp | string = /./): void {
  if (typeof what === 'string') assert.ok(text.includes(what), `'${what}' is not told: ${text}`)
  else assert.match(text, what)
}

/** What must be true of any scan at all. */
async function checkInvariants(
  scanning: Scanning,
  verdict: Verdict,
  sent: Buffer,
  daemons: readonly FakeClamd[],
  talksOn: boolean,
): Promise<void> {
  assert.deepEqual(scanning.leftovers(), [])
  const by = daemons.find(({ address }) => addressText(address) === verdict.clamd)
  if (verdict.outcome === 'clean') {
    const scan = by?.scans.at(-1)
    assert.ok(scan, 'clean without a scan')
    assert.ok(scan.bytes.equals(Buffer.concat([receivedLine, sent])), 'clean, but not all of it was sent')
    const end = talksOn ? '' : '$'
    assert.match(scan.reply.toString('latin1'), new RegExp(`^(PORT \\d+\n|1: )?stream: OK[\\0\n]${end}`))
    assert.equal(verdict.bytes, sent.length + receivedLine.length)
  }
  for (const daemon of daemons) {
    await daemon.idle()
    assert.equal(daemon.open, 0)
    assert.deepEqual(daemon.violations, [])
  }
  // With one place for each, every place is free again.
  const tried = new Set<string>()
  for (const daemon of daemons) {
    const lease = await scanning.hosts.take(tried, AbortSignal.timeout(1000))
    assert.ok(lease, `no lease, though there are ${daemons.length} daemons`)
    assert.ok(
      daemons.some(({ address }) => addressText(address) === lease.text),
      addressText(daemon.address),
    )
    tried.add(lease.text)
  }
}

let ownHosts = 0

function ownHost(): string {
  ownHosts++
  return `127.0.${3 + (ownHosts >> 7)}.${1 + (ownHosts & 127)}`
}

/** @param where null: INSTREAM in a session, of which this is the first message */
async function runCell(row: Row, where: Setting | null, content: Content, hasOthers: boolean): Promise<void> {
  const setting = where ?? 'instream'
  const sessions = where === null
  const host = row.hasOwnHost ? { host: ownHost() } : {}
  const faulty = await startFakeClamd({ ...row.daemon, ...host, sessions })
  const healthy = hasOthers ? [await startFakeClamd(), await startFakeClamd()] : []
  const daemons = [faulty, ...healthy]
  const limits = { maxConcurrent: 1, sessions, sessionTimes: { idleMs: 1 }, ...row.scanner }
  const scanning = new Scanning(
    daemons.map(({ address }) => address),
    { protocol: setting, ...limits },
  )
  try {
    await withStranger(row.stranger, async (port) => {
      const bytes = row.bytes ?? usual
      await faulty.play(row.script(bytes, port))
      const sent = message(content, bytes)
      const begin = performance.now()
      const verdict = await scanning.scan(sent)
      const ms = performance.now() - begin
      assert.ok(ms < (limits.scanMs ?? 20_000) + 2000, `${ms} ms`)

      const address = addressText(faulty.address)
      const allowed = [row.ends[setting] ?? []].flat()
      const possible = allowed.map((end) => labelOf(end, content, hasOthers))
      // Nobody finds anything before the end of a message, and no end of the connection shows what comes behind it.
      if (sessions && allowed.some((end) => end === 'found' || end === 'unclean')) possible.push('error')
      if (sessions && row.talksOn) possible.push('clean')
      const got = label(verdict, address)
      const why = verdict.outcome === 'unscanned' ? verdict.text : ''
      assert.ok(possible.includes(got), `${got} (${why}), not ${possible.join(' or ')}`)
      if (verdict.outcome === 'unscanned' && verdict.reason !== 'timeout') {
        assertTold(verdict.text, row.text)
        if (verdict.reason === 'error') assertTold(verdict.text, `${address} `)
      }
      if (got.endsWith('by another address')) {
        assertTold(scanning.log.warnings[0] ?? '', row.text)
        assertTold(scanning.log.warnings[0] ?? '', address)
        assert.equal(scanning.log.warnings.length, 1)
      }
      if (verdict.outcome === 'infected' && !got.endsWith('by another address')) {
        assert.match(verdict.virus, /^(Eicar-Test-Signature|\w+\.Test)$/)
      }
      if (sessions) await until(() => scanning.open === 0)
      await checkInvariants(scanning, verdict, sent, daemons, row.talksOn ?? false)
    })
  } finally {
    scanning.destroy()
    await Promise.all(daemons.map((daemon) => daemon.stop()))
  }
}

const timersBefore = runningTimers()
after(() => assert.equal(runningTimers(), timersBefore, 'a timer was left running'))

describe('faults', { concurrency: 4 }, () => {
  for (const row of rows) {
    test(row.name, async () => {
      const cells = (Object.keys(row.ends) as (Setting | null)[]).flatMap((setting) =>
        (['clean', 'infected'] as const).flatMap((content) =>
          [false, true].map((hasOthers) => ({ setting, content, hasOthers })),
        ),
      )
      // A daemon that has no INSTREAM has no sessions.
      const inSession = row.ends.instream !== undefined && row.daemon?.protocols === undefined && !row.hangsUp
      for (const content of inSession ? (['clean', 'infected'] as const) : []) {
        cells.push({ setting: null, content, hasOthers: false })
      }
      const ends = await Promise.allSettled(
        cells.map(({ setting, content, hasOthers }) => runCell(row, setting, content, hasOthers)),
      )
      const failed = ends.flatMap((end, index) => {
        if (end.status === 'fulfilled') return []
        const { setting, content, hasOthers } = cells[index] ?? {}
        const name = `${setting ?? 'session'}, ${content}, ${hasOthers ? 'three addresses' : 'one address'}`
        return [`${name}: ${(end.reason as Error).message}`]
      })
      assert.ok(failed.length === 0, `\n${failed.join('\n')}`)
    })
  }
})

interface NameRow {
  readonly lookup: (name: string) => Promise<readonly string[]>
  readonly text: RegExp
  readonly warning?: RegExp
}

const unresolved: Record<string, NameRow> = {
  'a name that does not exist': {
    lookup: () => Promise.reject(new Error('getaddrinfo ENOTFOUND clamd.test')),
    text: /resolve: no address/,
    warning: /clamd\.test: getaddrinfo ENOTFOUND/,
  },
  'a name without an address': { lookup: () => Promise.resolve([]), text: /resolve: no address/ },
  'a name server that is silent': {
    lookup: () => new Promise(() => undefined),
    text: /resolve: no address/,
  },
}

describe('resolve', { concurrency: 3 }, () => {
  for (const [name, { lookup, text, warning }] of Object.entries(unresolved)) {
    const unknown: Host = { name: 'clamd.test', port: 3310 }
    test(`${name}: no verdict`, async () => {
      const scanning = new Scanning([unknown], { lookup, connectMs: 300 })
      const verdict = await scanning.scan(message('clean', usual))
      assert.equal(verdict.outcome === 'unscanned' && verdict.reason, 'error')
      assert.match(verdict.outcome === 'unscanned' ? verdict.text : '', text)
      assert.match(scanning.warnings.join(), warning ?? /^$/)
      assert.deepEqual(scanning.leftovers(), [])
    })

    test(`${name}, and two healthy ones: theirs`, async (t) => {
      const healthy = [await startFakeClamd(), await startFakeClamd()]
      t.after(() => Promise.all(healthy.map((daemon) => daemon.stop())))
      const hosts = [unknown, ...healthy.map(({ address }) => address)]
      const scanning = new Scanning(hosts, { lookup, connectMs: 300 })
      const outcomes = []
      for (const content of ['clean', 'infected'] as const) {
        outcomes.push((await scanning.scan(message(content, usual))).outcome)
      }
      assert.deepEqual(outcomes, ['clean', 'infected'])
      assert.deepEqual(scanning.leftovers(), [])
    })
  }

  test('a silent name server is waited for within the budget', async () => {
    const lookup = () => new Promise<never>(() => undefined)
    const scanning = new Scanning([{ name: 'clamd.test', port: 3310 }], { lookup, scanMs: 300 })
    const verdict = await scanning.scan(message('clean', usual))
    assert.equal(verdict.outcome === 'unscanned' && verdict.reason, 'timeout')
    assert.deepEqual(scanning.leftovers(), [])
  })
})

interface Told {
  readonly script: readonly (Step | ConnectDeadEnd)[]
  readonly setting: 'stream' | 'instream'
  readonly text: RegExp
  readonly bytes?: number
}

const timeouts: Record<string, Told> = {
  connect: {
    script: [{ at: 'connect', do: 'blackHole' }],
    setting: 'instream',
    text: /\bconnect\b/,
  },
  'the port': { script: [{ at: 'command', do: 'stall' }], setting: 'stream', text: /\bport\b/ },
  'the data connection': {
    script: [{ at: 'dataConnect', do: 'blackHole' }],
    setting: 'stream',
    text: /\bdata connect\b/,
  },
  // More than the kernel takes off our hands.
  'room for the data, STREAM': {
    script: [{ at: 'first', do: 'freeze' }],
    setting: 'stream',
    text: /\b(send|reply)\b/,
    bytes: 20 * large,
  },
  'room for the data, INSTREAM': {
    script: [{ at: 'first', do: 'freeze' }],
    setting: 'instream',
    text: /\b(send|reply)\b/,
    bytes: 20 * large,
  },
  'the reply, STREAM': { script: [{ at: 'reply', do: 'stall' }], setting: 'stream', text: /\breply\b/ },
  'the reply, INSTREAM': { script: [{ at: 'reply', do: 'stall' }], setting: 'instream', text: /\breply\b/ },
}

describe('a time-out tells address, step and budget', { concurrency: 3 }, () => {
  for (const [name, { script, setting, text, bytes = usual }] of Object.entries(timeouts)) {
    test(`while we wait for ${name}`, async (t) => {
      const daemon = await startFakeClamd({ host: ownHost() })
      t.after(() => daemon.stop())
      await daemon.play(script)
      const scanning = new Scanning([daemon.address], {
        protocol: setting,
        scanMs: 1500,
        maxBytes: 32 * large,
      })
      const verdict = await scanning.scan(message('clean', bytes))
      assert.ok(verdict.outcome === 'unscanned' && verdict.reason === 'timeout')
      assert.equal(verdict.clamd, addressText(daemon.address))
      assert.deepEqual(scanning.leftovers(), [])
      assertTold(verdict.text, '1500 ms')
      assertTold(verdict.text, addressText(daemon.address))
      assertTold(verdict.text, text)
    })
  }
})

describe('an error reply is told with the step it came at', () => {
  for (const [at, setting, told] of [
    ['port', 'stream', /\bport: Some trouble\. ERROR/],
    ['reply', 'stream', /\breply: Some trouble\. ERROR/],
    ['reply', 'instream', /\breply: Some trouble\. ERROR/],
  ] as const) {
    test(`${at}, ${setting}`, async (t) => {
      const daemon = await startFakeClamd()
      t.after(() => daemon.stop())
      await daemon.play([{ at, do: 'answer', text: 'Some trouble. ERROR' }])
      const verdict = await new Scanning([daemon.address], { protocol: setting }).scan(
        message('clean', usual),
      )
      assertTold(verdict.outcome === 'unscanned' ? verdict.text : '', told)
    })
  }
})
