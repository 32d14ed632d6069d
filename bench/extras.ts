// The cost of optional features on top of a scan: attachments, a quarantine copy of an infected message, the page.
import type { RealClamd } from '../test/support/clamd/clamd'
import { TemporaryDirectory } from '../test/support/process'
import { harakaContender } from './contenders'
import { costOf, inTurn, warmUp } from './cost'
import type { Load, LoadClient } from './load'
import type { Extra, ExtraName } from './results'
import { type Site, withClamavStream } from './sites'

const loads = [
  { label: '5 kB', bytes: 5000, count: 200, sessions: 1 },
  { label: '100 kB', bytes: 100_000, count: 60, sessions: 1 },
  { label: '1 MB', bytes: 1_000_000, count: 10, sessions: 1 },
  { label: '10 MB', bytes: 10_000_000, count: 3, sessions: 1 },
]

interface Pair {
  without: Site
  with: Site
  load: Pick<Load, 'kind' | 'expected'>
}

export async function measureExtras(client: LoadClient, clamd: RealClamd, rounds: number): Promise<Extra[]> {
  const kept = new TemporaryDirectory('quarantine')
  const extras: Extra[] = []
  try {
    for (const [name, pair] of Object.entries(pairs(clamd, kept.path)) as [ExtraName, Pair][]) {
      extras.push(...(await measurePair(client, clamd.pid, rounds, name, pair)))
    }
    return extras
  } finally {
    kept.remove()
  }
}

function pairs(clamd: RealClamd, folder: string): Record<ExtraName, Pair> {
  const addresses = [`${clamd.host}:${clamd.port}`]
  const plain = withClamavStream(addresses)
  const deny = withClamavStream(
    addresses,
    '',
    '[attachments]\ndeny=*.exe *.com *.bat *.cmd *.pif *.scr *.vbs\n',
  )
  const types = withClamavStream(addresses, '', '[attachments]\ndeny=*.exe type:executable\n')
  const copy = withClamavStream(addresses, '', '[infected]\naction=quarantine reject\n')
  return {
    names: { without: plain, with: deny, load: { kind: 'plain' } },
    'names and types': { without: plain, with: types, load: { kind: 'plain' } },
    'names in a zip': { without: plain, with: deny, load: { kind: 'zip' } },
    'quarantine copy': {
      without: plain,
      with: {
        ...copy,
        plugins: ['clamav-stream', 'queue/quarantine', 'swallow'],
        files: { 'quarantine.ini': `quarantine_path=${folder}\n` },
      },
      load: { kind: 'infected', expected: 550 },
    },
    'page and metrics': {
      without: plain,
      with: {
        ...withClamavStream(addresses, '', '[http]\npage=true\nmetrics=true\n'),
        files: { 'http.ini': 'listen=127.0.0.1:0\n' },
      },
      load: { kind: 'plain' },
    },
  }
}

async function measurePair(
  client: LoadClient,
  clamdPid: number,
  rounds: number,
  name: ExtraName,
  pair: Pair,
): Promise<Extra[]> {
  const both = [await harakaContender('without', pair.without), await harakaContender('with', pair.with)]
  const extras: Extra[] = []
  try {
    await warmUp(client, both, pair.load)
    for (const { label, ...load } of loads) {
      const costs = await inTurn(both, rounds, { ...load, ...pair.load }, (contender, each) =>
        costOf(client, contender, clamdPid, each),
      )
      extras.push({ name, label, without: costs.without ?? [], with: costs.with ?? [] })
    }
    return extras
  } finally {
    for (const contender of both) await contender.stop()
  }
}
