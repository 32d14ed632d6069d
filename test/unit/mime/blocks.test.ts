// Blocks of a message as it streams by.
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { Blocks } from '../../../lib/mime/blocks'

test('a block is handed over as soon as it has its bytes, and the rest at the end', async () => {
  const seen: (string | null)[] = []
  const blocks = new Blocks(4, (block) => {
    seen.push(block === null ? null : block.toString())
    return null
  })
  blocks.write(Buffer.from('ab'))
  assert.deepEqual(seen, [])
  blocks.write(Buffer.from('cd'))
  assert.deepEqual(seen, ['abcd'])
  blocks.write(Buffer.from('e'))
  blocks.end()
  await blocks.done
  assert.deepEqual(seen, ['abcd', 'e', null])
})
