// The packed package as an administrator gets it: `npm pack` of this repository, installed beside a Haraka in a
// directory of its own. The result is kept in .lab/ under a hash of everything that went in, so that all test
// processes share one installation and a changed source makes a new one.
import { createHash } from 'node:crypto'
import {
  cpSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
} from 'node:fs'
import { statSync, symlinkSync, utimesSync, writeFileSync } from 'node:fs'
import path from 'node:path'
import { run } from '../process'

export interface HarakaInstall {
  /** The directory of the Haraka package. */
  haraka: string
  /** The packed package, as it is published. */
  tarball?: string
  /** A plugin package outside that directory's reach, linked into each site. */
  linked?: string
}

export interface InstallOptions {
  /** Further packages, such as `haraka-plugin-karma`, in the versions package-lock.json has. */
  packages?: string[]
}

export const repository = path.resolve(__dirname, '..', '..', '..')
const lab = path.join(repository, '.lab')
/** What is not packed and takes no part in building. */
const leftOut = new Set(['.git', '.github', '.lab', '.ci', 'node_modules', 'dist', 'test', 'bench'])
const tarballName = 'package.tgz'
const keptForMs = 60 * 60 * 1000

const installs = new Map<string, Promise<HarakaInstall>>()

/** A Haraka with the packed plugin; the first call after a change of the sources takes some seconds. */
export function installHaraka(options: InstallOptions = {}): Promise<HarakaInstall> {
  const wanted = [harakaSpec(), ...(options.packages ?? []).map(lockedSpec)]
  const known = installs.get(wanted.join(' '))
  if (known) return known
  const install = findOrInstall(wanted)
  installs.set(wanted.join(' '), install)
  return install
}

/** The Haraka and the plugin of this very checkout, as built, without packing or installing. */
export function checkoutHaraka(): HarakaInstall {
  return { haraka: path.join(repository, 'node_modules', 'Haraka'), linked: repository }
}

async function findOrInstall(wanted: string[]): Promise<HarakaInstall> {
  const sources = readdirSync(repository).filter((name) => !leftOut.has(name) && !name.endsWith('.tgz'))
  const target = path.join(lab, `haraka-${fingerprint(sources, wanted)}`)
  if (!existsSync(target)) {
    mkdirSync(lab, { recursive: true })
    const staging = mkdtempSync(path.join(lab, 'staging-'))
    try {
      await install(staging, await pack(staging, sources), wanted)
      publish(path.join(staging, 'install'), target)
    } finally {
      rmSync(staging, { recursive: true, force: true })
    }
  }
  const now = new Date()
  utimesSync(target, now, now)
  removeOld()
  return { haraka: path.join(target, 'node_modules', 'Haraka'), tarball: path.join(target, tarballName) }
}

/** Packs a copy, because building in place would pull `dist` from under other test processes. */
async function pack(staging: string, sources: string[]): Promise<string> {
  const copy = path.join(staging, 'sources')
  mkdirSync(copy)
  for (const name of sources) cpSync(path.join(repository, name), path.join(copy, name), { recursive: true })
  symlinkSync(path.join(repository, 'node_modules'), path.join(copy, 'node_modules'))
  await npm(copy, ['pack', '--pack-destination', staging])
  const tarball = readdirSync(staging).find((name) => name.endsWith('.tgz'))
  if (tarball === undefined) throw new Error('npm pack left no tarball')
  return path.join(staging, tarball)
}

async function install(staging: string, tarball: string, wanted: string[]): Promise<void> {
  const directory = path.join(staging, 'install')
  mkdirSync(directory)
  writeFileSync(path.join(directory, 'package.json'), '{ "name": "site", "private": true }\n')
  // No scripts and no optional packages: nothing here needs a compiler.
  const options = [
    '--prefer-offline',
    '--no-audit',
    '--no-fund',
    '--ignore-scripts',
    '--omit=optional',
    '--no-save',
  ]
  await npm(directory, ['install', ...options, tarball, ...wanted])
  renameSync(tarball, path.join(directory, tarballName))
}

/** Another process may have published the same thing first; either is as good. */
function publish(from: string, to: string): void {
  try {
    renameSync(from, to)
  } catch (error) {
    if (!existsSync(to)) throw error
  }
}

function removeOld(): void {
  for (const name of readdirSync(lab)) {
    const directory = path.join(lab, name)
    const { mtimeMs = Date.now() } = statSync(directory, { throwIfNoEntry: false }) ?? {}
    const ours = name.startsWith('haraka-') || name.startsWith('staging-')
    if (ours && Date.now() - mtimeMs > keptForMs) rmSync(directory, { recursive: true, force: true })
  }
}

async function npm(cwd: string, args: string[]): Promise<void> {
  const { code, output } = await run('npm', args, { cwd })
  if (code !== 0) throw new Error(`npm ${args[0] ?? ''} failed:\n${output}`)
}

function fingerprint(sources: string[], wanted: string[]): string {
  const hash = createHash('sha256').update(JSON.stringify([wanted, process.version]))
  const addFile = (file: string) =>
    hash.update(`\0${file}\0`).update(readFileSync(path.join(repository, file)))
  const add = (name: string) => {
    if (statSync(path.join(repository, name)).isFile()) addFile(name)
    else for (const inner of readdirSync(path.join(repository, name)).sort()) add(path.join(name, inner))
  }
  for (const name of [...sources].sort()) add(name)
  return hash.digest('hex').slice(0, 16)
}

/** HARAKA_VERSION tries the tests on another Haraka than the locked one. */
function harakaSpec(): string {
  return process.env.HARAKA_VERSION ? `Haraka@${process.env.HARAKA_VERSION}` : lockedSpec('Haraka')
}

interface Lockfile {
  packages: Record<string, { version?: string } | undefined>
}

function lockedSpec(name: string): string {
  const lock = JSON.parse(readFileSync(path.join(repository, 'package-lock.json'), 'utf8')) as Lockfile
  const version = lock.packages[`node_modules/${name}`]?.version
  if (version === undefined) throw new Error(`${name} is not in package-lock.json`)
  return `${name}@${version}`
}
