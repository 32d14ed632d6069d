// Every outcome with every action for every kind of sender: what the client was answered, what was delivered with which
// header, what was kept, what was sent. What ought to come is worked out here, from what the settings promise.
import assert from 'node:assert/strict'
import { readdirSync, readFileSync } from 'node:fs'
import path from 'node:path'
import { test, type TestContext } from 'node:test'
import { addressText } from '../../lib/clamd/address'
import { type FakeClamd, startFakeClamd } from '../support/clamd/fake-clamd'
import { type Haraka, installHaraka } from '../support/haraka/haraka'
import * as mails from '../support/smtp/mails'
import { type Sink, startSink } from '../support/smtp/sink'
import {
  drained,
  type Fate,
  ourHeaders,
  post,
  type Role,
  roles,
  scripts,
  startKeepingHaraka,
  users,
} from './messages'

/** All that can be done with an infected message. */
const actions = [
  'reject',
  'defer',
  'discard',
  'tag',
  ...['quarantine', 'bounce', 'quarantine bounce'].flatMap((word) =>
    ['', ' reject', ' defer', ' discard'].map((ending) => `${word}${ending}`),
  ),
]
/** All that can be done with a message that was not scanned. */
const fallbacks = ['defer', 'reject', 'accept', 'quarantine']

interface Settings {
  action: string
  authenticated: string
  unscanned: string
  /** False: everybody is exempt. */
  check: boolean
}

/** Each action stands once for everybody and once for those who have logged in. */
const sites: Settings[] = [
  ...actions.map((action, index) => ({
    action,
    authenticated: actions[(index + 5) % actions.length] ?? '',
    unscanned: fallbacks[index % fallbacks.length] ?? '',
    check: true,
  })),
  { action: 'reject', authenticated: 'discard', unscanned: 'reject', check: false },
  { action: 'quarantine discard', authenticated: 'quarantine bounce', unscanned: 'quarantine', check: false },
]

const maxSize = 30_000

function messageFor(outcome: string): Buffer {
  if (outcome === 'infected') return mails.eicarBody()
  return outcome === 'too_large' ? mails.big(maxSize) : mails.forged()
}

interface Result {
  answer: string
  /** Our headers in what is delivered; null: nothing is. */
  delivered: string[] | null
  isKept: boolean
  isSent: boolean
}

function expected(
  outcome: string,
  { action, authenticated, unscanned, check }: Settings,
  role: Role,
): Result {
  const passes = { answer: '250', isKept: false, isSent: false }
  if (!check) return { ...passes, delivered: [] }
  if (outcome === 'clean') return { ...passes, delivered: ['X-MessageIsInfected: false'] }
  const isInfected = outcome === 'infected'
  const words = (!isInfected ? unscanned : role === 'authenticated' ? authenticated : action).split(' ')
  const has = (word: string) => words.includes(word)
  const isSent = has('bounce') && role === 'authenticated'
  // A sender that gets no report is rejected instead, unless the message is deferred anyway.
  const isRejected = has('reject') || (has('bounce') && !isSent && !has('defer'))
  const detail = isInfected ? '7.1' : outcome === 'too_large' ? '3.4' : '3.0'
  const rejection = `${outcome === 'too_large' ? 552 : 550} 5.${detail}`
  return {
    answer: isRejected ? rejection : has('defer') ? `451 4.${detail}` : '250',
    delivered: has('tag') ? ['X-MessageIsInfected: true'] : has('accept') ? [] : null,
    isKept: has('quarantine'),
    isSent,
  }
}

interface Site {
  haraka: Haraka
  clamd: FakeClamd
  sink: Sink
  /** Where copies are kept. */
  base: string
}

function actual({ base, sink }: Site, { reply, told, delivered }: Fate): Result {
  const kept = readdirSync(base, { recursive: true, withFileTypes: true })
    .filter(({ name }) => name.endsWith('.json'))
    .map(({ parentPath, name }) => readFileSync(path.join(parentPath, name), 'utf8'))
    .filter((record) => record.includes(`"${told.from}"`))
  const sent = sink.messages.filter(({ to }) => to.includes(told.from))
  assert.ok(delivered.length <= 1 && kept.length <= 1 && sent.length <= 1, 'one of them more than once')
  assert.equal(reply.lines.length, 1)
  const [status = ''] = /^[45]\.\d\.\d(?= )/.exec(reply.text) ?? []
  // What is answered after a copy or a report was made gets 450 from Haraka itself.
  const code = reply.code === 450 ? 451 : reply.code
  return {
    answer: `${code} ${status}`.trim(),
    delivered: delivered[0] ? ourHeaders(delivered[0].message) : null,
    isKept: kept.length === 1,
    isSent: sent.length === 1,
  }
}

async function startSite(t: TestContext, sink: Sink, settings: Settings): Promise<Site> {
  const { action, authenticated, unscanned, check } = settings
  const clamd = await startFakeClamd()
  t.after(() => clamd.stop())
  const { haraka, base } = await startKeepingHaraka(t, {
    ini: `
host=${addressText(clamd.address)}
max_pings=0
host_rest=0
scan_timeout=1s
max_size=${maxSize}
[infected]
action=${action}
authenticated=${authenticated}
[unscanned]
${['error', 'timeout', 'too_large', 'limits'].map((reason) => `${reason}=${unscanned}`).join('\n')}
[check]
${['authenticated', 'relay', 'private_ip'].map((sender) => `${sender}=${check}`).join('\n')}
`,
    users,
    nextHop: sink.port,
  })
  return { haraka, clamd, sink, base }
}

async function runSite(t: TestContext, sink: Sink, settings: Settings): Promise<void> {
  const site = await startSite(t, sink, settings)
  for (const [outcome, script] of Object.entries(scripts)) {
    await site.clamd.play(script)
    const fates = await Promise.all(
      roles.map(async (role) => ({ role, fate: await post(site.haraka, messageFor(outcome), { role }) })),
    )
    await drained(site.haraka)
    for (const { role, fate } of fates) {
      await t.test(`${outcome}, ${role}`, () => {
        assert.deepEqual(actual(site, fate), expected(outcome, settings, role), fate.reply.text)
        const { note } = fate.told
        assert.equal(note?.reason ?? note?.outcome, settings.check ? outcome : 'exempt')
      })
    }
  }
  await site.clamd.idle()
}

// Two at a time: most of a site's time is spent waiting, for its start and for the time-out.
test('outcomes, actions and senders', { concurrency: 2 }, async (t) => {
  await installHaraka()
  const sink = await startSink()
  t.after(() => sink.stop())
  await Promise.all(
    sites.map((settings) => {
      const { action, authenticated, unscanned, check } = settings
      const title = `action=${action}, authenticated=${authenticated}, unscanned: ${unscanned}`
      return t.test(`${title}${check ? '' : ', everybody exempt'}`, (t) => runSite(t, sink, settings))
    }),
  )
})
