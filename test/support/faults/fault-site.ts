// A real Haraka for the fault tests: many messages, one after the other or at once, each followed from the client's
// side and from inside (observer.ts). Checks what holds for every message; the tests choose the fault and its allowed
// results.
import assert from 'node:assert/strict'
import { createHash } from 'node:crypto'
import { setTimeout as delay } from 'node:timers/promises'
import { receivedLine } from '../../../lib/clamd/protocol'
import type { Scope } from '../../../lib/scan/second-look'
import { type Haraka, startHaraka } from '../haraka/haraka'
import { type Held, heldBy, observer, type SeenMessage, seenOf } from '../haraka/observer'
import { connect, type Reply, type SmtpClient } from '../smtp/smtp'
import { type Content, message } from './fault-table'
import { messageWith } from './part-table'

export interface SiteSettings {
  /** As in the ini. */
  host: string
  protocol: 'stream' | 'instream' | 'auto'
  scanMs: number
  connectMs: number
  restMs?: number
  maxConcurrent?: number
  /** Default `message`: each message is one scan. Else it has a part, of the size that is asked for. */
  scan?: Scope
  /** Has it find out at start, and again after a failure, whether the daemons have IDSESSION. */
  sessions?: boolean
  /** What looking up a name comes to in this Haraka. */
  lookup?: 'unknown' | 'empty' | 'silent'
}

/** How one message ended. */
export interface Fate {
  content: Content
  reply: Reply
  seen: SeenMessage
  /** From the end of the message to the answer, for the client. */
  ms: number
  /** Asked, in this order. */
  addresses: string[]
}

/**
 * The only place where the fault tests write an ini. No check at start, which would run beside a scan, except
 * where IDSESSION is to be found out.
 */
function iniOf(settings: SiteSettings): string {
  const { host, protocol, scanMs, connectMs, restMs = 0, maxConcurrent = 0 } = settings
  const { scan = 'message', sessions = false } = settings
  return [
    '[main]',
    `host=${host}`,
    `protocol=${protocol}`,
    `scan=${scan}`,
    `scan_timeout=${scanMs}ms`,
    `connect_timeout=${connectMs}ms`,
    `host_rest=${restMs}ms`,
    `max_concurrent=${maxConcurrent}`,
    ...(sessions ? ['max_pings=1', 'ping_interval=1s', 'self_test=off'] : ['max_pings=0']),
    'debug=true',
    '',
  ].join('\n')
}

/** Above any budget; what takes longer than this on a slow machine is a hang. */
const slackMs = 10_000

export class FaultSite {
  readonly #clients: SmtpClient[] = []
  #count = 0
  #before: Held | undefined

  private constructor(
    readonly settings: SiteSettings,
    readonly haraka: Haraka,
  ) {}

  static async start(settings: SiteSettings): Promise<FaultSite> {
    const haraka = await startHaraka({
      ini: iniOf(settings),
      plugins: ['clamav-stream', 'observer'],
      sources: { observer },
      deliver: false,
      // Exactly what was sent is what is scanned, so that a script can name its last byte.
      connection: { add_received: 'false', bytes: 0 },
      ...(settings.lookup && { env: { OBSERVER_LOOKUP: settings.lookup } }),
    })
    return new FaultSite(settings, haraka)
  }

  /** What the process holds while nothing is going on; `leftovers` compares with it. Ends all idle connections. */
  async settle(): Promise<void> {
    this.#before = await this.#held()
  }

  /**
   * One message over a connection of its own, which is kept for the next. Checks what must be true of any.
   * @param lies a daemon may have called it clean by itself; then it must at least have got it whole
   */
  async send(content: Content, bytes: number, lies = false): Promise<Fate> {
    const client = this.#clients.pop() ?? (await this.client())
    const id = `${content}-${++this.#count}`
    const { scan } = this.settings
    const sent = scan ? messageWith(content, bytes, id, scan) : message(content, bytes, id)
    assert.equal((await client.transaction()).code, 354)
    const begin = performance.now()
    const reply = await client.message(sent)
    const ms = performance.now() - begin
    const seen = await seenOf(client, id)
    this.#clients.push(client)
    const addresses = seen.log.flatMap(
      (line) => /^(\S+?)(?: \w+: connect(?:: (?:kept|anew).*)?|: PING)$/.exec(line)?.[1] ?? [],
    )
    const fate = { content, reply, seen, ms, addresses: [...new Set(addresses)] }
    this.#check(fate, sent, lies)
    return fate
  }

  /** Unscanned or infected mail is never delivered, nothing is lost, each hook answers once, in the budget. */
  #check({ content, reply, seen, ms }: Fate, sent: Buffer, lies: boolean): void {
    const { note, kept, hooks } = seen
    const story = `${reply.lines.join()}, ${JSON.stringify(seen, null, 1)}`
    assert.equal(kept !== null, reply.code === 250, `lost, or delivered and refused: ${story}`)
    if (kept) {
      if (!lies) assert.equal(content, 'clean', `delivered: ${story}`)
      assert.equal(note?.outcome, 'clean', `delivered unscanned: ${story}`)
      const { scan = 'message' } = this.settings
      if (scan !== 'parts') assert.equal(note.bytes, sent.length + receivedLine.length, story)
      assert.equal(note.readings > 0, scan !== 'message', `its part was not scanned: ${story}`)
      assert.deepEqual(kept.verdicts, ['false'], story)
      const body = sent.subarray(sent.indexOf('\r\n\r\n') + 4)
      assert.equal(kept.body, createHash('sha256').update(body).digest('hex'), `altered: ${story}`)
    }
    for (const { method, nexts } of hooks)
      assert.equal(nexts, 1, `${method} answered ${nexts} times: ${story}`)
    const scans = hooks.filter(({ method }) => method === 'clamav_scan')
    assert.equal(scans.length, 1, story)
    assert.ok(ms < this.settings.scanMs + slackMs, `${ms} ms: ${story}`)
    const isTimeout = note?.reason === 'timeout'
    // Who has waited for room so long does not begin to scan (scanner.ts).
    if (isTimeout) assert.ok(ms > this.settings.scanMs * 0.9 - 2, `a time-out after ${ms} ms: ${story}`)
    assert.equal(reply.code, codeOf(seen), story)
  }

  /** Rejects when, with all messages answered, the process goes on holding more than before. */
  async assertNothingLeft(): Promise<void> {
    const before = this.#before
    assert.ok(before, 'settle() comes first')
    const deadline = performance.now() + slackMs
    for (;;) {
      const now = await this.#held()
      const isSame = Object.keys({ ...before.resources, ...now.resources }).every(
        (kind) => (now.resources[kind] ?? 0) <= (before.resources[kind] ?? 0),
      )
      if (isSame && now.sockets <= before.sockets) return
      if (performance.now() > deadline) assert.deepEqual(now, before, 'left open')
      await delay(10)
    }
  }

  /** With one connection of ours alone. */
  async #held(): Promise<Held> {
    const [client = await this.client(), ...others] = this.#clients.splice(0)
    await Promise.all(others.map((other) => other.quit()))
    const held = await heldBy(client)
    this.#clients.push(client)
    return held
  }

  /** A connection of the caller's. */
  async client(): Promise<SmtpClient> {
    const client = await connect(this.haraka.port, { timeoutMs: this.settings.scanMs + 3 * slackMs })
    assert.equal((await client.command('EHLO client.example.com')).code, 250)
    return client
  }

  /** What has become of a message so far. */
  async seen(id: string): Promise<SeenMessage> {
    const client = await this.client()
    const seen = await seenOf(client, id)
    client.destroy()
    return seen
  }

  /** Resolves when the changed settings are in force. */
  async reload(changes: Partial<SiteSettings>): Promise<void> {
    const from = this.haraka.log.length
    this.haraka.writeConfig('clamav-stream.ini', iniOf({ ...this.settings, ...changes }))
    await this.haraka.waitForLog(/settings reloaded/, 30_000, from)
  }

  async stop(): Promise<void> {
    for (const client of this.#clients.splice(0)) client.destroy()
    await this.haraka.stop()
  }
}

/** As shipped. */
function codeOf({ note }: SeenMessage): number {
  if (note?.outcome === 'clean') return 250
  if (note?.outcome === 'infected' || note?.reason === 'limits') return 550
  return note?.reason === 'too_large' ? 552 : 451
}
