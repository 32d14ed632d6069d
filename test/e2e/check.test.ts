// Senders that [check] exempts: their messages go to no clamd, carry no header, and are delivered. Addresses come
// from the line that a proxy in front would send.
import assert from 'node:assert/strict'
import { networkInterfaces } from 'node:os'
import { test } from 'node:test'
import { addressText } from '../../lib/clamd/address'
import { startFakeClamd } from '../support/clamd/fake-clamd'
import { startHaraka } from '../support/haraka/haraka'
import * as mails from '../support/smtp/mails'
import { proxyLine, publicAddress } from '../support/smtp/smtp'
import { messagePlugins, messageSources, ourHeaders, post, type Role, users } from './messages'

const own = Object.values(networkInterfaces())
  .flatMap((list) => list ?? [])
  .find(({ internal, family }) => !internal && family === 'IPv4')?.address

const senders = {
  public: [publicAddress, 'inbound'],
  relaying: [publicAddress, 'relaying'],
  authenticated: ['10.1.2.3', 'authenticated'],
  private: ['192.168.1.2', 'inbound'],
  // For Haraka every unique local address (fc00::/7) is one of this machine's.
  'unique local': ['fd00::1', 'inbound'],
  loopback: ['127.0.0.1', 'inbound'],
  'loopback IPv6': ['::1', 'inbound'],
  ...(own !== undefined && { 'own address': [own, 'inbound'] }),
} satisfies Record<string, [string, Role]>
type Sender = keyof typeof senders

const local: string[] = ['loopback', 'loopback IPv6', 'unique local', 'own address']
const inside: string[] = ['private', 'authenticated', ...local]

/** Settings of [check], and who is exempt by them. */
const cases: [ini: string, exempt: string[]][] = [
  ['', []],
  ['authenticated=false', ['authenticated']],
  ['relay=false', ['relaying', 'authenticated']],
  ['private_ip=false', inside],
  ['local_ip=false', local],
  ['authenticated=no\nrelay=off\nprivate_ip=0\nlocal_ip=False', ['relaying', ...inside]],
]

for (const [check, exempt] of cases) {
  test(`[check] ${check.replaceAll('\n', ', ') || 'at its defaults'}`, async (t) => {
    const clamd = await startFakeClamd()
    t.after(() => clamd.stop())
    const haraka = await startHaraka({
      ini: `host=${addressText(clamd.address)}\nself_test=off\n[check]\n${check}\n`,
      plugins: [...messagePlugins, 'clamav-stream'],
      sources: messageSources,
      users,
      proxy: true,
    })
    t.after(() => haraka.stop())

    for (const [name, [address, role]] of Object.entries(senders) as [Sender, [string, Role]][]) {
      await t.test(`${name}: ${exempt.includes(name) ? 'exempt' : 'scanned'}`, async () => {
        const options = { role, proxyLine: proxyLine(address) }
        const scans = clamd.scans.length
        const infected = await post(haraka, mails.eicarBody(), options)
        const forged = await post(haraka, mails.forged(['X-MessageIsInfected : false']), options)

        assert.equal(forged.reply.code, 250, forged.reply.text)
        assert.equal(forged.delivered.length, 1)
        if (exempt.includes(name)) {
          assert.equal(infected.reply.code, 250, infected.reply.text)
          assert.equal(infected.delivered.length, 1)
          const { outcome, reason, infected: isInfected, action } = infected.told.note ?? {}
          assert.deepEqual([outcome, reason, isInfected, action], ['unscanned', 'exempt', null, 'accept'])
          assert.deepEqual(infected.told.result?.skip, ['exempt'])
          assert.deepEqual(ourHeaders(forged.delivered[0]?.message), [])
          assert.equal(clamd.scans.length, scans)
        } else {
          assert.equal(infected.reply.code, 550, infected.reply.text)
          assert.deepEqual(infected.delivered, [])
          assert.deepEqual(ourHeaders(forged.delivered[0]?.message), ['X-MessageIsInfected: false'])
          assert.equal(clamd.scans.length, scans + 2)
        }
      })
    }
  })
}
