// What a newcomer runs first: `npm start` shows both answers.
import assert from 'node:assert/strict'
import path from 'node:path'
import { test } from 'node:test'
import { clamdOrSkip, freePort } from '../support/clamd/clamd'
import { run } from '../support/process'
import { bounded } from './messages'

test('npm start --once: the clean message is accepted, the test file is rejected', bounded, async (t) => {
  if (!clamdOrSkip(t)) return
  const script = path.join(__dirname, '..', '..', 'scripts', 'start.mjs')
  const ran = await run(process.execPath, [script, '--once', '--port', String(await freePort())])
  assert.equal(ran.code, 0, ran.output)
  assert.match(ran.output, /X-MessageIsInfected: false[^]*550 5\.7\.1 Message is infected with Eicar/)
})
