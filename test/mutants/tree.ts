// A copy of the checkout, where sources are changed and tests run.
import { type ChildProcess, execFileSync, spawn } from 'node:child_process'
import { cpSync, existsSync, mkdirSync, readFileSync, rmSync, symlinkSync, writeFileSync } from 'node:fs'
import path from 'node:path'
import { repository } from '../support/haraka/haraka-install'
import { onProcessEnd, TemporaryDirectory } from '../support/process'

export interface Ran {
  readonly ms: number
  /** The first test that failed, or the file if it ended otherwise; null: all passed. */
  readonly failed: string | null
  readonly isHang: boolean
}

/** For a file of tests whose usual time is not known yet. */
const firstLimitMs = 900_000

export class Tree {
  readonly #directory = new TemporaryDirectory('mutants')
  readonly root = path.join(this.#directory.path, 'tree')
  readonly #seen = path.join(this.#directory.path, 'seen')
  /** Defines `__seen`, in one line; it writes each number once. */
  readonly watch =
    `const __seen = (n: number) => { const all = ((globalThis as any).__places ??= new Set()); ` +
    `if (all.has(n)) return; all.add(n); require('node:fs').appendFileSync(${JSON.stringify(this.#seen)}, n + '\\n') };`

  constructor() {
    const listed = execFileSync('git', ['ls-files', '-co', '--exclude-standard', '-z'], { cwd: repository })
    for (const file of listed.toString().split('\0').filter(Boolean)) {
      const from = path.join(repository, file)
      const to = path.join(this.root, file)
      mkdirSync(path.dirname(to), { recursive: true })
      if (existsSync(from)) cpSync(from, to)
    }
    symlinkSync(path.join(repository, 'node_modules'), path.join(this.root, 'node_modules'))
  }

  write(file: string, text: string): void {
    writeFileSync(path.join(this.root, file), text)
  }

  /** Numbers of the places that have run since the last call. */
  takeSeen(): number[] {
    if (!existsSync(this.#seen)) return []
    const numbers = new Set(readFileSync(this.#seen, 'utf8').trim().split('\n').map(Number))
    rmSync(this.#seen)
    return [...numbers]
  }

  /** Runs one file of tests. @param usualMs what it took without a fault */
  async run(file: string, usualMs?: number): Promise<Ran> {
    const begin = performance.now()
    const limitMs = usualMs === undefined ? firstLimitMs : Math.round(20_000 + 5 * usualMs)
    const args = ['--import', 'tsx', '--import', './test/support/test-limit.mjs', file]
    const env = { ...process.env, TEST_LIMIT_MS: String(limitMs) }
    const child = spawn(process.execPath, args, { cwd: this.root, env, detached: true })
    const end = () => endGroup(child)
    const forget = onProcessEnd(end)
    // The tests' own limit comes first, unless even its thread hangs.
    const timer = setTimeout(end, 2 * limitMs + 30_000)
    let output = ''
    for (const stream of [child.stdout, child.stderr])
      stream.on('data', (chunk: Buffer) => (output = (output + chunk.toString()).slice(-1_000_000)))
    const code = await new Promise<number | null>((resolve) => child.once('exit', resolve))
    clearTimeout(timer)
    end()
    forget()
    const ms = performance.now() - begin
    const hang = /: (.+) has run for \d+ s, the limit of a test$/m.exec(output)?.[1]
    if (code === 0) return { ms, failed: null, isHang: false }
    const failed = /^\s*not ok \d+ - (.*)$/m.exec(output)?.[1]
    return { ms, failed: hang ?? failed ?? 'the file itself', isHang: hang !== undefined || code === null }
  }
}

/** Whatever a test has left behind ends with it. */
function endGroup(child: ChildProcess): void {
  try {
    if (child.pid !== undefined) process.kill(-child.pid, 'SIGKILL')
  } catch {
    // All have ended.
  }
}
