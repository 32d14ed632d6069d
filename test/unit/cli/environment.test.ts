// What `check` says of a site's other plugins, from their source.
import assert from 'node:assert/strict'
import { mkdirSync, writeFileSync } from 'node:fs'
import path from 'node:path'
import { test } from 'node:test'
import { checkOtherPlugins } from '../../../lib/cli/check/environment'
import type { Site } from '../../../lib/cli/site'
import { TemporaryDirectory } from '../../support/process'

const reader = 'exports.hook_data_post = (next, { transaction }) => transaction.message_stream.pipe(sink)'

test('plugins above ours that read the message are named: one may keep it open', (t) => {
  const directory = new TemporaryDirectory('site')
  t.after(() => directory.remove())
  mkdirSync(path.join(directory.path, 'plugins'))
  const sources = { early: reader, other: 'exports.hook_rcpt = (next) => next()', late: reader }
  for (const [name, source] of Object.entries(sources))
    writeFileSync(path.join(directory.path, 'plugins', `${name}.js`), source)
  const site = {
    directory: directory.path,
    harakaPackage: null,
    plugins: ['early', 'other', 'clamav-stream', 'late'],
  } as unknown as Site
  const notes = checkOtherPlugins(site).filter(({ about }) => about === 'data_post')
  assert.deepEqual(
    notes.map(({ level, text }) => [level, text]),
    [
      [
        'note',
        'before clamav-stream the message is read by early: mail that one of them keeps open is deferred',
      ],
    ],
  )
})
