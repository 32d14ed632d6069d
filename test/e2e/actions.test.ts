// From verdict, settings and sender to what the client is told, what is delivered, and what header, note and result
// say about it: every outcome with every action word of this version, for every kind of sender.
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { addressText } from '../../lib/clamd/address'
import { clamdOrSkip, startClamd } from '../support/clamd/clamd'
import { type FakeClamd, startFakeClamd } from '../support/clamd/fake-clamd'
import { type Haraka, startHaraka } from '../support/haraka/haraka'
import * as mails from '../support/smtp/mails'
import { flag, zip } from '../support/zip-builder'
import {
  bounded,
  type Fate,
  messagePlugins,
  messageSources,
  ourHeaders,
  type Outcome,
  post,
  type Role,
  roles,
  scripts,
  users,
} from './messages'

const delivered = /^250 /
/** What the client is told. */
const answers: Record<string, RegExp> = {
  'clean accept': delivered,
  'infected reject': /^550 5\.7\.1 Message is infected with Eicar-Test-Signature$/,
  'infected defer': /^451 4\.7\.1 Message is infected with Eicar-Test-Signature$/,
  'infected discard': delivered,
  'infected tag': delivered,
  'error defer': /^451 4\.3\.0 \S/,
  'error reject': /^550 5\.3\.0 \S/,
  'error accept': delivered,
  'timeout defer': /^451 4\.3\.0 \S/,
  'timeout reject': /^550 5\.3\.0 \S/,
  'timeout accept': delivered,
  'too_large defer': /^451 4\.3\.4 \S/,
  'too_large reject': /^552 5\.3\.4 \S/,
  'too_large accept': delivered,
  'limits defer': /^451 4\.3\.0 \S/,
  'limits reject': /^550 5\.3\.0 \S/,
  'limits accept': delivered,
}
const isDelivered = (action: string) => ['accept', 'tag'].includes(action)

interface Rules {
  action: string
  /** For authenticated senders; empty: as action. */
  authenticated: string
  unscanned: string
  detailsHeader: boolean
}

/** Each word stands once for each outcome it can have. */
const sites: Rules[] = [
  { action: 'reject', authenticated: 'tag', unscanned: 'defer', detailsHeader: false },
  { action: 'Defer', authenticated: 'discard', unscanned: 'REJECT', detailsHeader: true },
  { action: 'discard', authenticated: 'reject', unscanned: 'accept', detailsHeader: true },
  { action: 'tag', authenticated: '', unscanned: 'accept', detailsHeader: false },
]

const maxSize = 50_000
const messageFor = (outcome: Outcome, details: boolean) =>
  outcome === 'infected'
    ? mails.eicarBody()
    : outcome === 'too_large'
      ? mails.big(maxSize)
      : mails.forged([...mails.forgedSpellings, ...(details ? mails.forgedStatusSpellings : [])])

function ini(clamd: FakeClamd, { action, authenticated, unscanned, detailsHeader }: Rules): string {
  return `
host=${addressText(clamd.address)}
max_pings=0
host_rest=0
scan_timeout=2s
max_size=${maxSize}
details_header=${detailsHeader}
[infected]
action=${action}
${authenticated === '' ? '' : `authenticated=${authenticated}`}
[unscanned]
error=${unscanned}
timeout=${unscanned}
too_large=${unscanned}
limits=${unscanned}
`
}

function expectedHeaders(outcome: Outcome, details: boolean): string[] {
  const verdict = { clean: 'false', infected: 'true' }[outcome as string]
  const status = { clean: 'clean', infected: 'infected (Eicar-Test-Signature)' }[outcome as string]
  return [
    ...(verdict === undefined ? [] : [`X-MessageIsInfected: ${verdict}`]),
    ...(details ? [`X-Virus-Status: ${status ?? `unscanned (${outcome})`}`] : []),
  ]
}

function assertFate(fate: Fate, outcome: Outcome, action: string, details: boolean): void {
  const { reply, told } = fate
  const expected = answers[`${outcome} ${action}`]
  assert.ok(expected)
  assert.match(`${reply.code} ${reply.text}`, expected)
  assert.equal(reply.lines.length, 1)
  assert.doesNotMatch(reply.text, /clam|haraka|127\.0|stream/i)

  assert.equal(fate.delivered.length, isDelivered(action) ? 1 : 0)
  const [message] = fate.delivered
  if (message) {
    assert.deepEqual(ourHeaders(message.message), expectedHeaders(outcome, details))
    assert.deepEqual(message.notes, told.note)
    assert.deepEqual(message.result, told.result)
  }

  const { note } = told
  assert.ok(note)
  const { clamd, engine, protocol, bytes, ms, ...rest } = note
  const isUnscanned = outcome !== 'clean' && outcome !== 'infected'
  assert.deepEqual(rest, {
    outcome: isUnscanned ? 'unscanned' : outcome,
    infected: isUnscanned ? null : outcome === 'infected',
    virus: outcome === 'infected' ? 'Eicar-Test-Signature' : null,
    reason: isUnscanned ? outcome : null,
    // The messages are plain.
    parts: 0,
    readings: 0,
    part: null,
    action,
  })
  const isAsked = outcome !== 'too_large'
  assert.match(String(clamd), isAsked ? /^127\.0\.0\.1:\d+$/ : /^null$/)
  assert.equal(protocol, isAsked ? 'stream' : null)
  assert.equal(engine, null, 'not asked')
  assert.ok(Number.isInteger(bytes) && bytes >= 0 && Number.isInteger(ms) && ms >= 0)

  const { pass = [], fail = [], skip = [], err = [] } = told.result ?? {}
  assert.deepEqual(pass, outcome === 'clean' ? ['clean'] : [])
  assert.deepEqual(fail, outcome === 'infected' ? ['Eicar-Test-Signature'] : [])
  assert.deepEqual(skip, isUnscanned ? [outcome] : [])
  assert.equal(err.length, outcome === 'error' || outcome === 'timeout' ? 1 : 0)
}

for (const rules of sites) {
  const { action, authenticated, unscanned, detailsHeader } = rules
  const title = `action=${action}, authenticated=${authenticated}, unscanned: ${unscanned}`
  test(`${title}${detailsHeader ? ', with details' : ''}`, bounded, async (t) => {
    const clamd = await startFakeClamd()
    t.after(() => clamd.stop())
    const haraka = await startHaraka({
      ini: ini(clamd, rules),
      plugins: [...messagePlugins, 'clamav-stream'],
      sources: messageSources,
      users,
    })
    t.after(() => haraka.stop())

    const actionFor = (outcome: Outcome, role: Role) => {
      if (outcome === 'clean') return 'accept'
      if (outcome !== 'infected') return unscanned.toLowerCase()
      return (role === 'authenticated' && authenticated !== '' ? authenticated : action).toLowerCase()
    }
    for (const outcome of Object.keys(scripts) as Outcome[]) {
      await t.test(outcome, async () => {
        await clamd.play(scripts[outcome])
        const fates = await Promise.all(
          roles.map(async (role) => ({
            role,
            fate: await post(haraka, messageFor(outcome, detailsHeader), { role }),
          })),
        )
        for (const { role, fate } of fates) {
          assertFate(fate, outcome, actionFor(outcome, role), detailsHeader)
        }
        assert.deepEqual(
          fates.flatMap(({ fate }) => fate.delivered.map(({ queue }) => queue)).sort(),
          fates
            .filter(({ role }) => isDelivered(actionFor(outcome, role)))
            .map(({ role }) => (role === 'inbound' ? 'queue' : 'queue_outbound'))
            .sort(),
        )
      })
    }
    await clamd.idle()
  })
}

test('too_large and limits, as the real clamd tells them', bounded, async (t) => {
  if (!clamdOrSkip(t)) return
  const clamd = await startClamd({
    config: { StreamMaxLength: '100K', AlertExceedsMax: 'yes', MaxFileSize: '40K' },
  })
  t.after(() => clamd.stop())
  // Over STREAM a clamd that has it cuts a message that is too large, and says nothing.
  const ini = `host=${clamd.host}:${clamd.port}\nprotocol=instream\nmax_pings=0\nhost_rest=0\n`
  const haraka = await startLetters(ini)
  t.after(() => haraka.stop())

  const beyondFileSize = await post(haraka, mails.big(60_000))
  assert.match(`${beyondFileSize.reply.code} ${beyondFileSize.reply.text}`, /^550 5\.3\.0 /)
  assert.equal(beyondFileSize.told.note?.reason, 'limits')
  // Only a little beyond: clamd closes after its reply, and a client that is still writing may never read it.
  const beyondStream = await post(haraka, mails.big(110_000))
  assert.match(`${beyondStream.reply.code} ${beyondStream.reply.text}`, /^552 5\.3\.4 /)
  assert.equal(beyondStream.told.note?.reason, 'too_large')
  const farBeyond = await post(haraka, mails.big(5_000_000))
  assert.ok(farBeyond.reply.code >= 400, farBeyond.reply.text)
  assert.deepEqual(farBeyond.delivered, [])
  const small = await post(haraka, mails.clean())
  assert.equal(small.reply.code, 250, small.reply.text)
})

test('encrypted mail is delivered without a header, whatever clamd says of it', bounded, async (t) => {
  const clamd = await startFakeClamd()
  t.after(() => clamd.stop())
  const haraka = await startLetters(`host=${addressText(clamd.address)}\nself_test=off\n`)
  t.after(() => haraka.stop())
  const content = zip([{ name: 'secret.txt', flags: flag.encrypted }])
  for (const reply of ['stream: OK', 'stream: Heuristics.Encrypted.Zip FOUND']) {
    clamd.queue([{ at: 'reply', do: 'answer', text: reply }])
    const fate = await post(haraka, mails.withAttachments({ name: 'secret.zip', content }))
    assert.equal(fate.reply.code, 250, fate.reply.text)
    assert.deepEqual([fate.told.note?.reason, fate.told.note?.action], ['encrypted', 'accept'])
    assert.deepEqual(ourHeaders(fate.delivered[0]?.message), [])
  }
})

test(
  'signatures: the first rule that fits decides, and names that fit none go by [infected]',
  bounded,
  async (t) => {
    const rules = `
# PATTERN ACTION
PUA.*               tag     # adware
Win.Trojan.Agent-?  discard
win.trojan.*        defer
/^Html\\.(Phish|Spam)\\b/  tag
/paypal$/           discard
Win.Trojan.Late     tag
`
    const cases: Record<string, string> = {
      'PUA.Win.Packer.Upx-1': 'tag',
      'pua.x': 'tag',
      'Not.PUA.x': 'reject',
      'Win.Trojan.Agent-7': 'discard',
      'Win.Trojan.Agent-77': 'defer',
      'WIN.TROJAN.x': 'defer',
      'Win.Trojan.Late': 'defer',
      'Html.Phish.Bank-1': 'tag',
      'HTML.SPAM': 'tag',
      'Html.Spamming': 'reject',
      'Fake.PayPal': 'discard',
      'Fake.PayPal.Not': 'reject',
      WinXTrojanXy: 'reject',
      // The shipped file is replaced by the administrator's, its rule with it.
      'Heuristics.Phishing.Email': 'reject',
    }
    const clamd = await startFakeClamd()
    t.after(() => clamd.stop())
    const haraka = await startLetters(`host=${addressText(clamd.address)}\nself_test=off\n`, rules)
    t.after(() => haraka.stop())
    for (const [name, action] of Object.entries(cases)) {
      await t.test(`${name}: ${action}`, async () => {
        clamd.queue([{ at: 'reply', do: 'answer', text: `stream: ${name} FOUND` }])
        const { told, reply, delivered } = await post(haraka, mails.clean())
        assert.deepEqual([told.note?.virus, told.note?.action], [name, action])
        assert.equal(reply.code, { reject: 550, defer: 451 }[action] ?? 250, reply.text)
        assert.equal(delivered.length, action === 'tag' ? 1 : 0)
      })
    }
  },
)

test('names that are no virus: limits', bounded, async (t) => {
  const clamd = await startFakeClamd()
  t.after(() => clamd.stop())
  // A rule must not make a virus of them, nor pass them.
  const haraka = await startLetters(
    `host=${addressText(clamd.address)}\nself_test=off\n`,
    'Heuristics.* tag\n(null) tag\n',
  )
  t.after(() => haraka.stop())
  for (const name of ['(null)', 'Heuristics.Limits.Exceeded', 'Heuristics.Limits.Exceeded.MaxScanTime']) {
    clamd.queue([{ at: 'reply', do: 'answer', text: `stream: ${name} FOUND` }])
    const { told, reply, delivered } = await post(haraka, mails.clean())
    assert.match(`${reply.code} ${reply.text}`, /^550 5\.3\.0 /)
    assert.deepEqual([told.note?.outcome, told.note?.reason, told.note?.virus], ['unscanned', 'limits', null])
    assert.deepEqual(delivered, [])
  }
})

test(
  'the shipped rules tag phishing heuristics, and awkward names are harmless everywhere',
  bounded,
  async (t) => {
    if (!clamdOrSkip(t)) return
    const clamd = await startClamd()
    t.after(() => clamd.stop())
    const haraka = await startLetters(`host=${clamd.host}:${clamd.port}\ndetails_header=true\n`)
    t.after(() => haraka.stop())

    const phishing = await post(haraka, mails.phishing())
    assert.equal(phishing.reply.code, 250, phishing.reply.text)
    assert.deepEqual(ourHeaders(phishing.delivered[0]?.message), [
      'X-MessageIsInfected: true',
      'X-Virus-Status: infected (Heuristics.Phishing.Email.Test.UNOFFICIAL)',
    ])

    const odd = await post(haraka, mails.oddlyNamed())
    const name = odd.told.note?.virus ?? ''
    assert.match(
      name,
      /^Test\.Odd_Name-2\/1,\(a b\) \$& \{virus\} %s%d [\x20-\x7e]* OK FOUND ERROR\.UNOFFICIAL$/,
    )
    assert.equal(odd.reply.code, 550)
    assert.equal(odd.reply.text, `5.7.1 Message is infected with ${name}`)
    assert.equal(odd.reply.lines.length, 1)
  },
)

for (const [message, text] of [
  ['No viruses, please', 'No viruses, please'],
  ['{virus}!', 'Eicar-Test-Signature!'],
  ['100% ({virus}) $& \\o/ [x]', '100% (Eicar-Test-Signature) $& \\o/ [x]'],
] as const) {
  test(`message = ${message}`, bounded, async (t) => {
    const clamd = await startFakeClamd()
    t.after(() => clamd.stop())
    const haraka = await startLetters(
      `host=${addressText(clamd.address)}\nself_test=off\n[infected]\nmessage=${message}\n`,
    )
    t.after(() => haraka.stop())
    const { reply } = await post(haraka, mails.eicarBody())
    assert.deepEqual([reply.code, reply.text], [550, `5.7.1 ${text}`])
  })
}

async function startLetters(text: string, signatures?: string): Promise<Haraka> {
  return startHaraka({
    ini: text,
    ...(signatures !== undefined && { signatures }),
    plugins: [...messagePlugins, 'clamav-stream'],
    sources: messageSources,
    users,
  })
}
