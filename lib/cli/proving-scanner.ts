/*
 * The plugin's scanner for commands. A command does not run the self test up to max_size at start: it runs the test for
 * the size of the first message, and again for a larger one; how far clamd looks into archives when a message has one that
 * some clamd might not look into.
 */

import { type Address, addressText } from '../clamd/address'
import { queryCapabilities } from '../clamd/capabilities'
import { ClamdClient } from '../clamd/client'
import type { Connect } from '../clamd/connection'
import { errorText } from '../clamd/errors'
import { type Protocol, protocolOf, receivedLine } from '../clamd/protocol'
import type { Settings } from '../config/settings'
import { findArchiveLimits } from '../health/archive-limits'
import { eicarCheckWith, selfTestAsMail } from '../health/self-test'
import { HostPool } from '../hosts/host-pool'
import { system } from '../hosts/system'
import type { ArchiveLimit, ArchiveLimits } from '../hosts/test-results'
import type { Verdict } from '../policy/verdict'
import type { ScanLog } from '../scan/message-scan'
import { Scanner } from '../scan/scanner'
import type { Content } from './mail-file/content'
import { escaped } from './terminal'

/** Smallest size of a self test, in bytes, so that small messages share one. */
const minSelfTestBytes = 1024 * 1024

/** Every clamd looks as far as that. */
const upTo = (size: number): ArchiveLimit => ({ upTo: size, beyond: 'silent' })
const cautious: ArchiveLimits = {
  memberBytes: upTo(1024 * 1024),
  totalBytes: upTo(2 * 1024 * 1024),
  depth: upTo(1),
  files: upTo(50),
  opensRar: false,
}

export class ProvingScanner {
  readonly #hosts: HostPool
  readonly #scanner: Scanner
  readonly #log: ScanLog
  /** Size that the last self test covered, in bytes. */
  #testedBytes = 0
  /** One test at a time, so that a smaller one never replaces the result of a larger one. */
  #selfTests = Promise.resolve()
  #archiveTests: Promise<unknown> | null = null
  /** Of the self test of each address. */
  readonly #protocols = new Map<Address, Protocol>()

  /** @param isVerbose log each step and failure to standard error */
  constructor(
    private readonly settings: Settings,
    private readonly connect: Connect,
    isVerbose: boolean,
  ) {
    const print = (text: string) => void process.stderr.write(`${escaped(text)}\n`)
    const log = isVerbose ? print : () => undefined
    this.#log = { trace: log, warn: log }
    this.#hosts = new HostPool(settings.hosts, system(log))
    const { scan, startup, health } = settings
    const eicarCheck =
      health.selfTest === 'off' || startup.maxPings === 0
        ? null
        : eicarCheckWith(scan, health.selfTest, connect)
    this.#scanner = new Scanner(scan, this.#hosts, new ClamdClient(connect), eicarCheck)
  }

  /** Resolves with the verdict: `unscanned` if the file cannot be read. */
  async scan(content: Content, signal: AbortSignal): Promise<Verdict> {
    const unreadable = new AbortController()
    let readError: Error | null = null
    const message = () =>
      content.message((error) => {
        readError ??= error
        unreadable.abort()
      })
    const either = AbortSignal.any([signal, unreadable.signal])
    await (this.#selfTests = this.#selfTests.then(() =>
      this.#runSelfTest(message().maxBytes + receivedLine.length, signal),
    ))
    let verdict = await this.#scanner.scan(message(), either, this.#log)
    if (this.#testsArchives && verdict.outcome === 'unscanned' && verdict.reason === 'limits') {
      await (this.#archiveTests ??= this.#findArchiveLimits(signal))
      verdict = await this.#scanner.scan(message(), either, this.#log)
    }
    const failed = readError as Error | null
    if (failed === null) return verdict
    return { ...verdict, outcome: 'unscanned', reason: 'error', text: `read: ${failed.message}` }
  }

  /**
   * Runs the plugin's self test up to the size of the message: beyond its limits clamd replies OK without scanning.
   * After a failed test the scanner checks the address with the message itself, as in the plugin.
   */
  async #runSelfTest(bytes: number, signal: AbortSignal): Promise<void> {
    const { scan, startup } = this.settings
    const { selfTest: depth } = this.settings.health
    const isEnough = this.#testedBytes >= Math.min(bytes, scan.maxBytes)
    if (isEnough || depth === 'off' || startup.maxPings === 0) return
    const maxBytes = Math.min(scan.maxBytes, Math.max(minSelfTestBytes, 2 ** Math.ceil(Math.log2(bytes))))
    const addresses = await this.#hosts.addresses(signal).catch(() => [])
    await Promise.all(
      addresses.map(async (address) => {
        const name = addressText(address)
        const trace = (text: string) => this.#log.trace(`${name} ${text}`)
        try {
          const { connect } = this
          const how = { connect, connectMs: scan.connectMs, signal, trace }
          const offered = protocolOf(await queryCapabilities(address, how))
          const settings = { ...scan, maxBytes, depth }
          const tested = await selfTestAsMail(address, settings, offered, connect, signal, trace)
          this.#protocols.set(address, tested.protocol)
          this.#hosts.learn(address, { type: 'selfTested', selfTest: tested.selfTest })
          if (this.#testsArchives && !this.#archiveTests)
            this.#hosts.learn(address, { type: 'archivesTested', archives: cautious })
        } catch (error) {
          this.#log.warn(`${name}: self test failed: ${errorText(error)}`)
        }
      }),
    )
    this.#testedBytes = maxBytes
  }

  /** As the plugin does. */
  get #testsArchives(): boolean {
    return this.settings.health.selfTest === 'full' && this.settings.startup.maxPings > 0
  }

  /** Takes each clamd 3 to 5 s, so it is done only for a message that needs it. */
  #findArchiveLimits(signal: AbortSignal): Promise<unknown> {
    const find = async ([address, protocol]: [Address, Protocol]) => {
      const trace = (text: string) => this.#log.trace(`${addressText(address)} ${text}`)
      const settings = { ...this.settings.scan, protocol }
      const archives = await findArchiveLimits(address, settings, this.connect, signal, trace)
      this.#hosts.learn(address, { type: 'archivesTested', archives })
    }
    // Rejects only when it is broken off.
    return Promise.allSettled([...this.#protocols].map(find))
  }
}
