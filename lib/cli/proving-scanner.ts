/*
 * A scanner as the plugin has it, for commands. These have no start at which each clamd is proven up to max_size: it is
 * proven when the first message is there, up to that size, and again for a message that is larger.
 */

import { connect } from 'node:net'
import { addressText } from '../clamd/address'
import { queryCapabilities } from '../clamd/capabilities'
import { errorText } from '../clamd/errors'
import { protocolOf, receivedLine } from '../clamd/protocol'
import type { Settings } from '../config/settings'
import { eicarCheckWith, selfTestAsMail } from '../health/self-test'
import { HostPool } from '../hosts/host-pool'
import { system } from '../hosts/system'
import type { Verdict } from '../policy/verdict'
import type { ScanLog } from '../scan/scan-state'
import { Scanner } from '../scan/scanner'
import type { Content } from './mail-file/content'
import { escaped } from './terminal'

/** Messages up to so many bytes are proven together. */
const minScannableBytes = 1024 * 1024

export class ProvingScanner {
  readonly #hosts: HostPool
  readonly #scanner: Scanner
  readonly #log: ScanLog
  /** Messages of so many bytes are scanned to their end, or go elsewhere. */
  #maxScannableBytes = 0
  /** One after the other, so that no smaller proof follows a larger one. */
  #proofs = Promise.resolve()

  /** @param isVerbose tell the steps of each scan on standard error, and what clamd or the network spoil */
  constructor(
    private readonly settings: Settings,
    isVerbose: boolean,
  ) {
    const tell = (text: string) => void process.stderr.write(`${escaped(text)}\n`)
    const say = isVerbose ? tell : () => undefined
    this.#log = { trace: say, warn: say }
    this.#hosts = new HostPool(settings.hosts, system(say))
    const { scan, startup, health } = settings
    const eicarCheck =
      health.selfTest === 'off' || startup.maxPings === 0
        ? null
        : eicarCheckWith(scan, health.selfTest, connect)
    this.#scanner = new Scanner(scan, this.#hosts, connect, eicarCheck)
  }

  /** Resolves with a verdict, `unscanned` where the file itself cannot be read. */
  async scan(content: Content, signal: AbortSignal): Promise<Verdict> {
    const broken = new AbortController()
    let reason: Error | null = null
    const message = content.message((error) => {
      reason ??= error
      broken.abort()
    })
    await (this.#proofs = this.#proofs.then(() =>
      this.#runSelfTest(message.maxBytes + receivedLine.length, signal),
    ))
    const verdict = await this.#scanner.scan(message, AbortSignal.any([signal, broken.signal]), this.#log)
    const failed = reason as Error | null
    if (failed === null) return verdict
    return { ...verdict, outcome: 'unscanned', reason: 'error', text: `read: ${failed.message}` }
  }

  /**
   * The plugin's self test, for as large a message as is to be scanned: clamd says OK without looking to what lies
   * beyond its limits. What cannot be proven here, the message has to prove itself, as in the plugin.
   */
  async #runSelfTest(bytes: number, signal: AbortSignal): Promise<void> {
    const { scan, startup } = this.settings
    const { selfTest: depth } = this.settings.health
    const isEnough = this.#maxScannableBytes >= Math.min(bytes, scan.maxBytes)
    if (isEnough || depth === 'off' || startup.maxPings === 0) return
    const maxBytes = Math.min(scan.maxBytes, Math.max(minScannableBytes, 2 ** Math.ceil(Math.log2(bytes))))
    const addresses = await this.#hosts.addresses(signal).catch(() => [])
    await Promise.all(
      addresses.map(async (address) => {
        const name = addressText(address)
        const trace = (text: string) => this.#log.trace(`${name} ${text}`)
        try {
          const how = { connect, connectMs: scan.connectMs, signal, trace }
          const offered = protocolOf(await queryCapabilities(address, how))
          const settings = { ...scan, maxBytes, depth }
          const { selfTest } = await selfTestAsMail(address, settings, offered, connect, signal, trace)
          this.#hosts.learn(address, { selfTest })
        } catch (error) {
          this.#log.warn(`${name}: not proven: ${errorText(error)}`)
        }
      }),
    )
    this.#maxScannableBytes = maxBytes
  }
}
