// A soak's report as text.
import type { Fate } from './ledger'
import { kinds } from './messages'
import type { SoakReport } from './soak'

const fates: readonly Fate[] = ['delivered', 'refused', 'deferred', 'unanswered']

export function reportText({
  options,
  ms,
  ledger,
  befell,
  gauges,
  pausedMs,
  samples,
  wrong,
}: SoakReport): string {
  const counts = ledger.counts()
  const messages = kinds.map((kind) => [kind, ...fates.map((fate) => counts.get(kind)?.get(fate) ?? 0)])
  const mib = (bytes: number) => (bytes / 1024 ** 2).toFixed(1)
  const held = gauges.flatMap(({ before, after }, i) =>
    [before, after].map((usage, which) => [
      `${i + 1}, ${which === 0 ? 'before' : 'after'}`,
      usage.sockets,
      usage.descriptors,
      usage.timers,
      mib(usage.heapBytes),
      mib(usage.externalBytes),
      mib(usage.rssBytes),
    ]),
  )
  const meanwhile = samples.flatMap(({ atMs, usages }) =>
    usages.map((usage, i) => [
      `${(atMs / 60_000).toFixed(1)} min`,
      i + 1,
      usage.sockets,
      usage.descriptors,
      mib(usage.heapBytes),
      mib(usage.externalBytes),
      mib(usage.rssBytes),
    ]),
  )
  return [
    `${ledger.size} messages in ${(ms / 1000).toFixed(0)} s, seed ${options.seed}. A clamd was ${Object.entries(
      befell,
    )
      .map(([what, times]) => `${what} ${times} times`)
      .join(', ')}. The longest pause of the soak itself was ${(pausedMs / 1000).toFixed(1)} s.`,
    '',
    table([['message', ...fates], ...messages]),
    '',
    table([['worker', 'sockets', 'descriptors', 'timers', 'heap MiB', 'buffers MiB', 'RSS MiB'], ...held]),
    '',
    table([
      ['meanwhile', 'worker', 'sockets', 'descriptors', 'heap MiB', 'buffers MiB', 'RSS MiB'],
      ...meanwhile,
    ]),
    '',
    wrong.length === 0
      ? 'Every message is accounted for exactly once; nothing is left open.'
      : `WRONG:\n${wrong.map((text) => `  ${text}`).join('\n')}`,
    '',
  ].join('\n')
}

/** As Markdown, the columns of one width. */
function table(rows: readonly (readonly (string | number)[])[]): string {
  const widths = (rows[0] ?? []).map((_, i) => Math.max(...rows.map((row) => String(row[i]).length)))
  const line = (cells: readonly (string | number)[]) =>
    `| ${cells.map((cell, i) => (i === 0 ? String(cell).padEnd(widths[i] ?? 0) : String(cell).padStart(widths[i] ?? 0))).join(' | ')} |`
  const rule = `| ${widths.map((width, i) => (i === 0 ? '-'.repeat(width) : `${'-'.repeat(width - 1)}:`)).join(' | ')} |`
  const [head = [], ...body] = rows
  return [line(head), rule, ...body.map(line)].join('\n')
}
