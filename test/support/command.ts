// Runs the command line of this checkout as a process of its own, the way a shell does: with output that is no
// terminal, or with one of a given width that `script` makes.
import { spawn } from 'node:child_process'
import { closeSync, openSync, readdirSync, statSync } from 'node:fs'
import path from 'node:path'
import { onProcessEnd, run } from './process'

export interface Ran {
  code: number | null
  out: Buffer
  /** Of `out`, as text. */
  text: string
  error: string
}

export interface RunOptions {
  cwd?: string
  env?: NodeJS.ProcessEnv
  /** null: standard input stays open. */
  input?: Buffer | string | null
  /** The program; without it that of this checkout. */
  program?: readonly string[]
  /** It is killed after so long. */
  timeoutMs?: number
  onStart?: (kill: (signal: NodeJS.Signals) => void) => void
  /** Called with each piece of standard output. */
  onOutput?: (text: string, kill: (signal: NodeJS.Signals) => void) => void
  /** Standard output and standard error, or the first of them, go to this file. */
  outputs?: readonly [file: string] | readonly [file: string, errorFile: string]
  /** Standard output is closed as soon as something came, as `head` does. */
  breaksPipe?: boolean
}

const repository = path.resolve(__dirname, '..', '..')
const built = path.join(repository, 'dist/bin/clamav-stream.js')
const fromSources = [
  '--import',
  path.join(repository, 'node_modules/tsx/dist/loader.mjs'),
  path.join(repository, 'bin/clamav-stream.ts'),
]
/** The build, unless a source is newer: from its sources a command takes three times the CPU time. */
const checkoutProgram = [process.execPath, ...(isBuilt() ? [built] : fromSources)]

function isBuilt(): boolean {
  const builtMs = statSync(built, { throwIfNoEntry: false })?.mtimeMs ?? 0
  return ['bin', 'lib'].every((folder) =>
    readdirSync(path.join(repository, folder), { recursive: true, encoding: 'utf8' }).every(
      (name) => statSync(path.join(repository, folder, name)).mtimeMs < builtMs,
    ),
  )
}

/** Runs `clamav-stream` to its end. */
export function clamavStream(args: readonly string[], options: RunOptions = {}): Promise<Ran> {
  const [command = '', ...before] = options.program ?? checkoutProgram
  return new Promise((resolve, reject) => {
    const env = { ...process.env, HARAKA: undefined, NODE_TEST_CONTEXT: undefined, ...options.env }
    const files = (options.outputs ?? []).map((file) => openSync(file, 'w'))
    const child = spawn(command, [...before, ...args], {
      cwd: options.cwd,
      env,
      stdio: ['pipe', files[0] ?? 'pipe', files[1] ?? 'pipe'],
      timeout: options.timeoutMs,
      killSignal: 'SIGKILL',
    })
    const forget = onProcessEnd(() => child.kill('SIGKILL'))
    options.onStart?.((signal) => child.kill(signal))
    for (const file of files) closeSync(file)
    const out: Buffer[] = []
    const error: Buffer[] = []
    child.stdout?.on('data', (chunk: Buffer) => {
      out.push(chunk)
      if (options.breaksPipe) child.stdout?.destroy()
      options.onOutput?.(chunk.toString(), (signal) => child.kill(signal))
    })
    child.stderr?.on('data', (chunk: Buffer) => error.push(chunk))
    child.stdin?.on('error', () => undefined)
    if (options.input !== null) child.stdin?.end(options.input ?? '')
    child.once('error', reject)
    child.once('close', (code) => {
      forget()
      const all = Buffer.concat(out)
      resolve({ code, out: all, text: all.toString(), error: Buffer.concat(error).toString() })
    })
  })
}

/**
 * The program of this checkout as a user that may not read every file: root without that privilege. Without setpriv
 * the test is skipped.
 */
export async function unprivileged(t: { skip(message?: string): void }): Promise<readonly string[] | null> {
  if (process.getuid?.() !== 0) return checkoutProgram
  const capabilities = '-dac_override,-dac_read_search'
  const program = ['setpriv', `--bounding-set=${capabilities}`, `--inh-caps=${capabilities}`]
  const { code } = await run('setpriv', [...program.slice(1), 'true'])
  if (code === 0) return [...program, ...checkoutProgram]
  t.skip('there is no setpriv to give up privileges with')
  return null
}

/** The objects of `--json`, one a line. */
export function jsonLines(text: string): Record<string, unknown>[] {
  return text
    .split('\n')
    .filter(Boolean)
    .map((line) => JSON.parse(line) as Record<string, unknown>)
}
