// Hosts as administrators write them.
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { Invalid } from '../../../lib/base/invalid'
import { addressText, type Host, parseClamdHost } from '../../../lib/clamd/address'

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
  ['tls://Clamd.example.com', { name: 'clamd.example.com', port: 3310, tls: 'clamd.example.com' }],
  ['TLS://192.0.2.7:3311', { host: '192.0.2.7', port: 3311, tls: '192.0.2.7' }, 'tls://192.0.2.7:3311'],
  ['tls://[::1]:3311', { host: '::1', port: 3311, tls: '::1' }, 'tls://[::1]:3311'],
  ['/run/clamav/clamd.sock', { path: '/run/clamav/clamd.sock' }, '/run/clamav/clamd.sock'],
]
for (const [text, expected, shown] of good) {
  test(`host ${text}`, () => {
    const host = parseClamdHost(text, 3310)
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
  'tls://',
  'tls://tls://clamd',
  'tls:///run/clamav/clamd.sock',
  'tls://clamd:0',
  '::1:3310',
  '',
]
for (const text of bad) {
  test(`host ${JSON.stringify(text)} is refused in words`, () => {
    const host = parseClamdHost(text, 3310)
    assert.ok(host instanceof Invalid && host.why !== '')
  })
}
