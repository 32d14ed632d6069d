// The rescan of a copy in the quarantine, against a real clamd: one at a time, and the quarantine's own files only.
import assert from 'node:assert/strict'
import { mkdirSync, symlinkSync, writeFileSync } from 'node:fs'
import path from 'node:path'
import { test } from 'node:test'
import { Cancellation } from '../../lib/base/cancellation'
import { Rescan } from '../../lib/monitoring/dashboard/rescan'
import { clamdOrSkip, startClamd } from '../support/clamd/clamd'
import { Scanning } from '../support/clamd/scanning'
import { eicarName } from '../support/eicar'
import { clean } from '../support/monitoring-site'
import { TemporaryDirectory } from '../support/process'
import * as mails from '../support/smtp/mails'

const day = '20260115'
const uuid = (at: number) => `2F1C6A44-9E0B-4D55-8A7C-0D7E4C1B9A55.${at}`
const withLf = (mail: Buffer) => Buffer.from(mail.toString('latin1').replaceAll('\r\n', '\n'), 'latin1')

function folderOf(files: Record<string, Buffer>): { directory: TemporaryDirectory; folder: string } {
  const directory = new TemporaryDirectory('rescan')
  const folder = path.join(directory.path, 'infected')
  mkdirSync(path.join(folder, day), { recursive: true })
  for (const [name, content] of Object.entries(files)) writeFileSync(path.join(folder, day, name), content)
  return { directory, folder }
}

test('today finds what it finds, with the scanner of mail', async (t) => {
  if (!clamdOrSkip(t)) return
  const clamd = await startClamd()
  t.after(() => clamd.stop())
  const { directory, folder } = folderOf({
    [uuid(1)]: withLf(mails.eicarAttachment()),
    [uuid(2)]: withLf(mails.clean()),
  })
  t.after(() => directory.remove())
  const scanning = new Scanning([{ host: '127.0.0.1', port: clamd.port }])
  t.after(() => scanning.destroy())
  const rescan = new Rescan(
    () => folder,
    () => scanning.scanner,
  )
  const outcomes = []
  for (const at of [1, 2]) {
    const result = await rescan.scan(day, uuid(at), new Cancellation())
    assert.ok(typeof result === 'object')
    outcomes.push([result.outcome, result.what])
  }
  assert.deepEqual(outcomes, [
    ['infected', eicarName],
    ['clean', ''],
  ])
  assert.deepEqual(scanning.leftovers(), [])
})

test('one at a time; another while it runs is busy', async (t) => {
  const { directory, folder } = folderOf({ [uuid(1)]: Buffer.from('x') })
  t.after(() => directory.remove())
  let finish: () => void = () => undefined
  let begin: () => void = () => undefined
  const begun = new Promise<void>((resolve) => (begin = resolve))
  const scan = () => {
    begin()
    return new Promise<typeof clean>((resolve) => (finish = () => resolve(clean)))
  }
  const rescan = new Rescan(
    () => folder,
    () => ({ scan }),
  )
  const first = rescan.scan(day, uuid(1), new Cancellation())
  await begun
  assert.equal(await rescan.scan(day, uuid(1), new Cancellation()), 'busy')
  finish()
  assert.equal(typeof (await first), 'object')
})

test('nothing but copies is read, whatever is asked for', async (t) => {
  const { directory, folder } = folderOf({ [uuid(1)]: Buffer.from('x'), 'releases.log': Buffer.from('x') })
  t.after(() => directory.remove())
  symlinkSync('/etc/passwd', path.join(folder, day, uuid(2)))
  const rescan = new Rescan(
    () => folder,
    () => ({ scan: () => assert.fail('scanned') }),
  )
  const asked = [
    [day, uuid(2)],
    [day, uuid(3)],
    [day, 'releases.log'],
    [day, `../${day}/${uuid(1)}`],
    ['..', uuid(1)],
    ['', uuid(1)],
    [`${day}/..`, uuid(1)],
    [day, ''],
    ['undefined', 'undefined'],
  ] as const
  for (const [on, name] of asked)
    assert.equal(await rescan.scan(on, name, new Cancellation()), 'missing', `${on} ${name}`)
  const without = new Rescan(
    () => null,
    () => assert.fail('scanned'),
  )
  assert.equal(await without.scan(day, uuid(1), new Cancellation()), 'missing')
})
