// What a test daemon saw: commands, scans with their bytes, breaches of the protocol, connections; and promises for
// "this happened" in place of sleeping.
import type { Moment } from './clamd-script'
import type { FakeConnection } from './fake-connection'

export type Protocol = 'STREAM' | 'INSTREAM'

export class Scan {
  /** How the message ended: 'none' until it has, and if the client or a script broke off before its end. */
  end: 'none' | 'fin' | 'reset' | 'terminator' = 'none'
  /** The number of its command in a session; null outside of one. */
  inSession: number | null = null
  /** Announced length of each INSTREAM chunk. */
  frames: readonly number[] = []
  /** What was written on the command connection, everything said in this scan together. */
  reply = Buffer.alloc(0)
  size = 0
  #pieces: Buffer[] = []

  constructor(
    /** From 0 on. */
    readonly number: number,
    readonly protocol: Protocol,
  ) {}

  /** The message without framing, as far as it came. */
  get bytes(): Buffer {
    if (this.#pieces.length > 1) this.#pieces = [Buffer.concat(this.#pieces)]
    return this.#pieces[0] ?? Buffer.alloc(0)
  }

  /** True when it came with its end mark. */
  get complete(): boolean {
    return this.end !== 'none'
  }

  add(bytes: Buffer): void {
    this.#pieces.push(bytes)
    this.size += bytes.length
  }
}

/** Things that happened, each handed out once, in order. */
class Happenings<T> {
  #unclaimed: T[] = []
  readonly #waiting: ((item: T) => void)[] = []

  add(item: T): void {
    const waiting = this.#waiting.shift()
    if (waiting) waiting(item)
    else this.#unclaimed.push(item)
  }

  next(): Promise<T> {
    const [item] = this.#unclaimed.splice(0, 1)
    if (item !== undefined) return Promise.resolve(item)
    return new Promise((resolve) => this.#waiting.push(resolve))
  }

  forget(): void {
    this.#unclaimed = []
  }
}

export class Observations {
  /** Every command line, without prefix and terminator. */
  readonly commands: string[] = []
  /** From its command on; a scan in progress is the last one. */
  readonly scans: Scan[] = []
  /** Breaches of the protocol by the client, in words. */
  readonly violations: string[] = []
  /** Opened so far, the data connections of STREAM apart. */
  connections = 0
  dataConnections = 0
  protected readonly tracked = new Set<FakeConnection>()
  readonly #moments = new Map<string, Happenings<number>>()
  readonly #finished = new Happenings<Scan>()

  /** Connections of both kinds that the client has not ended and we have not closed. */
  get open(): number {
    return [...this.tracked].filter((connection) => !connection.ended).length
  }

  /**
   * Resolves when a connection reaches the moment, or a command of that name comes, with the time it did so (of
   * performance.now()). What happened before the call counts, once each; `forget` drops what was not waited for.
   * `middle` is a moment only where the script has a step for it.
   */
  seen(what: Moment | Protocol | 'PING' | 'VERSION' | 'VERSIONCOMMANDS'): Promise<number> {
    return this.#happenings(what).next()
  }

  /** The next scan that is over, whichever way it ended; past ones count, once each. */
  nextScan(): Promise<Scan> {
    return this.#finished.next()
  }

  forget(): void {
    for (const happenings of this.#moments.values()) happenings.forget()
    this.#finished.forget()
  }

  /** Resolves when every connection so far is ended or closed. Those that are frozen, now or later, are thawed to notice it. */
  async idle(): Promise<void> {
    while (this.open > 0) {
      for (const connection of this.tracked) connection.endFreezing()
      await Promise.all([...this.tracked].map((connection) => connection.over))
    }
  }

  note(what: string): void {
    this.#happenings(what).add(performance.now())
  }

  noteFinished(scan: Scan): void {
    this.#finished.add(scan)
  }

  track(connection: FakeConnection): FakeConnection {
    this.tracked.add(connection)
    void connection.closed.then(() => this.tracked.delete(connection))
    return connection
  }

  #happenings(what: string): Happenings<number> {
    const known = this.#moments.get(what) ?? new Happenings<number>()
    this.#moments.set(what, known)
    return known
  }
}
