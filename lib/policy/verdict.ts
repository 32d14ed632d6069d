/*
 * The outcomes of a scan, and their texts: note, result, header values, log line. rules.ts chooses the action;
 * lib/plugin/annotate.ts puts the texts in their places.
 */

import type { Protocol } from '../clamd/protocol'
import { type ClamdVersion, versionText } from '../clamd/version'
import type { ActionText, Note, Reason } from './note'

export type { Note, Reason } from './note'

/** Result of the attachment check. `denied`: the mask that a name matches. */
export type AttachmentFinding =
  { readonly denied: string; readonly name: string } | { readonly unreadable: string } | null

interface Scan {
  /** Address that gave the verdict, or that was asked last; null when none was. */
  readonly clamd: string | null
  /** Version that this address last reported. */
  readonly engine: ClamdVersion | null
  readonly protocol: Protocol | null
  /** Bytes sent to clamd, our own Received line included; of a message that is too large, its size. */
  readonly bytes: number
  /** Milliseconds from the first step to the verdict. */
  readonly ms: number
  /** Why the message is not plain, so that its parts were scanned in every reading; null: it is, or was not checked. */
  readonly oddity: string | null
  readonly parts: number
  readonly readings: number
  readonly part: string | null
  /** Names that clamd found and that a rule ignores. */
  readonly ignored: readonly string[]
}

export interface Clean extends Scan {
  readonly outcome: 'clean'
}

export interface Infected extends Scan {
  readonly outcome: 'infected'
  /** Signature name: printable ASCII, at most 128 characters. */
  readonly virus: string
}

export interface Unscanned extends Scan {
  readonly outcome: 'unscanned'
  readonly reason: Reason
  /**
   * For the log: address, step and cause; if exempt, the entries of the list, empty for [check]. Never shown to a client.
   */
  readonly text: string
}

export type Verdict = Clean | Infected | Unscanned

/** Only the whole message was scanned. */
export const noReadings = { oddity: null, parts: 0, readings: 0, part: null, ignored: [] } as const

const noScan: Scan = { clamd: null, engine: null, protocol: null, bytes: 0, ms: 0, ...noReadings }

/** For a message that is not to be scanned. @param entry of the exempt list; empty: [check] */
export function exemptVerdict(entry: string): Verdict {
  return { outcome: 'unscanned', reason: 'exempt', text: entry, ...noScan }
}

/** Not scanned because the settings say so. */
export function isExempt(verdict: Verdict): boolean {
  return verdict.outcome === 'unscanned' && verdict.reason === 'exempt'
}

/** For a scan that ended in a fault of our own. */
export function failedVerdict(text: string): Verdict {
  return { outcome: 'unscanned', reason: 'error', text, ...noScan }
}

export function noteOf(verdict: Verdict, action: ActionText): Note {
  const { clamd, protocol, bytes, ms, readings, parts, part } = verdict
  const scan = {
    clamd,
    engine: versionText(verdict.engine),
    protocol,
    bytes,
    ms,
    readings,
    parts,
    part,
    action,
  }
  switch (verdict.outcome) {
    case 'clean':
      return { outcome: 'clean', infected: false, virus: null, reason: null, ...scan }
    case 'infected':
      return { outcome: 'infected', infected: true, virus: verdict.virus, reason: null, ...scan }
    case 'unscanned':
      return { outcome: 'unscanned', infected: null, virus: null, reason: verdict.reason, ...scan }
  }
}

/** Reasons that tell of a failure of clamd, and not of a message that it was able to read. */
const failures: readonly Reason[] = ['error', 'timeout', 'unscannable', 'in_progress']

/**
 * For `transaction.results`: Haraka's own vocabulary, so that karma and others can score it.
 * @param warning about the scan itself, for people
 */
export function resultOf(
  verdict: Verdict,
  finding: AttachmentFinding,
  warning: string | null = null,
): Record<'pass' | 'fail' | 'skip' | 'err' | 'msg', string | string[] | undefined> {
  const failed = verdict.outcome === 'unscanned' && failures.includes(verdict.reason)
  const fails = [
    ...(verdict.outcome === 'infected' ? [verdict.virus] : []),
    ...(finding && 'denied' in finding ? [`attachment ${finding.denied}`] : []),
  ]
  const messages = [
    ...(finding && 'unreadable' in finding ? [`unreadable: ${finding.unreadable}`] : []),
    ...verdict.ignored.map((name) => `ignored: ${name}`),
    ...(warning === null ? [] : [warning]),
  ]
  return {
    pass: verdict.outcome === 'clean' ? 'clean' : undefined,
    fail: fails.length > 0 ? fails : undefined,
    skip: verdict.outcome === 'unscanned' ? skipped(verdict) : undefined,
    err: failed ? verdict.text : undefined,
    msg: messages.length > 0 ? messages : undefined,
  }
}

function skipped({ reason, text }: Unscanned): string {
  return reason === 'exempt' && text !== '' ? `exempt: ${text}` : reason
}

/** Value of X-MessageIsInfected; null: not scanned, no header. */
export function infectedHeader(verdict: Verdict): 'true' | 'false' | null {
  if (verdict.outcome === 'unscanned') return null
  return verdict.outcome === 'infected' ? 'true' : 'false'
}

/** Value of X-Virus-Status. */
export function statusHeader(verdict: Verdict): string {
  if (verdict.outcome === 'infected') return `infected (${verdict.virus})`
  return verdict.outcome === 'clean' ? 'clean' : `unscanned (${verdict.reason})`
}

/** One line of log for one message. */
export function logLine(verdict: Verdict, finding: AttachmentFinding, action: string): string {
  const where = verdict.clamd === null ? '' : ` clamd=${verdict.clamd} protocol=${verdict.protocol ?? '-'}`
  const why = verdict.outcome === 'unscanned' && verdict.text ? `: ${verdict.text}` : ''
  const inside =
    finding === null
      ? ''
      : 'denied' in finding
        ? ` denied=${finding.denied} name=${JSON.stringify(finding.name)}`
        : ` unreadable=${JSON.stringify(finding.unreadable)}`
  const outcome = verdict.outcome === 'clean' ? 'clean' : statusHeader(verdict)
  return `${outcome}${where} bytes=${verdict.bytes} ms=${verdict.ms} action=${action}${readingsText(verdict)}${ignoredText(verdict)}${inside}${why}`
}

function ignoredText({ ignored }: Verdict): string {
  return ignored.length === 0 ? '' : ` ignored=${JSON.stringify(ignored.join(', '))}`
}

/** What was scanned besides the whole message, and why. */
function readingsText({ oddity, parts, readings, part }: Verdict): string {
  if (readings === 0) return ''
  const odd = oddity === null ? '' : ` odd=${JSON.stringify(oddity)}`
  return `${odd} parts=${parts} readings=${readings}${part === null ? '' : ` part=${JSON.stringify(part)}`}`
}
