// Hardware and versions of a run, without anything that identifies the machine.
import { readFileSync } from 'node:fs'
import { cpus, release, totalmem, type } from 'node:os'
import path from 'node:path'
import { findClamd } from '../test/support/clamd/clamd'
import { repository } from '../test/support/haraka/haraka-install'
import { run } from '../test/support/process'
import type { Machine } from './results'

export async function describeMachine(database: string | undefined): Promise<Machine> {
  const processors = cpus()
  return {
    processor: processors[0]?.model.trim() ?? 'unknown',
    processors: processors.length,
    memoryGiB: Math.round(totalmem() / 1024 ** 3),
    system: `${type()} ${release().replace(/[^\d.].*$/, '')}`,
    versions: await versions(),
    signatures: database === undefined ? 'a handful of test signatures' : 'the signatures of the system',
  }
}

async function versions(): Promise<Record<string, string>> {
  const asked: Record<string, string | undefined> = {
    'this plugin': packageVersion(repository),
    'Node.js': process.version.slice(1),
    Haraka: packageVersion(installed('Haraka')),
    'haraka-message-stream': packageVersion(installed('haraka-message-stream')),
    'haraka-plugin-clamd': packageVersion(installed('haraka-plugin-clamd')),
    ClamAV: await firstMatch(findClamd() ?? 'clamd', ['--version'], /^ClamAV ([\d.]+)/),
    Postfix: await firstMatch('postconf', ['-d', '-h', 'mail_version'], /^([\d.]+)/),
    'clamav-milter': await firstMatch('clamav-milter', ['--version'], /([\d.]+)/),
    rspamd: await firstMatch('rspamd', ['--version'], /([\d.]+)/),
  }
  return Object.fromEntries(
    Object.entries(asked).flatMap(([name, version]) => (version === undefined ? [] : [[name, version]])),
  )
}

async function firstMatch(command: string, args: string[], pattern: RegExp): Promise<string | undefined> {
  const { output } = await run(command, args)
  return pattern.exec(output)?.[1]
}

function installed(name: string): string {
  return path.join(repository, 'node_modules', name)
}

function packageVersion(directory: string): string {
  return (JSON.parse(readFileSync(path.join(directory, 'package.json'), 'utf8')) as { version: string })
    .version
}
