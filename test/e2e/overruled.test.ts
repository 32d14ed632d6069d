// What other plugins may do between the verdict and its consequence: overrule the action in the note. And what they
// may try: words that are none, headers of ours, Haraka's own switch that skips a plugin.
import assert from 'node:assert/strict'
import { after, before, test } from 'node:test'
import { addressText } from '../../lib/clamd/address'
import { type FakeClamd, startFakeClamd } from '../support/clamd/fake-clamd'
import { type Haraka, startHaraka } from '../support/haraka/haraka'
import * as mails from '../support/smtp/mails'
import { messagePlugins, messageSources, otherPlugin, ourHeaders, post, type Role } from './messages'

/** Sets note.action to what the recipient's name stands for, as written in JavaScript. */
const overrule = otherPlugin(
  'overrule',
  'data_post',
  25,
  `const word = Buffer.from(txn.rcpt_to[0].address.split('@')[0], 'hex').toString()
  txn.notes.clamav_stream.action = eval(word)
  next()`,
)
const secondHeader = `
  txn.add_leading_header('X-MessageIsInfected ', 'false')
  txn.add_header('X-MESSAGEISINFECTED', 'true')
  next()`
const sources = {
  ...messageSources,
  overrule,
  headers_before_rules: otherPlugin('headers_before_rules', 'data_post', 10, secondHeader),
  headers_after_rules: otherPlugin('headers_after_rules', 'data_post', 100, secondHeader),
  forgets_header: otherPlugin(
    'forgets_header',
    'data_post',
    60,
    `txn.remove_header('X-MessageIsInfected'); next()`,
  ),
  forgets_note: otherPlugin('forgets_note', 'data_post', 10, `delete txn.notes.clamav_stream; next()`),
  freezes_note: otherPlugin(
    'freezes_note',
    'data_post',
    10,
    `Object.freeze(txn.notes.clamav_stream); next()`,
  ),
  skips_us: otherPlugin('skips_us', 'rcpt', -50, `txn.notes.skip_plugins.push('clamav-stream'); next()`),
}

let clamd: FakeClamd
let haraka: Haraka

before(async () => {
  clamd = await startFakeClamd()
  const names = Object.keys(sources).filter((name) => !messagePlugins.includes(name))
  haraka = await startHaraka({
    ini: `host=${addressText(clamd.address)}\nself_test=off\n[infected]\naction=tag\n`,
    plugins: [...messagePlugins, 'clamav-stream', ...names],
    // `accept_rcpt` must not answer before the others were asked.
    sources: { ...sources, accept_rcpt: acceptRcptLate },
  })
})

after(async () => {
  await haraka.stop()
  await clamd.stop()
})

const acceptRcptLate = `
exports.register = function () {
  this.register_hook('lookup_rdns', 'name_client')
  this.register_hook('rcpt', 'accept', 50)
}
exports.name_client = (next) => next(OK, 'client.example.com')
exports.accept = (next) => next(OK)
`

/** The note's action becomes the value of this piece of JavaScript. */
async function overruled(word: string, data: Buffer, role?: Role) {
  const to = `${Buffer.from(word).toString('hex')}@example.com`
  return post(haraka, data, { kind: 'overrule', to, ...(role && { role }) })
}

interface Row {
  word: string
  /** Beginning of the answer to an infected message (`tag` without the plugin), and to a clean one. */
  infected: string
  clean: string
  /** Whether each is delivered. */
  delivered: [infected: boolean, clean: boolean]
  action: [infected: string, clean: string]
}

const words: Row[] = [
  row('reject', '550 5.7.1 Message is infected with ', '550 5.7.1 '),
  row('defer', '451 4.7.1 Message is infected with ', '451 4.7.1 '),
  { ...row('discard', '250 ', '250 '), delivered: [false, false] },
  { ...row('tag', '250 ', '250 '), delivered: [true, true] },
  { ...row('accept', '250 ', '250 '), delivered: [true, true] },
]

function row(word: string, infected: string, clean: string): Row {
  return { word, infected, clean, delivered: [false, false], action: [word, word] }
}

const spellings = (word: string) => [`'${word}'`, `' ${word.toUpperCase()} '`]

for (const { word, infected, clean, delivered, action } of words) {
  for (const spelling of spellings(word)) {
    test(`note.action = ${spelling}`, async () => {
      const fates = [
        await overruled(spelling, mails.eicarBody()),
        await overruled(spelling, mails.clean()),
        await overruled(spelling, mails.eicarBody(), 'relaying'),
      ] as const
      const expected = [infected, clean, infected]
      const answers = fates.map(({ reply }) => `${reply.code} ${reply.text}`)
      assert.deepEqual(
        answers.map((answer, index) => answer.slice(0, expected[index]?.length)),
        expected,
      )
      assert.deepEqual(
        fates.map((fate) => fate.delivered.length === 1),
        [delivered[0], delivered[1], delivered[0]],
      )
      assert.deepEqual(
        fates.map((fate) => fate.told.note?.action),
        [action[0], action[1], action[0]],
      )
      const headers = ['X-MessageIsInfected: true', 'X-MessageIsInfected: false', 'X-MessageIsInfected: true']
      for (const [index, fate] of fates.entries()) {
        const [message] = fate.delivered
        if (message) assert.deepEqual(ourHeaders(message.message), [headers[index]])
      }
    })
  }
}

const nonsense = [
  `''`,
  `'tagged'`,
  `'reject discard'`,
  '0',
  'true',
  'null',
  'undefined',
  '({})',
  `['tag', 'accept']`,
  '(() => 1)',
  'Object.create(null)',
  `Symbol('discard')`,
]

for (const word of nonsense) {
  test(`note.action = ${word} changes nothing`, async () => {
    for (const [data, action, header] of [
      [mails.eicarBody(), 'tag', 'X-MessageIsInfected: true'],
      [mails.clean(), 'accept', 'X-MessageIsInfected: false'],
    ] as const) {
      const fate = await overruled(word, data)
      assert.equal(fate.reply.code, 250, fate.reply.text)
      assert.equal(fate.told.note?.action, action)
      assert.deepEqual(
        fate.delivered.map(({ message }) => ourHeaders(message)),
        [[header]],
      )
    }
  })
}

for (const kind of [
  'headers_before_rules',
  'headers_after_rules',
  'forgets_header',
  'forgets_note',
  'freezes_note',
]) {
  test(`${kind}: the header says what the verdict says, once`, async () => {
    for (const role of ['inbound', 'relaying'] as const) {
      for (const [data, header] of [
        [mails.eicarBody(), 'X-MessageIsInfected: true'],
        [mails.clean(), 'X-MessageIsInfected: false'],
      ] as const) {
        const { reply, delivered } = await post(haraka, data, { kind, role })
        assert.equal(reply.code, 250, reply.text)
        assert.deepEqual(
          delivered.map(({ message }) => ourHeaders(message)),
          [[header]],
        )
      }
    }
  })
}

test('skip_plugins with our name is the one way round the scan: nothing of ours is done', async () => {
  const scans = clamd.scans.length
  const data = mails.eicarBody()
  const { reply, delivered, told } = await post(haraka, data, { kind: 'skips_us' })
  assert.equal(reply.code, 250, reply.text)
  assert.equal(told.note, null)
  assert.deepEqual(
    delivered.map(({ message }) => ourHeaders(message)),
    [[]],
  )
  assert.equal(clamd.scans.length, scans)
})
