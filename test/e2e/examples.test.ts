// What lies in examples/, as an administrator would use it: the files of the site with nothing changed but names and ports, the
// rule compiled against the packed package, both in a real Haraka.
import assert from 'node:assert/strict'
import { cpSync, mkdirSync, readdirSync, readFileSync, symlinkSync } from 'node:fs'
import path from 'node:path'
import { test } from 'node:test'
import { addressText } from '../../lib/clamd/address'
import { findClamd, startClamd } from '../support/clamd/clamd'
import { startFakeClamd } from '../support/clamd/fake-clamd'
import { startHaraka } from '../support/haraka/haraka'
import { installHaraka, repository } from '../support/haraka/haraka-install'
import { acceptRcpt } from '../support/haraka/haraka-plugins'
import { run, TemporaryDirectory } from '../support/process'
import * as mails from '../support/smtp/mails'
import { startSink } from '../support/smtp/sink'
import { sendMessage } from '../support/smtp/smtp'
import { messagePlugins, messageSources, ourHeaders, post } from './messages'

const examples = path.join(repository, 'examples')

/** The files of an example's config, with some lines changed. */
function configOf(example: string, changes: Record<string, [line: string, instead: string][]>) {
  const folder = path.join(examples, example, 'config')
  const files = readdirSync(folder).map((name) => {
    let text = readFileSync(path.join(folder, name), 'utf8')
    for (const [line, instead] of changes[name] ?? []) {
      assert.ok(`\n${text}`.includes(`\n${line}\n`), `${name} has "${line}"`)
      text = `\n${text}`.replaceAll(`\n${line}\n`, () => `\n${instead}\n`).slice(1)
    }
    return [name, text] as const
  })
  return Object.fromEntries(files)
}

const skip = findClamd() || process.env.CI ? false : 'clamd is not installed'
test('examples/james is a site that does what the pipeline of ClamAVScan does', { skip }, async (t) => {
  const clamd = await startClamd()
  const sink = await startSink()
  const kept = new TemporaryDirectory('quarantine')
  const files = configOf('james', {
    'clamav-stream.ini': [
      ['host=clamd.example.com', `host=${clamd.host}`],
      ['port=3310', `port=${clamd.port}`],
    ],
    'quarantine.ini': [['quarantine_path=/var/mail/quarantine', `quarantine_path=${kept.path}`]],
    'smtp_forward.ini': [
      ['host=localhost', 'host=127.0.0.1'],
      ['port=2555', `port=${sink.port}`],
    ],
    'auth_flat_file.ini': [['; jane@example.com=her password', 'jane@example.com=secret']],
    // No look-ups of names on the network, and reports go where everything goes.
    plugins: [['auth/flat_file', 'name_client\nnext_hop\nauth/flat_file']],
  })
  const haraka = await startHaraka({
    files,
    sources: { name_client: acceptRcpt.replace(/.*register_hook\('rcpt'.*/, '') },
    nextHop: sink.port,
  })
  t.after(async () => {
    await haraka.stop()
    await sink.stop()
    await clamd.stop()
    kept.remove()
  })
  const copies = () =>
    readdirSync(kept.path, { recursive: true }).filter((name) => String(name).endsWith('.json'))
  const from = 'jane@example.com'
  const auth = { user: from, password: 'secret' }
  const send = async (data: Buffer, options: object = {}) => {
    const { code, text } = await sendMessage(haraka.port, { from: 'x@example.org', data, ...options })
    return `${code} ${text}`
  }

  await t.test('clean: on its way, with the header', async () => {
    assert.match(await send(mails.clean()), /^250 /)
    const arrived = (await sink.waitFor(1)).at(-1)
    assert.deepEqual(ourHeaders(arrived?.data), ['X-MessageIsInfected: false'])
  })
  await t.test('for a stranger elsewhere: not taken at all', async () => {
    assert.match(await send(mails.clean(), { to: 'somebody@example.net' }), /^5/)
  })
  await t.test('infected: kept, and goes no further', async () => {
    assert.match(await send(mails.eicarAttachment()), /^250 /)
    assert.equal(copies().length, 1)
    assert.equal(sink.messages.length, 1)
  })
  await t.test('infected, from one of us: kept, and the sender gets the notice', async () => {
    assert.match(await send(mails.eicarAttachment(), { from, auth }), /^250 /)
    assert.equal(copies().length, 2)
    const report = (await sink.waitFor(2)).at(-1)
    assert.deepEqual([report?.from, report?.to], ['', [from]])
    assert.match(report?.data.toString() ?? '', /^From: bounce-admin@xxx\.com\r$/m)
  })
  await t.test('a denied attachment: refused, and nothing kept', async () => {
    const setup = mails.withAttachments({ name: 'setup.exe', content: 'MZ' })
    assert.match(await send(setup, { from, auth }), /^550 5\.7\.1 .*\*\.exe/)
    assert.equal(copies().length, 2)
  })
})

test('docs/guide/james.md shows the settings of examples/james', () => {
  const settings = (text: string) => text.split('\n').filter((line) => line !== '' && !line.startsWith(';'))
  const manual = readFileSync(path.join(repository, 'docs', 'guide', 'james.md'), 'utf8')
  const shown = /Its settings, in\n`config\/clamav-stream\.ini`:\n\n```ini\n(.*?)```/s.exec(manual)?.[1] ?? ''
  const ini = readFileSync(path.join(examples, 'james', 'config', 'clamav-stream.ini'), 'utf8')
  assert.deepEqual(settings(shown), settings(ini))
})

test('examples/rule compiles against the package and overrules the action', async (t) => {
  const { haraka: installed } = await installHaraka()
  const site = new TemporaryDirectory('rule')
  const clamd = await startFakeClamd()
  t.after(async () => {
    await clamd.stop()
    site.remove()
  })
  cpSync(path.join(examples, 'rule'), site.path, { recursive: true })
  const modules = path.join(site.path, 'node_modules')
  mkdirSync(modules)
  const name = 'haraka-plugin-clamav-stream'
  symlinkSync(path.join(path.dirname(installed), name), path.join(modules, name))
  const tsc = path.join(repository, 'node_modules', 'typescript', 'bin', 'tsc')
  const { code, output } = await run(process.execPath, [tsc], { cwd: site.path })
  assert.equal(code, 0, output)

  const haraka = await startHaraka({
    ini: `host=${addressText(clamd.address)}\nmax_pings=0\n`,
    plugins: [...messagePlugins, 'clamav-stream', 'deliver_samples', 'queue/quarantine'],
    sources: {
      ...messageSources,
      deliver_samples: readFileSync(path.join(site.path, 'plugins', 'deliver_samples.js'), 'utf8'),
    },
    files: { 'quarantine.ini': `quarantine_path=${path.join(site.path, 'kept')}\n` },
  })
  t.after(() => haraka.stop())

  const to = ['virus-lab@example.com', 'Abuse@Example.com']
  const sample = await post(haraka, mails.eicarBody(), { to })
  assert.equal(sample.reply.code, 250, sample.reply.text)
  assert.deepEqual(
    sample.delivered.map(({ message }) => ourHeaders(message)),
    [['X-MessageIsInfected: true']],
  )
  const others = await post(haraka, mails.eicarBody(), { to: [...to, 'jane@example.com'] })
  assert.equal(others.reply.code, 550, others.reply.text)
  assert.deepEqual(others.delivered, [])

  await clamd.stop()
  const waiting = await post(haraka, mails.eicarBody(), { to })
  assert.equal(waiting.reply.code, 250, waiting.reply.text)
  assert.deepEqual(waiting.delivered, [])
  assert.equal(waiting.told.note?.action, 'quarantine')
  assert.equal((await post(haraka, mails.eicarBody())).reply.code, 451)
})
