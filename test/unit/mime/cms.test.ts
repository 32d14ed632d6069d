// S/MIME whose lengths are said in more bytes than they need, as OpenSSL reads them.
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { Budget, defaultLimits } from '../../../lib/mime/budget'
import { cmsContent, cmsKind } from '../../../lib/mime/containers/cms'

/** @param lengthBytes bytes in which the length is said; null: in one */
function element(tag: number, content: Buffer, lengthBytes: number | null): Buffer {
  if (lengthBytes === null) return Buffer.concat([Buffer.from([tag, content.length]), content])
  const length = Buffer.alloc(lengthBytes)
  length.writeUInt32BE(content.length, lengthBytes - 4)
  return Buffer.concat([Buffer.from([tag, 0x80 + lengthBytes]), length, content])
}

function signed(lengthBytes: number | null): Buffer {
  const wrap = (tag: number, ...content: Buffer[]) => element(tag, Buffer.concat(content), lengthBytes)
  const id = (hex: string) => wrap(0x06, Buffer.from(hex, 'hex'))
  const content = wrap(0x30, id('2a864886f70d010701'), wrap(0xa0, wrap(0x04, Buffer.from('content'))))
  const data = wrap(0x30, Buffer.from('020101', 'hex'), wrap(0x31), content, wrap(0x31))
  return wrap(0x30, id('2a864886f70d010702'), wrap(0xa0, data))
}

async function read(message: Buffer): Promise<string | null> {
  const budget = new Budget(defaultLimits, new AbortController().signal)
  return (await cmsContent(message, budget))?.toString() ?? null
}

for (const lengthBytes of [null, 4, 5, 7, 8, 60, 126]) {
  test(`lengths in ${lengthBytes ?? 'one'} bytes`, async () => {
    assert.equal(cmsKind(signed(lengthBytes)), 'signed')
    assert.equal(await read(signed(lengthBytes)), 'content')
  })
}

test('a length of more than a file has, or in a reserved number of bytes, makes no sense', async () => {
  const [outer, inner] = [signed(8), signed(126)]
  outer[3] = 1
  inner[1] = 0xff
  assert.equal(await read(outer), null)
  assert.equal(await read(inner), null)
})
