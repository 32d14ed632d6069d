// The thread of the library for archives: a process that waits for nothing else waits for it, and ends when it is done.
import assert from 'node:assert/strict'
import path from 'node:path'
import { test } from 'node:test'
import { archiveOf } from '../../support/made-archives'
import { run } from '../../support/process'

const script = `
  const { library } = require(process.argv[1])
  const archive = new Uint8Array(Buffer.from(process.argv[2], 'base64'))
  const request = { archive, maxEntries: 10, keep: 'files', maxBytes: 1000 }
  library.open(request, 60000, new AbortController().signal, () => undefined).then(({ names }) => console.log(names.join()))
`

test('an archive is opened by a process that waits for nothing else', async () => {
  const library = path.join(__dirname, '../../../lib/attachments/archives/library.ts')
  const given = [library, archiveOf('gz with a name').toString('base64')]
  const { output, code } = await run(process.execPath, ['--import', 'tsx', '-e', script, ...given])
  assert.deepEqual([code, output.trim()], [0, 'evil.exe'])
})
