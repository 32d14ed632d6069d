// clamav-stream.exempt in a real Haraka: exempt messages go to no clamd, carry no header, are delivered, and log and
// result name the entry. Addresses come from the line that a proxy in front would send.
import assert from 'node:assert/strict'
import { after, before, test } from 'node:test'
import { addressText } from '../../lib/clamd/address'
import { type FakeClamd, startFakeClamd } from '../support/clamd/fake-clamd'
import { type Haraka, type HarakaOptions, StartError, startHaraka } from '../support/haraka/haraka'
import * as mails from '../support/smtp/mails'
import { proxyLine, publicAddress, sendMessage, type SendOptions } from '../support/smtp/smtp'
import {
  deliveredFrom,
  messagePlugins,
  messageSources,
  otherPlugin,
  ourHeaders,
  post,
  told,
  users,
} from './messages'

const exempt = `
# our own
network 10.0.0.0/8
network 2001:db8::/32     # a documentation network
user somebody network 192.0.2.0/24
sender exempt.*@example.com
sender <>
recipient lab@example.com
recipient *@lab.example.com
`
const otherPlugins = {
  // An archive: every message goes to another recipient as well.
  exempt_archive: otherPlugin(
    'exempt_archive',
    'data_post',
    20,
    `const [first] = txn.rcpt_to
    txn.rcpt_to.push(Object.assign(Object.create(Object.getPrototypeOf(first)), first, { user: 'archive' }))
    next()`,
  ),
}

let clamd: FakeClamd
let haraka: Haraka

function site(options: HarakaOptions = {}): Promise<Haraka> {
  return startHaraka({
    ini: `host=${addressText(clamd.address)}\nmax_pings=0\n[attachments]\ndeny=*.exe\n`,
    plugins: [...messagePlugins, 'clamav-stream', ...Object.keys(otherPlugins)],
    sources: { ...messageSources, ...otherPlugins },
    users,
    proxy: true,
    ...options,
  })
}

before(async () => {
  clamd = await startFakeClamd()
  haraka = await site({ files: { 'clamav-stream.exempt': exempt } })
})
after(async () => {
  await haraka.stop()
  await clamd.stop()
})

type Options = NonNullable<Parameters<typeof post>[2]>
const from = (address: string) => ({ proxyLine: proxyLine(address) })
const outside = from(publicAddress)

const exempted: Record<string, [options: Options, entry: string]> = {
  network: [from('10.200.0.1'), 'network 10.0.0.0/8'],
  'network of IPv6': [from('2001:db8:1::7'), 'network 2001:db8::/32'],
  'user at the desk': [{ ...from('192.0.2.9'), role: 'authenticated' }, 'user somebody network 192.0.2.0/24'],
  sender: [{ ...outside, kind: 'EXEMPT' }, 'sender exempt.*@example.com'],
  'all recipients': [
    { ...outside, to: ['LAB@Example.com', 'a@lab.example.com'] },
    'recipient lab@example.com, recipient *@lab.example.com',
  ],
}
for (const [title, [options, entry]] of Object.entries(exempted)) {
  test(`exempt: ${title}`, async () => {
    const [scans, lines] = [clamd.scans.length, haraka.log.length]
    const denied = mails.withAttachments({ name: 'setup.exe', content: 'MZ' })
    for (const data of [mails.eicarBody(), denied, mails.forged(['X-MessageIsInfected : false'])]) {
      const { reply, delivered, told } = await post(haraka, data, options)
      assert.equal(reply.code, 250, reply.text)
      assert.equal(delivered.length, 1)
      assert.deepEqual(ourHeaders(delivered[0]?.message), [])
      const { outcome, reason, infected, action } = told.note ?? {}
      assert.deepEqual([outcome, reason, infected, action], ['unscanned', 'exempt', null, 'accept'])
      assert.deepEqual(told.result?.skip, [`exempt: ${entry}`])
    }
    assert.equal(clamd.scans.length, scans)
    const said = haraka.log.slice(lines).filter((line) => line.includes('unscanned (exempt)'))
    assert.equal(said.length, 3)
    for (const line of said) assert.ok(line.endsWith(`action=accept: ${entry}`), line)
  })
}

const scanned: Record<string, Options> = {
  'another network': from('11.0.0.1'),
  'a user elsewhere': { ...from('172.16.0.1'), role: 'authenticated' },
  'the network of a user, but no user': from('192.0.2.9'),
  'a sender of another name': { ...outside, kind: 'notexempt' },
  'one recipient too many': { ...outside, to: ['lab@example.com', 'jane@example.com'] },
}
for (const [title, options] of Object.entries(scanned)) {
  test(`scanned: ${title}`, async () => {
    const { reply, delivered, told } = await post(haraka, mails.eicarBody(), options)
    assert.equal(reply.code, 550, reply.text)
    assert.deepEqual(delivered, [])
    assert.equal(told.note?.outcome, 'infected')
  })
}

test('the null sender is exempt by its own entry', async () => {
  const options: SendOptions = { from: '', data: mails.eicarBody(), ...outside }
  const scans = clamd.scans.length
  assert.equal((await sendMessage(haraka.port, options)).code, 250)
  assert.equal((await told(haraka, '')).note?.reason, 'exempt')
  assert.equal(deliveredFrom(haraka, '').length, 1)
  assert.equal(clamd.scans.length, scans)
})

test('a recipient that a plugin has added since is asked for before delivery', async () => {
  const lab = { ...outside, to: 'lab@example.com', kind: 'exempt_archive' }
  const infected = await post(haraka, mails.eicarBody(), lab)
  assert.equal(infected.reply.code, 550, infected.reply.text)
  assert.deepEqual(infected.delivered, [])
  assert.equal(infected.told.note?.outcome, 'infected')

  const { reply, delivered } = await post(haraka, mails.clean(), lab)
  assert.equal(reply.code, 250, reply.text)
  const [message, ...more] = delivered
  assert.deepEqual(message?.rcpt_to, ['lab@example.com', 'archive@example.com'])
  assert.deepEqual(more, [])
  assert.deepEqual(ourHeaders(message.message), ['X-MessageIsInfected: false'])

  // By its network it is exempt for every recipient.
  const inside = await post(haraka, mails.eicarBody(), { ...lab, ...from('10.0.0.1') })
  assert.equal(inside.reply.code, 250, inside.reply.text)
})

test('wrong lines stop Haraka, all of them in one message', async () => {
  const files = {
    'clamav-stream.exempt': '# ours\nnetwork 10.1.2.3/8\n\nsenders *@example.com\nrecipient <>\n',
  }
  const failure = await site({ files }).then(
    (started) => started.stop(),
    (error: unknown) => error,
  )
  assert.ok(failure instanceof StartError, 'Haraka started')
  assert.match(failure.log, /ConfigError: 3 settings are wrong:/)
  assert.match(
    failure.log,
    /exempt: line 2: network 10\.1\.2\.3\/8 \(the network is 10\.0\.0\.0\/8\): allowed is/,
  )
  assert.match(failure.log, /exempt: line 4: senders \*@example\.com: .*did you mean sender\?/)
  assert.match(failure.log, /exempt: line 5: recipient <>: .*allowed is an address/)
})

test('the list changes while Haraka runs: set up, emptied, wrong', async (t) => {
  const changing = await site({ files: { 'clamav-stream.exempt': '# none\n' } })
  t.after(() => changing.stop())
  const change = async (text: string, says: RegExp) => {
    const lines = changing.log.length
    changing.writeConfig('clamav-stream.exempt', text)
    await changing.waitForLog(says, 30_000, lines)
    return (await post(changing, mails.eicarBody(), from('10.0.0.1'))).reply.code
  }
  assert.equal((await post(changing, mails.eicarBody(), from('10.0.0.1'))).reply.code, 550)
  assert.equal(await change('network 10.0.0.0/8\n', /settings reloaded/), 250)
  assert.equal(await change('network 10.0.0.0/8\nnetwork ten\n', /exempt: line 2: network ten: /), 250)
  assert.equal(await change('', /exempt is empty/), 250)
  assert.equal(await change('# none\n', /settings reloaded/), 550)
})
