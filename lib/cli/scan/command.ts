/*
 * `clamav-stream scan`: scans files with the site's clamd; output and exit codes are those of clamdscan.
 */

import type { Verdict } from '../../policy/verdict'
import { concurrently } from '../concurrent'
import { type Content, contentsOf } from '../mail-file/content'
import { type Found, type Path, spool, systemText, walk } from '../mail-file/walk'
import { ProvingScanner } from '../proving-scanner'
import { withInterrupt } from '../signals'
import { connectOf, defaultSettings, openSite, settingsOf } from '../site'
import { escaped, Progress, write, writeJson } from '../terminal'

export interface ScanOptions {
  readonly config?: string
  readonly host?: string
  readonly jobs: number
  readonly infected: boolean
  readonly summary: boolean
  readonly json: boolean
  readonly verbose: boolean
}

/** The result for one file or message. */
interface Report {
  readonly path: Path
  readonly number: number | null
  readonly verdict: Verdict | { readonly outcome: 'skipped' | 'failed'; readonly text: string }
}

interface Counts {
  scanned: number
  infected: number
  errors: number
  skipped: number
}

/** @returns the exit code: 0 clean, 1 virus found, 2 an error and no virus found */
export async function scan(paths: readonly string[], options: ScanOptions): Promise<number> {
  const { host, config } = options
  const site = host !== undefined && config === undefined ? null : openSite(config)
  const settings = site === null ? defaultSettings(host) : settingsOf(site, host)
  const scanner = new ProvingScanner(settings, connectOf(site, settings), options.verbose)
  return withInterrupt(async (signal) => {
    const began = new Date()
    const standardInput = paths.includes('-') ? await spool(process.stdin, signal) : null
    try {
      const counts = await scanAll(paths, standardInput?.file ?? null, options, scanner, signal)
      if (options.summary) summarize(counts, began, options.json, signal.aborted)
      return counts.infected > 0 ? 1 : counts.errors > 0 || signal.aborted ? 2 : 0
    } finally {
      await standardInput?.remove()
    }
  })
}

/** @param stdin the file that `-` stands for */
async function scanAll(
  paths: readonly string[],
  stdin: string | null,
  options: ScanOptions,
  scanner: ProvingScanner,
  signal: AbortSignal,
): Promise<Counts> {
  const counts: Counts = { scanned: 0, infected: 0, errors: 0, skipped: 0 }
  const named = paths.map((one) => (one === '-' ? (stdin ?? one) : one))
  const label = (file: Path) => (file === stdin ? 'stdin' : file)
  const progress = new Progress(process.stderr, process.stderr.isTTY ? await bytesBelow(named, signal) : 0)
  const report = (one: Report) => {
    progress.clear()
    count(one, counts)
    print({ ...one, path: label(one.path) }, options)
  }
  let doneBytes = 0
  const done = (bytes: number) => {
    doneBytes += bytes
    progress.draw(
      doneBytes,
      `${counts.scanned} scanned, ${counts.infected} infected, ${counts.errors} errors`,
    )
  }
  await concurrently(messagesBelow(named), options.jobs, signal, async (one) => {
    if (!('content' in one)) {
      report(one)
      return
    }
    const { path, content } = one
    const verdict = await scanner.scan(content, signal)
    if (!signal.aborted) report({ path, number: content.number, verdict })
    done(content.bytes)
  })
  progress.clear()
  return counts
}

/** Total for the progress bar: a first walk that reads sizes only. */
async function bytesBelow(paths: readonly string[], signal: AbortSignal): Promise<number> {
  let bytes = 0
  let files = 0
  for await (const found of walk(paths)) {
    if (signal.aborted) break
    if (found.kind !== 'file') continue
    bytes += found.bytes
    files++
  }
  return files > 1 || bytes > 10 * 1024 ** 2 ? bytes : 0
}

async function* messagesBelow(
  paths: readonly string[],
): AsyncGenerator<{ path: Path; content: Content } | Report> {
  for await (const found of walk(paths)) {
    if (found.kind === 'file') yield* messagesIn(found)
    else yield notScanned(found)
  }
}

async function* messagesIn({
  path,
  isMail,
  isNamed,
}: Found & { kind: 'file' }): AsyncGenerator<{ path: Path; content: Content } | Report> {
  try {
    for await (const content of contentsOf(path, isMail, isNamed)) yield { path, content }
  } catch (error) {
    yield { path, number: null, verdict: { outcome: 'failed', text: systemText(error) } }
  }
}

function notScanned({ path, kind, why }: Found & { kind: 'skipped' | 'error' }): Report {
  return { path, number: null, verdict: { outcome: kind === 'error' ? 'failed' : 'skipped', text: why } }
}

function count({ verdict }: Report, counts: Counts): void {
  if (verdict.outcome === 'skipped') counts.skipped++
  else if (verdict.outcome === 'clean' || verdict.outcome === 'infected') counts.scanned++
  else counts.errors++
  if (verdict.outcome === 'infected') counts.infected++
}

function print(report: Report, { json, infected }: ScanOptions): void {
  if (json) writeJson(asJson(report))
  else if (!infected || (report.verdict.outcome !== 'clean' && report.verdict.outcome !== 'skipped'))
    write(`${nameOf(report)}: ${verdictText(report.verdict)}\n`)
}

function nameOf({ path, number }: Report): string {
  return `${escaped(path.toString())}${number === null ? '' : `#${number}`}`
}

/** As clamdscan prints it. */
export function verdictText(verdict: Report['verdict']): string {
  switch (verdict.outcome) {
    case 'clean':
      return 'OK'
    case 'infected':
      return `${verdict.virus} FOUND`
    case 'unscanned':
      return `${verdict.reason}: ${escaped(verdict.text)} ERROR`
    case 'failed':
      return `${escaped(verdict.text)} ERROR`
    case 'skipped':
      return verdict.text
  }
}

function asJson({ path, number, verdict }: Report): object {
  return {
    path: path.toString(),
    // JSON cannot hold a path that is not UTF-8.
    ...(Buffer.isBuffer(path) && { path_base64: path.toString('base64') }),
    message: number,
    ...resultOf(verdict),
  }
}

/** The fields of a verdict as `--json` writes them, for all commands. */
export function resultOf(verdict: Report['verdict']): object {
  const isScan = 'clamd' in verdict
  return {
    outcome: verdict.outcome,
    virus: verdict.outcome === 'infected' ? verdict.virus : null,
    reason: verdict.outcome === 'unscanned' ? verdict.reason : null,
    text: 'text' in verdict ? verdict.text : null,
    clamd: isScan ? verdict.clamd : null,
    protocol: isScan ? verdict.protocol : null,
    bytes: isScan ? verdict.bytes : null,
    ms: isScan ? verdict.ms : null,
  }
}

function summarize(counts: Counts, began: Date, json: boolean, isInterrupted: boolean): void {
  const seconds = (Date.now() - began.getTime()) / 1000
  if (json) {
    writeJson({ summary: { ...counts, seconds, interrupted: isInterrupted } })
    return
  }
  const minutes = Math.floor(seconds / 60)
  write(
    [
      '',
      '----------- SCAN SUMMARY -----------',
      ...(isInterrupted ? ['Interrupted: not all files were scanned'] : []),
      `Scanned files: ${counts.scanned}`,
      `Infected files: ${counts.infected}`,
      ...(counts.errors > 0 ? [`Total errors: ${counts.errors}`] : []),
      ...(counts.skipped > 0 ? [`Skipped: ${counts.skipped}`] : []),
      `Time: ${seconds.toFixed(3)} sec (${minutes} m ${Math.floor(seconds % 60)} s)`,
      '',
    ].join('\n'),
  )
}
