// Root looks after a quarantine whose owner, Haraka's user, lays links, pipes and other things in it. What root owns stays
// as it is, and is neither shown nor sent.
import assert from 'node:assert/strict'
import { spawn, spawnSync } from 'node:child_process'
import { once } from 'node:events'
import {
  chmodSync,
  chownSync,
  existsSync,
  lchownSync,
  linkSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs'
import { type AddressInfo, createServer, type Socket } from 'node:net'
import path from 'node:path'
import { test, type TestContext } from 'node:test'
import { addressText } from '../../lib/clamd/address'
import { startFakeClamd } from '../support/clamd/fake-clamd'
import { clamavStream, jsonLines, type Ran } from '../support/command'
import { TemporaryDirectory } from '../support/process'
import { startSink } from '../support/smtp/sink'

const isRoot = process.getuid?.() === 0
const asRoot = { skip: isRoot ? false : 'only root can be led astray' }
/** Haraka's user. */
const nobody = 65534
const secretText = 'From: root\n\nroot:x:secret\n'

class Place {
  readonly directory: string
  readonly quarantine: string
  readonly day: string
  /** Of root, for root alone. */
  readonly secret: string
  readonly #root: TemporaryDirectory

  constructor(t: TestContext, owner = nobody) {
    this.#root = new TemporaryDirectory('links')
    t.after(() => this.#root.remove())
    this.directory = this.#root.path
    chmodSync(this.directory, 0o755)
    this.secret = path.join(this.directory, 'secret')
    writeFileSync(this.secret, secretText, { mode: 0o600 })
    const base = path.join(this.directory, 'quarantine')
    this.quarantine = path.join(base, 'infected')
    this.day = path.join(this.quarantine, '20260115')
    for (const one of [base, this.quarantine, this.day]) {
      mkdirSync(one, { mode: 0o700 })
      chownSync(one, owner, owner)
    }
  }

  /** A message as the plugin keeps it; without text its record alone. */
  keep(name: string, text?: string, owner = nobody): string {
    const file = path.join(this.day, name)
    const record = {
      uuid: name,
      time: '2026-01-15T00:00:00.000Z',
      envelope: { mail_from: 'a@example.net', rcpt_to: ['b@example.com'] },
      client: { ip: '192.0.2.1', host: null, helo: null },
      user: null,
      message_id: null,
      verdict: { outcome: 'infected', virus: 'Test.Virus', reason: null },
      attachment: null,
    }
    for (const [one, content] of [
      [`${file}.json`, JSON.stringify(record)],
      [file, text],
    ] as const) {
      if (content === undefined) continue
      writeFileSync(one, content, { mode: 0o600 })
      chownSync(one, owner, owner)
    }
    return file
  }

  /** What Haraka's user does, with its rights and no others: a program for `sh`. */
  attack(script: string): void {
    const { status, stderr } = spawnSync('sh', ['-ec', script], {
      cwd: this.quarantine,
      uid: nobody,
      gid: nobody,
      encoding: 'utf8',
    })
    assert.equal(status, 0, stderr)
  }

  /** Makes the folder a site, with files that only root may read. */
  configure(files: Record<string, string>): void {
    const config = path.join(this.directory, 'config')
    mkdirSync(config, { mode: 0o700 })
    for (const [name, text] of Object.entries({ plugins: 'clamav-stream\nqueue/smtp_forward\n', ...files }))
      writeFileSync(path.join(config, name), text, { mode: 0o600 })
  }

  run(...args: string[]): Promise<Ran> {
    const where = args.includes('--dir') ? [] : ['--dir', this.quarantine]
    return clamavStream(['quarantine', ...args, ...where], {
      cwd: this.directory,
      env: { SUDO_USER: 'postmaster' },
      timeoutMs: 20_000,
    })
  }

  assertSecretIntact(): void {
    const { uid, gid, mode } = statSync(this.secret)
    assert.deepEqual([uid, gid, mode & 0o777], [0, 0, 0o600])
    assert.equal(readFileSync(this.secret, 'utf8'), secretText)
  }
}

for (const [title, lay] of Object.entries({
  'a link to a file of root': (place: Place) => place.attack(`ln -s ${place.secret} releases.log`),
  'a link to a file that is not there': (place: Place) =>
    place.attack(`ln -s ${place.directory}/new releases.log`),
  // The kernel usually forbids users to make one; root lays it for them.
  'a hard link to a file of root': (place: Place) =>
    linkSync(place.secret, path.join(place.quarantine, 'releases.log')),
  'a pipe': (place: Place) => place.attack('mkfifo releases.log'),
  'a folder': (place: Place) => place.attack('mkdir releases.log'),
  'a second name of its own file': (place: Place) => place.attack('echo mine > other; ln other releases.log'),
}))
  test(`releases.log is ${title}: delete stops, and touches nothing`, asRoot, async (t) => {
    const place = new Place(t)
    const file = place.keep('A1', 'From: a\n\nkept\n')
    lay(place)
    const ran = await place.run('delete', 'A1', '-y')
    assert.equal(ran.code, 2, ran.text)
    assert.match(ran.error, /releases\.log: (is a |has 2 names|belongs to the user with id 0)/)
    place.assertSecretIntact()
    assert.ok(!existsSync(path.join(place.directory, 'new')))
    assert.ok(existsSync(file))
  })

test(
  'a copy that is a link, a pipe or a folder is not shown, not scanned and not sent',
  asRoot,
  async (t) => {
    const place = new Place(t)
    for (const name of ['LINK', 'HARD', 'PIPE', 'FOLDER']) place.keep(name)
    place.attack(`ln -s ${place.secret} ${place.day}/LINK`)
    linkSync(place.secret, path.join(place.day, 'HARD'))
    place.attack(`mkfifo ${place.day}/PIPE; mkdir ${place.day}/FOLDER`)
    const sink = await startSink()
    const clamd = await startFakeClamd({ protocols: ['INSTREAM'] })
    t.after(() => Promise.all([sink.stop(), clamd.stop()]))

    for (const [name, why] of [
      ['LINK', /LINK: is a symbolic link, not a regular file/],
      ['HARD', /HARD: belongs to the user with id 0, not to that with id 65534/],
      ['PIPE', /PIPE: is a pipe, not a regular file/],
      ['FOLDER', /FOLDER: is a folder, not a regular file/],
    ] as const) {
      const raw = await place.run('show', '--raw', name)
      assert.deepEqual([raw.code, raw.text], [2, ''])
      assert.match(raw.error, why)
    }
    const shown = await place.run('show', 'LINK')
    assert.doesNotMatch(shown.text + shown.error, /root:x/)
    for (const name of ['LINK', 'HARD']) {
      const released = await place.run('release', name, '-y', '--to', `127.0.0.1:${sink.port}`)
      assert.equal(released.code, 2, released.error)
    }
    assert.equal(sink.messages.length, 0)

    place.configure({ 'clamav-stream.ini': 'max_pings=0\n' })
    const rescanned = await place.run('rescan', '--host', addressText(clamd.address))
    assert.equal(rescanned.code, 2, rescanned.error)
    assert.equal(rescanned.text.match(/ERROR/g)?.length, 4, rescanned.text)
    assert.equal(clamd.scans.length, 0)

    // The name goes, not what it leads to; a folder stays.
    const deleted = await place.run('delete', 'LINK', 'HARD', 'PIPE', '-y')
    assert.equal(deleted.code, 0, deleted.error)
    assert.equal((await place.run('delete', 'FOLDER', '-y')).code, 2)
    assert.deepEqual(readdirSync(place.day).sort(), ['FOLDER', 'FOLDER.json'])
    place.assertSecretIntact()
  },
)

test('links, pipes and strange names among the records are named, and lead nowhere', asRoot, async (t) => {
  const place = new Place(t)
  place.keep('A1', 'From: a\n\nkept\n')
  const outside = path.join(place.directory, 'outside')
  mkdirSync(outside)
  place.keep('B1', 'From: b\n\nother\n')
  for (const name of ['B1', 'B1.json'])
    writeFileSync(path.join(outside, name), readFileSync(path.join(place.day, name)))
  place.attack(`
    rm ${place.day}/B1 ${place.day}/B1.json
    ln -s ${outside} 20260116
    ln -s / 20260117
    ln -s ${place.secret} ${place.day}/C1.json
    mkfifo ${place.day}/D1.json
    mkdir ${place.day}/E1.json
    : > "${place.day}/$(printf 'F\\033]0;owned\\007').json"
    head -c 3000000 /dev/zero > ${place.day}/G1.json
  `)
  const ran = await place.run('list', '--json')
  assert.equal(ran.code, 0, ran.error)
  assert.deepEqual(
    jsonLines(ran.text).map(({ id }) => id),
    ['A1'],
  )
  for (const why of [
    /20260116: is a symbolic link/,
    /20260117: is a symbolic link/,
    /C1\.json: is a symbolic link/,
    /D1\.json: is a pipe/,
    /F\\x1b\]0;owned\\x07\.json: /,
    /G1\.json: /,
  ])
    assert.match(ran.error, why)
  assert.doesNotMatch(ran.error, /secret:|root:x/)
  // eslint-disable-next-line no-control-regex
  assert.doesNotMatch(ran.error, /\x1b/)
  const gone = await place.run('delete', 'B1', '-y')
  assert.equal(gone.code, 2)
  assert.ok(existsSync(path.join(outside, 'B1')))
})

test(
  'root is given up, after what only root may read is read; the log says who it was',
  asRoot,
  async (t) => {
    const place = new Place(t)
    place.keep('A1', 'From: a\n\nkept\n')
    place.keep('B1', 'From: b\n\nkept\n')
    const sink = await startSink()
    t.after(() => sink.stop())
    place.configure({ 'smtp_forward.ini': `host=127.0.0.1\nport=${sink.port}\n` })
    const shown = await place.run('show', '--raw', 'A1')
    assert.equal(shown.text, 'From: a\n\nkept\n', shown.error)
    const released = await place.run('release', 'A1', '-y')
    assert.equal(released.code, 0, released.error)
    assert.equal(sink.messages[0]?.data.toString(), 'From: a\r\n\r\nkept\r\n')
    const deleted = await place.run('delete', 'B1', '-y')
    assert.equal(deleted.code, 0, deleted.error)
    const log = path.join(place.quarantine, 'releases.log')
    const { uid, gid, mode } = statSync(log)
    assert.deepEqual([uid, gid, mode & 0o777], [nobody, nobody, 0o600])
    for (const { by } of jsonLines(readFileSync(log, 'utf8')))
      assert.deepEqual(by, { user: 'root', uid: 0, sudo_user: 'postmaster' })
  },
)

test(
  'whose the quarantine is: of the first folder on the way that others than root can change',
  asRoot,
  async (t) => {
    const place = new Place(t, 0)
    place.keep('A1', 'From: a\n\nkept\n', 0)
    place.keep('B1', undefined, 0)
    symlinkSync(place.secret, path.join(place.day, 'B1'))
    const shown = await place.run('show', '--raw', 'A1')
    assert.equal(shown.text, 'From: a\n\nkept\n', shown.error)
    const linked = await place.run('show', '--raw', 'B1')
    assert.deepEqual([linked.code, linked.text], [2, ''])
    assert.match(linked.error, /B1: is a symbolic link/)
    const deleted = await place.run('delete', 'A1', '-y')
    assert.equal(deleted.code, 0, deleted.error)
    assert.equal(statSync(path.join(place.quarantine, 'releases.log')).uid, 0)

    // A link of root is followed by root, one of another user by that user.
    const way = path.join(place.directory, 'way')
    symlinkSync(place.quarantine, way)
    const followed = await place.run('list', '--dir', way)
    assert.equal(followed.code, 0, followed.error)
    lchownSync(way, nobody, nobody)
    const astray = await place.run('list', '--dir', way)
    assert.equal(astray.code, 2)
    assert.match(
      astray.error,
      /permission denied: it belongs to .*, and root works here as nobody, the owner of .*way$/m,
    )

    // A group could lay links, or a user whom an access list hides behind the group's rights.
    for (const mode of [0o770, 0o1777]) {
      chmodSync(place.quarantine, mode)
      const refused = await place.run('list')
      assert.equal(refused.code, 2)
      assert.match(refused.error, /infected: users other than root may write there/)
    }
  },
)

test(
  'uid, gid and groups are those of the owner by then, in all three ways, on every thread',
  asRoot,
  async (t) => {
    const place = new Place(t)
    place.keep('A1', 'From: a\n\nkept\n')
    // The release waits for a greeting that does not come.
    const server = createServer().listen(0, '127.0.0.1')
    t.after(() => server.close())
    await once(server, 'listening')
    const { port } = server.address() as AddressInfo
    const child = spawn(
      process.execPath,
      [
        ...['--import', require.resolve('tsx'), path.resolve(__dirname, '../../bin/clamav-stream.ts')],
        ...['quarantine', 'release', 'A1', '-y', '--dir', place.quarantine, '--to', `127.0.0.1:${port}`],
      ],
      { cwd: place.directory, stdio: 'ignore' },
    )
    const ended = once(child, 'exit')
    t.after(() => child.kill('SIGKILL'))
    const [socket] = (await Promise.race([
      once(server, 'connection'),
      ended.then(([code]) => assert.fail(`exit code ${String(code)}`)),
    ])) as [Socket]
    socket.on('error', () => undefined)
    const tasks = readdirSync(`/proc/${child.pid}/task`)
    assert.ok(tasks.length > 1)
    for (const task of tasks) {
      const status = readFileSync(`/proc/${child.pid}/task/${task}/status`, 'utf8')
      const ids = Array(4).fill(nobody).join('\t')
      assert.match(status, new RegExp(`^Uid:\t${ids}$`, 'm'))
      assert.match(status, new RegExp(`^Gid:\t${ids}$`, 'm'))
      assert.match(status, /^Groups:\t(65534 )?$/m)
      assert.match(status, /^CapEff:\t0+$/m)
      assert.match(status, /^CapPrm:\t0+$/m)
    }
  },
)
