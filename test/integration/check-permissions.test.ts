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
    chmodSync(place.path, 0o755)
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
