/*
 * `clamav-stream check`: checks each clamd, then the site; prints a table, JSON, or one line for Nagios.
 */

import { ConfigError } from '../../base/config-error'
import type { Connect } from '../../clamd/connection'
import { withInterrupt } from '../signals'
import { connectOf, openSite, settingsOf } from '../site'
import { write } from '../terminal'
import { UserError } from '../user-error'
import { examineAll, type Examined } from './addresses'
import { asHaraka } from './as-haraka'
import { performanceData } from './performance-data'
import { asTable, exitCode, type Finding, summary } from './results'
import { examineSite } from './site'

export interface CheckOptions {
  readonly config?: string
  readonly host?: string
  readonly quick: boolean
  readonly json: boolean
  readonly nagios: boolean
}

/** @returns the exit code: 0 no problem, 1 warnings, 2 mail would not be scanned */
export async function check(options: CheckOptions): Promise<number> {
  if (options.nagios && options.json) throw new UserError('use --nagios or --json, not both')
  try {
    return await withInterrupt(async (signal) => {
      const { addresses, findings, performance } = await runChecks(options, signal)
      const code = exitCode(findings)
      // An interrupted check says nothing about the site.
      if (!signal.aborted) print(options, addresses, findings, code, performance)
      return code
    })
  } catch (error) {
    if (!options.nagios || !(error instanceof UserError)) throw error
    write(`CLAMAV-STREAM UNKNOWN: ${error.message}\n`)
    return unknownCode
  }
}

/** UNKNOWN of the Nagios plugin guidelines: the check could not run. */
const unknownCode = 3

async function runChecks({ config, host, quick }: CheckOptions, signal: AbortSignal) {
  const site = openSite(config)
  try {
    const settings = settingsOf(site, host)
    const haraka = asHaraka(site.haraka.get('smtp.ini').main)
    const overTls = haraka.act(() => connectOf(site, settings))
    const connect: Connect = (options) => (options.tls === undefined ? haraka.connect : overTls)(options)
    const dialler = { ...haraka, connect }
    const { examined: addresses, findings } = await examineAll(settings, quick, dialler, signal)
    const own: Finding[] =
      haraka.problem === null
        ? []
        : [
            {
              level: 'failure',
              about: 'smtp.ini',
              text: `Haraka cannot become its user and group: ${haraka.problem}`,
              remedy: 'correct user and group in smtp.ini: id USER, getent group GROUP',
            },
          ]
    return {
      addresses,
      findings: [...findings, ...own, ...(await examineSite(site, settings, haraka))],
      performance: performanceData(addresses, settings.health.maxSignatureAgeMs),
    }
  } catch (error) {
    if (!(error instanceof ConfigError)) throw error
    const [first = '', ...more] = error.message.split(/\n\s*/)
    const findings: Finding[] = (more.length > 0 ? more : [first]).map((text) => ({
      level: 'failure',
      about: 'settings',
      text,
      remedy: 'correct it: Haraka does not start, or keeps the settings that it has',
    }))
    return { addresses: [], findings, performance: '' }
  }
}

function print(
  { json, nagios }: CheckOptions,
  addresses: readonly Examined[],
  findings: readonly Finding[],
  code: number,
  performance: string,
): void {
  const line = summary(findings)
  if (json) write(`${JSON.stringify({ summary: line, code, addresses, findings }, null, 2)}\n`)
  else if (nagios) write(`${line.replaceAll('|', '/')}${performance && ` | ${performance}`}\n`)
  else write(`${asTable(findings)}\n${line}\n`)
}
