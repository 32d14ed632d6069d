// What lies where a copy and its record are to go, put there by another user of the machine, is neither followed
// nor written through.
import assert from 'node:assert/strict'
import { execFileSync } from 'node:child_process'
import {
  existsSync,
  linkSync,
  lstatSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs'
import { createRequire } from 'node:module'
import path from 'node:path'
import { test } from 'node:test'
import { keepCopy } from '../../../lib/actions/quarantine'
import type { Connection, Transaction } from '../../../lib/haraka/types'
import { TemporaryDirectory } from '../../support/process'

interface HarakaTransaction extends Transaction {
  add_data(line: Buffer): void
  end_data(done: () => void): void
}
const haraka = createRequire(__filename)('Haraka/transaction') as { createTransaction(): HarakaTransaction }

function today(): string {
  const now = new Date()
  return [now.getFullYear(), now.getMonth() + 1, now.getDate()]
    .map((n) => String(n).padStart(2, '0'))
    .join('')
}

/**
 * A message, where its copy goes, and a plugin that puts it there as queue/quarantine does: never over anything.
 * @param spoil comes between the copy and the plugin's answer
 */
function kept(base: string, spoil: () => void = () => undefined) {
  const transaction = haraka.createTransaction()
  for (const line of ['Subject: one', '', 'body']) transaction.add_data(Buffer.from(`${line}\r\n`))
  transaction.end_data(() => undefined)
  const copy = path.join(base, 'infected', today(), transaction.uuid)
  mkdirSync(path.dirname(copy), { recursive: true })
  const plugin = {
    get_base_dir: () => base,
    quarantine(next: () => void) {
      writeFileSync(copy, 'Subject: one\n\nbody\n', { flag: 'wx' })
      spoil()
      transaction.notes.quarantined = copy
      next()
    },
  }
  const connection = { transaction, notes: {} } as unknown as Connection
  const keep = (record: object = { verdict: 'infected' }) =>
    keepCopy(plugin, connection, transaction, 'infected', record)
  return { copy, keep }
}

function directory(t: { after(done: () => void): void }): { base: string; victim: string } {
  const temporary = new TemporaryDirectory('quarantine')
  t.after(() => temporary.remove())
  const victim = path.join(temporary.path, 'victim')
  writeFileSync(victim, 'precious')
  return { base: path.join(temporary.path, 'base'), victim }
}

test('a copy and its record, for the owner alone', async (t) => {
  const { base } = directory(t)
  const { copy, keep } = kept(base)
  assert.equal(await keep(), copy)
  assert.deepEqual(JSON.parse(readFileSync(`${copy}.json`, 'utf8')), { verdict: 'infected' })
  for (const file of [copy, `${copy}.json`]) assert.equal(lstatSync(file).mode & 0o777, 0o600)
})

test('a record that cannot be written: no copy, and nothing is left of either', async (t) => {
  const { base } = directory(t)
  const { copy, keep } = kept(base)
  await assert.rejects(keep({ bytes: 1n }), TypeError)
  assert.deepEqual(readdirSync(path.dirname(copy)), [])
})

test('a link where the record is written first: no copy, and nothing is written through it', async (t) => {
  const { base, victim } = directory(t)
  const { copy, keep } = kept(base)
  symlinkSync(victim, `${copy}.json.tmp`)
  await assert.rejects(keep(), { code: 'EEXIST' })
  assert.equal(readFileSync(victim, 'utf8'), 'precious')
  assert.ok(!existsSync(copy))
})

test('a link in the place of the record is replaced, not followed', async (t) => {
  const { base, victim } = directory(t)
  const { copy, keep } = kept(base)
  symlinkSync(victim, `${copy}.json`)
  await keep()
  assert.ok(lstatSync(`${copy}.json`).isFile())
  assert.equal(readFileSync(victim, 'utf8'), 'precious')
})

test('a link in the place of the copy, dangling or not: no copy', async (t) => {
  for (const target of ['victim', 'nowhere']) {
    const { base, victim } = directory(t)
    const { copy, keep } = kept(base)
    symlinkSync(path.join(path.dirname(victim), target), copy)
    await assert.rejects(keep())
    assert.equal(readFileSync(victim, 'utf8'), 'precious')
    assert.ok(!existsSync(path.join(path.dirname(victim), 'nowhere')))
  }
})

test('a link in the place of a folder: no copy, and nothing is made behind it', async (t) => {
  for (const place of ['infected', path.join('infected', today()), 'tmp']) {
    const { base, victim } = directory(t)
    const outside = path.join(path.dirname(victim), 'outside')
    mkdirSync(outside)
    const { keep } = kept(base)
    rmSync(path.join(base, place), { recursive: true, force: true })
    symlinkSync(outside, path.join(base, place))
    await assert.rejects(keep(), /: is a symbolic link, not a folder/)
    assert.deepEqual(readdirSync(outside), [])
  }
})

test('a copy that is a link, a pipe or a second name by the time it is looked at: deferred, and what it leads to stays', async (t) => {
  const precious = 'Subject: one\n\nbody\n'
  for (const [lay, why] of [
    [(copy: string, victim: string) => symlinkSync(victim, copy), /is a symbolic link/],
    [(copy: string, victim: string) => linkSync(victim, copy), /has 2 names/],
    [(copy: string) => execFileSync('mkfifo', [copy]), /is a pipe/],
  ] as const) {
    const { base, victim } = directory(t)
    writeFileSync(victim, precious, { mode: 0o644 })
    const { copy, keep } = kept(base, () => {
      rmSync(copy)
      lay(copy, victim)
    })
    await assert.rejects(keep(), why)
    assert.equal(readFileSync(victim, 'utf8'), precious)
    assert.equal(lstatSync(victim).mode & 0o777, 0o644)
    assert.ok(!existsSync(copy))
  }
})

test('the second name that queue/quarantine gives a copy is gone before the record is there', async (t) => {
  const { base } = directory(t)
  const { copy, keep } = kept(base, () => linkSync(copy, path.join(base, 'tmp', path.basename(copy))))
  assert.equal(await keep(), copy)
  assert.equal(lstatSync(copy).nlink, 1)
  assert.deepEqual(readdirSync(path.join(base, 'tmp')), [])
})
