// `clamav-stream scan` against a real clamd: what is found in messages, Maildirs, mboxes and other files, and how it
// is told to people and to programs.
import assert from 'node:assert/strict'
import { execFileSync } from 'node:child_process'
import { chmodSync, mkdirSync, mkdtempSync, readdirSync, symlinkSync, writeFileSync } from 'node:fs'
import path from 'node:path'
import { after, before, test } from 'node:test'
import { addressText } from '../../lib/clamd/address'
import {
  clamdOrSkip,
  findClamd,
  freePort,
  hasStream,
  type RealClamd,
  startClamd,
} from '../support/clamd/clamd'
import { startFakeClamd } from '../support/clamd/fake-clamd'
import { clamavStream, jsonLines, unprivileged } from '../support/command'
import { eicar, eicarName } from '../support/eicar'
import { TemporaryDirectory } from '../support/process'
import * as mails from '../support/smtp/mails'
import { zip } from '../support/zip-builder'

let clamd: RealClamd | undefined
let host: string

before(async () => {
  if (!findClamd()) return
  clamd = await startClamd()
  host = `127.0.0.1:${clamd.port}`
})
after(() => clamd?.stop())

const directory = new TemporaryDirectory('scan-command')
after(() => directory.remove())

function folder(files: Record<string, Buffer | string>): string {
  const made = mkdtempSync(path.join(directory.path, 'files-'))
  for (const [name, content] of Object.entries(files)) {
    mkdirSync(path.dirname(path.join(made, name)), { recursive: true })
    writeFileSync(path.join(made, name), content)
  }
  return made
}

const withLf = (mail: Buffer) => Buffer.from(mail.toString('latin1').replaceAll('\r\n', '\n'), 'latin1')
const fromLine = 'From ann@example.com Mon Jan  2 10:00:00 2023\n'
const mbox = (...all: Buffer[]) =>
  Buffer.concat(all.flatMap((mail) => [Buffer.from(fromLine), withLf(mail), Buffer.from('\n')]))
const sorted = (text: string) => text.trimEnd().split('\n').sort()

test('what is found, in words of clamdscan', async (t) => {
  if (!clamdOrSkip(t)) return
  const site = folder({
    'clean.eml': mails.clean(),
    'virus.eml': mails.eicarAttachment(),
    'unix.eml': withLf(mails.eicarAttachment()),
    'Maildir/cur/1:2,S': withLf(mails.eicarAttachment()),
    'Maildir/new/2': withLf(mails.clean()),
    mbox: mbox(mails.clean(), mails.eicarAttachment(), mails.clean()),
    'plain.com': eicar(),
    'zeros.bin': Buffer.alloc(5000),
    empty: '',
  })
  symlinkSync('/etc/passwd', path.join(site, 'link'))
  const ran = await clamavStream(['scan', '--host', host, '--no-summary', site])
  assert.equal(ran.error, '')
  assert.deepEqual(sorted(ran.text.replaceAll(`${site}/`, '')), [
    `Maildir/cur/1:2,S: ${eicarName} FOUND`,
    'Maildir/new/2: OK',
    'clean.eml: OK',
    'empty: Empty file',
    'link: Symbolic link',
    'mbox#1: OK',
    `mbox#2: ${eicarName} FOUND`,
    'mbox#3: OK',
    `plain.com: ${eicarName} FOUND`,
    `unix.eml: ${eicarName} FOUND`,
    `virus.eml: ${eicarName} FOUND`,
    'zeros.bin: OK',
  ])
  assert.equal(ran.code, 1)

  const short = await clamavStream(['scan', '--host', host, '-i', '-j', '1', site])
  assert.equal(short.code, 1)
  assert.equal(short.text.match(/FOUND$/gm)?.length, 5)
  assert.doesNotMatch(short.text, /OK$|Empty|link/m)
  assert.match(
    short.text,
    /\n\n-{11} SCAN SUMMARY -{11}\nScanned files: 10\nInfected files: 5\nSkipped: 2\nTime: \d+\.\d{3} sec \(0 m \d s\)\n$/,
  )
})

test('exit codes: clean, virus, error, and a virus beats an error', async (t) => {
  if (!clamdOrSkip(t)) return
  const site = folder({ 'a.eml': mails.clean(), 'b.eml': mails.eicarBody() })
  const code = async (...paths: string[]) => (await clamavStream(['scan', '--host', host, ...paths])).code
  assert.equal(await code(`${site}/a.eml`), 0)
  assert.equal(await code(`${site}/b.eml`), 1)
  assert.equal(await code(`${site}/none`, `${site}/a.eml`), 2)
  assert.equal(await code(`${site}/none`, site), 1)
  assert.equal((await clamavStream(['scan', '--host', `127.0.0.1:${await freePort()}`, site])).code, 2)
  assert.equal((await clamavStream(['scan', '--host', host])).code, 2)
  assert.equal((await clamavStream(['scan', '--host', '::1:3310', site])).code, 2)
})

test('output that cannot be written is an error, and no virus', async (t) => {
  if (!clamdOrSkip(t)) return
  const site = folder({ 'a.eml': mails.clean(), 'b.eml': mails.eicarBody() })
  const ran = await clamavStream(['scan', '--host', host, `${site}/a.eml`], { outputs: ['/dev/full'] })
  assert.equal(
    ran.error,
    'clamav-stream: cannot write to standard output: ENOSPC: no space left on device, write\n',
  )
  assert.equal(ran.code, 2)
  const both = await clamavStream(['scan', '--host', host, '-v', `${site}/a.eml`], {
    outputs: ['/dev/full', '/dev/full'],
  })
  assert.equal(both.code, 2)
  const found = await clamavStream(['scan', '--host', host, '-v', `${site}/b.eml`], {
    outputs: ['/dev/null', '/dev/full'],
  })
  assert.equal(found.code, 1, 'the log that nobody can read changes no result')
})

test('a closed pipe ends it quietly, with what was known', async () => {
  const fake = await startFakeClamd()
  const files = (count: number) =>
    folder(Object.fromEntries(Array.from({ length: count }, (_, n) => [`${n}.eml`, mails.clean()])))
  const ini = `host=${addressText(fake.address)}\nself_test=off\n`
  const site = folder({ 'config/clamav-stream.ini': ini, 'config/plugins': '' })
  try {
    const scan = (...args: string[]) =>
      clamavStream(['scan', '--config', site, '-j', '1', ...args], { breaksPipe: true })
    const clean = await scan(files(40))
    assert.deepEqual([clean.code, clean.error], [2, ''], 'not all files are known to be clean')
    await fake.play((scan) => (scan === 0 ? [{ at: 'reply', do: 'answer', text: 'stream: X FOUND' }] : []))
    const infected = await scan(files(40))
    assert.deepEqual([infected.code, infected.error], [1, ''])
  } finally {
    await fake.stop()
  }
})

test('standard input, also an mbox, and with a file beside it', async (t) => {
  if (!clamdOrSkip(t)) return
  const ran = await clamavStream(['scan', '--host', host, '--no-summary', '-'], {
    input: mails.eicarAttachment(),
  })
  assert.deepEqual([ran.text, ran.code], [`stdin: ${eicarName} FOUND\n`, 1])
  const many = await clamavStream(['scan', '--host', host, '--no-summary', '-'], {
    input: mbox(mails.clean(), mails.eicarAttachment()),
    env: { TMPDIR: directory.path },
  })
  assert.deepEqual(sorted(many.text), ['stdin#1: OK', `stdin#2: ${eicarName} FOUND`])
  assert.deepEqual(
    readdirSync(directory.path).filter((name) => name.startsWith('clamav-stream')),
    [],
  )
})

test('names that would play with a terminal are made safe, and are exact in JSON', async (t) => {
  if (!clamdOrSkip(t)) return
  const odd = 'a\x1b[2J\n\u202egpj.exe\u200b'
  const site = folder({ [odd]: mails.clean() })
  const latin1 = Buffer.concat([Buffer.from(`${site}/caf`), Buffer.from([0xe9])])
  writeFileSync(latin1, mails.eicarBody())
  const ran = await clamavStream(['scan', '--host', host, '--no-summary', site])
  assert.deepEqual(sorted(ran.text), [
    `${site}/a\\x1b[2J\\x0a\\u202egpj.exe\\u200b: OK`,
    `${site}/caf?: ${eicarName} FOUND`,
  ])
  const json = await clamavStream(['scan', '--host', host, '--json', site])
  const lines = jsonLines(json.text)
  const clean = lines.find((one) => one.outcome === 'clean')
  const virus = lines.find((one) => one.outcome === 'infected')
  assert.equal(clean?.path, `${site}/${odd}`)
  assert.equal('path_base64' in Object(clean), false)
  assert.deepEqual(Buffer.from(String(virus?.path_base64), 'base64'), latin1)
  const { ms, bytes, ...rest } = Object(virus) as Record<string, unknown>
  assert.ok(Number(ms) >= 0 && Number(bytes) > 100)
  assert.deepEqual(rest, {
    path: `${site}/caf\ufffd`,
    path_base64: latin1.toString('base64'),
    message: null,
    outcome: 'infected',
    virus: eicarName,
    reason: null,
    text: null,
    clamd: host,
    protocol: clamd && (await hasStream(clamd)) ? 'stream' : 'instream',
  })
  const { seconds, ...counts } = lines.at(-1)?.summary as Record<string, unknown>
  assert.equal(typeof seconds, 'number')
  assert.deepEqual(counts, { scanned: 2, infected: 1, errors: 0, skipped: 0, interrupted: false })
})

test('the settings of the site are used: hosts, size, and what is wrong in them', async (t) => {
  if (!clamdOrSkip(t)) return
  const site = folder({
    'config/plugins': 'clamav-stream\n',
    'config/clamav-stream.ini': `host=${host}\nmax_size=20K\n`,
    'mail/a.eml': mails.clean(),
    'mail/b.eml': mails.big(50_000),
  })
  const expected = [
    'mail/a.eml: OK',
    'mail/b.eml: too_large: message is larger than max_size: N bytes and more ERROR',
  ]
  const told = (text: string) => sorted(text.replace(/: \d+ bytes/, ': N bytes').replaceAll(`${site}/`, ''))
  const inside = await clamavStream(['scan', '--no-summary', 'mail'], { cwd: site })
  assert.deepEqual([told(inside.text), inside.code, inside.error], [expected, 2, ''])
  for (const given of [site, path.join(site, 'config')]) {
    const ran = await clamavStream(['scan', '--no-summary', '--config', given, path.join(site, 'mail')])
    assert.deepEqual([told(ran.text), ran.code], [expected, 2])
  }
  writeFileSync(path.join(site, 'config/clamav-stream.ini'), 'host=\nmax_sise=1\n')
  const wrong = await clamavStream(['scan', 'mail'], { cwd: site })
  assert.equal(wrong.code, 2)
  assert.match(
    wrong.error,
    /^clamav-stream: 2 settings are wrong:\n.*host = : .*\n.*max_sise is no key; did you mean max_size\?$/m,
  )
  assert.doesNotMatch(wrong.error, /^\s+at /m)
  const nowhere = await clamavStream(['scan', 'mail'], { cwd: path.join(site, 'mail') })
  assert.equal(nowhere.code, 2)
  assert.match(nowhere.error, /is not a Haraka folder: .*--config DIR/)
})

test('what clamd says OK to without looking is not called clean', async (t) => {
  if (!clamdOrSkip(t)) return
  const small = await startClamd({ config: { MaxFileSize: '2M', MaxScanSize: '4M' } })
  t.after(() => small.stop())
  const padding = Buffer.from(`${'x'.repeat(70)}\r\n`.repeat(60_000))
  const [head = '', ...parts] = mails.eicarAttachment().toString('latin1').split('\r\n\r\n')
  const large = Buffer.concat([Buffer.from(`${head}\r\n\r\n`), padding, Buffer.from(parts.join('\r\n\r\n'))])
  const files = folder({
    'large.eml': large,
    'small.eml': mails.eicarAttachment(),
    'clean.eml': mails.clean(),
  })
  const ran = await clamavStream(['scan', '--host', `127.0.0.1:${small.port}`, '--no-summary', files])
  const [clean = '', big = '', little = ''] = sorted(ran.text.replaceAll(`${files}/`, ''))
  assert.deepEqual([clean, little], ['clean.eml: OK', `small.eml: ${eicarName} FOUND`])
  assert.match(big, /^large\.eml: too_large: more than any clamd is proven to scan: .* ERROR$/)
})

test('an archive beyond what this clamd looks into is not called clean; that is measured when there is one', async (t) => {
  if (!clamdOrSkip(t)) return
  const small = await startClamd({ config: { MaxFileSize: '2M', MaxScanSize: '100M' } })
  t.after(() => small.stop())
  const zipped = (bytes: number) =>
    mails.withAttachments({
      name: 'a.zip',
      content: zip([{ name: 'a', content: Buffer.alloc(bytes, 'a'), method: 8 }]),
    })
  const scan = async (bytes: number) => {
    const file = path.join(folder({ 'a.eml': zipped(bytes) }), 'a.eml')
    return clamavStream(['scan', '--host', `127.0.0.1:${small.port}`, '--no-summary', '--verbose', file])
  }
  const measures = /test file in a large member/
  const [usual, large] = [await scan(100_000), await scan(3_000_000)]
  assert.match(usual.text, /a\.eml: OK$/m)
  assert.doesNotMatch(usual.error, measures)
  assert.match(large.text, /a\.eml: limits: .* ERROR$/m)
  assert.match(large.error, measures)
})

test('a clamd without signatures calls nothing clean; self_test=off lets it', async () => {
  const blind = await startFakeClamd({ judge: () => Promise.resolve('stream: OK') })
  const host = addressText(blind.address)
  try {
    const files = folder({ 'a.eml': mails.clean() })
    const ran = await clamavStream(['scan', '--host', host, path.join(files, 'a.eml')])
    assert.match(ran.text, /a\.eml: error: .*does not find the EICAR test file ERROR$/m)
    assert.equal(ran.code, 2)
    const site = folder({ 'config/clamav-stream.ini': `host=${host}\nself_test=off\n`, 'config/plugins': '' })
    const trusting = await clamavStream(['scan', '--config', site, path.join(files, 'a.eml')])
    assert.match(trusting.text, /a\.eml: OK$/m)
  } finally {
    await blind.stop()
  }
})

test('a file that may not be read is an error, and the others are scanned', async (t) => {
  if (!clamdOrSkip(t)) return
  const site = folder({ 'a.eml': mails.clean(), 'b.eml': mails.clean(), 'closed/c.eml': mails.clean() })
  chmodSync(path.join(site, 'b.eml'), 0)
  chmodSync(path.join(site, 'closed'), 0)
  execFileSync('mkfifo', [path.join(site, 'pipe')])
  const program = await unprivileged(t)
  if (!program) return
  const ran = await clamavStream(['scan', '--host', host, '--no-summary', site], { program })
  assert.deepEqual(sorted(ran.text.replaceAll(`${site}/`, '')), [
    'a.eml: OK',
    'b.eml: Permission denied ERROR',
    'closed: Permission denied ERROR',
    'pipe: Not supported file type',
  ])
  assert.equal(ran.code, 2)
})

test('Ctrl-C ends it: no scan is left, the summary says that it is not all', async (t) => {
  const fake = await startFakeClamd()
  t.after(() => fake.stop())
  // The first is answered, and while the second one waits comes the signal.
  await fake.play((scan) => (scan === 0 ? [] : [{ at: 'reply', do: 'stall' }]))
  const files = folder(Object.fromEntries(Array.from({ length: 40 }, (_, n) => [`${n}.eml`, mails.clean()])))
  const ini = `host=${addressText(fake.address)}\nself_test=off\n`
  const site = folder({ 'config/clamav-stream.ini': ini, 'config/plugins': '' })
  const ran = await clamavStream(['scan', '--config', site, '-j', '1', files], {
    onOutput: (text, kill) => {
      if (text.includes('OK')) kill('SIGINT')
    },
  })
  assert.equal(ran.code, 130)
  assert.match(ran.text, /Interrupted: not all files were scanned\nScanned files: 1\n/)
  assert.equal(ran.text.match(/OK$/gm)?.length, 1)
  assert.doesNotMatch(ran.text, /ERROR/)
})

test('Ctrl-C while standard input is read ends it as well, and leaves no file', async () => {
  const temporary = folder({})
  let kill: ((signal: NodeJS.Signals) => void) | undefined
  const ran = clamavStream(['scan', '--host', '127.0.0.1:1', '-'], {
    input: null,
    env: { TMPDIR: temporary },
    onStart: (end) => (kill = end),
  })
  const isThere = () =>
    readdirSync(temporary, { recursive: true, encoding: 'utf8' }).some((name) => name.endsWith('stdin'))
  while (!isThere()) await new Promise((resolve) => setTimeout(resolve, 20))
  kill?.('SIGINT')
  const { code, text, error } = await ran
  assert.deepEqual([code, text, error], [130, '', ''])
  assert.equal(isThere(), false)
})
