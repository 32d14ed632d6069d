// What `npm start` says of itself, before it installs or starts anything.
import assert from 'node:assert/strict'
import path from 'node:path'
import { test } from 'node:test'
import { run } from '../../support/process'

const script = path.join(__dirname, '..', '..', '..', 'scripts', 'start.mjs')

for (const [title, args, code] of [
  ['--help', ['--help'], 0],
  ['a wrong option', ['--clam', '127.0.0.1:3310'], 2],
  ['a wrong value', ['--clamd', 'clamd.sock'], 2],
] as const) {
  test(`${title}: --clamd takes host:port and a socket's path`, async () => {
    const ran = await run(process.execPath, [script, ...args])
    assert.equal(ran.code, code, ran.output)
    const usage = ran.output.split('\n').find((line) => /^(Allowed:| +--clamd )/.test(line)) ?? ''
    assert.match(usage, /--clamd .*host:port or a socket's path/)
  })
}
