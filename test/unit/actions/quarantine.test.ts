// What lies where a copy and its record are to go, put there by somebody else on the machine, is neither followed
// nor written through.
import assert from 'node:assert/strict'
import { existsSync, lstatSync, mkdirSync, readFileSync, symlinkSync, writeFileSync } from 'node:fs'
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

/** A message, where its copy goes, and a plugin that puts it there as queue/quarantine does: never over anything. */
function kept(base: string) {
  const transaction = haraka.createTransaction()
  for (const line of ['Subject: one', '', 'body']) transaction.add_data(Buffer.from(`${line}\r\n`))
  transaction.end_data(() => undefined)
  const copy = path.join(base, 'infected', today(), transaction.uuid)
  mkdirSync(path.dirname(copy), { recursive: true })
  const plugin = {
    get_base_dir: () => base,
    quarantine(next: () => void) {
      writeFileSync(copy, 'Subject: one\n\nbody\n', { flag: 'wx' })
      transaction.notes.quarantined = copy
      next()
    },
  }
  const connection = { transaction, notes: {} } as unknown as Connection
  const keep = () => keepCopy(plugin, connection, transaction, 'infected', { verdict: 'infected' })
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
