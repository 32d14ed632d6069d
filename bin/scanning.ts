/*
 * A scanner as the plugin has it, for commands: the site's settings or one clamd named on the command line,
 * several messages at a time, and an end by Ctrl-C.
 */

import { connect } from 'node:net'
import type { Settings } from '../lib/config'
import { Hosts } from '../lib/hosts'
import { world } from '../lib/live'
import { Scanner, type ScanLog } from '../lib/scanner'
import type { Verdict } from '../lib/verdict'
import type { Content } from './scan/content'
import { shown } from './terminal'

export class Desk {
  readonly #scanner: Scanner
  readonly #log: ScanLog

  /** @param isVerbose tell the steps of each scan on standard error, and what clamd or the network spoil */
  constructor(settings: Settings, isVerbose: boolean) {
    const tell = (text: string) => void process.stderr.write(`${shown(text)}\n`)
    const say = isVerbose ? tell : () => undefined
    this.#log = { trace: say, warn: say }
    this.#scanner = new Scanner(settings.scan, new Hosts(settings.hosts, world(say)), connect)
  }

  /** Resolves with a verdict, `unscanned` where the file itself cannot be read. */
  async scan(content: Content, signal: AbortSignal): Promise<Verdict> {
    const broken = new AbortController()
    let reason: Error | null = null
    const message = content.message((error) => {
      reason ??= error
      broken.abort()
    })
    const verdict = await this.#scanner.scan(message, AbortSignal.any([signal, broken.signal]), this.#log)
    const failed = reason as Error | null
    if (failed === null) return verdict
    return { ...verdict, outcome: 'unscanned', reason: 'error', text: `read: ${failed.message}` }
  }
}

/** Does `work` for each of `all`, `count` of them at a time; stops taking new ones when the signal says so. */
export async function severally<T>(
  all: AsyncIterable<T>,
  count: number,
  signal: AbortSignal,
  work: (one: T) => Promise<void>,
): Promise<void> {
  const rest = all[Symbol.asyncIterator]()
  const worker = async () => {
    while (!signal.aborted) {
      const next = await rest.next()
      if (next.done) return
      await work(next.value)
    }
  }
  await Promise.all(Array.from({ length: count }, worker)).finally(() => rest.return?.())
}

/** Aborts at the first Ctrl-C; the second one ends the process, as without us. */
export function interruption(): { signal: AbortSignal; forget: () => void } {
  const controller = new AbortController()
  const signals = ['SIGINT', 'SIGTERM'] as const
  const stop = () => {
    forget()
    controller.abort()
  }
  const forget = () => {
    for (const signal of signals) process.off(signal, stop)
  }
  for (const signal of signals) process.on(signal, stop)
  return { signal: controller.signal, forget }
}

/** Shell's code for a program that Ctrl-C has ended. */
export const interruptedCode = 130
