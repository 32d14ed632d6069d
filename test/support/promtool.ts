// Prometheus' own checker of rules and metrics (Debian: the package prometheus).
import { spawnSync } from 'node:child_process'

/**
 * Says whether there is a promtool. Without one the test is skipped, and the caller returns at once; in CI it fails
 * instead, because there a skipped test would go unnoticed.
 */
export function promtoolOrSkip(t: { skip(message?: string): void }): boolean {
  if (!spawnSync('promtool', ['--version']).error) return true
  if (process.env.CI) throw new Error('promtool is not installed: CI must not skip the tests that need it')
  t.skip('promtool is not installed (Debian: apt-get install prometheus)')
  return false
}

/** What `promtool check metrics` finds wrong with a metrics text; empty: nothing. */
export function checkMetrics(text: string): string {
  return promtool(['check', 'metrics'], text)
}

/** Output of a failed run; empty: it was fine. */
export function promtool(args: readonly string[], input = '', cwd?: string): string {
  const { status, stdout, stderr } = spawnSync('promtool', args, { input, encoding: 'utf8', cwd })
  return status === 0 ? '' : `${stdout}${stderr}` || `exit ${String(status)}`
}
