// AppleSingle, AppleDouble and MacBinary: the data fork, and what is none of them.
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { appleFiles } from '../../../lib/mime/containers/apple'
import { contentsOf } from '../../support/readings'
import { inspected, mixed } from '../../support/smtp/attachment-mails'

function appleFile(entries: readonly (readonly [id: number, content: string])[], magic = 0x00051600): Buffer {
  const head = Buffer.alloc(26 + 12 * entries.length)
  head.writeUInt32BE(magic, 0)
  head.writeUInt16BE(entries.length, 24)
  let at = head.length
  for (const [index, [id, content]] of entries.entries()) {
    for (const [field, value] of [id, at, content.length].entries())
      head.writeUInt32BE(value, 26 + 12 * index + 4 * field)
    at += content.length
  }
  return Buffer.concat([head, ...entries.map(([, content]) => Buffer.from(content, 'latin1'))])
}

function macBinary(content: string, name = 'evil.exe'): Buffer {
  const head = Buffer.alloc(128)
  head[1] = name.length
  head.write(name, 2, 'latin1')
  head.writeUInt32BE(content.length, 83)
  return Buffer.concat([head, Buffer.from(content), Buffer.alloc(128 - (content.length % 128))])
}

const forks = (content: Buffer) =>
  [...appleFiles(content)].map(({ bytes, name }) => `${name}: ${bytes.toString('latin1')}`)

test('the data fork, with its name wherever that stands', () => {
  const entries = [
    [1, 'the content'],
    [2, 'resources'],
    [3, 'evil.exe'],
  ] as const
  assert.deepEqual(forks(appleFile(entries)), ['evil.exe: the content'])
  assert.deepEqual(forks(appleFile(entries, 0x00051607)), ['evil.exe: the content'])
  assert.deepEqual(forks(appleFile([[2, 'resources']])), [])
  assert.deepEqual(forks(macBinary('the content')), ['evil.exe: the content'])
})

test('no bytes make it throw, and what lies outside is left out', () => {
  const files = [appleFile([[1, 'the content']]), macBinary('the content')]
  for (const file of files) for (let end = 0; end < file.length; end++) forks(file.subarray(0, end))
  const far = appleFile([[1, 'the content']])
  far.writeUInt32BE(0xffffffff, 30)
  assert.deepEqual(forks(far), [])
  far.writeUInt16BE(0xffff, 24)
  assert.deepEqual(forks(far), [])
})

test('other files that begin with NULs are no MacBinary', () => {
  const changes: readonly (readonly [at: number, byte: number])[] = [
    [0, 1],
    [1, 0],
    [1, 64],
    [3, 0],
    [4, 0x7f],
    [74, 1],
    [82, 1],
    [86, 0],
  ]
  for (const [at, byte] of changes) {
    const file = macBinary('the content')
    file[at] = byte
    assert.deepEqual(forks(file), [], `${byte} at ${at}`)
  }
  for (const head of ['00010000000f0080', '0000010001002020', '00000018667479706d703432', '000001ba44000400'])
    assert.deepEqual(forks(Buffer.concat([Buffer.from(head, 'hex'), Buffer.alloc(200, 1)])), [])
})

test('it is a content of its message, and its name counts', async () => {
  const mail = (type: string, content: Buffer) =>
    mixed([
      [`Content-Type: application/${type}`, 'Content-Transfer-Encoding: base64'],
      content.toString('base64'),
    ])
  const file = appleFile([
    [3, 'evil.exe'],
    [1, 'the content'],
  ])
  const { contents } = await contentsOf(mail('applefile', file))
  assert.ok(
    contents.some(({ name, bytes }) => name.endsWith('Apple file 1') && bytes.toString() === 'the content'),
  )
  assert.equal((await inspected(mail('applefile', file))).denied?.name, 'evil.exe')
})
