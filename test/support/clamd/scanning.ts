// The scanner as the plugin builds it, without Haraka: real sockets, a message from memory, limits as short as a test
// wants them. It keeps account of whatever a scan might leave behind.
import { createHash } from 'node:crypto'
import { getEventListeners } from 'node:events'
import { connect, type Socket } from 'node:net'
import type { MessageIdentity, MessageSource, Sink } from '../../../lib/base/message-source'
import type { Host } from '../../../lib/clamd/address'
import { ClamdClient } from '../../../lib/clamd/client'
import type { Connect } from '../../../lib/clamd/connection'
import { ClamdError } from '../../../lib/clamd/errors'
import type { Capabilities } from '../../../lib/clamd/protocol'
import { defaultSessionTimes, type SessionTimes } from '../../../lib/clamd/session-pool'
import { eicarCheckWith } from '../../../lib/health/self-test'
import { HostPool, type HostSettings } from '../../../lib/hosts/host-pool'
import type { System } from '../../../lib/hosts/system'
import type { Verdict } from '../../../lib/policy/verdict'
import type { FailureMemory } from '../../../lib/scan/failure-memory'
import type { ScanSettings } from '../../../lib/scan/message-scan'
import type { ScanLog } from '../../../lib/scan/message-scan'
import { Scanner } from '../../../lib/scan/scanner'

/** What a daemon with sessions says of itself. */
export function offerOfSessions(version: string | null = null): Capabilities {
  return { version, commands: ['INSTREAM', 'IDSESSION'] }
}

/** Odd on purpose, so that nothing lines up with buffers. */
const usualPiece = 10_007

/** A message in memory that counts its readings and, like Haraka's, allows one at a time. */
export class BufferMessage implements MessageSource {
  readonly minBytes: number
  readonly maxBytes: number
  /** Begun so far. */
  readings = 0
  #close: (() => void) | null = null

  constructor(
    readonly bytes: Buffer,
    private readonly pieceBytes = usualPiece,
  ) {
    this.minBytes = bytes.length
    this.maxBytes = bytes.length
  }

  get isOpen(): boolean {
    return this.#close !== null
  }

  get identity(): MessageIdentity {
    const digest = () => Promise.resolve(createHash('sha256').update(this.bytes).digest('base64'))
    return { bodyBytes: this.bytes.length, digest }
  }

  open(sink: Sink): Promise<void> {
    if (this.#close) return Promise.reject(new ClamdError('read message', 'it is being read already'))
    this.readings++
    let at = 0
    const pump = () => {
      while (at < this.bytes.length && this.#close === close) {
        const piece = this.bytes.subarray(at, at + this.pieceBytes)
        at += piece.length
        if (!sink.write(piece)) {
          sink.once('drain', pump)
          return
        }
      }
      if (this.#close === close) sink.end()
    }
    const first = setImmediate(pump)
    const close = () => {
      clearImmediate(first)
      sink.off('drain', pump)
    }
    this.#close = close
    return Promise.resolve()
  }

  close(): void {
    this.#close?.()
    this.#close = null
  }
}

export class CollectedLog implements ScanLog {
  readonly steps: string[] = []
  readonly warnings: string[] = []
  trace(text: string): void {
    this.steps.push(text)
  }
  warn(text: string): void {
    this.warnings.push(text)
  }
}

export type ScanningOptions = Partial<ScanSettings> &
  Partial<Omit<HostSettings, 'hosts' | 'connectMs'>> &
  Partial<Pick<System, 'lookup' | 'now'>> & {
    /** Has the addresses among the hosts learnt to have IDSESSION. Default false. */
    readonly sessions?: boolean
    /** Addresses have to show that they find the test file. Default false. */
    readonly selfTest?: boolean
    /** Of messages that have failed. Default: none. */
    readonly memory?: FailureMemory
    /** For which connections are kept, and who waits for the place of one. */
    readonly sessionTimes?: Partial<SessionTimes>
    /** In place of the real one. */
    readonly connect?: Connect
  }

/** One scanner with its hosts; the rotation begins with the first address. */
export class Scanning {
  readonly hosts: HostPool
  readonly clamd: ClamdClient
  readonly scanner: Scanner
  readonly log = new CollectedLog()
  /** Every socket made so far. */
  readonly sockets: Socket[] = []
  /** Of the hosts, about names. */
  readonly warnings: string[] = []
  readonly #connect: Connect
  readonly #messages: BufferMessage[] = []
  readonly #signals: AbortSignal[] = []

  constructor(hosts: readonly Host[], options: ScanningOptions = {}) {
    const {
      restMs = 30_000,
      resolveMs = 60_000,
      maxConcurrent = 0,
      lookup,
      now,
      sessions,
      sessionTimes,
      selfTest = false,
      memory,
      connect: connectBy = connect,
      ...scan
    } = options
    const settings: ScanSettings = {
      protocol: 'auto',
      bufferBytes: 8192,
      connectMs: 2000,
      scanMs: 20_000,
      // What a second look sends is tested by itself; here each message is one scan.
      scope: 'message',
      signatures: [],
      maxBytes: 25 * 1024 * 1024,
      ...scan,
    }
    this.#connect = connectBy
    this.hosts = new HostPool(
      { hosts, restMs, resolveMs, maxConcurrent, connectMs: settings.connectMs },
      {
        lookup: lookup ?? (() => Promise.reject(new Error('no names here'))),
        now: now ?? (() => performance.now()),
        random: () => 0,
        warn: (text) => this.warnings.push(text),
      },
    )
    this.clamd = new ClamdClient(this.connect, { ...defaultSessionTimes, ...sessionTimes })
    for (const host of sessions ? hosts : []) {
      if (!('name' in host)) this.clamd.learn(host, offerOfSessions())
    }
    const eicarCheck = selfTest ? eicarCheckWith(settings, 'full', this.connect) : null
    this.scanner = new Scanner(settings, this.hosts, this.clamd, eicarCheck, memory)
  }

  readonly connect: Connect = (options) => {
    const socket = this.#connect(options)
    this.sockets.push(socket)
    return socket
  }

  scan(message: Buffer | BufferMessage, signal = new AbortController().signal): Promise<Verdict> {
    const source = message instanceof BufferMessage ? message : new BufferMessage(message)
    this.#messages.push(source)
    this.#signals.push(signal)
    return this.scanner.scan(source, signal, this.log)
  }

  /** Sockets that are open, kept ones included. */
  get open(): number {
    return this.sockets.filter((socket) => !socket.destroyed).length
  }

  /** Ends what should not be there any more, so that a failed test does not keep its process going. */
  destroy(): void {
    for (const socket of this.sockets) socket.destroy()
  }

  /** What the scans so far have left behind, in words; nothing, if all are over and all is well. */
  leftovers(): string[] {
    const count = (number: number, what: string) => (number === 0 ? [] : [`${number} ${what}`])
    return [
      ...count(this.open, 'sockets'),
      ...count(this.#messages.filter((message) => message.isOpen).length, 'readings of a message'),
      ...count(
        this.#signals.filter((signal) => getEventListeners(signal, 'abort').length > 0).length,
        'listeners for an abort',
      ),
    ]
  }
}

/** Timers that keep this process from ending. */
export function runningTimers(): number {
  return process.getActiveResourcesInfo().filter((kind) => kind === 'Timeout').length
}

/** Lets everything happen that can happen without waiting for the network. */
export async function settled(): Promise<void> {
  for (let i = 0; i < 20; i++) await new Promise((resolve) => setImmediate(resolve))
}

/** For what has no event: looks at every turn of the event loop, and rejects when it takes too long. */
export async function until(isSo: () => boolean, ms = 20_000): Promise<void> {
  const deadline = performance.now() + ms
  while (!isSo()) {
    if (performance.now() > deadline) throw new Error(`not so after ${ms} ms: ${isSo.toString()}`)
    await new Promise((resolve) => setImmediate(resolve))
  }
}
