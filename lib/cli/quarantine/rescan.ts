/*
 * `clamav-stream quarantine rescan`: scans stored messages again with the current signatures.
 */

import { whyKept } from '../../actions/quarantine-record'
import { concurrently } from '../concurrent'
import { asMessage } from '../mail-file/content'
import { ProvingScanner } from '../proving-scanner'
import { resultOf, verdictText } from '../scan/command'
import { withInterrupt } from '../signals'
import { connectOf, settingsOf } from '../site'
import { escaped, write, writeJson } from '../terminal'
import { asJson, type CommonOptions, openContext, placeOf } from './context'
import { deliveriesOf } from './release-log'
import { type KeptMessage, openCopy } from './store'

export interface RescanOptions extends CommonOptions {
  readonly host?: string
  readonly jobs: number
  readonly verbose: boolean
}

export async function rescan(ids: readonly string[], options: RescanOptions): Promise<number> {
  const place = placeOf(options)
  const site = place.mustHaveSite()
  const settings = settingsOf(site, options.host)
  const connect = connectOf(site, settings)
  const { messages, entries } = await openContext(place, ids, options)
  const scanner = new ProvingScanner(settings, connect, options.verbose)
  let found = 0
  let failed = 0
  const print = (one: KeptMessage, verdict: Parameters<typeof verdictText>[0]) => {
    const was = whyKept(one.record)
    if (options.json)
      writeJson({ ...asJson(one, deliveriesOf(entries, one.record.uuid)), rescan: resultOf(verdict) })
    else write(`${one.id}: ${verdictText(verdict)} (was ${escaped(was)})\n`)
  }
  return withInterrupt(async (signal) => {
    await concurrently(each(messages), options.jobs, signal, async (one) => {
      if (one.bytes === null) {
        failed++
        print(one, { outcome: 'failed', text: 'the message file is missing' })
        return
      }
      const content = asMessage(() => openCopy(one), { start: 0, end: one.bytes }, null)
      const verdict = await scanner.scan(content, signal)
      if (signal.aborted) return
      if (verdict.outcome === 'infected') found++
      if (verdict.outcome === 'unscanned') failed++
      print(one, verdict)
    })
    return found > 0 ? 1 : failed > 0 || signal.aborted ? 2 : 0
  })
}

// eslint-disable-next-line @typescript-eslint/require-await -- concurrently() takes an async iterable
async function* each<T>(all: readonly T[]): AsyncGenerator<T> {
  yield* all
}
