// The token in a file of its own, and who else may read it; what keeps metrics and page from being served.
import assert from 'node:assert/strict'
import { chmodSync, writeFileSync } from 'node:fs'
import path from 'node:path'
import { test, type TestContext } from 'node:test'
import { ConfigError } from '../../../lib/base/config-error'
import { httpProblems } from '../../../lib/config/http-problems'
import { withSecrets } from '../../../lib/config/secrets'
import { parseSettings } from '../../../lib/config/settings'
import { TemporaryDirectory } from '../../support/process'

const secret = 'correct-horse-battery'
const none = { lines: [] }
const settingsOf = (...http: string[]) =>
  parseSettings({ ini: { lines: ['[http]', ...http] }, signatures: none, exempt: none }, false)

function fileWith(t: TestContext, text: string, mode = 0o600): string {
  const directory = new TemporaryDirectory('secrets')
  t.after(() => directory.remove())
  const file = path.join(directory.path, 'token')
  writeFileSync(file, text)
  chmodSync(file, mode)
  return file
}

test('the token is that of the file, and is read again each time', (t) => {
  const file = fileWith(t, `${secret}\n`)
  const settings = settingsOf(`token_file=${file}`)
  assert.equal(settings.http.token, '')
  assert.equal(withSecrets(settings).http.token, secret)
  writeFileSync(file, `${secret}-2`)
  assert.equal(withSecrets(settings).http.token, `${secret}-2`)
  assert.equal(withSecrets(settingsOf(`token=${secret}`)).http.token, secret)
})

test('a systemd credential is found by its name', (t) => {
  const file = fileWith(t, secret)
  const before = process.env.CREDENTIALS_DIRECTORY
  t.after(() => {
    if (before === undefined) delete process.env.CREDENTIALS_DIRECTORY
    else process.env.CREDENTIALS_DIRECTORY = before
  })
  delete process.env.CREDENTIALS_DIRECTORY
  assert.throws(
    () => withSecrets(settingsOf('token_file=token')),
    /no CREDENTIALS_DIRECTORY.*LoadCredential=/,
  )
  process.env.CREDENTIALS_DIRECTORY = path.dirname(file)
  assert.equal(withSecrets(settingsOf('token_file=token')).http.token, secret)
})

test('a file that is missing, empty or no token is a mistake, and its content is never told', (t) => {
  for (const text of ['', '\n', 'short', `${secret}\n${secret}\n`, `${secret} x`]) {
    const file = fileWith(t, text)
    assert.throws(
      () => withSecrets(settingsOf(`token_file=${file}`)),
      (error) =>
        error instanceof ConfigError &&
        error.message.includes(`[http] token_file = ${file}: its content (not shown)`) &&
        (text.trim() === '' || !error.message.includes(text.trim())),
      text,
    )
  }
  assert.throws(() => withSecrets(settingsOf('token_file=/nowhere/token')), /cannot be read: ENOENT/)
  assert.throws(
    () => settingsOf('token_file=../token'),
    /\[http\] token_file = \.\.\/token: allowed is the absolute/,
  )
  assert.throws(() => settingsOf(`token=${secret}`, 'token_file=/x'), /token and token_file are both set/)
})

test('what keeps metrics and page from being served, and who else may look', (t) => {
  const server = { listens: true, hasExpress: true }
  const problems = (http: string[], its = server, ini: string | null = null) =>
    httpProblems(settingsOf(...http), its, ini).map(({ text }) => text)
  const page = ['page=true', `token=${secret}`]
  assert.deepEqual(problems([]), [])
  assert.deepEqual(problems(page), [])
  assert.deepEqual(problems([], { listens: false, hasExpress: false }), [], 'nobody has asked for it')
  assert.match(problems(page, { ...server, listens: false }).join(), /HTTP server is off: there is no page/)
  assert.match(problems(page, { ...server, hasExpress: false }).join(), /express is not installed/)
  assert.match(problems([], { ...server, hasExpress: false }).join(), /express is not installed/)
  assert.match(problems(['page=true']).join(), /without a token: everybody/)
  const [isOpen] = httpProblems(settingsOf('page=true'), server, null)
  assert.equal(isOpen?.remedy, '[http] token=, or token_file=')
  const [open, closed] = [fileWith(t, secret, 0o644), fileWith(t, secret, 0o640)]
  assert.deepEqual(problems(page, server, closed), [])
  assert.match(problems(page, server, open).join(), /may read the token in .* \(mode 644\)/)
  assert.deepEqual(problems([`token_file=${closed}`], server, open), [])
  assert.match(problems([`token_file=${open}`], server, closed).join(), /mode 644/)
})
