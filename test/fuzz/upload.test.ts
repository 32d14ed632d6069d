// The sender against a socket that takes bytes when it likes, is full when it likes and fails when it likes. What
// arrives is taken apart by a reader of frames that shares no code with the writer.
import assert from 'node:assert/strict'
import { EventEmitter, once } from 'node:events'
import type { Socket } from 'node:net'
import { setImmediate as turn } from 'node:timers/promises'
import * as fc from 'fast-check'
import { command, receivedLine } from '../../lib/clamd/protocol'
import { Upload } from '../../lib/clamd/upload'
import { cuts, fuzz } from './chance'

/** As a clamd reads INSTREAM, and no more lenient: throws at whatever is not to the letter. */
function decoded(bytes: Buffer, maxPerChunk: number): { content: Buffer; isComplete: boolean } {
  const content: Buffer[] = []
  for (let at = 0; ;) {
    if (at + 4 > bytes.length) return { content: Buffer.concat(content), isComplete: false }
    const length = bytes.readUInt32BE(at)
    at += 4
    if (length === 0) {
      assert.equal(at, bytes.length, 'something follows the end')
      return { content: Buffer.concat(content), isComplete: true }
    }
    assert.ok(length <= maxPerChunk, `a chunk of ${length} bytes`)
    content.push(bytes.subarray(at, at + length))
    at += length
  }
}

type Taken = (error?: Error | null) => void

/** Takes bytes only at the moment it says so: a buffer that is used again before that shows. */
class MoodySocket extends EventEmitter {
  readonly arrived: Buffer[] = []
  writableEnded = false
  #queue: { bytes: Buffer; taken: Taken | undefined }[] = []
  #moods = 0
  #pumping = false
  #isCorked = false
  /** Writes after which it fails. */
  #left: number

  constructor(
    private readonly moods: readonly boolean[],
    failsAfter: number | null,
  ) {
    super()
    this.#left = failsAfter ?? Infinity
  }

  write(bytes: Buffer, taken?: Taken): boolean {
    assert.ok(!this.writableEnded, 'a write after the end')
    this.#queue.push({ bytes, taken })
    void this.#pump()
    return this.#mood()
  }

  end(taken: Taken): void {
    this.write(Buffer.alloc(0), taken)
    this.writableEnded = true
  }

  cork(): void {
    this.#isCorked = true
  }

  uncork(): void {
    this.#isCorked = false
    void this.#pump()
  }

  /** True: there is room. */
  #mood(): boolean {
    return this.moods[this.#moods++ % this.moods.length] ?? true
  }

  async #pump(): Promise<void> {
    if (this.#pumping || this.#isCorked) return
    this.#pumping = true
    while (this.#queue.length > 0) {
      await turn()
      if (!this.#mood()) await turn()
      for (const { bytes, taken } of this.#queue.splice(0, 2)) {
        const isTaken = this.#left-- > 0
        if (isTaken) this.arrived.push(Buffer.from(bytes))
        taken?.(isTaken ? null : new Error('not taken'))
      }
    }
    this.#pumping = false
    this.emit('drain')
  }

  async idle(): Promise<void> {
    while (this.#pumping || this.#queue.length > 0) await turn()
  }
}

const sizes = fc.oneof(
  { weight: 6, arbitrary: fc.nat(700) },
  { weight: 1, arbitrary: fc.integer({ min: 65_300, max: 65_800 }) },
  { weight: 1, arbitrary: fc.integer({ min: 130_900, max: 131_200 }) },
)
const sending = fc.record({
  bytes: sizes,
  at: fc.array(fc.nat(70_000), { maxLength: 12 }),
  bufferBytes: fc.oneof(
    { weight: 5, arbitrary: fc.integer({ min: 1, max: 300 }) },
    { weight: 2, arbitrary: fc.constantFrom(4096, 8192, 65_532, 65_536, 70_000) },
  ),
  /** Of maxBytes, over what is sent; null: no limit. */
  room: fc.option(fc.integer({ min: -800, max: 800 })),
  /** How wrong the expectation is; null: none. */
  isCut: fc.boolean(),
  isFramed: fc.boolean(),
  isPatient: fc.boolean(),
  moods: fc.array(fc.boolean(), { minLength: 1, maxLength: 12 }),
  failsAfter: fc.option(fc.nat(6), { freq: 5 }),
  stopsAfter: fc.option(fc.nat(8), { freq: 5 }),
})
type Sending = typeof sending extends fc.Arbitrary<infer T> ? T : never

/** Not periodic in any power of two, so that nothing can be swapped unnoticed. */
const pattern = Buffer.from(Array.from({ length: 140_000 }, (_, i) => (i * 31 + (i >> 7) + (i >> 13)) & 0xff))

interface Sent {
  readonly bytes: Buffer
  readonly complete: boolean
  readonly counted: number
  readonly refusals: number
  readonly finishes: number
  readonly ended: boolean
}

/** The one place that knows how a sender is made and driven. */
async function sent(how: Sending, message: Buffer, maxBytes: number): Promise<Sent> {
  const socket = new MoodySocket(how.moods, how.failsAfter)
  let refusals = 0
  let finishes = 0
  const sender = new Upload(
    socket as unknown as Socket,
    { bufferBytes: how.bufferBytes, maxBytes },
    how.isFramed ? command.instream : null,
    () => refusals++,
  )
  sender.on('finish', () => finishes++)
  let pieces = 0
  for (const [from, to] of cuts(message.length, how.at)) {
    if (how.stopsAfter === pieces++) sender.stop()
    // A source cuts its pieces from one buffer, as the message stream does, or makes each anew.
    const piece = message.subarray(from, to)
    const goOn = sender.write(how.isCut ? piece : Buffer.from(piece))
    if (!goOn && how.isPatient) await once(sender, 'drain')
  }
  sender.end()
  for (let seen = -1; seen !== socket.arrived.length;) {
    seen = socket.arrived.length
    await socket.idle()
    for (let i = 0; i < 20; i++) await turn()
  }
  const counted = sender.bytes
  sender.stop()
  assert.equal(socket.listenerCount('drain'), 0)
  return {
    bytes: Buffer.concat(socket.arrived),
    complete: sender.complete,
    counted,
    refusals,
    finishes,
    ended: socket.writableEnded,
  }
}

fuzz(
  'what is sent is the message, its frames are to the letter, and complete is only said of all of it',
  0.2,
  fc.asyncProperty(sending, async (how) => {
    const message = pattern.subarray(0, how.bytes)
    const whole = Buffer.concat([receivedLine, message])
    const maxBytes = how.room === null ? Infinity : Math.max(receivedLine.length, whole.length + how.room)
    const result = await sent(how, message, maxBytes)

    const preamble = how.isFramed ? command.instream : Buffer.alloc(0)
    const arrived = result.bytes.subarray(preamble.length)
    if (result.bytes.length > 0) assert.ok(result.bytes.subarray(0, preamble.length).equals(preamble))
    const { content, isComplete } = how.isFramed
      ? decoded(arrived, how.bufferBytes)
      : { content: arrived, isComplete: result.ended }
    assert.ok(whole.subarray(0, content.length).equals(content), 'other bytes arrived')
    assert.ok(content.length <= maxBytes)

    const isTooLarge = whole.length > maxBytes
    const isStopped = how.stopsAfter !== null && how.stopsAfter < cuts(message.length, how.at).length
    if (result.complete) assert.ok(content.length === whole.length && isComplete, 'complete, and is not')
    if (isStopped) {
      assert.ok(!result.complete || how.failsAfter !== null)
    } else if (isTooLarge) {
      assert.equal(result.refusals, 1)
      assert.ok(!result.complete && !isComplete, 'an end after too much')
    } else {
      assert.deepEqual([result.refusals, result.finishes, result.counted], [0, 1, whole.length])
      if (how.failsAfter === null) assert.ok(result.complete, 'not complete, and should be')
    }
  }),
)
