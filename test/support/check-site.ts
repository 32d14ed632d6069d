// Folders of Harakas for `clamav-stream check`.
import assert from 'node:assert/strict'
import { mkdirSync, writeFileSync } from 'node:fs'
import path from 'node:path'
import { after } from 'node:test'
import { clamavStream, type Ran } from './command'
import { TemporaryDirectory } from './process'

export const sites = new TemporaryDirectory('check-command')
after(() => sites.remove())
let count = 0

/** A folder of a Haraka with these files of config/. */
export function site(files: Record<string, string>): string {
  const directory = path.join(sites.path, String(++count))
  mkdirSync(path.join(directory, 'config'), { recursive: true })
  mkdirSync(path.join(directory, 'plugins'))
  const all = { plugins: 'clamav-stream\nqueue/smtp_forward\n', ...files }
  for (const [name, text] of Object.entries(all))
    writeFileSync(path.join(directory, name.includes('/') ? '' : 'config', name), text)
  return directory
}

/** Runs `clamav-stream check` there; whatever it says in the table, each fault comes with what to do. */
export async function check(directory: string, ...args: string[]): Promise<Ran> {
  const ran = await clamavStream(['check', ...args], { cwd: directory })
  for (const [fault] of ran.text.matchAll(/^(?:WARN|FAIL) .*\n(?! +-> ).*/gm))
    assert.fail(`no advice: ${fault}`)
  return ran
}
