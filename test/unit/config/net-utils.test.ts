// Where haraka-net-utils parses addresses differently from what lists of clamds and exempt networks need. If one of these
// tests fails after an update, the code that replaces it may be removed.
import assert from 'node:assert/strict'
import { createRequire } from 'node:module'
import { test } from 'node:test'
import { endpoint } from 'haraka-net-utils/lib/endpoint'
import { Invalid } from '../../../lib/base/invalid'
import { exemptedBy, parseExemption } from '../../../lib/config/exemptions'

/** Without the class of the endpoint. */
const plain = (value: object): unknown => JSON.parse(JSON.stringify(value))

test('endpoint(): a port is every address, and the last group of an IPv6 address a port', () => {
  assert.deepEqual(plain(endpoint('3310', 1)), { host: '::0', port: 3310 })
  assert.deepEqual(plain(endpoint('fe80::1:2', 1)), { host: 'fe80::1', port: 2 })
})

test('endpoint(): checks only the form', () => {
  assert.deepEqual(plain(endpoint('300.1.1.1:99999', 1)), { host: '300.1.1.1', port: 99999 })
  assert.deepEqual(plain(endpoint('run/clamd.sock:777', 1)), { path: 'run/clamd.sock', mode: '777' })
})

for (const host of ['my_clamd', 'clamd.example.com.', '[fe80::1%eth0]', '[::ffff:192.0.2.1]']) {
  test(`endpoint(): an Error for ${host}, which the system's resolver accepts`, () => {
    assert.ok(endpoint(host, 1) instanceof Error)
  })
}

const { ip_in_list: inList } = createRequire(__filename)('haraka-net-utils') as {
  readonly ip_in_list: (list: string[], ip: string) => boolean
}
const networks: [network: string, ip: string][] = [
  ['0.0.0.0/0', '192.0.2.1'],
  ['::/0', '2001:db8::1'],
  ['10.0.0.0/8', '::ffff:10.1.2.3'],
]
for (const [network, ip] of networks) {
  test(`ip_in_list(): ${ip} is not in ${network}, but must be for an exemption`, () => {
    assert.equal(inList([network], ip), false)
    const entry = parseExemption(`network ${network}`)
    assert.ok(!(entry instanceof Invalid))
    const nullSender = { user: '', host: '' }
    assert.notEqual(exemptedBy([entry], { ip, user: null, sender: nullSender, recipients: [] }), null)
  })
}
