// The life of a kept message, with the packed command: the plugin keeps it in a real Haraka, it is listed, shown,
// scanned again, released to the next hop byte for byte and to no recipient twice, and deleted.
import assert from 'node:assert/strict'
import { mkdirSync, readdirSync, readFileSync, statSync, writeFileSync } from 'node:fs'
import net from 'node:net'
import path from 'node:path'
import { after, before, test, type TestContext } from 'node:test'
import { addressText } from '../../lib/clamd/address'
import { type FakeClamd, startFakeClamd } from '../support/clamd/fake-clamd'
import { clamavStream, jsonLines, type Ran, type RunOptions } from '../support/command'
import { type Haraka, installHaraka, startHaraka } from '../support/haraka/haraka'
import { TemporaryDirectory } from '../support/process'
import * as mails from '../support/smtp/mails'
import { type Sink, startSink } from '../support/smtp/sink'
import { sendMessage } from '../support/smtp/smtp'

let clamd: FakeClamd
let sink: Sink
let haraka: Haraka
let program: string[]
const base = new TemporaryDirectory('kept')
const folder = path.join(base.path, 'infected')

before(async () => {
  clamd = await startFakeClamd({ protocols: ['INSTREAM'] })
  sink = await startSink()
  haraka = await startHaraka({
    ini: `host=${addressText(clamd.address)}\nmax_pings=0\n[infected]\naction=quarantine\n`,
    plugins: ['clamav-stream', 'queue/quarantine', 'queue/smtp_forward'],
    files: {
      'quarantine.ini': `quarantine_path=${base.path}\n`,
      'smtp_forward.ini': `host=127.0.0.1\nport=${sink.port}\n\n[elsewhere.example.com]\nhost=127.0.0.1\nport=1\n`,
      host_list: 'example.com\nelsewhere.example.com\n',
    },
    users: { somebody: 'secret' },
    deliver: false,
  })
  const { haraka: harakaPackage } = await installHaraka()
  program = [path.join(harakaPackage, '..', '.bin', 'clamav-stream')]
})
after(async () => {
  await haraka.stop()
  await Promise.all([sink.stop(), clamd.stop()])
  base.remove()
})

const quarantine = (args: string[], options: RunOptions = {}): Promise<Ran> =>
  clamavStream(['quarantine', ...args], { program, cwd: haraka.site, ...options })

interface Sent {
  data: Buffer
  uuid: string
  file: string
  id: string
}

let count = 0

/** A message that is kept, with its file. */
async function keep(
  options: { to?: string[]; from?: string; data?: Buffer; virus?: string; auth?: boolean } = {},
): Promise<Sent> {
  const known = new Set(files())
  const { to = [`rcpt${++count}@example.com`], data = mails.clean(), virus = 'Test.Virus' } = options
  clamd.queue([{ at: 'reply', do: 'answer', text: `stream: ${virus} FOUND` }])
  const reply = await sendMessage(haraka.port, {
    data,
    to,
    ...(options.from !== undefined && { from: options.from }),
    ...(options.auth && { auth: { user: 'somebody', password: 'secret' } }),
  })
  assert.equal(reply.code, 250, reply.text)
  const [file = ''] = files().filter((name) => !known.has(name) && !name.endsWith('.json'))
  const uuid = path.basename(file)
  return { data, uuid, file: path.join(folder, file), id: uuid.replace(/^([0-9A-F]{8}).*(\.\d+)$/, '$1$2') }
}

function files(): string[] {
  try {
    return readdirSync(folder, { recursive: true, encoding: 'utf8' }).filter((name) =>
      /\/[0-9A-F]/.test(name),
    )
  } catch {
    return []
  }
}

const releaseLog = () =>
  readFileSync(path.join(folder, 'releases.log'), 'utf8')
    .trimEnd()
    .split('\n')
    .map((line) => JSON.parse(line) as Record<string, unknown>)

const onTheWire = (file: string) =>
  Buffer.from(readFileSync(file, 'latin1').replaceAll('\n', '\r\n'), 'latin1')

test('list, show, rescan, release, delete', async () => {
  const one = await keep({
    to: ['ann@example.com', 'bob@example.com'],
    from: 'evil@example.net',
    data: mails.eightBit(),
  })
  const other = await keep({ virus: 'Other.Name' })

  const list = await quarantine(['list'])
  assert.deepEqual([list.code, list.error], [0, ''])
  assert.match(list.text, /^ID +KEPT +STATE +WHY +FROM +TO +SUBJECT\n/)
  assert.match(
    list.text,
    new RegExp(
      `^${one.id} +\\d{4}-\\d\\d-\\d\\d \\d\\d:\\d\\d  kept +Test\\.Virus +evil@example\\.net +ann@example\\.com \\+1 +8bit$`,
      'm',
    ),
  )
  const ids = async (...args: string[]) =>
    jsonLines((await quarantine(['list', '--json', ...args])).text).map(({ id }) => id)
  assert.deepEqual(await ids(), [one.id, other.id])
  assert.deepEqual(await ids('--virus', 'other'), [other.id])
  assert.deepEqual(await ids('--virus', 'TEST.*'), [one.id])
  assert.deepEqual(await ids('--sender', '*@example.net'), [one.id])
  assert.deepEqual(await ids('--recipient', 'bob@'), [one.id])
  assert.deepEqual(await ids('--older-than', '1d'), [])
  assert.deepEqual(await ids('--newer-than', '1d'), [one.id, other.id])

  const show = await quarantine(['show', one.uuid.slice(0, 10)])
  assert.match(show.text, /^why +Test\.Virus$/m)
  assert.match(show.text, /^to +ann@example\.com\n +bob@example\.com$/m)
  assert.match(show.text, /^X-MessageIsInfected: true$/m)
  const raw = await quarantine(['show', '--raw', one.id])
  assert.ok(raw.out.equals(readFileSync(one.file)))

  clamd.queue([{ at: 'reply', do: 'answer', text: 'stream: Test.Virus FOUND' }])
  const infected = await quarantine(['rescan', one.id])
  assert.deepEqual([infected.text, infected.code], [`${one.id}: Test.Virus FOUND (was Test.Virus)\n`, 1])
  const clean = await quarantine(['rescan', one.id])
  assert.deepEqual([clean.text, clean.code], [`${one.id}: OK (was Test.Virus)\n`, 0])

  const refused = await quarantine(['release', one.id])
  assert.equal(refused.code, 2)
  assert.match(refused.error, /not a terminal: use --yes/)
  assert.equal(sink.messages.length, 0)

  const released = await quarantine(['release', one.id, '--yes'], { env: { SUDO_USER: 'postmaster' } })
  assert.equal(released.code, 0, released.error)
  assert.match(released.text, new RegExp(`^${one.id} ann@example\\.com: released \\(250 taken\\)$`, 'm'))
  const [arrived] = sink.messages
  assert.deepEqual([arrived?.from, arrived?.to], ['evil@example.net', ['ann@example.com', 'bob@example.com']])
  assert.ok(arrived?.data.equals(onTheWire(one.file)), 'the message changed on its way')
  assert.deepEqual(
    releaseLog().map(({ event, uuid }) => [event, uuid]),
    ['begin', 'sending', 'sent', 'end'].map((event) => [event, one.uuid]),
  )
  const by = releaseLog()[2]?.by as Record<string, unknown>
  assert.equal(by.sudo_user, 'postmaster')
  assert.equal(statSync(path.join(folder, 'releases.log')).mode & 0o777, 0o600)

  const again = await quarantine(['release', one.id, '--yes'])
  assert.deepEqual(
    [again.text, again.code],
    ['nothing to release: all recipients have it; --again sends it again\n', 0],
  )
  assert.equal(sink.messages.length, 1)
  assert.match((await quarantine(['list'])).text, new RegExp(`^${one.id} .* released +Test`, 'm'))
  assert.match(
    (await quarantine(['show', one.id])).text,
    /^to +ann@example\.com {2}\(released .* by postmaster \(as /m,
  )

  assert.equal((await quarantine(['delete', one.id])).code, 2)
  assert.equal((await quarantine(['delete', '--yes'])).code, 2)
  assert.equal(files().length, 4)
  const deleted = await quarantine(['delete', '--virus', 'Test.Virus', '-y'])
  assert.deepEqual([deleted.text, deleted.code], [`${one.id} deleted\n`, 0])
  assert.deepEqual(await ids(), [other.id])
  const { about } = releaseLog().find(({ event }) => event === 'deleting') ?? {}
  assert.deepEqual((about as { envelope: unknown }).envelope, {
    mail_from: 'evil@example.net',
    rcpt_to: ['ann@example.com', 'bob@example.com'],
  })
  const gone = await quarantine(['show', one.id])
  assert.equal(gone.code, 2)
  assert.match(gone.error, /no such message/)
})

test('messages of every kind arrive unchanged', async () => {
  for (const [title, data] of Object.entries({
    dots: mails.dotLines(),
    'long lines': mails.longLines(),
    'no body': mails.emptyBody(),
    'half a megabyte': mails.big(500_000),
    'headers alone': mails.headersOnly(),
  })) {
    const { id, file } = await keep({ data, from: '' })
    const from = sink.messages.length
    assert.equal((await quarantine(['release', id, '--yes'])).code, 0, title)
    assert.ok(sink.messages[from]?.data.equals(onTheWire(file)), title)
    assert.equal(sink.messages[from]?.from, '', title)
  }
})

/** An SMTP server that does what a test says at MAIL, at each RCPT and at the end of DATA. */
async function server(
  t: TestContext,
  answers: { rcpt?: (to: string) => string; end?: (socket: net.Socket) => string | null; name?: string },
): Promise<{ port: number; taken: string[][] }> {
  const taken: string[][] = []
  const sockets = new Set<net.Socket>()
  const listener = net.createServer((socket) => {
    sockets.add(socket)
    let to: string[] = []
    let isData = false
    let unread = ''
    const say = (line: string) => void socket.write(`${line}\r\n`)
    socket.on('error', () => undefined)
    socket.on('data', (chunk: Buffer) => {
      const lines = (unread + chunk.toString('latin1')).split('\r\n')
      unread = lines.pop() ?? ''
      for (const line of lines) {
        if (isData) {
          if (line !== '.') continue
          isData = false
          const answer = answers.end?.(socket) ?? '250 taken'
          if (answer === 'hang up') socket.destroy()
          else {
            if (answer.startsWith('2')) taken.push(to)
            say(answer)
          }
        } else if (/^EHLO/i.test(line)) say(`250 ${answers.name ?? 'inner.example.com Hello'}`)
        else if (/^RCPT/i.test(line)) {
          const address = /<(.*)>/.exec(line)?.[1] ?? ''
          const answer = answers.rcpt?.(address) ?? '250 ok'
          if (answer.startsWith('2')) to.push(address)
          say(answer)
        } else if (/^DATA/i.test(line)) {
          if (to.length === 0) say('503 no recipients')
          else {
            isData = true
            say('354 go on')
          }
        } else {
          if (/^MAIL/i.test(line)) to = []
          say(/^QUIT/i.test(line) ? '221 bye' : '250 ok')
        }
      }
    })
    say('220 inner.example.com')
  })
  await new Promise<void>((resolve) => listener.listen(0, '127.0.0.1', resolve))
  t.after(() => {
    for (const socket of sockets) socket.destroy()
    listener.close()
  })
  const address = listener.address()
  return { port: typeof address === 'object' && address ? address.port : 0, taken }
}

test('a refused recipient is reported, and only that one is tried again', async (t) => {
  const { id } = await keep({ to: ['a@example.com', 'b@example.com', 'c@example.com'] })
  let isFull = true
  const inner = await server(t, {
    rcpt: (to) => (to.startsWith('b') && isFull ? '452 4.2.2 mailbox full' : '250 ok'),
  })
  const to = ['--to', `127.0.0.1:${inner.port}`, '--yes']
  const first = await quarantine(['release', id, ...to])
  assert.equal(first.code, 1)
  assert.match(first.text, /b@example\.com: not released, 452 4\.2\.2 mailbox full/)
  assert.match((await quarantine(['list'])).text, new RegExp(`^${id} .*released to 2 of 3 `, 'm'))
  isFull = false
  const second = await quarantine(['release', id, ...to, '--json'])
  assert.equal(second.code, 0)
  assert.deepEqual(jsonLines(second.text)[0]?.delivered, ['b@example.com'])
  assert.deepEqual(inner.taken, [['a@example.com', 'c@example.com'], ['b@example.com']])
})

test('a refusal at the end loses nothing, and can be repeated', async (t) => {
  const { id, file } = await keep()
  const replies = ['554 5.7.1 not here', '451 later', '250 taken']
  const inner = await server(t, { end: () => replies.shift() ?? '250 taken' })
  const to = ['--to', `127.0.0.1:${inner.port}`, '--yes']
  for (const [code, words] of [
    [1, /not released, 554 5\.7\.1 not here/],
    [1, /not released, 451 later/],
    [0, /released \(250 taken\)/],
  ] as const) {
    const ran = await quarantine(['release', id, ...to])
    assert.match(ran.text, words)
    assert.equal(ran.code, code)
  }
  assert.equal(inner.taken.length, 1)
  assert.ok(statSync(file).size > 0)
  const dead = await keep()
  const ran = await quarantine(['release', dead.id, '--to', '127.0.0.1:1', '--yes'])
  assert.equal(ran.code, 1)
  assert.match(ran.text, /not released, 127\.0\.0\.1:1: .*ECONNREFUSED/)
})

test('a connection that breaks after the end leaves the recipient in doubt, and no recipient gets the message twice', async (t) => {
  const { id } = await keep()
  let isBreaking = true
  const inner = await server(t, { end: () => (isBreaking ? 'hang up' : '250 taken') })
  const to = ['--to', `127.0.0.1:${inner.port}`, '--yes']
  const broken = await quarantine(['release', id, ...to])
  assert.equal(broken.code, 1)
  assert.match(broken.text, /: in doubt, /)
  isBreaking = false
  const careful = await quarantine(['release', id, ...to])
  assert.equal(careful.code, 1)
  assert.match(careful.text, /may have arrived; search the log of the next hop for <.*>, or use --again/)
  assert.deepEqual(inner.taken, [])
  assert.match((await quarantine(['list'])).text, new RegExp(`^${id} .*in doubt `, 'm'))
  assert.equal((await quarantine(['release', id, '--again', ...to])).code, 0)
  assert.equal(inner.taken.length, 1)
})

test('a release that is killed in the middle is in doubt, and does not lock the message', async (t) => {
  const { id } = await keep()
  let kill: (() => void) | undefined
  let isDeaf = true
  const inner = await server(t, {
    end: () => {
      if (!isDeaf) return '250 taken'
      kill?.()
      return 'hang up'
    },
  })
  const to = ['--to', `127.0.0.1:${inner.port}`, '--yes']
  const killed = await quarantine(['release', id, ...to], { onStart: (end) => (kill = () => end('SIGKILL')) })
  assert.equal(killed.code, null)
  isDeaf = false
  const next = await quarantine(['release', id, ...to])
  assert.equal(next.code, 1)
  assert.match(next.text, /may have arrived/)
  assert.equal((await quarantine(['release', id, '--again', ...to])).code, 0)
  assert.equal(inner.taken.length, 1)
})

test('of two releases at the same time, one is refused', async (t) => {
  const { id } = await keep()
  let open: (() => void) | undefined
  const inner = await server(t, {
    rcpt: () => {
      open?.()
      return '250 ok'
    },
    end: (socket) => {
      // Only when the second one has been refused.
      void second.then(() => socket.write('250 taken\r\n'))
      return '250-wait'
    },
  })
  const to = ['--to', `127.0.0.1:${inner.port}`, '--yes']
  const second = new Promise<void>((resolve) => (open = resolve)).then(() =>
    quarantine(['release', id, ...to]),
  )
  const first = quarantine(['release', id, ...to])
  const refused = await second
  assert.equal(refused.code, 2)
  assert.match(refused.error, /locked by a release that .* started at .* \(process \d+ on /)
  assert.equal((await first).code, 0)
})

test('a message is never released into this Haraka', async (t) => {
  const { id } = await keep()
  const kept = files().length
  // By what it calls itself, since the port of this site is not in its files.
  const self = await quarantine(['release', id, '--to', `127.0.0.1:${haraka.port}`, '--yes'])
  assert.equal(self.code, 2)
  assert.match(self.error, /is this Haraka itself, .*--to/)
  // By its files.
  const site = new TemporaryDirectory('site')
  t.after(() => site.remove())
  mkdirSync(path.join(site.path, 'config'))
  for (const [name, text] of Object.entries({
    'quarantine.ini': `quarantine_path=${base.path}\n`,
    plugins: 'clamav-stream\nqueue/quarantine\nqueue/smtp_forward\n',
    'smtp.ini': 'listen=127.0.0.1:2599,[::0]:2598\n',
    'smtp_forward.ini': 'host=localhost\nport=2599\n',
  }))
    writeFileSync(path.join(site.path, 'config', name), text)
  for (const args of [[], ['--to', '127.0.0.1:2599'], ['--to', '[::1]:2598']]) {
    const ran = await quarantine(['release', id, '--yes', ...args], { cwd: site.path })
    assert.equal(ran.code, 2, args.join(' '))
    assert.match(ran.error, /is this Haraka itself/)
  }
  assert.equal(files().length, kept)
  assert.equal((await quarantine(['release', id, '--yes'])).code, 0)
})

test('the next hop is the one of the recipient, and mail on its way out has none', async () => {
  const { id } = await keep({ to: ['x@example.com', 'y@elsewhere.example.com'] })
  const ran = await quarantine(['release', id, '--yes'])
  assert.equal(ran.code, 1)
  assert.match(ran.text, /x@example\.com: released/)
  assert.match(ran.text, /y@elsewhere\.example\.com: not released, 127\.0\.0\.1:1: /)
  const out = await keep({ to: ['z@example.org'], auth: true })
  const refused = await quarantine(['release', out.id, '--yes'])
  assert.equal(refused.code, 2)
  assert.match(refused.error, /somebody sent this message.*--to host:port/)
})

test('an empty quarantine is no error, a missing --dir is', async (t) => {
  const site = new TemporaryDirectory('nothing-kept')
  t.after(() => site.remove())
  const config = path.join(site.path, 'config')
  mkdirSync(config)
  writeFileSync(path.join(config, 'plugins'), 'clamav-stream\n')
  writeFileSync(path.join(config, 'quarantine.ini'), `quarantine_path=${site.path}\n`)
  for (const args of [['list'], ['rescan'], ['delete', '--older-than', '7d', '--yes']]) {
    const ran = await quarantine(args, { cwd: site.path })
    assert.deepEqual([ran.code, ran.error], [0, ''], args.join(' '))
  }
  const wrong = await quarantine(['list', '--dir', path.join(site.path, 'nowhere')])
  assert.equal(wrong.code, 2)
  assert.match(wrong.error, /nowhere: no such quarantine folder/)
})

test('an age needs a unit, because 3 meant as days would delete messages of the last hour', async () => {
  const { id } = await keep({ data: mails.clean(), virus: 'Young.Virus' })
  const ran = await quarantine(['delete', '--older-than', '3', '--yes'])
  assert.notEqual(ran.code, 0)
  assert.match(ran.error, /--older-than <time>' argument '3' is invalid\. It has to be a time such as/)
  assert.ok((await quarantine(['list'])).text.includes(id))
})

test('text of a message cannot control the terminal', async () => {
  const data = Buffer.from(
    'From: a\r\nSubject: =?utf-8?B?' +
      Buffer.from('\x1b]0;owned\x07\u202etxt').toString('base64') +
      '?=\r\nX-Odd: \x1b[2J\u009b31m\r\n\r\nbody\r\n',
  )
  const { id } = await keep({ data, virus: 'Odd.\x1bName' })
  for (const args of [['list'], ['show', id]]) {
    const { text } = await quarantine(args)
    // eslint-disable-next-line no-control-regex
    assert.doesNotMatch(text, /[\x00-\x09\x0b-\x1f\x7f-\x9f\u202e]/)
  }
  const { text } = await quarantine(['show', id])
  assert.match(text, /^subject +\\x1b\]0;owned\\x07\\u202etxt$/m)
  assert.match(text, /^Received: from .*\n {4}by /m)
})

test('npx finds the command by the name of the package', async () => {
  const npx = await clamavStream(['haraka-plugin-clamav-stream', '--version'], {
    program: ['npx', '--offline', '--no-install'],
    cwd: path.join(program[0] ?? '', '..', '..', '..'),
  })
  assert.match(npx.text, /^\d+\.\d+\.\d+\n$/, npx.error)
})
