// Which file is read: the site's, otherwise the package's; a file that is not UTF-8 is refused.
import assert from 'node:assert/strict'
import { mkdirSync, writeFileSync } from 'node:fs'
import path from 'node:path'
import { test, type TestContext } from 'node:test'
import { ConfigError } from '../../../lib/base/config-error'
import { readSettingsFiles, refuseOverrides } from '../../../lib/config/files'
import { TemporaryDirectory } from '../../support/process'

const ini = 'clamav-stream.ini'
const signatures = 'clamav-stream.signatures'

function places(t: TestContext, site: Record<string, string | Buffer>, shipped: Record<string, string> = {}) {
  const directory = new TemporaryDirectory('settings-files')
  t.after(() => directory.remove())
  const [overrides, root] = [path.join(directory.path, 'site'), path.join(directory.path, 'package')]
  for (const [place, files] of [
    [overrides, site],
    [root, shipped],
  ] as const) {
    mkdirSync(place)
    for (const [name, text] of Object.entries(files)) writeFileSync(path.join(place, name), text)
  }
  return { overrides_path: overrides, root_path: root }
}

test("the site's file is read, with any line ends and byte order mark, otherwise the package's", (t) => {
  const given = places(t, { [ini]: '\ufeff[main]\r\nhost=a\r' }, { [ini]: 'port=1', [signatures]: 'X tag\n' })
  const files = readSettingsFiles(given)
  const lines = ['[main]', 'host=a', '']
  assert.deepEqual(files.ini, { path: path.join(given.overrides_path, ini), lines, empty: [] })
  assert.deepEqual(files.signatures.lines, ['X tag', ''])
  assert.deepEqual(files.exempt, { path: null, lines: [], empty: [] })
})

test("a list with comments only leaves the package's in force, an ini does not", (t) => {
  const comments = '# nothing\n; here\n\n'
  const shipped = { [ini]: 'port=1\n', [signatures]: 'X tag\n' }
  const files = readSettingsFiles(places(t, { [ini]: comments, [signatures]: comments }, shipped))
  assert.deepEqual(files.signatures.lines, ['X tag', ''])
  assert.deepEqual(files.ini.lines, comments.split('\n'))
  assert.deepEqual(files.signatures.empty, [])
  const given = places(t, { [signatures]: ' \n' }, shipped)
  assert.deepEqual(readSettingsFiles(given).signatures.empty, [path.join(given.overrides_path, signatures)])
})

test('every unreadable file is named', (t) => {
  const given = places(t, { [ini]: Buffer.from('[main]\n', 'utf16le'), [signatures]: Buffer.from([0xe4]) })
  mkdirSync(path.join(given.overrides_path, 'clamav-stream.exempt'))
  assert.throws(
    () => readSettingsFiles(given),
    (error) =>
      error instanceof ConfigError &&
      /ini: \S+ cannot be read: it is not UTF-8\n.*signatures: .* it is not UTF-8\n.*exempt: .*EISDIR/.test(
        error.message,
      ),
  )
})

test('a setting from elsewhere is refused, one from the file is not', () => {
  const lines = ['host=a', '[infected]', 'action = tag', 'x[] = 1']
  refuseOverrides({ main: { host: 'a' }, infected: { action: 'tag', x: ['1'] }, check: {} }, {}, lines)
  assert.throws(
    () => refuseOverrides({ main: { host: 'a' }, check: { relay: 'no' } }, {}, lines),
    /^ConfigError: clamav-stream\.ini: \[check\] relay is set elsewhere; it is read from the file alone$/,
  )
  const smtpJson = {
    '!clamav-stream.ini': { main: { host: 'b' } },
    '!clamav-stream.exempt': [],
    '!log.ini': {},
  }
  assert.throws(
    () => refuseOverrides({ main: { host: 'b' } }, smtpJson, lines),
    /ini: smtp\.json has !clamav-stream\.ini; .*\n.*exempt: smtp\.json has !clamav-stream\.exempt; it is read from the file alone$/,
  )
})
