/* Before a release: does clamd, with the signatures of today, still find something? */

import { asMessage } from '../mail-file/content'
import type { ProvingScanner } from '../proving-scanner'
import { verdictText } from '../scan/command'
import { escaped } from '../terminal'
import type { KeptMessage } from './store'
import { openCopy } from './store'

/** Writes a line to standard error for each message; a clamd that cannot be asked keeps nothing from being released. */
export async function warnOfFound(messages: readonly KeptMessage[], scanner: ProvingScanner): Promise<void> {
  const { signal } = new AbortController()
  const warn = (text: string) => process.stderr.write(`${escaped(text)}\n`)
  for (const one of messages) {
    if (one.bytes === null) continue
    const verdict = await scanner.scan(
      asMessage(() => openCopy(one), { start: 0, end: one.bytes }, null),
      signal,
    )
    if (verdict.outcome === 'infected')
      warn(`WARNING: ${one.id}: ${verdict.virus} is still found by today's signatures`)
    if (verdict.outcome === 'unscanned' && (verdict.reason === 'error' || verdict.reason === 'timeout')) {
      warn(`not scanned again: ${verdictText(verdict)}`)
      return
    }
  }
}
