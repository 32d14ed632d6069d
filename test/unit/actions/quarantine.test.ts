// A copy is whole, with its record, and on disk before the client gets its answer; else nothing of it is left. What lies
// where they are to go, put there by another user of the machine, is neither followed nor written through.
import assert from 'node:assert/strict'
import { execFileSync } from 'node:child_process'
import {
  existsSync,
  linkSync,
  lstatSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  readlinkSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs'
import { type FileHandle, open } from 'node:fs/promises'
import { createRequire } from 'node:module'
import path from 'node:path'
import { test, type TestContext } from 'node:test'
import { keepCopy, today } from '../../../lib/actions/quarantine'
import { Cancellation } from '../../../lib/base/cancellation'
import type { Connection, Transaction } from '../../../lib/haraka/types'
import { TemporaryDirectory } from '../../support/process'

interface HarakaTransaction extends Transaction {
  add_data(line: Buffer): void
  end_data(done: () => void): void
}
const haraka = createRequire(__filename)('Haraka/transaction') as { createTransaction(): HarakaTransaction }

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
  const keep = (record: object = { verdict: 'infected' }, signal = new Cancellation()) =>
    keepCopy(plugin, { connection, transaction, folder: 'infected', record }, signal)
  return { copy, keep, plugin, connection, transaction }
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

test('the folder of a day is that of queue/quarantine', (t) => {
  t.mock.timers.enable({ apis: ['Date'], now: new Date(2026, 0, 5).getTime() })
  assert.equal(today(), '20260105')
})

/** Files and folders below `base` in the order in which they are on disk; `failing` never is. */
async function watchSyncs(t: TestContext, base: string, failing?: string): Promise<string[]> {
  const handle = await open(base)
  const handles = Object.getPrototypeOf(handle) as FileHandle
  await handle.close()
  const synced: string[] = []
  t.mock.method(handles, 'sync', async function (this: FileHandle) {
    const name = path.relative(base, readlinkSync(`/proc/self/fd/${this.fd}`))
    // Code that does not wait has closed the file by now.
    await new Promise((resolve) => setImmediate(resolve))
    if (name === failing) throw new Error('the disk is broken')
    await this.datasync()
    synced.push(name)
  })
  return synced
}

/** What is synced for a copy, in this order. */
const namesOf = (base: string, copy: string) => {
  const file = path.relative(base, copy)
  return [file, `${file}.json.tmp`, path.dirname(file), 'infected', '']
}

test('the copy, its record, and each folder of both are on disk before the answer', async (t) => {
  const { base } = directory(t)
  const { copy, keep } = kept(base)
  const synced = await watchSyncs(t, base)
  await keep()
  assert.deepEqual(synced, namesOf(base, copy))
})

test('what cannot be put on disk: no copy, and nothing is left', async (t) => {
  for (const at of [0, 1, 2, 3, 4]) {
    const { base } = directory(t)
    const { copy, keep } = kept(base)
    await watchSyncs(t, base, namesOf(base, copy)[at])
    await assert.rejects(keep(), /the disk is broken/)
    assert.deepEqual(readdirSync(path.dirname(copy)), [])
    t.mock.restoreAll()
  }
})

/** Resolves when nothing lies in the folders. */
async function emptied(...folders: string[]): Promise<void> {
  while (folders.some((folder) => readdirSync(folder).length > 0))
    await new Promise((resolve) => setTimeout(resolve, 5))
}

test('a disk that hangs at any step: the answer at the limit, and nothing is left once it goes on', async (t) => {
  for (const at of [0, 1, 2, 3, 4]) {
    const { base } = directory(t)
    const { copy, keep } = kept(base)
    const handle = await open(base)
    const handles = Object.getPrototypeOf(handle) as FileHandle
    await handle.close()
    const signal = new Cancellation()
    let goOn: () => void = () => undefined
    let steps = 0
    t.mock.method(handles, 'sync', async () => {
      if (steps++ !== at) return
      setImmediate(() => signal.abort(new Error('too late')))
      await new Promise<void>((resolve) => (goOn = resolve))
    })
    await assert.rejects(keep(undefined, signal), /too late/)
    assert.notDeepEqual(readdirSync(path.dirname(copy)), [])
    goOn()
    await emptied(path.dirname(copy))
    if (at < 2) assert.equal(steps, at + 1, 'no further file is written')
    t.mock.restoreAll()
  }
})

test('a plugin that answers after the limit: nothing is left of its copy', { timeout: 10_000 }, async (t) => {
  const { base } = directory(t)
  const { copy, keep, plugin, transaction } = kept(base)
  const signal = new Cancellation()
  const store = plugin.quarantine.bind(plugin)
  let answer: () => void = () => undefined
  plugin.quarantine = (next) => {
    answer = () => store(next)
    signal.abort(new Error('too late'))
  }
  await assert.rejects(keep(undefined, signal), /too late/)
  answer()
  assert.equal(transaction.notes.quarantined, copy)
  await emptied(path.dirname(copy), path.join(base, 'tmp'))
  await assert.rejects(keep(undefined, signal), /too late/)
})

test('a copy that is cut off: no copy, and nothing is left', async (t) => {
  const { base } = directory(t)
  const { copy, keep } = kept(base, () => writeFileSync(copy, 'Subject: one\n'))
  await assert.rejects(keep(), /has 13 bytes instead of 19$/)
  assert.deepEqual(readdirSync(path.dirname(copy)), [])
})

test('a plugin that says nothing of its copy, and calls back twice: nothing is left of that', async (t) => {
  const { base } = directory(t)
  const { copy, keep, plugin, connection, transaction } = kept(base)
  plugin.quarantine = (next) => {
    writeFileSync(copy, 'Subject: one\n')
    linkSync(copy, path.join(base, 'tmp', transaction.uuid))
    next()
    setImmediate(next)
  }
  connection.notes.quarantine_action = ['DENY']
  await assert.rejects(keep(), /stored no copy/)
  assert.deepEqual(readdirSync(path.dirname(copy)), [])
  assert.deepEqual(readdirSync(path.join(base, 'tmp')), [])
  assert.deepEqual(connection.notes, { quarantine_action: ['DENY'] }, 'the next message has its notes')
})

test('the plugin is told our folder and no other action, whatever other plugins have noted', async (t) => {
  const { base } = directory(t)
  const { copy, keep, plugin, connection, transaction } = kept(base)
  const seen: unknown[] = []
  const quarantine = plugin.quarantine.bind(plugin)
  plugin.quarantine = (next) => {
    const { quarantine_action: action, quarantined } = transaction.notes
    seen.push(transaction.notes.quarantine, action, quarantined, { ...connection.notes })
    quarantine(next)
  }
  Object.assign(transaction.notes, {
    quarantine: 'spam',
    quarantine_action: 'DENY',
    quarantined: '/tmp/other',
  })
  Object.assign(connection.notes, { quarantine: 'mine', other: 1 })
  assert.equal(await keep(), copy)
  assert.deepEqual(seen, ['infected', undefined, undefined, { other: 1 }])
  assert.deepEqual(connection.notes, { quarantine: 'mine', other: 1 })
})

test('what is there already under that name: no copy, and it stays', async (t) => {
  for (const below of ['tmp', path.join('infected', today())]) {
    const { base } = directory(t)
    const { keep, transaction } = kept(base)
    const other = path.join(base, below, transaction.uuid)
    mkdirSync(path.dirname(other), { recursive: true })
    writeFileSync(other, 'precious')
    await assert.rejects(keep(), /already exists$/)
    assert.equal(readFileSync(other, 'utf8'), 'precious')
  }
})

test('without the plugin, or without the client: no copy', async (t) => {
  const { base } = directory(t)
  const { keep, connection, transaction, copy } = kept(base)
  await assert.rejects(
    keepCopy(undefined, { connection, transaction, folder: 'infected', record: {} }, new Cancellation()),
    /not listed/,
  )
  connection.transaction = null
  await assert.rejects(keep(), /the client disconnected/)
  assert.ok(!existsSync(copy))
})

test("a site's own plugin keeps its copies where it likes: the record lies beside", async (t) => {
  const temporary = new TemporaryDirectory('quarantine')
  t.after(() => temporary.remove())
  const elsewhere = path.join(temporary.path, 'elsewhere')
  mkdirSync(elsewhere)
  for (const base of [undefined, path.join(temporary.path, 'base')]) {
    const { plugin, connection, transaction } = kept(path.join(temporary.path, 'base'))
    const copy = path.join(elsewhere, transaction.uuid)
    const own = {
      ...(base === undefined ? {} : { get_base_dir: () => base }),
      quarantine(next: () => void) {
        writeFileSync(copy, 'Subject: one\n\nbody\n')
        transaction.notes.quarantined = copy
        next()
      },
    }
    const keep = (record: object) =>
      keepCopy(own, { connection, transaction, folder: 'infected', record }, new Cancellation())
    assert.equal(await keep({ one: 1 }), copy)
    assert.deepEqual(readdirSync(elsewhere).sort(), [transaction.uuid, `${transaction.uuid}.json`])
    await assert.rejects(keep({ bytes: 1n }), TypeError)
    assert.deepEqual(readdirSync(elsewhere), [])
    assert.ok(!existsSync(path.join(plugin.get_base_dir(), transaction.uuid)))
  }
})
