// A site whose files this user may not read says nothing about Haraka.
import assert from 'node:assert/strict'
import { chmodSync, mkdirSync, writeFileSync } from 'node:fs'
import path from 'node:path'
import { test } from 'node:test'
import { openSite } from '../../../lib/cli/site'
import { UserError } from '../../../lib/cli/user-error'
import { TemporaryDirectory } from '../../support/process'

/** Another user than root, which may read everything. */
function asNobody<T>(act: () => T): T {
  if (process.geteuid?.() !== 0) return act()
  process.seteuid?.(65534)
  try {
    return act()
  } finally {
    process.seteuid?.(0)
  }
}

test('a file of config/ that this user may not read is the mistake of the user', (t) => {
  const place = new TemporaryDirectory('site')
  t.after(() => place.remove())
  const config = path.join(place.path, 'config')
  mkdirSync(config)
  for (const folder of [place.path, config]) chmodSync(folder, 0o755)
  writeFileSync(path.join(config, 'plugins'), 'clamav-stream\n')
  assert.equal(asNobody(() => openSite(place.path)).configDirectory, config)
  for (const name of ['clamav-stream.ini', 'clamav-stream.signatures', 'plugins']) {
    const file = path.join(config, name)
    writeFileSync(file, '')
    chmodSync(file, 0)
    assert.throws(
      () => asNobody(() => openSite(place.path)),
      new UserError(`${file} cannot be read: run it as Haraka's user`),
    )
    chmodSync(file, 0o644)
  }
})
