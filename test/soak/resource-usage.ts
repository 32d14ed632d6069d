// What a worker of Haraka holds: a plugin that says so on SIGUSR2, after garbage collection, and its reader here.
// Descriptors are read from /proc, so the soak runs on Linux.
import { readFileSync, watch } from 'node:fs'
import path from 'node:path'
import type { Haraka } from '../support/haraka/haraka'

/** What one worker holds at one moment. */
export interface ResourceUsage {
  readonly pid: number
  readonly sockets: number
  /** Sockets included. */
  readonly descriptors: number
  /** Those that keep the process alive. */
  readonly timers: number
  readonly heapBytes: number
  /** Outside of the heap: buffers. */
  readonly externalBytes: number
  /** Memory of the process, as the kernel counts it. */
  readonly rssBytes: number
}

export const resourcePlugin = `
const fs = require('node:fs')
const path = require('node:path')
const vm = require('node:vm')
const { setImmediate: turn } = require('node:timers/promises')
const directory = path.join(process.env.HARAKA, 'usages')

exports.register = function () {
  this.register_hook('init_child', 'announce')
}
exports.announce = function (next) {
  require('node:v8').setFlagsFromString('--expose-gc')
  const gc = vm.runInNewContext('gc')
  fs.mkdirSync(directory, { recursive: true })
  let count = 0
  process.on('SIGUSR2', async () => {
    for (let i = 0; i < 3; i++) {
      gc()
      await turn()
    }
    write(process.pid + '-' + ++count + '.json', JSON.stringify(usage()))
  })
  this.lognotice('usage of worker ' + process.pid)
  next()
}

function write(name, text) {
  fs.writeFileSync(path.join(directory, '.' + name), text)
  fs.renameSync(path.join(directory, '.' + name), path.join(directory, name))
}

function usage() {
  const { heapUsed, external, rss } = process.memoryUsage()
  const descriptors = fs.readdirSync('/proc/self/fd').map((fd) => {
    try {
      return fs.readlinkSync('/proc/self/fd/' + fd)
    } catch {
      return ''
    }
  })
  return {
    pid: process.pid,
    sockets: descriptors.filter((target) => target.startsWith('socket:')).length,
    descriptors: descriptors.length,
    timers: process.getActiveResourcesInfo().filter((kind) => kind === 'Timeout').length,
    heapBytes: heapUsed,
    externalBytes: external,
    rssBytes: rss,
  }
}
`

export class ResourceReader {
  private constructor(
    private readonly directory: string,
    private readonly pids: readonly number[],
  ) {}
  #taken = 0

  /** Of a Haraka with that number of workers. */
  static async of(haraka: Haraka, workers: number): Promise<ResourceReader> {
    const pattern = /usage of worker (\d+)/
    const pids: number[] = []
    for (let from = 0; pids.length < workers;) {
      const line = await haraka.waitForLog(pattern, 30_000, from)
      pids.push(Number(pattern.exec(line)?.[1]))
      from = haraka.log.indexOf(line, from) + 1
    }
    return new ResourceReader(path.join(haraka.site, 'usages'), pids)
  }

  /** One of each worker, in the same order every time. */
  async take(): Promise<ResourceUsage[]> {
    this.#taken++
    return Promise.all(this.pids.map((pid) => this.#takeFrom(pid, `${pid}-${this.#taken}.json`)))
  }

  async #takeFrom(pid: number, name: string): Promise<ResourceUsage> {
    const file = path.join(this.directory, name)
    await new Promise<void>((resolve, reject) => {
      const watcher = watch(this.directory, (_, changed) => {
        if (changed === name) end(resolve)
      })
      const timer = setTimeout(() => end(() => reject(new Error(`worker ${pid} does not answer`))), 30_000)
      const end = (act: () => void) => {
        clearTimeout(timer)
        watcher.close()
        act()
      }
      process.kill(pid, 'SIGUSR2')
    })
    return JSON.parse(readFileSync(file, 'utf8')) as ResourceUsage
  }
}
