// Metrics and page without a Haraka: lib/monitoring/http-handler.ts under express, on a free loopback port, with figures made up for
// the test. All names and addresses in them are from the ranges for examples (RFC 2606, RFC 5737).
import { once } from 'node:events'
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import express from 'express'
import type { HttpSettings } from '../../lib/config/settings'
import type { AddressState } from '../../lib/hosts/host-pool'
import type { AlertSettings } from '../../lib/monitoring/dashboard/alerts'
import type { MessageSummary } from '../../lib/monitoring/dashboard/listed-message'
import { MessageLog } from '../../lib/monitoring/dashboard/message-log'
import type { DashboardParts } from '../../lib/monitoring/dashboard/page-data'
import { type CopySummary, Quarantine } from '../../lib/monitoring/dashboard/quarantine-summary'
import { Handler } from '../../lib/monitoring/http-handler'
import { loadProm, type PageSnapshot, Recorder } from '../../lib/monitoring/recorder'
import { actionOf } from '../../lib/policy/action'
import type { AttachmentFinding, Verdict } from '../../lib/policy/verdict'
import { noReadings } from '../../lib/policy/verdict'

export interface TestSite {
  readonly origin: string
  settings: HttpSettings
  /** The addresses as the one process sees them that records. */
  addresses: readonly AddressState[]
  /** What other processes tell. */
  others: readonly PageSnapshot[]
  alerts: AlertSettings
  quarantine: DashboardParts['quarantine']
  rescan: DashboardParts['rescan']
  readonly recorder: Recorder
  /** Log lines; stop() fails if there is one. */
  readonly warnings: string[]
  /** The handler's own end; the server goes on. */
  end(): void
  stop(): Promise<void>
}

export async function startSite(settings: Partial<HttpSettings> = {}): Promise<TestSite> {
  const app = express()
  const server = createServer(app)
  const warnings: string[] = []
  const warn = (text: string) => void warnings.push(text)
  const messages = new MessageLog(Date.now)
  // Closures see what a test puts here later.
  const now: Pick<TestSite, 'settings' | 'addresses' | 'others' | 'alerts' | 'quarantine' | 'rescan'> = {
    settings: { metrics: true, page: true, token: '', ...settings },
    addresses: [someAddress],
    others: [],
    alerts: { onError: actionOf('defer'), maxSignatureAgeMs: 3 * 24 * 60 * 60 * 1000 },
    quarantine: new Quarantine(() => null, Date.now),
    rescan: { scan: () => Promise.resolve('missing') },
  }
  const recorder = new Recorder({
    settings: () => now.settings,
    states: () => now.addresses,
    messages,
    version: '1.0.0',
    warn,
  })
  const site = new Handler({
    settings: () => now.settings,
    collect: async (part) => {
      const own = await recorder.snapshot(part)
      return part === 'page' ? [own, ...now.others] : [own]
    },
    prom: loadProm,
    messages,
    quarantine: { look: () => now.quarantine.look(), list: () => now.quarantine.list() },
    rescan: { scan: (day, uuid, signal) => now.rescan.scan(day, uuid, signal) },
    alerts: () => now.alerts,
    warn,
  })
  app.use('/clamav-stream', (request, response, next) => site.handle(request, response, next))
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  return Object.assign(now, {
    origin: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    recorder,
    warnings,
    end: () => site.end(),
    async stop() {
      site.end()
      server.close()
      server.closeAllConnections()
      await once(server, 'close')
      if (warnings.length > 0) throw new Error(warnings.join('\n'))
    },
  })
}

/** Records a message as mail does. */
export function judge(
  { recorder }: TestSite,
  verdict: Verdict,
  action: string,
  summary: MessageSummary = sampleMail,
  finding: AttachmentFinding = null,
): void {
  recorder.judged({ verdict, finding, action }, () => summary)
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
  host: 'mail.example.net',
  user: null,
  subject: 'Hello',
  messageId: '<1@example.net>',
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

/** A copy in the quarantine, the lower the newer. */
export const someCopy = (at: number): CopySummary => ({
  day: '20260115',
  uuid: `2F1C6A44-9E0B-4D55-8A7C-0D7E4C1B9A55.${at}`,
  time: Date.now() - at * 3_600_000,
  bytes: 1000 + at,
  what: 'Win.Test',
  from: sampleMail.from,
  to: sampleMail.to,
  recipients: 1,
  ip: sampleMail.ip,
  user: '',
  messageId: sampleMail.messageId,
  engine: 'ClamAV 1.4.6/27912',
})
