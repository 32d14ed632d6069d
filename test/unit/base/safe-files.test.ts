// Files in folders where another user swaps names while they are opened, created and removed.
import assert from 'node:assert/strict'
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import {
  chmodSync,
  chownSync,
  constants,
  existsSync,
  linkSync,
  lstatSync,
  mkdirSync,
  readFileSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs'
import path from 'node:path'
import { test, type TestContext } from 'node:test'
import { inFolder, openRegular, reading, UnsafePath } from '../../../lib/base/safe-files'
import { run, TemporaryDirectory } from '../../support/process'

const isRoot = process.getuid?.() === 0
const nobody = 65534
/** Only Linux lets Node look up names in an open folder. */
const canHold = { skip: isRoot && process.platform === 'linux' ? false : 'needs a second user, on Linux' }

function temporary(t: TestContext): string {
  const directory = new TemporaryDirectory('safe')
  t.after(() => directory.remove())
  chmodSync(directory.path, 0o755)
  return directory.path
}

const unsafe = (why: RegExp) => (error: unknown) => error instanceof UnsafePath && why.test(error.message)
const text = (root: string, below: string, name: string) =>
  inFolder(root, below, (folder) => folder.text(name))

test('only a regular file of ours with one name is opened, and nothing waits', async (t) => {
  const root = temporary(t)
  const at = (name: string) => path.join(root, name)
  writeFileSync(at('file'), 'text')
  assert.equal(await text(root, '', 'file'), 'text')
  symlinkSync(at('file'), at('link'))
  symlinkSync(at('nowhere'), at('dangling'))
  mkdirSync(at('folder'))
  await run('mkfifo', [at('pipe')])
  writeFileSync(at('one'), '')
  linkSync(at('one'), at('other'))
  const refused: Record<string, RegExp> = {
    link: /\/link: is a symbolic link, not a regular file$/,
    dangling: /is a symbolic link/,
    folder: /is a folder/,
    pipe: /is a pipe/,
    other: /has 2 names/,
    '..': /is no name in/,
    'folder/file': /is no name in/,
    '': /is no name in/,
  }
  const { O_RDONLY, O_RDWR, O_CREAT, O_APPEND } = constants
  for (const [name, why] of Object.entries(refused))
    for (const flags of [O_RDONLY, O_RDWR | O_CREAT | O_APPEND]) {
      const opening = inFolder(root, '', (folder) => folder.open(name, flags))
      await assert.rejects(opening, unsafe(why), name)
    }
  assert.ok(!existsSync(at('nowhere')))
  await assert.rejects(text(root, '', 'missing'), {
    code: 'ENOENT',
    message: new RegExp(`'${at('missing')}'`),
  })
  await assert.rejects(
    inFolder(root, '', (folder) => folder.text('file', 3)),
    unsafe(/is too large \(4 bytes\)/),
  )
  if (!isRoot) return
  for (const name of ['file', 'folder']) chownSync(at(name), nobody, nobody)
  await assert.rejects(
    text(root, '', 'file'),
    unsafe(/belongs to the user with id 65534, not to that with id 0/),
  )
  await assert.rejects(text(root, 'folder', 'file'), unsafe(/belongs to the user with id 65534/))
})

test('below the root no link is followed, and none is made into a folder', async (t) => {
  const root = temporary(t)
  const outside = temporary(t)
  writeFileSync(path.join(outside, 'file'), 'outside')
  mkdirSync(path.join(root, 'a'))
  symlinkSync(outside, path.join(root, 'a', 'link'))
  await assert.rejects(text(root, 'a/link', 'file'), unsafe(/a\/link: is a symbolic link, not a folder/))
  await assert.rejects(
    inFolder(root, 'a/link/new', () => Promise.resolve(), true),
    unsafe(/is a symbolic link/),
  )
  assert.ok(!existsSync(path.join(outside, 'new')))
  await inFolder(
    root,
    'a/b/c',
    (folder) => folder.open('file', constants.O_WRONLY | constants.O_CREAT).then((file) => file.close()),
    true,
  )
  assert.equal(lstatSync(path.join(root, 'a/b/c')).mode & 0o777, 0o700)
  assert.equal(lstatSync(path.join(root, 'a/b/c/file')).mode & 0o777, 0o600)
  // The way to the root is the administrator's.
  symlinkSync(outside, path.join(root, 'way'))
  assert.equal(await text(path.join(root, 'way'), '', 'file'), 'outside')
})

/** Another user makes `root/day` a folder and a link to `outside`, in turn, as fast as it can, while `work` goes on. */
async function swapping(root: string, outside: string, work: () => Promise<void>): Promise<void> {
  const script = `
    const fs = require('node:fs')
    process.chdir(process.argv[1])
    fs.symlinkSync(process.argv[2], 'link')
    process.stdout.write('begun')
    for (;;) {
      fs.renameSync('day', 'real'); fs.renameSync('link', 'day')
      fs.renameSync('day', 'link'); fs.renameSync('real', 'day')
    }`
  const child = spawn(process.execPath, ['-e', script, root, outside], {
    uid: nobody,
    gid: nobody,
    stdio: ['ignore', 'pipe', 'inherit'],
    timeout: 60_000,
    killSignal: 'SIGKILL',
  })
  const ended = once(child, 'exit')
  try {
    await once(child.stdout, 'data')
    await work()
  } finally {
    child.kill('SIGKILL')
    await ended
  }
}

test('a folder that is swapped for a link all the time leads nowhere', canHold, async (t) => {
  const root = temporary(t)
  const outside = temporary(t)
  for (const folder of [path.join(root, 'day'), outside]) mkdirSync(folder, { recursive: true })
  // Another user may rename here what is root's.
  chmodSync(root, 0o777)
  writeFileSync(path.join(root, 'day', 'file'), 'kept')
  writeFileSync(path.join(outside, 'file'), 'secret')
  await swapping(root, outside, async () => {
    const seen = { kept: 0, refused: 0 }
    const until = performance.now() + 3000
    for (let i = 0; performance.now() < until || seen.kept === 0 || seen.refused === 0; i++) {
      assert.ok(performance.now() < until + 30_000, JSON.stringify(seen))
      try {
        const found = await inFolder(root, 'day', async (folder) => {
          const content = await folder.text('file')
          const made = await folder.open(`new${i}`, constants.O_WRONLY | constants.O_CREAT | constants.O_EXCL)
          await made.close()
          await folder.rename(`new${i}`, 'file')
          await folder.remove('file')
          const kept = await folder.open('file', constants.O_WRONLY | constants.O_CREAT)
          await kept.writeFile('kept').finally(() => kept.close())
          return content
        })
        assert.equal(found, 'kept')
        seen.kept++
      } catch (error) {
        const { code = '' } = error as NodeJS.ErrnoException
        if (!(error instanceof UnsafePath) && !['ENOENT', 'ELOOP', 'ENOTDIR'].includes(code)) throw error
        seen.refused++
      }
      // What was outside still is there, and as it was.
      assert.equal(readFileSync(path.join(outside, 'file'), 'utf8'), 'secret')
      assert.ok(!existsSync(path.join(outside, `new${i}`)))
    }
  })
})

test('a stream opens the file for its first byte, and closes it however it ends', async (t) => {
  const root = temporary(t)
  const bytes = Buffer.alloc(200_000, 'abcdefg')
  writeFileSync(path.join(root, 'file'), bytes)
  let closed = 0
  let opened = 0
  const opening = async () => {
    const handle = await inFolder(root, '', (folder) => folder.open('file'))
    opened++
    const close = handle.close.bind(handle)
    handle.close = () => close().finally(() => closed++)
    return handle
  }
  assert.ok(Buffer.concat((await reading(opening).toArray()) as Buffer[]).equals(bytes))
  assert.ok(
    Buffer.concat((await reading(opening, 7, 70_001).toArray()) as Buffer[]).equals(
      bytes.subarray(7, 70_001),
    ),
  )
  assert.equal(Buffer.concat((await reading(opening, 7, 7).toArray()) as Buffer[]).length, 0)
  const broken = reading(opening)
  await once(broken, 'readable')
  broken.destroy()
  await once(broken, 'close')
  assert.deepEqual([opened, closed], [4, 4])
  const unused = reading(opening)
  unused.destroy()
  await once(unused, 'close')
  assert.equal(opened, 4)
  const missing = reading(() => inFolder(root, '', (folder) => folder.open('missing')))
  await assert.rejects(missing.toArray(), { code: 'ENOENT' })
})

test('a file of any owner is opened if it is one, at the end of a link only if that was named', async (t) => {
  const root = temporary(t)
  const at = (name: string) => path.join(root, name)
  writeFileSync(at('file'), '')
  symlinkSync(at('file'), at('link'))
  await run('mkfifo', [at('pipe')])
  await (await openRegular(at('file'), false)).close()
  await (await openRegular(at('link'), true)).close()
  await assert.rejects(openRegular(at('link'), false), { code: 'ELOOP' })
  for (const isLinkFollowed of [true, false]) {
    await assert.rejects(openRegular(at('pipe'), isLinkFollowed), unsafe(/is a pipe/))
    await assert.rejects(openRegular(root, isLinkFollowed), unsafe(/is a folder/))
    await assert.rejects(openRegular('/dev/null', isLinkFollowed), unsafe(/is a device/))
  }
})
