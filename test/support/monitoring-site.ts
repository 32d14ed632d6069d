// Metrics and page without a Haraka: lib/monitoring/http-handler.ts under express, on a free loopback port, with figures made up for
// the test. All names and addresses in them are from the ranges for examples (RFC 2606, RFC 5737).
import { once } from 'node:events'
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import express from 'express'
import type { HttpSettings } from '../../lib/config/settings'
import type { AddressState } from '../../lib/hosts/host-pool'
import { Quarantine } from '../../lib/monitoring/dashboard/quarantine-summary'
import { type MessageSummary, Stats } from '../../lib/monitoring/dashboard/stats'
import { Handler } from '../../lib/monitoring/http-handler'
import { loadProm, type PageSnapshot } from '../../lib/monitoring/recorder'
import type { Verdict } from '../../lib/policy/verdict'
import { noReadings } from '../../lib/policy/verdict'

export interface TestSite {
  readonly origin: string
  settings: HttpSettings
  /** What the processes tell; may be changed at any time. */
  pages: PageSnapshot[]
  quarantine: Pick<Quarantine, 'look'>
  /** Log lines; stop() fails if there is one. */
  readonly warnings: string[]
  stop(): Promise<void>
}

export async function startSite(settings: Partial<HttpSettings> = {}): Promise<TestSite> {
  const app = express()
  const server = createServer(app)
  const warnings: string[] = []
  const site = new Handler({
    settings: () => test.settings,
    collect: (part) => Promise.resolve(part === 'page' ? test.pages : []),
    prom: loadProm,
    quarantine: { look: () => test.quarantine.look() },
    warn: (text) => warnings.push(text),
  })
  app.use('/clamav-stream', (request, response, next) => site.handle(request, response, next))
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  const test: TestSite = {
    origin: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    settings: { metrics: true, page: true, token: '', ...settings },
    pages: [],
    warnings,
    quarantine: new Quarantine(() => null, Date.now),
    async stop() {
      site.end()
      server.close()
      server.closeAllConnections()
      await once(server, 'close')
      if (warnings.length > 0) throw new Error(warnings.join('\n'))
    },
  }
  return test
}

export const someAddress: AddressState = {
  text: '192.0.2.10:3310',
  role: 'host',
  state: 'up',
  inFlight: 0,
  protocol: 'instream',
  engine: null,
  maxScannableBytes: null,
}

export const sampleMail: MessageSummary = {
  uuid: '2F1C6A44-9E0B-4D55-8A7C-0D7E4C1B9A55.1',
  from: 'sender@example.net',
  to: ['recipient@example.com'],
  recipients: 1,
  ip: '198.51.100.7',
  user: null,
  subject: 'Hello',
}

export const clean: Verdict = {
  outcome: 'clean',
  clamd: someAddress.text,
  engine: null,
  protocol: 'instream',
  bytes: 1000,
  ms: 20,
  ...noReadings,
}

export const infected = (virus: string): Verdict => ({ ...clean, outcome: 'infected', virus })

export const unscanned = (text: string): Verdict => ({
  ...clean,
  outcome: 'unscanned',
  reason: 'error',
  text,
})

/** One process that has seen nothing yet. */
export function pageOf(stats: Stats | null, ...addresses: AddressState[]): PageSnapshot {
  return { stats: stats?.snapshot() ?? null, addresses, processes: 1 }
}
