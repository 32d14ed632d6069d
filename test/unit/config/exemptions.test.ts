// clamav-stream.exempt: what each entry matches, which entry is named, and the message for an invalid one.
import assert from 'node:assert/strict'
import { readFileSync } from 'node:fs'
import { createRequire } from 'node:module'
import path from 'node:path'
import { test } from 'node:test'
import { Invalid } from '../../../lib/base/invalid'
import {
  type Envelope,
  exemptedBy,
  type Exemption,
  type Mailbox,
  parseExemption,
} from '../../../lib/config/exemptions'
import { entryIn } from '../../../lib/config/ini'

// Addresses are parsed by Haraka's own parser.
const haraka = createRequire(createRequire(__filename).resolve('Haraka/package.json'))
const { Address } = haraka('@haraka/email-address') as { Address: new (path: string) => Mailbox }
const mailbox = (address: string): Mailbox => new Address(`<${address}>`)

function entries(...lines: string[]): Exemption[] {
  return lines.map((line) => {
    const entry = parseExemption(entryIn(line))
    assert.ok(!(entry instanceof Invalid), line)
    return entry
  })
}

/** `U+212A`, for the names of tests. */
const name = (text: string) =>
  Array.from(text, (character) => `U+${(character.codePointAt(0) ?? 0).toString(16).toUpperCase()}`).join(' ')

interface Facts {
  ip?: string
  user?: string | null
  from?: string
  to?: string[]
}

function envelope({ ip = '198.51.100.1', user = null, from = 'a@b.org', to = ['c@d.org'] }: Facts): Envelope {
  return { ip, user, sender: mailbox(from), recipients: to.map(mailbox) }
}

const exempt = (lines: string[], facts: Facts) => exemptedBy(entries(...lines), envelope(facts))

test('without entries no message is exempt, and the default file has none', () => {
  assert.equal(exempt([], {}), null)
  const shipped = path.resolve(__dirname, '..', '..', '..', 'config', 'clamav-stream.exempt')
  for (const line of readFileSync(shipped, 'utf8').split('\n')) assert.equal(entryIn(line), '', line)
})

test('every example of the default file is a valid entry', () => {
  const shipped = path.resolve(__dirname, '..', '..', '..', 'config', 'clamav-stream.exempt')
  const examples = readFileSync(shipped, 'utf8').match(/^# (network|user|sender|recipient) .*$/gm) ?? []
  assert.equal(examples.length, 5)
  // Two blanks are before what is said about it.
  for (const example of examples) entries(example.slice(2).split('  ')[0] ?? '')
})

const networks: [entry: string, inside: string[], outside: string[]][] = [
  [
    '10.0.0.0/8',
    ['10.0.0.0', '10.255.255.255', '::ffff:10.1.2.3'],
    ['11.0.0.0', '9.255.255.255', '::a01:203'],
  ],
  ['192.0.2.7', ['192.0.2.7'], ['192.0.2.6', '192.0.2.8']],
  ['192.0.2.6/31', ['192.0.2.6', '192.0.2.7'], ['192.0.2.5', '192.0.2.8']],
  ['0.0.0.0/0', ['1.2.3.4', '::ffff:1.2.3.4'], ['2001:db8::1']],
  ['2001:db8::/33', ['2001:db8::1', '2001:DB8:7fff::'], ['2001:db8:8000::', '2001:db9::', '32.1.13.184']],
  ['2001:db8::7', ['2001:db8:0:0::7'], ['2001:db8::8']],
  ['fe80::/10', ['fe80::1%eth0', 'febf::1'], ['fec0::1']],
  ['::/0', ['::1', '2001:db8::1'], ['127.0.0.1', '::ffff:127.0.0.1']],
]
for (const [entry, inside, outside] of networks) {
  test(`network ${entry}`, () => {
    for (const ip of inside) assert.equal(exempt([`network ${entry}`], { ip }), `network ${entry}`, ip)
    for (const ip of [...outside, '', 'localhost'])
      assert.equal(exempt([`network ${entry}`], { ip }), null, ip)
  })
}

test('users: only authenticated ones, in any case', () => {
  assert.ok(exempt(['user backup@example.com'], { user: 'Backup@Example.com' }))
  assert.equal(exempt(['user backup'], { user: 'backup@example.com' }), null)
  assert.equal(exempt(['user *'], { user: null }), null)
  assert.ok(exempt(['user svc-??'], { user: 'svc-12' }))
  assert.equal(exempt(['user svc-??'], { user: 'svc-123' }), null)
  assert.equal(exempt(['user a.b'], { user: 'axb' }), null, 'a dot is a dot')
})

const senders: [entry: string, fitting: string[], others: string[]][] = [
  [
    'jane@example.com',
    ['jane@example.com', 'JANE@EXAMPLE.COM'],
    ['ajane@example.com', 'jane@example.org', ''],
  ],
  ['*@example.com', ['x@example.com', '"a b"@example.com'], ['x@sub.example.com', 'x@badexample.com', '']],
  ['*@*.example.com', ['x@a.example.com', 'x@a.b.example.com'], ['x@example.com', 'x@a.example.com.org']],
  ['list-*@example.com', ['list-@example.com', 'list-a-b@example.com'], ['alist-a@example.com']],
  ['*@*', ['a@b', 'a@[192.0.2.1]'], ['', 'postmaster']],
  ['postmaster', ['postmaster', 'PostMaster'], ['postmaster@example.com', 'postmaster@\u212a.example', '']],
  ['<>', [''], ['a@b', 'postmaster']],
  // Quotes are no part of the name, and an @ inside them ends no local part.
  ['a.b@example.com', ['"a.b"@example.com', '"a\\.b"@example.com'], ['"a@example.com"@evil.org']],
  ['"two words"@example.com', ['"Two Words"@example.com'], ['two@example.com']],
  [
    '*@bücher.example',
    ['x@bücher.example', 'x@BÜCHER.example', 'x@xn--bcher-kva.example'],
    ['x@bucher.example'],
  ],
  ['*@xn--bcher-kva.example', ['x@bücher.example'], []],
  // A domain is the same in its two forms, but no other characters than its own become ASCII.
  ['*@k.example', ['x@k.example', 'x@K.example'], ['x@\u212a.example', 'x@\uff4b.example']],
  ['*@s.example', ['x@S.example'], ['x@\u017f.example', 'x@\uff53.example']],
  ['*@ff.example', ['x@ff.example'], ['x@\ufb00.example']],
  ['*@a.example', ['x@a.example'], ['x@a\u00ad.example', 'x@a\u3002example', 'x@\u24d0.example']],
  ['*@*.example', ['x@a.example', 'x@\u212a.example'], ['x@\u212a.\uff45xample']],
  ['*@b\u00fck.example', ['x@b\u00fck.example', 'x@xn--bk-xka.example'], ['x@b\u00fc\u212a.example']],
  // Only letters of ASCII are the same in either case.
  [
    'j\u00fcrgen@example.com',
    ['j\u00fcrgen@example.com', 'J\u00fcRGEN@EXAMPLE.com'],
    ['jurgen@example.com', 'ju\u0308rgen@example.com', 'J\u00dcRGEN@example.com'],
  ],
  ['x@[192.0.2.1]', ['x@[192.0.2.1]'], ['x@[192.0.2.2]']],
]
for (const [entry, fitting, others] of senders) {
  test(`sender ${entry}`, () => {
    for (const from of fitting) assert.equal(exempt([`sender ${entry}`], { from }), `sender ${entry}`, from)
    for (const from of others) assert.equal(exempt([`sender ${entry}`], { from }), null, from)
  })
}

/** What Unicode maps onto ASCII by one of its ways: case, NFC, NFKC, IDNA. */
const lookalikes: [ascii: string, others: string[]][] = [
  ['k', ['\u212a', '\uff4b', '\uff2b']],
  ['s', ['\u017f', '\uff53']],
  ['i', ['\u0130', '\u0131', '\uff49']],
  ['ss', ['\u00df', '\u1e9e']],
  ['ff', ['\ufb00']],
  ['`', ['\u1fef']],
  ['a', ['a\u00ad', 'a\u200d']],
]
for (const [ascii, others] of lookalikes) {
  for (const other of others) {
    test(`${name(other)} is not ${ascii}, nor the other way round`, () => {
      for (const [entered, come] of [
        [ascii, other],
        [other, ascii],
      ] as const) {
        assert.equal(exempt([`user x${entered}`], { user: `x${come}` }), null)
        assert.equal(exempt([`sender x${entered}@example.com`], { from: `x${come}@example.com` }), null)
        assert.equal(exempt([`recipient x${entered}@example.com`], { to: [`x${come}@example.com`] }), null)
      }
      assert.ok(exempt([`user x${other}`], { user: `X${other}` }))
      assert.equal(exempt(['user x?y'], { user: `x${other}y` }) !== null, other.length === 1)
    })
  }
}

test('a domain that IDNA changes is refused', () => {
  for (const domain of ['\u212a.example', '\uff45xample.com', 'exa\u00admple.com', 'b\u00fc\u212a.example']) {
    const entry = parseExemption(`sender *@${domain}`)
    assert.ok(entry instanceof Invalid, domain)
    assert.match(entry.why, /did you mean \S+\?/)
  }
})

test('a message is exempt by recipient only if every recipient is', () => {
  const lab = ['recipient lab@example.com', 'recipient *@lab.example.com', 'recipient never@example.com']
  assert.equal(exempt(lab, { to: ['LAB@example.com'] }), 'recipient lab@example.com')
  assert.equal(
    exempt(lab, { to: ['x@lab.example.com', 'lab@example.com', 'y@lab.example.com'] }),
    'recipient *@lab.example.com, recipient lab@example.com',
  )
  assert.equal(exempt(lab, { to: ['lab@example.com', 'jane@example.com'] }), null)
  assert.equal(exempt(lab, { to: [] }), null, 'none is not all')
  assert.equal(exempt(['network 192.0.2.1'], { to: [], ip: '192.0.2.1' }), 'network 192.0.2.1')
})

test('the reason names at most three entries', () => {
  const names = ['a', 'b', 'c', 'd', 'e']
  const lines = names.map((name) => `recipient ${name}@example.com`)
  const to = names.map((name) => `${name}@example.com`)
  assert.match(exempt(lines, { to }) ?? '', /^recipient a@\S+, recipient b@\S+, recipient c@\S+ and 2 more$/)
})

test('several kinds in one line must all match', () => {
  const line = 'sender *@example.com network 192.0.2.0/24 recipient lab@example.com'
  const all = { from: 'a@example.com', ip: '192.0.2.1', to: ['lab@example.com'] }
  assert.equal(exempt([line], all), line)
  assert.equal(exempt([line], { ...all, from: 'a@example.org' }), null)
  assert.equal(exempt([line], { ...all, ip: '192.0.3.1' }), null)
  assert.equal(exempt([line], { ...all, to: ['jane@example.com'] }), null)
  // A recipient with an entry of its own, and one of this.
  const mixed = { ...all, to: ['lab@example.com', 'jane@example.com'] }
  assert.equal(exempt([line, 'recipient jane@example.com'], mixed), `${line}, recipient jane@example.com`)
})

test('comments, blanks and the case of the kind', () => {
  for (const line of ['', '   ', '# network 10.0.0.0/8', '\t# x', '; x']) assert.equal(entryIn(line), '')
  const [entry] = entries('  Network   10.0.0.1  # the printer')
  assert.equal(entry?.text, 'Network 10.0.0.1')
  assert.ok(
    exempt(['sender a#b@example.com'], { from: 'a#b@example.com' }),
    'a comment begins behind white space',
  )
})

const wrong: [line: string, why: RegExp][] = [
  [
    'netwrk 10.0.0.0/8',
    /netwrk is no kind of entry; did you mean network\? Allowed is network, user, sender or/,
  ],
  ['10.0.0.0/8', /10\.0\.0\.0\/8 is no kind of entry/],
  ['constructor x', /is no kind of entry/],
  ['networ\u212a 10.0.0.0/8', /is no kind of entry; did you mean network\?/],
  ['network', /network has no value: allowed is an address or a network such as/],
  ['network 10', /network 10: allowed is/],
  ['network 10.*', /allowed is/],
  ['network 010.0.0.1', /allowed is/],
  ['network 0x0a.0.0.1', /allowed is/],
  ['network 10.0.0.0/33', /allowed is/],
  ['network 10.0.0.0/', /allowed is/],
  ['network 10.0.0.0/255.0.0.0', /allowed is/],
  ['network 10.0.0.0/8/8', /allowed is/],
  ['network 10.1.2.3/8', /network 10\.1\.2\.3\/8 \(the network is 10\.0\.0\.0\/8\): allowed is/],
  ['network 2001:db8::1/32', /the network is 2001:db8::\/32/],
  ['network 2001:db8::/129', /allowed is/],
  ['network fe80::1%eth0', /allowed is/],
  ['network ::ffff:10.0.0.1', /allowed is/],
  ['network clamd.example.com', /allowed is/],
  ['user', /user has no value: allowed is a login name/],
  ['user a\u0007', /allowed is a login name/],
  ['sender example.com', /sender example\.com: allowed is an address such as .* or <> for the null sender/],
  ['sender *', /allowed is an address/],
  ['sender @example.com', /allowed is an address/],
  ['sender a@', /allowed is an address/],
  ['sender a@b@c', /allowed is an address/],
  ['sender a@b..c', /allowed is an address/],
  ['sender a@bü*.example', /allowed is an address/],
  ['sender <a@example.com>', /allowed is an address/],
  ['sender two words@example.com', /words@example\.com is no kind of entry/],
  ['recipient <>', /recipient <>: allowed is an address/],
  ['sender a@b network', /network has no value/],
  ['sender a@b sender c@d', /sender is there twice/],
  ['network 10 sender x', /network 10: .*; sender x: /],
]
for (const [line, why] of wrong) {
  test(`"${line}" is refused`, () => {
    const entry = parseExemption(line)
    assert.ok(entry instanceof Invalid)
    assert.match(entry.why, why)
  })
}
