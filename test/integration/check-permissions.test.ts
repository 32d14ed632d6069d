// `clamav-stream check`: what Haraka's user may do: sockets, and folders of the quarantine.
import assert from 'node:assert/strict'
import {
  chmodSync,
  chownSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs'
import path from 'node:path'
import { test } from 'node:test'
import { addressText } from '../../lib/clamd/address'
import { check, site, sites } from '../support/check-site'
import { startFakeClamd } from '../support/clamd/fake-clamd'
import { TemporaryDirectory } from '../support/process'

const isRoot = process.geteuid?.() === 0

test('each fault of a quarantine, and the line to add', async (t) => {
  const fake = await startFakeClamd({ protocols: ['INSTREAM'] })
  t.after(() => fake.stop())
  const ini = `host=${addressText(fake.address)}\nmax_signature_age=0\n`
  const told = async (files: Record<string, string>, ...expected: RegExp[]) => {
    const ran = await check(site({ 'clamav-stream.ini': ini, ...files }), '--quick')
    for (const pattern of expected) assert.match(ran.text, pattern)
    return ran.code
  }
  const keeping = `${ini}[infected]\naction=quarantine reject\n`
  const plugins = 'clamav-stream\nqueue/quarantine\n'
  assert.equal(
    await told(
      { 'clamav-stream.ini': keeping, plugins, 'quarantine.ini': `quarantine_path=${sites.path}/none\n` },
      /^WARN +quarantine .*\/none does not exist/m,
    ),
    1,
  )
  assert.equal(
    await told(
      { 'clamav-stream.ini': keeping, plugins, 'quarantine.ini': `quarantine_path=${sites.path}\n` },
      /^ok +quarantine .* is writable$/m,
    ),
    0,
  )
  writeFileSync(path.join(sites.path, 'infected'), '')
  assert.equal(
    await told(
      { 'clamav-stream.ini': keeping, plugins, 'quarantine.ini': `quarantine_path=${sites.path}\n` },
      /^FAIL +quarantine .*\/infected is not a folder \(EEXIST\): messages for the quarantine are deferred\n +-> install -d -o HARAKA -m 700 /m,
    ),
    2,
  )
  rmSync(path.join(sites.path, 'infected'))
  const here = { 'clamav-stream.ini': keeping, plugins, 'quarantine.ini': `quarantine_path=${sites.path}\n` }
  for (const name of ['infected', 'tmp']) {
    symlinkSync('.', path.join(sites.path, name))
    const link = new RegExp(
      `^FAIL +quarantine .*/${name} is a symbolic link: messages for the quarantine are deferred$`,
      'm',
    )
    assert.equal(await told(here, link), 2)
    rmSync(path.join(sites.path, name))
  }
  mkdirSync(path.join(sites.path, 'infected'), { mode: 0o700 })
  mkdirSync(path.join(sites.path, 'tmp'))
  chmodSync(path.join(sites.path, 'tmp'), 0o777)
  assert.equal(await told(here, /^WARN +quarantine .*\/tmp is writable for all users/m), 1)
  chmodSync(path.join(sites.path, 'tmp'), 0o700)
  for (const [mode, code] of [
    [0o755, 1],
    [0o750, 0],
  ] as const) {
    chmodSync(path.join(sites.path, 'infected'), mode)
    assert.equal(await told(here), 0, 'the folder above is closed')
    chmodSync(sites.path, 0o711)
    assert.equal(
      await told(
        here,
        code === 0 ? /is writable$/m : /^WARN +quarantine .*\/infected is readable for all users$/m,
      ),
      code,
    )
    chmodSync(sites.path, 0o700)
  }
  chmodSync(path.join(sites.path, 'infected'), 0o700)
  if (isRoot) {
    chownSync(path.join(sites.path, 'infected'), 65534, 65534)
    assert.equal(
      await told(here, /^FAIL +quarantine .*\/infected belongs to nobody: messages .* deferred$/m),
      2,
    )
    chownSync(path.join(sites.path, 'infected'), 0, 0)
  }
  assert.equal(
    await told(
      { 'clamav-stream.ini': keeping, plugins, 'smtp.ini': 'user=who-is-this\n' },
      /^note +quarantine +cannot check whether who-is-this may write to .*$/m,
    ),
    isRoot ? 2 : 0,
  )
  assert.equal(
    await told(
      { 'clamav-stream.ini': `${ini}[attachments]\naction=quarantine\n` },
      /^ok +quarantine +no rule quarantines/m,
    ),
    0,
    'nothing is denied',
  )
})

test(
  'a unix socket, with the permissions of Haraka',
  { skip: isRoot ? false : 'only root can be another' },
  async (t) => {
    const place = new TemporaryDirectory('check-socket')
    t.after(() => place.remove())
    for (const folder of [place.path, sites.path]) chmodSync(folder, 0o755)
    const socket = path.join(place.path, 'clamd.sock')
    const fake = await startFakeClamd({ path: socket, protocols: ['INSTREAM'] })
    t.after(() => fake.stop())
    const nogroup = Number(/^nogroup:[^:]*:(\d+):/m.exec(readFileSync('/etc/group', 'utf8'))?.[1])
    chownSync(socket, 0, nogroup)
    const told = async (mode: number, smtpIni: string) => {
      chmodSync(socket, mode)
      const ini = `host=${socket}\nmax_signature_age=0\n`
      return check(site({ 'clamav-stream.ini': ini, 'smtp.ini': smtpIni }), '--quick')
    }
    assert.equal((await told(0o600, '')).code, 0, 'as root')
    const unknown = await told(0o666, 'user=who-is-this\n')
    assert.match(unknown.text, /^FAIL +smtp\.ini +Haraka cannot become its user and group: .*who-is-this/m)
    assert.equal(unknown.code, 2)
    const shut = await told(0o660, 'user=nobody\n')
    assert.match(
      shut.text,
      /^FAIL .*connect: no connection \(EACCES\), as user nobody \(user in smtp\.ini\)\n +-> set LocalSocketGroup/m,
    )
    assert.equal(shut.code, 2)
    for (const [mode, smtpIni] of [
      [0o660, 'user=nobody\ngroup=nogroup\n'],
      [0o666, 'user=nobody\n'],
    ] as const) {
      const open = await told(mode, smtpIni)
      assert.match(open.text, /^ok .*finds the EICAR test file$/m, smtpIni)
      assert.equal(open.code, 0, open.text)
    }
  },
)

test(
  'copies, with the permissions of Haraka',
  { skip: isRoot ? false : 'only root can be another' },
  async (t) => {
    const fake = await startFakeClamd({ protocols: ['INSTREAM'] })
    t.after(() => fake.stop())
    chmodSync(sites.path, 0o755)
    const nobody = 65534
    const told = async (make: (base: string) => void, smtpIni: string) => {
      const place = new TemporaryDirectory('check-copies')
      t.after(() => place.remove())
      chmodSync(place.path, 0o755)
      const base = path.join(place.path, 'quarantine')
      make(base)
      const entries = () => readdirSync(place.path, { recursive: true, encoding: 'utf8' }).sort()
      const before = entries()
      const directory = site({
        plugins: 'clamav-stream\nqueue/quarantine\n',
        'clamav-stream.ini': `host=${addressText(fake.address)}\nmax_signature_age=0\n[infected]\naction=quarantine reject\n`,
        'quarantine.ini': `quarantine_path=${base}\n`,
        'smtp.ini': smtpIni,
      })
      const ran = await check(directory, '--quick')
      assert.deepEqual(entries(), before, 'something was left')
      return { ...ran, base }
    }
    const folder = (directory: string, uid: number, mode = 0o700) => {
      mkdirSync(directory, { mode })
      chownSync(directory, uid, uid)
    }
    const ownBy = (uids: Record<string, number>) => (base: string) => {
      for (const [name, uid] of Object.entries(uids)) folder(path.join(base, name), uid)
    }
    const today = () => new Date().toLocaleDateString('sv').replaceAll('-', '')
    const unusable = {
      // As Haraka's master leaves it.
      tmp: ownBy({ '': nobody, tmp: 0 }),
      infected: ownBy({ '': nobody, tmp: nobody, infected: 0 }),
      [`infected/${today()}`]: ownBy({
        '': nobody,
        tmp: nobody,
        infected: nobody,
        [`infected/${today()}`]: 0,
      }),
      '': (base: string) => {
        folder(base, 0, 0o711)
        for (const name of ['tmp', 'infected']) folder(path.join(base, name), nobody)
      },
    }
    for (const [name, make] of Object.entries(unusable)) {
      const { text, code, base } = await told(make, 'user=nobody\nnodes=2\n')
      const [line = '', remedy = ''] = text
        .split('\n')
        .flatMap((one, at, all) => (one.startsWith('FAIL') ? [one, all[at + 1] ?? ''] : []))
      assert.ok(
        line.includes(
          ` ${path.join(base, name)} cannot be read and written (EACCES) by nobody: messages for`,
        ),
        text,
      )
      assert.ok(remedy.includes(`-> install -d -o nobody -m 700 ${base} ${base}/tmp ${base}/infected`), text)
      assert.equal(code, 2)
    }
    const fresh = await told(ownBy({ '': nobody }), 'user=nobody\nnodes=2\n')
    assert.match(
      fresh.text,
      /^FAIL +quarantine .*\/tmp does not exist, and Haraka would create it as root, not as nobody/m,
    )
    assert.equal(fresh.code, 2)
    for (const [make, smtpIni] of [
      [ownBy({ '': nobody }), 'user=nobody\n'],
      [ownBy({ '': nobody, tmp: nobody }), 'user=nobody\nnodes=2\n'],
      [ownBy({ '': nobody, tmp: nobody, infected: nobody }), 'user=nobody\nnodes=2\n'],
    ] as const) {
      const { text, code } = await told(make, smtpIni)
      assert.match(text, /^ok +quarantine +.*\/infected is writable by nobody$/m)
      assert.equal(code, 0, text)
    }
  },
)

test(
  'settings that Haraka can read at start alone',
  { skip: isRoot ? false : 'only root can be another' },
  async (t) => {
    const fake = await startFakeClamd({ protocols: ['INSTREAM'] })
    t.after(() => fake.stop())
    chmodSync(sites.path, 0o755)
    const told = async (smtpIni: string, mode: number) => {
      const directory = site({
        'clamav-stream.ini': `host=${addressText(fake.address)}\nmax_signature_age=0\n`,
        'smtp.ini': smtpIni,
      })
      const ini = path.join(directory, 'config', 'clamav-stream.ini')
      chmodSync(ini, mode)
      return { ...(await check(directory, '--quick')), ini }
    }
    for (const [smtpIni, remedy] of [
      ['user=nobody\ngroup=nogroup\n', (ini: string) => `chgrp nogroup ${ini} && chmod g+r ${ini}`],
      ['user=nobody\n', (ini: string) => `chown nobody ${ini}`],
    ] as const) {
      const { text, code, ini } = await told(smtpIni, 0o600)
      assert.match(
        text,
        /^WARN +config +clamav-stream\.ini cannot be read by nobody \(EACCES\): changes of it have no effect until a restart$/m,
      )
      assert.ok(text.includes(`-> ${remedy(ini)}\n`), text)
      assert.equal(code, 1)
    }
    for (const [smtpIni, mode] of [
      ['user=nobody\n', 0o644],
      ['', 0o600],
    ] as const)
      assert.equal((await told(smtpIni, mode)).code, 0)
  },
)

test(
  'the outbound queue, where reports and notices are sent',
  { skip: isRoot ? false : 'only root can be another' },
  async (t) => {
    const fake = await startFakeClamd({ protocols: ['INSTREAM'] })
    t.after(() => fake.stop())
    chmodSync(sites.path, 0o755)
    const ini = `host=${addressText(fake.address)}\nmax_signature_age=0\n`
    const told = async (more: string, owner: number | null) => {
      const directory = site({ 'clamav-stream.ini': `${ini}${more}`, 'smtp.ini': 'user=nobody\n' })
      const queue = path.join(directory, 'queue')
      if (owner !== null) {
        mkdirSync(queue)
        chownSync(queue, owner, owner)
      }
      const ran = await check(directory, '--quick')
      assert.deepEqual(owner === null ? [] : readdirSync(queue), [])
      return { ...ran, queue }
    }
    const bouncing = '[infected]\nauthenticated=bounce\n'
    const notifying = '[notify]\nto=postmaster@example.com\n'
    for (const more of [bouncing, notifying]) {
      const { text, code, queue } = await told(more, 0)
      assert.match(
        text,
        /^WARN +queue +.*\/queue cannot be written by nobody \(EACCES\): no report or notice can be sent$/m,
      )
      assert.ok(text.includes(`-> chown -R nobody ${queue}\n`), text)
      assert.equal(code, 1)
    }
    // As Haraka 3.3.4 leaves it after the first start.
    const none = await told(bouncing, null)
    assert.match(none.text, /^WARN +queue +.*\/queue does not exist, and Haraka would create it as root/m)
    assert.ok(none.text.includes(`-> install -d -o nobody -m 700 ${none.queue}\n`), none.text)
    assert.equal((await told(bouncing, 65534)).code, 0)
    assert.equal((await told('', 0)).code, 0)
  },
)
