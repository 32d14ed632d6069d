/*
 * The metrics of one process, counted with prom-client, and those of all processes in the Prometheus text format.
 * docs/guide/monitoring.md explains each. prom-client is passed in, so that it is loaded only if metrics are on.
 */

import type {
  Counter,
  Histogram,
  MetricObject,
  MetricObjectWithValues,
  MetricValue,
  Registry,
} from 'prom-client'
import type { AddressState } from '../hosts/host-pool'
import type { Reason } from '../policy/note'
import type { AttachmentFinding, Verdict } from '../policy/verdict'

export type Prom = typeof import('prom-client')

/** All metrics of a process as plain JSON. */
export type MetricsSnapshot = readonly MetricSnapshot[]
type MetricSnapshot = Omit<MetricObject, 'collect'> & { readonly values: MetricValue<string>[] }

/** Actions besides the SMTP reply, and their results. */
export interface ActionResults {
  readonly copy: 'kept' | 'failed'
  readonly report: 'sent' | 'failed' | 'withheld'
}

/** Addresses with a label of their own at most; the others share the label `other`. */
const maxAddresses = 32

const prefix = 'clamav_stream_'
const messageLabels = ['outcome', 'reason', 'action', 'address', 'protocol'] as const

/** A record, so that the compiler names a reason that is missing. */
const reasons: Readonly<Record<Reason, true>> = {
  error: true,
  timeout: true,
  too_large: true,
  limits: true,
  encrypted: true,
  unscannable: true,
  in_progress: true,
  exempt: true,
}

/** Outcome, reason and action of series that are there before a message. */
const usual: readonly (readonly [outcome: string, reason: string, action: string])[] = [
  ['clean', 'none', 'accept'],
  ['infected', 'none', 'reject'],
  ...Object.keys(reasons).map((reason) => ['unscanned', reason, 'accept'] as const),
]

export class Metrics {
  readonly #registry: Registry
  readonly #messages: Counter<(typeof messageLabels)[number]>
  readonly #findings: Counter<'finding'>
  readonly #actionResults: Readonly<Record<keyof ActionResults, Counter<'result'>>>
  readonly #seconds: Histogram<'address'>
  readonly #bytes: Histogram
  readonly #parts: Counter
  readonly #readings: Counter
  readonly #foundInParts: Counter
  readonly #ignored: Counter
  readonly #labelOf = addressLabels()

  /** @param states called whenever the metrics are read */
  constructor(prom: Prom, version: string, states: () => readonly AddressState[]) {
    const registry = new prom.Registry()
    const registers = [registry]
    const counter = <L extends string>(name: string, help: string, labelNames: readonly L[]) =>
      new prom.Counter({ name: `${prefix}${name}`, help, labelNames, registers })
    this.#registry = registry
    this.#messages = counter(
      'messages_total',
      'Messages judged, by verdict, by the action that the rules decided on, and by the clamd that was asked last.',
      messageLabels,
    )
    this.#findings = counter('findings_total', 'Messages by what their attachments came to.', ['finding'])
    this.#parts = counter('parts_total', 'Header sections that were read in messages with readings.', [])
    this.#readings = counter(
      'readings_total',
      'Contents of messages that were scanned besides the whole message, in every reading.',
      [],
    )
    this.#foundInParts = counter(
      'found_in_parts_total',
      'Infected messages in which clamd found nothing but in a part.',
      [],
    )
    this.#ignored = counter('ignored_total', 'Messages in which a name was found that a rule ignores.', [])
    this.#actionResults = {
      copy: counter('copies_total', 'Copies for the quarantine.', ['result']),
      report: counter('reports_total', 'Reports to senders.', ['result']),
    }
    // Each begins at 0, so that the first message is an increase.
    for (const [outcome, reason, action] of usual)
      this.#messages.inc({ outcome, reason, action, address: 'none', protocol: 'none' }, 0)
    for (const finding of ['denied', 'unreadable']) this.#findings.inc({ finding }, 0)
    for (const result of ['kept', 'failed']) this.#actionResults.copy.inc({ result }, 0)
    for (const result of ['sent', 'failed', 'withheld']) this.#actionResults.report.inc({ result }, 0)
    this.#seconds = new prom.Histogram({
      name: `${prefix}scan_seconds`,
      help: 'Time from the first step to the verdict, waiting and all tries included, by the clamd that was asked last.',
      labelNames: ['address'],
      buckets: [0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 120],
      registers,
    })
    this.#bytes = new prom.Histogram({
      name: `${prefix}scan_bytes`,
      help: 'Bytes of each message that were sent to the clamd that was asked last.',
      buckets: [1e3, 1e4, 1e5, 1e6, 5e6, 1e7, 2.5e7, 5e7, 1e8],
      registers,
    })
    this.#gauges(prom, version, states)
  }

  count(verdict: Verdict, finding: AttachmentFinding, action: string): void {
    const address = verdict.clamd === null ? 'none' : this.#labelOf(verdict.clamd)
    this.#messages.inc({
      outcome: verdict.outcome,
      reason: verdict.outcome === 'unscanned' ? verdict.reason : 'none',
      action,
      address,
      protocol: verdict.protocol ?? 'none',
    })
    if (finding !== null) this.#findings.inc({ finding: 'denied' in finding ? 'denied' : 'unreadable' })
    if (verdict.clamd === null) return
    this.#seconds.observe({ address }, verdict.ms / 1000)
    this.#bytes.observe(verdict.bytes)
    this.#parts.inc(verdict.parts)
    this.#readings.inc(verdict.readings)
    if (verdict.outcome === 'infected' && verdict.part !== null) this.#foundInParts.inc()
    if (verdict.ignored.length > 0) this.#ignored.inc()
  }

  countAction<A extends keyof ActionResults>(action: A, result: ActionResults[A]): void {
    this.#actionResults[action].inc({ result })
  }

  async snapshot(): Promise<MetricsSnapshot> {
    return this.#registry.getMetricsAsJSON()
  }

  #gauges(prom: Prom, version: string, states: () => readonly AddressState[]): void {
    const registers = [this.#registry]
    const labelOf = this.#labelOf
    new prom.Gauge({
      name: `${prefix}address_state`,
      help: 'Processes for which an address is up, resting after a failure, or untrusted.',
      labelNames: ['address', 'role', 'state'],
      registers,
      collect() {
        this.reset()
        for (const { text, role, state } of states()) {
          for (const one of ['up', 'resting', 'untrusted'] as const)
            this.inc({ address: labelOf(text), role, state: one }, Number(one === state))
        }
      },
    })
    new prom.Gauge({
      name: `${prefix}scans_in_flight`,
      help: 'Scans under way.',
      labelNames: ['address'],
      registers,
      collect() {
        this.reset()
        for (const { text, inFlight } of states()) this.inc({ address: labelOf(text) }, inFlight)
      },
    })
    new prom.Gauge({
      name: `${prefix}signatures_timestamp_seconds`,
      help: 'When the signatures were made that an address works with, in seconds since the epoch.',
      labelNames: ['address'],
      registers,
      aggregator: 'max',
      collect() {
        this.reset()
        for (const { text, engine } of states()) {
          const builtMs = engine?.signatures?.builtMs
          if (builtMs !== undefined) this.set({ address: labelOf(text) }, builtMs / 1000)
        }
      },
    })
    new prom.Gauge({
      name: `${prefix}processes`,
      help: 'Processes of Haraka that these metrics are the sum of.',
      registers,
    }).set(1)
    new prom.Gauge({
      name: `${prefix}build_info`,
      help: 'Always 1; the labels say what runs.',
      labelNames: ['version', 'node'],
      registers,
      aggregator: 'max',
    }).set({ version, node: process.version }, 1)
  }
}

/** All processes as one, in the text format of Prometheus. */
export async function exposition(
  prom: Prom,
  snapshots: readonly MetricsSnapshot[],
): Promise<{ readonly type: string; readonly text: string }> {
  const registry = aggregated(prom, snapshots)
  return { type: registry.contentType, text: await registry.metrics() }
}

/** Counters and histograms of dead workers, with at most as many addresses as one process has. */
export function deadWorkersSnapshot(prom: Prom, snapshots: readonly MetricsSnapshot[]): MetricsSnapshot {
  const labelOf = addressLabels()
  const lasting = snapshots.map((metrics) =>
    metrics
      .filter(({ type }) => ['counter', 'histogram'].includes(String(type)))
      .map((metric) => ({
        ...metric,
        values: metric.values.map((value) =>
          value.labels.address === undefined || value.labels.address === 'none'
            ? value
            : { ...value, labels: { ...value.labels, address: labelOf(String(value.labels.address)) } },
        ),
      })),
  )
  const all = aggregated(prom, lasting).getMetricsAsArray() as MetricObjectWithValues<MetricValue<string>>[]
  return all.map(({ name, help, type, values, aggregator }) => ({ name, help, type, values, aggregator }))
}

/** The label of an address: the first maxAddresses have their own. */
function addressLabels(): (text: string) => string {
  const known = new Set<string>()
  return (text) => {
    if (known.has(text)) return text
    if (known.size >= maxAddresses) return 'other'
    known.add(text)
    return text
  }
}

/** Aggregates as each metric says; most are summed. prom-client's type requires more than it uses. */
function aggregated(prom: Prom, snapshots: readonly MetricsSnapshot[]): Registry {
  return prom.AggregatorRegistry.aggregate(snapshots as unknown as object[])
}
