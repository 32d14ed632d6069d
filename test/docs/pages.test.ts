// What the pages say of the code, and of one another: files, names, headings and figures that they mention are there.
import assert from 'node:assert/strict'
import { existsSync, readdirSync, readFileSync } from 'node:fs'
import path from 'node:path'
import { test } from 'node:test'
import { repository } from '../support/haraka/haraka-install'

/** Below `folder` and ending in `ending`, relative to the repository. */
function filesIn(folder: string, ending: string): string[] {
  return readdirSync(path.join(repository, folder), { recursive: true, encoding: 'utf8' })
    .filter((name) => name.endsWith(ending))
    .map((name) => path.posix.join(folder, name))
}

const read = (name: string) => readFileSync(path.join(repository, name), 'utf8')
const found = (text: string, pattern: RegExp) => [...text.matchAll(pattern)].map(([, part = '']) => part)

const architecture = read('docs/internals/architecture.md')
const library = filesIn('lib', '.ts')
const programs = ['index.ts', ...library, ...filesIn('bin', '.ts')]
const code = [...programs, ...filesIn('lib', '.js')].map(read).join('\n')

test('docs/internals/architecture.md names files and folders that exist, and every folder of lib/', () => {
  const all = [...programs, ...['test', 'bench', 'scripts'].flatMap((folder) => filesIn(folder, '.ts'))]
  const named = [...new Set(found(architecture, /(?<![\w*-])([\w/-]+(?:\.test|\.d)?\.ts)\b/g))]
  assert.ok(named.length > 25)
  assert.deepEqual(
    named.filter((name) => !all.some((file) => file === name || file.endsWith(`/${name}`))),
    [],
  )
  const folders = [...new Set(library.map((file) => `${path.posix.dirname(file)}/`))]
  const described = [...new Set(found(architecture, /`(lib\/[\w/-]+\/)`/g))]
  assert.deepEqual(
    described.filter((folder) => !folders.includes(folder)),
    [],
    'which folder is not there?',
  )
  assert.deepEqual(
    folders.filter((folder) => folder !== 'lib/' && !described.includes(folder)),
    [],
    'which folder is not in the picture?',
  )
})

test('the types that docs/internals/architecture.md shows are exported under their names', () => {
  const [block = ''] = found(architecture, /```ts\n([\s\S]*?)```/g)
  const names = [...new Set(found(block.replaceAll(/\/\/.*/g, ''), /\b([A-Z]\w+)/g))]
  assert.ok(names.includes('Address') && names.includes('Verdict'))
  const exported = new Set(
    found(
      library.map(read).join('\n'),
      /^export (?:abstract )?(?:type|interface|class|const|function) (\w+)/gm,
    ),
  )
  assert.deepEqual(
    names.filter((name) => !['Promise', 'Buffer'].includes(name) && !exported.has(name)),
    [],
  )
})

test('names in docs/internals/architecture.md are names of the code', () => {
  const words = new Set(code.match(/#?\w+/g))
  const marked = found(architecture, /`(#?[A-Za-z]\w*(?:\.[A-Za-z]\w*)*)`/g)
  // Written as the code writes them; others are words of Haraka, of clamd, or of an administrator.
  const names = marked.filter((name) => /[a-z][A-Z]|^[A-Z][a-z]/.test(name) && !name.endsWith('.ts'))
  assert.ok(names.includes('HostPool.take'))
  assert.deepEqual(
    names.filter((name) => name.split('.').some((word) => !words.has(word))),
    [],
  )
})

const pages = [
  'README.md',
  'CHANGELOG.md',
  'CONTRIBUTING.md',
  'SECURITY.md',
  ...['docs', 'examples', 'test', 'bench'].flatMap((folder) => filesIn(folder, '.md')),
]

/** As GitHub names the heading. */
const anchorOf = (heading: string) =>
  heading
    .toLowerCase()
    .replaceAll(/[^\w\- ]/g, '')
    .replaceAll(' ', '-')

test('every link from a page leads to a file, and to a heading that is in it', () => {
  for (const page of pages) {
    for (const link of found(read(page), /\]\(([^)\s]+)\)/g).filter((link) => !/^[a-z]+:/.test(link))) {
      const [file = '', heading] = link.split('#')
      const target = file === '' ? page : path.posix.join(path.posix.dirname(page), file)
      assert.ok(existsSync(path.join(repository, target)), `${page}: ${link}`)
      if (heading === undefined) continue
      const headings = found(read(target), /^#+ (.*)$/gm).map(anchorOf)
      assert.ok(headings.includes(heading), `${page}: ${link}`)
    }
  }
})

test('the README knows every page of the manual, and how many messages met a fault', () => {
  const readme = read('README.md')
  const manual = filesIn('docs', '.md')
  assert.ok(manual.includes('docs/guide/install.md'))
  assert.deepEqual(
    manual.filter((name) => !readme.includes(name)),
    [],
  )
  const sum = new Map(
    [...read('docs/reports/reliability.md').matchAll(/^\| (.*?) +\| (\d+)/gm)].map(([, what = '', count]) => [
      what,
      count,
    ]),
  )
  assert.ok(readme.includes(`${sum.get('messages that met a fault')} messages met a clamd that failed`))
  for (const none of ['delivered without a verdict of a clamd', 'answered 250 and not delivered']) {
    assert.equal(sum.get(none), '0')
  }
})
