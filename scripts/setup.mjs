// Sets up a fresh clone for start and tests: npm packages, the build, and a clamd. Each step prints one line if it has
// something to do, and else nothing. Plain JavaScript without npm packages, because these may be missing.
import { spawn, spawnSync } from 'node:child_process'
import { accessSync, constants, existsSync, readFileSync } from 'node:fs'
import { constants as os } from 'node:os'
import path from 'node:path'
import { setInterval } from 'node:timers'

export const repository = path.resolve(import.meta.dirname, '..')

const tenMinutesMs = 10 * 60 * 1000

/** Runs a step with its output on the terminal; false when it failed. */
export function runStep(command, args) {
  const { status, error } = spawnSync(command, args, {
    cwd: repository,
    stdio: ['ignore', 'inherit', 'inherit'],
  })
  if (error) console.error(`${command}: ${error.message}`)
  return status === 0
}

/** The same, beside other work: resolves with false when it failed. */
export function startStep(command, args) {
  const step = spawn(command, args, { cwd: repository, stdio: ['ignore', 'inherit', 'inherit'] })
  return new Promise((resolve) => {
    step.once('error', (error) => console.error(`${command}: ${error.message}`))
    step.once('close', (code) => resolve(code === 0))
  })
}

/** Makes a node process the rest of this one: it gets the signals sent here, and its exit code is ours. */
export function handOver(args, stdio) {
  const parent = process.ppid
  const child = spawn(process.execPath, args, { cwd: repository, stdio })
  for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP']) process.on(signal, () => child.kill(signal))
  // npm passes a signal to the shell between it and us, and a shell dies without passing it on. Only polling tells.
  setInterval(() => process.ppid === parent || child.kill('SIGTERM'), 500).unref()
  child.on('exit', (code, signal) => process.exit(code ?? 128 + os.signals[signal]))
}

/** Installs the npm packages unless exactly those of package-lock.json are there. */
export function ensurePackages() {
  const locked = readPackages('package-lock.json')
  const installed = readPackages('node_modules/.package-lock.json')
  if (installed && (!locked || sameVersions(locked, installed))) return
  // Without install scripts: nothing here needs one, and some would look for a compiler.
  const args = [locked ? 'ci' : 'install', '--ignore-scripts', '--no-audit', '--no-fund', '--loglevel=error']
  console.log(`Installing the npm packages (npm ${args[0]})`)
  if (!runStep('npm', args)) throw new Error(`npm ${args[0]} failed`)
}

function readPackages(file) {
  try {
    return JSON.parse(readFileSync(path.join(repository, file), 'utf8')).packages
  } catch {
    return undefined
  }
}

function sameVersions(locked, installed) {
  return Object.entries(locked)
    .filter(([where, { optional }]) => where.startsWith('node_modules/') && !optional)
    .every(([where, { version }]) => installed[where]?.version === version)
}

export function ensureBuild() {
  if (!runStep('npm', ['run', '--silent', 'build'])) throw new Error('npm run build failed')
}

/**
 * Packs the package and installs it beside a Haraka, for the end-to-end tests: on a slow machine that takes longer than
 * their limits allow. `node` runs it and gets `env`; the result is kept for an hour.
 */
export function ensureHaraka({ node = process.execPath, env = process.env } = {}) {
  const install = "require('./test/support/haraka/haraka-install').installHaraka()"
  const { status, stderr, error } = spawnSync(node, ['--import', 'tsx', '-e', install], {
    cwd: repository,
    env,
    encoding: 'utf8',
    timeout: tenMinutesMs,
  })
  if (status !== 0) throw new Error(`Haraka cannot be installed:\n${error?.message ?? stderr}`)
}

/** The path of the clamd to work with, which `CLAMD` may name, or undefined. */
export function findClamd() {
  return process.env.CLAMD || findProgram('clamd')
}

function findProgram(name) {
  const folders = (process.env.PATH ?? '').split(path.delimiter).filter(Boolean)
  return [...folders, '/usr/sbin', '/usr/local/sbin']
    .map((folder) => path.join(folder, name))
    .find((file) => isExecutable(file))
}

function isExecutable(file) {
  try {
    accessSync(file, constants.X_OK)
    return true
  } catch {
    return false
  }
}

/** Tells whether there is a clamd, after installing Debian's when there is none and we may. */
export function ensureClamd() {
  if (!findClamd()) installDebian(['clamav-daemon'])
  return findClamd() !== undefined
}

/**
 * Installs what the tests need from Debian's packages: clamd, the package of harmless sample files, openssl. In CI also a
 * browser for the page, and promtool for metrics and alerts: they are large, and one is a server of its own, so elsewhere
 * those tests are skipped.
 */
export function ensureTestTools() {
  const isBrowserThere = ['chromium', 'chromium-browser', 'google-chrome'].some(findProgram)
  const packages = [
    ...(findClamd() ? [] : ['clamav-daemon']),
    ...(findProgram('openssl') ? [] : ['openssl']),
    ...(existsSync('/usr/share/clamav-testfiles') ? [] : ['clamav-testfiles']),
    ...(process.env.CI && !isBrowserThere ? ['chromium'] : []),
    ...(process.env.CI && !findProgram('promtool') ? ['prometheus'] : []),
    ...(process.env.CI ? ['haproxy', 'stunnel4', 'zip'].filter((name) => !findProgram(name)) : []),
  ]
  if (packages.length > 0) installDebian(packages)
}

/**
 * Installs Postfix, clamav-milter and rspamd where that disturbs nothing: in a container, as root, and if no other mail
 * server is there, which Postfix would replace. The bench does without them otherwise.
 */
export function ensurePostfix() {
  const packages = ['postfix', 'clamav-milter', 'rspamd'].filter((name) => !findProgram(name))
  if (packages.length === 0) return
  const hasInit = existsSync('/run/systemd/system')
  const hasOther = packages.includes('postfix') && findProgram('sendmail')
  if (hasInit || hasOther || process.getuid?.() !== 0 || !succeeds('apt-get', ['--version'])) {
    console.log(`Not installed: ${packages.join(' ')}. Without them, Postfix is left out.`)
    return
  }
  // Without a configuration, nothing can start the package's own Postfix.
  const answer = 'postfix postfix/main_mailer_type select No configuration\n'
  quietly('debconf-set-selections', [], { input: answer, stdio: 'pipe' })
  installDebian(packages)
}

function installDebian(packages) {
  const names = packages.join(' ')
  const asRoot = rootPrefix()
  if (!asRoot || !succeeds('apt-get', ['--version'])) {
    console.log(`Not installed: ${names}. On Debian or Ubuntu: apt-get install ${names}`)
    return
  }
  console.log(`Installing ${names} (apt-get)`)
  const aptGet = [
    ...asRoot,
    'env',
    'DEBIAN_FRONTEND=noninteractive',
    'apt-get',
    '-o',
    'DPkg::Lock::Timeout=60',
  ]
  for (const args of [['update'], ['install', '-y', '--no-install-recommends', ...packages]]) {
    const [command, ...rest] = [...aptGet, ...args]
    const done = quietly(command, rest)
    // Stale lists may still do, so a failed update alone does not end it.
    if (done.status === 0 || args[0] === 'update') continue
    const output = `${done.stdout ?? ''}${done.stderr ?? ''}${done.error?.message ?? ''}`
    console.error(`apt-get ${args[0]} failed:\n${output.trim().split('\n').slice(-15).join('\n')}`)
  }
}

/** What to put before a command that needs root, or undefined when we cannot have that without asking. */
function rootPrefix() {
  if (process.getuid?.() === 0) return []
  return succeeds('sudo', ['-n', 'true']) ? ['sudo', '-n'] : undefined
}

function succeeds(command, args) {
  return quietly(command, args).status === 0
}

function quietly(command, args, options = {}) {
  return spawnSync(command, args, {
    stdio: ['ignore', 'pipe', 'pipe'],
    encoding: 'utf8',
    timeout: tenMinutesMs,
    maxBuffer: 64 * 1024 * 1024,
    ...options,
  })
}
