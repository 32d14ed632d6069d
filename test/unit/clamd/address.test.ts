// Hosts as administrators write them.
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { Invalid } from '../../../lib/base/invalid'
import { addressText, type Host, parseHost } from '../../../lib/clamd/address'

const good: [text: string, expected: Host, shown?: string][] = [
  ['localhost', { name: 'localhost', port: 3310 }],
  ['clamd.example.com:3311', { name: 'clamd.example.com', port: 3311 }],
  ['clamd.example.com.', { name: 'clamd.example.com.', port: 3310 }],
  ['my_clamd_1:3310', { name: 'my_clamd_1', port: 3310 }],
  ['127.0.0.1', { host: '127.0.0.1', port: 3310 }, '127.0.0.1:3310'],
  ['127.0.0.1:1', { host: '127.0.0.1', port: 1 }, '127.0.0.1:1'],
  ['::1', { host: '::1', port: 3310 }, '[::1]:3310'],
  ['[::1]', { host: '::1', port: 3310 }, '[::1]:3310'],
  ['[0:0:0:0:0:0:0:1]', { host: '::1', port: 3310 }, '[::1]:3310'],
  ['2001:DB8::A', { host: '2001:db8::a', port: 3310 }, '[2001:db8::a]:3310'],
  ['[FE80:0::1%eth0.100]', { host: 'fe80::1%eth0.100', port: 3310 }, '[fe80::1%eth0.100]:3310'],
  ['[2001:db8::2]:65535', { host: '2001:db8::2', port: 65535 }, '[2001:db8::2]:65535'],
  ['/run/clamav/clamd.sock', { path: '/run/clamav/clamd.sock' }, '/run/clamav/clamd.sock'],
]
for (const [text, expected, shown] of good) {
  test(`host ${text}`, () => {
    const host = parseHost(text, 3310)
    assert.deepEqual(host, expected)
    if (!('name' in expected)) assert.equal(addressText(expected), shown)
  })
}

const bad = [
  'a:b',
  'host:0',
  'host:65536',
  '1.2.3',
  '1.2.3.4.5',
  '256.1.1.1',
  '[::1',
  '[1.2.3.4]',
  '-x',
  'x-',
  'a..b',
  'a b',
  'http://clamd',
  '::1:3310',
  '',
]
for (const text of bad) {
  test(`host ${JSON.stringify(text)} is refused in words`, () => {
    const host = parseHost(text, 3310)
    assert.ok(host instanceof Invalid && host.why !== '')
  })
}
