// [tls] of the ini and its files: right ones are read, each wrong one is named with what is allowed.
import assert from 'node:assert/strict'
import { generateKeyPairSync } from 'node:crypto'
import { readFileSync, writeFileSync } from 'node:fs'
import path from 'node:path'
import { test, type TestContext } from 'node:test'
import { ConfigError } from '../../../lib/base/config-error'
import { parseSettings } from '../../../lib/config/settings'
import { tlsConnect } from '../../../lib/config/tls-files'
import { opensslOrSkip, TestCa } from '../../support/clamd/tls'

const none = { lines: [] }

function parse(ini: string, host?: string) {
  return parseSettings({ ini: { lines: ini.split('\n') }, signatures: none, exempt: none }, true, host)
}

function messageOf(act: () => unknown): string {
  try {
    act()
  } catch (error) {
    assert.ok(error instanceof ConfigError)
    return error.message
  }
  return ''
}

test('[tls] and tls:// hosts need each other', () => {
  assert.equal(parse('host=clamd').tls, null)
  const { tls } = parse('host=clamd\nbackup=tls://other\n[tls]\nca=ca.pem')
  assert.deepEqual(tls, { ca: 'ca.pem', cert: null, key: null, servername: null })
  assert.match(
    messageOf(() => parse('host=clamd\n[tls]\nca=ca.pem')),
    /^clamav-stream\.ini: \[tls\] ca is set, but no host begins with tls:\/\//,
  )
  // A host from the command line is meant as it is.
  assert.equal(parse('host=tls://clamd\n[tls]\nca=ca.pem', '127.0.0.1').tls, null)
  assert.equal(parse('host=clamd\n[tls]\nca=ca.pem', 'tls://clamd').tls?.ca, 'ca.pem')
})

test('STREAM is refused with a tls:// host, and so is half a client certificate', () => {
  assert.match(
    messageOf(() => parse('host=tls://clamd\nprotocol=stream')),
    /^clamav-stream\.ini: \[main\] protocol = stream \(.*\): allowed .* auto or instream$/,
  )
  for (const key of ['cert', 'key'])
    assert.match(
      messageOf(() => parse(`host=tls://clamd\n[tls]\n${key}=x.pem`)),
      /^clamav-stream\.ini: \[tls\] cert and key: set both, or neither$/,
    )
})

function files(t: TestContext) {
  const ca = new TestCa(t)
  const directory = ca.directory.path
  const connectBy = (keys: string) => tlsConnect(parse(`host=tls://clamd\n[tls]\n${keys}`), directory)
  return { ca, directory, connectBy }
}

test('files are read below the config folder, or where their path says', (t) => {
  if (!opensslOrSkip(t)) return
  const { ca, connectBy } = files(t)
  const { cert, key } = ca.issue()
  const name = 'servername=Clamd.example.com'
  const { credentials } = connectBy(`ca=ca.pem\ncert=${cert}\nkey=${path.basename(key)}\n${name}`)
  assert.deepEqual(credentials, {
    ca: readFileSync(ca.cert, 'utf8'),
    cert: readFileSync(cert, 'utf8'),
    key: readFileSync(key, 'utf8'),
    servername: 'clamd.example.com',
  })
  assert.equal(tlsConnect(parse('host=clamd'), '/nowhere').credentials, null)
})

test('a wrong file is named with its key, what is wrong, and what is allowed', (t) => {
  if (!opensslOrSkip(t)) return
  const { ca, directory, connectBy } = files(t)
  const [own, other] = [ca.issue(), ca.issue()]
  writeFileSync(
    path.join(directory, 'broken.pem'),
    '-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n',
  )
  const locked = path.join(directory, 'locked.key')
  writeFileSync(locked, lockedKey())
  const wrong: readonly (readonly [keys: string, expected: RegExp])[] = [
    ['ca=gone.pem', /\[tls\] ca = gone\.pem \(ENOENT.*\): allowed is the path of a PEM file, .*CAs$/],
    ['ca=.', /\[tls\] ca = \. \(EISDIR.*\): allowed is /],
    [`ca=${own.key}`, /\[tls\] ca = .* \(has no certificate\): allowed is /],
    ['ca=broken.pem', /\[tls\] ca = .* \(certificate 1 is broken\): allowed is /],
    [`cert=${own.key}\nkey=${own.key}`, /\[tls\] cert = .* \(has no certificate\): allowed is /],
    [`cert=${own.cert}\nkey=${own.cert}`, /\[tls\] key = .* \(has no key\): allowed is /],
    [`cert=${own.cert}\nkey=${other.key}`, /\[tls\] key = .* \(does not fit cert\): allowed is /],
    [
      `cert=${own.cert}\nkey=${locked}`,
      /\[tls\] key = .* \(has a passphrase\): allowed is .*without a passphrase$/,
    ],
  ]
  for (const [keys, expected] of wrong) {
    const message = messageOf(() => connectBy(keys))
    assert.match(message, expected)
    assert.ok(message.startsWith('clamav-stream.ini: '), message)
  }
  assert.match(
    messageOf(() => connectBy(`ca=gone.pem\ncert=${own.cert}\nkey=${other.key}`)),
    /^2 settings are wrong:/,
  )
})

function lockedKey(): string {
  const { privateKey } = generateKeyPairSync('ec', { namedCurve: 'P-256' })
  return privateKey
    .export({ type: 'pkcs8', format: 'pem', cipher: 'aes-256-cbc', passphrase: 'x' })
    .toString()
}
