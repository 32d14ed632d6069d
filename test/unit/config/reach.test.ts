// Exemptions and rules that are wider than intended are reported, however they are written.
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { wideSettings } from '../../../lib/config/reach'
import { parseSettings } from '../../../lib/config/settings'

interface Given {
  ini?: string
  signatures?: string
  exempt?: string
  domains?: string[]
}

function reported({ ini = '', signatures = '', exempt = '', domains = [] }: Given): string[] {
  const lines = (text: string) => ({ lines: text.split('\n') })
  const settings = parseSettings(
    { ini: lines(ini), signatures: lines(signatures), exempt: lines(exempt) },
    true,
  )
  return wideSettings(settings, domains).map(({ kind, text }) => `${kind}: ${text}`)
}

const kinds = (given: Given) => [...new Set(reported(given).map((text) => text.split(':')[0]))]

const everybody: Given[] = [
  { exempt: 'network 0.0.0.0/0' },
  { exempt: 'network ::/0' },
  { exempt: 'network 0.0.0.0/1\nnetwork 128.0.0.0/1' },
  { exempt: 'network 2000::/4\nnetwork 3000::/4' },
  {
    exempt: ['0.0.0.0/2', '64.0.0.0/2', '128.0.0.0/2', '192.0.0.0/2']
      .map((one) => `network ${one}`)
      .join('\n'),
  },
  { exempt: 'recipient *@*' },
  { exempt: 'recipient *@*.*\nnetwork 10.0.0.0/8' },
  { exempt: 'network 0.0.0.0/0 recipient *@*' },
  { exempt: 'network 0.0.0.0/1\nnetwork 128.0.0.0/1 recipient ?*@**' },
  { exempt: 'recipient *@example.com', domains: ['example.com'] },
  {
    exempt: 'recipient *@example.com\nrecipient *@*.example.com',
    domains: ['example.com', 'sub.example.com'],
  },
  { signatures: '* tag' },
  { signatures: '/./ tag' },
  { signatures: 'Win.* reject\n/^.*$/ tag' },
  { signatures: '?* tag', ini: '[infected]\naction=quarantine' },
]
for (const given of everybody) {
  test(`everybody: ${JSON.stringify(given)}`, () => assert.deepEqual(kinds(given), ['everybody']))
}

test('an entry for any sender exempts everybody, and can be forged', () => {
  for (const exempt of ['sender *@*', 'sender ?*@?*', 'sender *@*.*', 'sender *@* network 0.0.0.0/0'])
    assert.deepEqual(kinds({ exempt }), ['everybody', 'forgeable'], exempt)
})

const forgeable = [
  'sender <>',
  'sender x@y.example',
  'sender *@example.com recipient lab@example.com',
  'sender x@y.example network ::/0',
  'sender x@y.example network 128.0.0.0/1',
]
for (const exempt of forgeable) {
  test(`forgeable: ${exempt}`, () => {
    assert.deepEqual(reported({ exempt }), [
      `forgeable: clamav-stream.exempt: "${exempt}" exempts by MAIL FROM alone, which anyone can forge`,
    ])
  })
}

const many: Given[] = [
  { exempt: 'network 0.0.0.0/1' },
  { exempt: 'recipient *@example.com', domains: ['example.com', 'example.net', 'example.org'] },
  { ini: '[check]\nauthenticated=false\nrelay=false\nprivate_ip=false\nlocal_ip=false' },
]
for (const given of many) {
  test(`many: ${JSON.stringify(given)}`, () => assert.deepEqual(kinds(given), ['many']))
}

const fine: Given[] = [
  {},
  { exempt: 'network 10.0.0.0/8\nnetwork 192.0.2.0/24\nnetwork fd00::/8\nnetwork 2001:db8::/32' },
  { exempt: 'user jane\nuser *' },
  { exempt: 'sender x@y.example network 192.0.2.0/24\nsender <> user jane' },
  { exempt: 'recipient lab@example.com', domains: ['example.com'] },
  { exempt: 'recipient *@lab.example.com', domains: ['example.com'] },
  { ini: '[check]\nauthenticated=false\nrelay=false' },
  // The first one delivers infected mail on purpose: [infected] says so.
  { ini: '[infected]\naction=tag', signatures: '* tag' },
  { signatures: 'Heuristics.Phishing.* tag\nPUA.* tag' },
  { signatures: 'Win.* tag\n* reject' },
  { signatures: '* discard' },
]
for (const given of fine) test(`fine: ${JSON.stringify(given)}`, () => assert.deepEqual(reported(given), []))

test('at most three entries are named', () => {
  const [text = ''] = reported({
    exempt: [0, 1, 2, 3, 4, 5, 6, 7].map((octet) => `network ${octet * 32}.0.0.0/3`).join('\n'),
  })
  assert.match(
    text,
    /by "network 0\.0\.0\.0\/3", "network 32\.0\.0\.0\/3", "network 64\.0\.0\.0\/3" and more$/,
  )
})
