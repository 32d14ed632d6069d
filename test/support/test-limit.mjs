// `--import`ed with each test file: no test runs for longer than TEST_LIMIT_MS, 5 minutes by default. After that its name
// is printed, and its process ends with everything that it has started. Node's --test-timeout knows only files, and SIGTERM
// does not end a process in an endless loop: so a thread counts the time.
import { readdirSync, readFileSync, writeSync } from 'node:fs'
import { afterEach, beforeEach } from 'node:test'
import { clearTimeout, setTimeout } from 'node:timers'
import { isMainThread, parentPort, Worker, workerData } from 'node:worker_threads'

/** Milliseconds in which a process that is asked to end has to do so. */
const graceMs = 10_000

/** In the process of a test file: tells the thread which tests run. */
function watchTests() {
  const data = { limitMs: Number(process.env.TEST_LIMIT_MS ?? 300_000), file: process.argv[1] }
  const watch = new Worker(new URL(import.meta.url), { workerData: data, execArgv: [] })
  watch.unref()
  const tell = (isRunning) => (test) => watch.postMessage({ name: test.fullName ?? test.name, isRunning })
  beforeEach(tell(true))
  afterEach(tell(false))
}

/** In the thread. */
function countTime({ limitMs, file }) {
  const timers = new Map()
  const end = (what) => {
    writeSync(2, `${file}: ${what} has run for ${limitMs / 1000} s, the limit of a test\n`)
    process.kill(process.pid, 'SIGTERM')
    setTimeout(endAll, graceMs)
  }
  const begin = (what) => timers.set(what, setTimeout(end, limitMs, what))
  const done = (what) => {
    clearTimeout(timers.get(what))
    timers.delete(what)
  }
  const noTest = 'what is outside its tests'
  begin(noTest)
  parentPort.on('message', ({ name, isRunning }) => {
    const what = `the test "${name}"`
    done(isRunning ? noTest : what)
    if (isRunning) begin(what)
    else if (timers.size === 0) begin(noTest)
  })
}

/** Children of a test lead process groups (support/process.ts). */
function endAll() {
  for (const pid of readdirSync('/proc').filter((name) => /^\d+$/.test(name)))
    try {
      const [, parent] = readFileSync(`/proc/${pid}/stat`, 'utf8').split(') ').at(-1).split(' ')
      if (Number(parent) === process.pid) process.kill(-Number(pid), 'SIGKILL')
    } catch {
      // It has ended, or leads no group.
    }
  process.kill(process.pid, 'SIGKILL')
}

if (!isMainThread) {
  if (workerData?.limitMs) countTime(workerData)
} else if (process.env.NODE_TEST_CONTEXT ?? process.env.TEST_LIMIT_MS) watchTests()
