// What other plugins make of our rejections: each of them hears of a rejection in data_post, once, and one that answers
// OK gets nothing delivered, nothing counted twice, no second copy and no second report.
import assert from 'node:assert/strict'
import { readdirSync } from 'node:fs'
import { after, before, test } from 'node:test'
import { addressText } from '../../lib/clamd/address'
import { type FakeClamd, startFakeClamd } from '../support/clamd/fake-clamd'
import { type Haraka, installHaraka } from '../support/haraka/haraka'
import { TemporaryDirectory } from '../support/process'
import * as mails from '../support/smtp/mails'
import { type Sink, startSink } from '../support/smtp/sink'
import { metric, startWebHaraka } from '../support/web'
import {
  drained,
  type Fate,
  messagePlugins,
  messageSources,
  otherPlugin,
  post,
  type Role,
  scripts,
  users,
} from './messages'

/** Counts rejections, as plugins for graphs, scores and audits do. */
const listener = (priority: number) => `
exports.register = function () {
  this.register_hook('deny', 'listen', ${priority})
}
exports.listen = function (next, connection, [code, , plugin, , , hook]) {
  connection.lognotice(this, 'HEARD ' + [connection.transaction.mail_from.address, plugin, hook, code].join(' '))
  next()
}
`
const overriders = {
  ok_at_once: -100,
  ok_early: -99,
  ok_at_zero: 0,
  ok_late: 100,
}
const listeners = { hears_early: -99, hears: 0, hears_late: 100 }

const sources: Record<string, string> = { ...messageSources }
for (const [name, priority] of Object.entries(overriders))
  sources[name] = otherPlugin(name, 'deny', priority, 'next(OK)')
for (const [name, priority] of Object.entries(listeners)) sources[name] = listener(priority)

const kept = new TemporaryDirectory('denials')
let clamd: FakeClamd
let sink: Sink
let haraka: Haraka
let origin: string

before(async () => {
  clamd = await startFakeClamd()
  sink = await startSink()
  ;({ haraka, origin } = await startWebHaraka({
    haraka: await installHaraka({ packages: ['express'] }),
    ini: `host=${addressText(clamd.address)}\nself_test=off\n`,
    signatures:
      'Keep.* quarantine reject\nKeepLater.* quarantine defer\nTell.* bounce reject\nLater.* defer\n',
    plugins: [
      ...messagePlugins,
      ...Object.keys(listeners),
      'clamav-stream',
      ...Object.keys(overriders),
      'queue/quarantine',
    ],
    sources,
    users,
    files: { 'quarantine.ini': `quarantine_path=${kept.path}\n` },
    nextHop: sink.port,
  }))
})

after(async () => {
  await haraka.stop()
  await sink.stop()
  await clamd.stop()
  kept.remove()
})

const found = (name: string) => [{ at: 'reply', do: 'answer', text: `stream: ${name} FOUND` }] as const

interface Case {
  script: (typeof scripts)['error']
  answer: RegExp
  /** Where the rejection is made; copies and reports come with it at the gate. */
  hook: 'data_post' | 'queue'
  copies?: number
  reports?: number
  roles?: Role[]
}

const cases: Record<string, Case> = {
  reject: {
    script: [...found('Test-Virus')],
    answer: /^550 5\.7\.1 Message is infected with Test-Virus/,
    hook: 'data_post',
  },
  defer: {
    script: [...found('Later.Virus')],
    answer: /^45[01] 4\.7\.1 Message is infected with Later\.Virus/,
    hook: 'data_post',
  },
  'unscanned, defer': { script: scripts.error, answer: /^45[01] 4\.3\.0 /, hook: 'data_post' },
  'unscanned, reject': { script: scripts.limits, answer: /^550 5\.3\.0 /, hook: 'data_post' },
  'quarantine reject': {
    script: [...found('Keep.Virus')],
    answer: /^550 5\.7\.1 /,
    hook: 'queue',
    copies: 1,
  },
  'quarantine defer': {
    script: [...found('KeepLater.Virus')],
    answer: /^45[01] 4\.7\.1 /,
    hook: 'queue',
    copies: 1,
  },
  'bounce reject': {
    script: [...found('Tell.Virus')],
    answer: /^550 5\.7\.1 /,
    hook: 'queue',
    reports: 1,
    roles: ['authenticated'],
  },
}

const everybody: Role[] = ['inbound', 'relaying', 'authenticated']
const copies = () =>
  readdirSync(kept.path, { recursive: true, encoding: 'utf8' }).filter((name) => name.endsWith('.json'))
    .length

/** What is counted, all of it. */
async function counted() {
  const text = await (await fetch(`${origin}/clamav-stream/metrics`)).text()
  const sum = (name: string) => metric(text, `clamav_stream_${name}_total`)
  return {
    messages: sum('messages'),
    copies: sum('copies'),
    reports: sum('reports'),
    kept: copies(),
    sent: sink.messages.length,
  }
}

async function refuse(
  script: Case['script'],
  kind: string,
  role: Role,
): Promise<Fate & { log: readonly string[] }> {
  clamd.queue(script)
  const from = haraka.log.length
  const fate = await post(haraka, mails.clean(), { kind, role })
  await drained(haraka)
  return { ...fate, log: haraka.log.slice(from) }
}

const heardIn = (log: readonly string[]) =>
  log.flatMap((line) => {
    const [, plugin = '', hook = ''] = /\[(\w+)\] HEARD \S+ clamav-stream (\w+) /.exec(line) ?? []
    return plugin === '' ? [] : [`${plugin} ${hook}`]
  })

for (const [name, { script, answer, hook, copies = 0, reports = 0, roles = everybody }] of Object.entries(
  cases,
)) {
  for (const role of roles) {
    test(`${name}, ${role}: other plugins see it`, async () => {
      const { reply, delivered, log } = await refuse(script, 'plain', role)
      assert.match(`${reply.code} ${reply.text}`, answer)
      assert.equal(delivered.length, 0)
      const isHeard = hook === 'data_post'
      assert.deepEqual(heardIn(log), isHeard ? Object.keys(listeners).map((one) => `${one} data_post`) : [])
    })
    for (const kind of Object.keys(overriders)) {
      test(`${name}, ${role}: ${kind} on deny gets nothing through, and nothing is done twice`, async () => {
        const before = await counted()
        const { reply, delivered, told, log } = await refuse(script, kind, role)
        assert.match(`${reply.code} ${reply.text}`, answer)
        assert.equal(reply.lines.length, 1)
        assert.equal(delivered.length, 0, 'it was delivered')
        assert.equal(log.filter((line) => /\[clamav-stream\] (infected|unscanned) \(/.test(line)).length, 1)
        const { fail = [], skip = [] } = told.result ?? {}
        assert.equal(fail.length + skip.length, 1)
        const heard = heardIn(log)
        assert.equal(new Set(heard).size, heard.length)
        assert.equal(heard.includes('hears_early data_post'), hook === 'data_post' && kind !== 'ok_at_once')
        const now = await counted()
        assert.deepEqual(now, {
          messages: before.messages + 1,
          copies: before.copies + copies,
          reports: before.reports + reports,
          kept: before.kept + copies,
          sent: before.sent + reports,
        })
      })
    }
  }
}
