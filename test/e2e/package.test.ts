// The tarball as it would be published: what is in it and what is not, that its types hold for CommonJS and for ES
// modules, and that it needs the packages it names, each of them and no others.
import assert from 'node:assert/strict'
import { mkdirSync, readFileSync, symlinkSync, writeFileSync } from 'node:fs'
import { builtinModules } from 'node:module'
import path from 'node:path'
import { test } from 'node:test'
import type { Package } from '@arethetypeswrong/core'
import { parseAction } from '../../lib/policy/action'
import { type HarakaInstall, installHaraka, repository } from '../support/haraka/haraka-install'
import { run, TemporaryDirectory } from '../support/process'

const name = 'haraka-plugin-clamav-stream'
/** Packed: a tenth more than it was when this was written. */
const maxBytes = 520_000

/** Every file has to be of one of these kinds, and of each kind there has to be one. */
const kinds: Record<string, RegExp> = {
  'the manifest': /^package\.json$/,
  'texts beside it': /^(README|CHANGELOG|SECURITY)\.md$|^LICENSE$/,
  'the program': /^dist\/(index|lib\/[\w/-]+)\.js$/,
  'the command': /^dist\/bin\/[\w/-]+\.js$/,
  'its types': /^dist\/lib\/policy\/note\.d\.ts$/,
  'the page':
    /^dist\/lib\/monitoring\/dashboard\/page\/([\w-]+\.(html|css|js)|package\.json|uplot\.LICENSE|runbook\.md)$/,
  'settings by default': /^config\/clamav-stream\.(ini|signatures|exempt)$/,
  'the guide': /^docs\/guide\/[\w-]+\.md$/,
  'the reference': /^docs\/reference\/[\w-]+\.md$/,
  'the reports': /^docs\/reports\/[\w-]+\.md$/,
  'the threat model': /^docs\/internals\/threat-model\.md$/,
  'pictures beside their pages': /^docs\/(guide|reports|internals)\/[\w-]+\.(svg|png)$/,
  'alert rules and a dashboard': /^docs\/(prometheus\/[\w-]+\.rules\.yml|grafana\/[\w-]+\.json)$/,
  'an example': /^examples\/[\w/.-]+$/,
}

// ES modules alone, so not for a static import from here.
const attw = import('@arethetypeswrong/core')
const linter = import('publint')

async function open(): Promise<{ install: HarakaInstall; tarball: Buffer<ArrayBuffer>; pack: Package }> {
  const install = await installHaraka()
  const tarball = readFileSync(install.tarball ?? assert.fail('no tarball'))
  return { install, tarball, pack: (await attw).createPackageFromTarballData(new Uint8Array(tarball)) }
}

/** Served to a browser as it is. */
const isOfPage = (file: string) => file.includes('/dashboard/page/')

/** Paths in the package. */
function filesOf(pack: Package): string[] {
  return pack.listFiles().map((file) => file.replace(`/node_modules/${name}/`, ''))
}

test('the tarball has what it needs and no more', async () => {
  const { tarball, pack } = await open()
  const files = filesOf(pack)
  for (const [kind, pattern] of Object.entries(kinds)) {
    assert.ok(
      files.some((file) => pattern.test(file)),
      `${kind} is missing`,
    )
  }
  assert.deepEqual(
    files.filter((file) => !Object.values(kinds).some((pattern) => pattern.test(file))),
    [],
    'what is that?',
  )
  assert.ok(tarball.byteLength < maxBytes, `${tarball.byteLength} bytes`)
})

test('every link from its pages to a file leads to a file in it', async () => {
  const { pack } = await open()
  const files = filesOf(pack)
  const folders = new Set(files.map((file) => path.posix.dirname(file)))
  for (const page of files.filter((file) => file.endsWith('.md') && !isOfPage(file))) {
    const text = pack.readFile(`/node_modules/${name}/${page}`)
    for (const [, link = ''] of text.matchAll(/(?:\]\(|(?:src|srcset|href)=")([^)"#\s]+)(?:#[^)"]*)?[)"]/g)) {
      if (/^[a-z]+:/.test(link)) continue
      const target = path.posix.normalize(path.posix.join(path.posix.dirname(page), link)).replace(/\/$/, '')
      assert.ok(files.includes(target) || folders.has(target), `${page} links to ${link}`)
    }
  }
})

test('its types are found, and true, however it is imported', async () => {
  const { tarball, pack } = await open()
  const result = await (await attw).checkPackage(pack)
  assert.ok(result.types, 'it has no types')
  assert.deepEqual(result.problems, [])

  const { messages } = await (await linter).publint({ pack: { tarball: tarball.buffer } })
  const complaints = messages.filter(({ type }) => type !== 'suggestion')
  assert.deepEqual(complaints, [])
})

const rule = `
import type { ActionText, Note, Protocol, Reason } from '${name}'
export function judge(note: Note, words: string): Reason | Protocol | string | null {
  if (note.outcome === 'infected') {
    note.action = 'tag'
    const virus: string = note.virus
    return virus
  }
  if (note.outcome === 'unscanned') {
    const reason: Reason = note.reason
    // @ts-expect-error Any text is no action.
    note.action = words
    return reason
  }
  // @ts-expect-error There is no such outcome.
  return note.outcome === 'suspicious' ? note.virus : note.protocol
}
export const actions: ActionText[] = []
`

/** Of some words every choice and order of up to three. */
function orders(words: readonly string[], maxBytes = 3): string[] {
  if (maxBytes === 0) return []
  return words.flatMap((word) => {
    const others = words.filter((one) => one !== word)
    return [word, ...orders(others, maxBytes - 1).map((rest) => `${word} ${rest}`)]
  })
}

/** The rule, with everything that is an action written into the note, and what is none refused. */
const rules = [
  rule,
  ...orders(['accept', 'tag', 'reject', 'defer', 'discard', 'quarantine', 'bounce', 'tga']).map((words) =>
    parseAction(words) ? `actions.push('${words}')` : `// @ts-expect-error\nactions.push('${words}')`,
  ),
].join('\n')

for (const [module, type, files] of [
  ['node16', 'commonjs', ['rule.cts', 'rule.mts', 'rule.ts']],
  ['nodenext', 'module', ['rule.cts', 'rule.mts', 'rule.ts']],
  ['preserve', 'module', ['rule.ts']],
] as const) {
  test(`a rule in TypeScript compiles with nothing but the package: ${module}, ${type}`, async (t) => {
    const { install } = await open()
    const directory = new TemporaryDirectory('rule')
    t.after(() => directory.remove())
    const modules = path.join(directory.path, 'node_modules')
    mkdirSync(modules)
    symlinkSync(path.join(path.dirname(install.haraka), name), path.join(modules, name))
    const write = (file: string, text: string) => writeFileSync(path.join(directory.path, file), text)
    for (const file of files) write(file, rules)
    write('package.json', JSON.stringify({ type }))
    const compilerOptions = { module, strict: true, noEmit: true, skipLibCheck: false, types: [] }
    write('tsconfig.json', JSON.stringify({ compilerOptions, files }))
    const tsc = path.join(repository, 'node_modules', 'typescript', 'bin', 'tsc')
    const { code, output } = await run(process.execPath, [tsc], { cwd: directory.path })
    assert.equal(code, 0, output)
  })
}

test('the README asks for the Node and the Haraka that the manifest does', async () => {
  const { pack } = await open()
  const read = (file: string) => pack.readFile(`/node_modules/${name}/${file}`)
  const { engines } = JSON.parse(read('package.json')) as { engines: { node: string; haraka: string } }
  assert.ok(read('README.md').includes(`Node ${engines.node.slice(2)} or later`))
  assert.ok(read('README.md').includes(`Haraka ${engines.haraka.slice(2)} or later`))
})

test('it names every package it requires, and requires every package it names', async () => {
  const { pack } = await open()
  const manifest = JSON.parse(pack.readFile(`/node_modules/${name}/package.json`)) as {
    dependencies: Record<string, string>
  }
  const required = filesOf(pack)
    .filter((file) => file.endsWith('.js') && !isOfPage(file))
    .flatMap((file) => [
      ...pack
        .readFile(`/node_modules/${name}/${file}`)
        .matchAll(/\b(?:require|import|load)\(["']([^"'.][^"']*)["']\)/g),
    ])
    .map(([, module = '']) => module)
    .filter((module) => !module.startsWith('node:') && !builtinModules.includes(module))
    .map((module) => /^(@[^/]+\/)?[^/]+/.exec(module)?.[0] ?? module)
  assert.deepEqual([...new Set(required)].sort(), Object.keys(manifest.dependencies).sort())
})
