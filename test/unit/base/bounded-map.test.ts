import assert from 'node:assert/strict'
import { test } from 'node:test'
import { BoundedMap } from '../../../lib/base/bounded-map'

function mapOf(...keys: string[]): BoundedMap<number> {
  const map = new BoundedMap<number>(3)
  for (const [index, key] of keys.entries()) map.set(key, index)
  return map
}

test('a new entry makes the first one go, and no other', () => {
  assert.deepEqual(Object.fromEntries(mapOf('a', 'b', 'c')), { a: 0, b: 1, c: 2 })
  assert.deepEqual([...mapOf('a', 'b', 'c', 'd').keys()], ['b', 'c', 'd'])
  assert.deepEqual([...mapOf('a', 'b', 'c', 'd', 'e').values()], [2, 3, 4])
})

test('one that is set again has the new value, keeps its place, and makes none go', () => {
  const map = mapOf('a', 'b', 'c')
  map.set('a', 9)
  assert.deepEqual(Object.fromEntries(map), { a: 9, b: 1, c: 2 })
  map.set('d', 3)
  assert.deepEqual([...map.keys()], ['b', 'c', 'd'])
})

test('one that is deleted and set again comes last, and there is room', () => {
  const map = mapOf('a', 'b', 'c')
  map.delete('a')
  map.set('a', 9)
  map.set('d', 3)
  assert.deepEqual([...map.keys()], ['c', 'a', 'd'])
})

test('the empty text is a key like any other', () => {
  const map = mapOf('', 'b')
  map.set('c', 1)
  assert.deepEqual([...map.keys()], ['', 'b', 'c'])
  map.set('d', 1)
  assert.deepEqual([...map.keys()], ['b', 'c', 'd'])
})
