// Every way a clamd can fail, at every step of the dialogue, as scripts for fake-clamd.ts, each with how the exchange
// ends. One table for the scanner alone (integration/scanner-faults.test.ts) and for a whole Haraka (faults/).
import { once } from 'node:events'
import { type AddressInfo, createServer, type Socket } from 'node:net'
import { receivedLine } from '../../../lib/clamd/protocol'
import type { Act, ConnectDeadEnd, Moment, Step } from '../clamd/clamd-script'
import type { FakeClamdOptions } from '../clamd/fake-clamd'
import type { ScanningOptions } from '../clamd/scanning'
import { eicar } from '../eicar'

export type Setting = 'stream' | 'instream' | 'auto'
export type Content = 'clean' | 'infected'

/**
 * How the exchange with the faulty daemon ends if no other address is asked. verdict: the right one; found: infected,
 * whatever the message; unclean: what is infected is found, what is clean is an error.
 */
export type End = 'verdict' | 'found' | 'unclean' | 'error' | 'timeout' | 'too_large' | 'limits'
type Ends = Partial<Record<Setting, End | readonly End[]>>

export interface Row {
  readonly name: string
  /** For a message of `size` bytes, our own line included. */
  readonly script: (size: number, strangerPort: number) => readonly (Step | ConnectDeadEnd)[]
  /** Settings that are left out are not run: the fault cannot happen there. */
  readonly ends: Ends
  /** In the text of an unscanned message, beside the address. */
  readonly text?: RegExp | string
  /** Default a quarter of a megabyte. */
  readonly bytes?: number
  readonly daemon?: FakeClamdOptions
  /** The port of a dead end is free, and on 127.0.0.1 the next test may be given it. */
  readonly hasOwnHost?: boolean
  readonly scanner?: ScanningOptions
  /** Says more than its verdict, too late to be noticed. */
  readonly talksOn?: boolean
  /** May say OK to what it has not read. */
  readonly lies?: boolean
  /** Depends on clamd's hanging up after it, which it does not do in a session. */
  readonly hangsUp?: boolean
  /** Listens on a port of its own and is no clamd. */
  readonly stranger?: (socket: Socket) => void
}

export const usual = 256 * 1024
/** So much more than a clamd reads in one turn that we are still sending when it breaks off at `middleOf`. */
export const large = 2 * 1024 * 1024
const middleOf = (size: number) => Math.floor(Math.min(size, 512 * 1024) / 2)

/** A message of exactly `bytes` behind our line; the virus is at its end. One with an id is made anew. */
export function message(content: Content, bytes: number, id?: string): Buffer {
  if (id !== undefined) return compose(content, bytes, id)
  const key = `${content} ${bytes}`
  const made = messages.get(key) ?? compose(content, bytes, 'faults')
  messages.set(key, made)
  return made
}

const messages = new Map<string, Buffer>()

function compose(content: Content, bytes: number, id: string): Buffer {
  const head = `Subject: ${id}\r\n\r\n`
  const end = content === 'infected' ? `${eicar()}\r\n` : 'nothing to be found\r\n'
  const padding = bytes - receivedLine.length - head.length - end.length
  const line = `${'x'.repeat(74)}\r\n`
  const lines = Math.floor((padding - 2) / line.length)
  const rest = `${'x'.repeat(padding - lines * line.length - 2)}\r\n`
  return Buffer.from(head + line.repeat(lines) + rest + end, 'latin1')
}

export const rows: Row[] = []
const same = (end: End | readonly End[]): Ends => ({ stream: end, instream: end, auto: end })

export type When = Moment | 'lastByte'
export const moments: readonly When[] = [
  ...(['accept', 'command', 'port', 'dataConnect', 'first', 'middle'] as const),
  ...(['lastByte', 'last', 'terminator', 'reply'] as const),
]
const untilSent: readonly When[] = moments.slice(0, 6)
/** While the data connection of STREAM is open. */
const ofData: readonly When[] = ['dataConnect', 'first', 'middle', 'lastByte', 'last']

function step(when: When, act: Act, size: number): Step {
  if (when === 'lastByte') return { at: 'middle', after: size, ...act }
  return when === 'middle' ? { at: 'middle', after: middleOf(size), ...act } : { at: when, ...act }
}

/** Before the data connection, `auto` has lost nothing with STREAM and asks the same daemon for INSTREAM. */
function endsAt(when: When, end: End | readonly End[]): Ends {
  if (when === 'port') return { stream: end, auto: end === 'error' ? 'verdict' : end }
  return when === 'dataConnect' ? { stream: end, auto: end } : same(end)
}

function add(
  when: When,
  name: string,
  acts: readonly Act[],
  end: End | readonly End[],
  more: Partial<Row> = {},
) {
  rows.push({
    name: `${name} at ${when}`,
    script: (size) => acts.map((act) => step(when, act, size)),
    ends: endsAt(when, end),
    ...more,
  })
}

/** For connecting, and for clamd's last words: short, but longer than a busy machine keeps this process waiting. */
const patienceMs = 1500
const shortBudget: Partial<Row> = { scanner: { scanMs: 700 } }

for (const deadEnd of ['refuse', 'blackHole'] as const) {
  const more = { hasOwnHost: true, ...(deadEnd === 'refuse' ? {} : { scanner: { connectMs: patienceMs } }) }
  rows.push({
    name: `${deadEnd} at connect`,
    script: () => [{ at: 'connect', do: deadEnd }],
    ends: same('error'),
    text: /: connect: no connection/,
    ...more,
  })
  rows.push({
    name: `${deadEnd} at dataConnect`,
    script: () => [{ at: 'dataConnect', do: deadEnd }],
    ends: { stream: 'error', auto: 'verdict' },
    text: /: data connect: no connection/,
    ...more,
  })
}

for (const on of ['command', 'data', 'both'] as const) {
  for (const act of ['reset', 'close', 'halfClose'] as const) {
    for (const when of on === 'command' ? moments : ofData) {
      const isAfterAll = when === 'lastByte' || when === 'last'
      const acts = on === 'both' ? (['command', 'data'] as const) : ([on] as const)
      let end: End | End[] = 'error'
      if (on === 'data' && act === 'reset' && isAfterAll) end = 'unclean'
      else if (on === 'data' && when === 'last') end = 'verdict'
      // It has every byte; whether our end of the data was sent before its own is a matter of luck.
      else if (on === 'data' && when === 'lastByte') end = ['verdict', 'unclean']
      // It reads on, and we may have sent everything by then.
      else if (on === 'data' && act === 'halfClose') end = ['verdict', 'error']
      // A FIN in good order, when all has left us, looks like the end of a scan.
      const lies = on === 'data' && act === 'close' && !isAfterAll
      const row: Partial<Row> = {
        bytes: large,
        lies,
        scanner: on === 'command' ? {} : { connectMs: patienceMs },
      }
      const ends = endsAt(when, end)
      if (on !== 'command') delete ends.instream
      // A reset may come before we know that we are connected; then `auto` has lost nothing yet.
      if (act === 'reset' && when === 'dataConnect') ends.auto = ['error', 'verdict']
      add(
        when,
        `${act} of ${on}`,
        acts.map((which) => ({ do: act, on: which })),
        end,
        { ...row, ends },
      )
    }
    if (on === 'command') add('close', act, [{ do: act }], act === 'reset' ? ['verdict', 'error'] : 'verdict')
  }
}

for (const when of moments) {
  add(when, 'stall', [{ do: 'stall' }], 'timeout', shortBudget)
  add(when, 'freeze', [{ do: 'freeze' }], 'timeout', shortBudget)
  add(when, 'dribble', [{ do: 'garbage', bytes: 2000, split: 'bytes', everyMs: 20 }], 'timeout', shortBudget)
  const some: Act = { do: 'garbage', bytes: 100 }
  const more = when === 'port' ? shortBudget : { hangsUp: when === 'reply' }
  add(when, 'garbage', [some], when === 'port' ? 'timeout' : 'error', more)
  add(when, 'garbage with line ends', [{ ...some, bytes: 1000, terminators: true }], 'error')
  const lot: Act = { do: 'garbage', bytes: 1024 * 1024 }
  add(when, '1 MB of garbage', [lot], 'error')
  add(when, '1 MB of garbage with line ends', [{ ...lot, terminators: true }], 'error')
  add(when, 'an empty line', [{ do: 'say', text: '' }], 'error', { text: /an empty reply/ })
}
for (const [name, act] of Object.entries({
  stall: { do: 'stall' },
  freeze: { do: 'freeze' },
  dribble: { do: 'garbage', bytes: 20, split: 'bytes', everyMs: 5 },
  garbage: { do: 'garbage', bytes: 100 },
  '1 MB of garbage': { do: 'garbage', bytes: 1024 * 1024 },
  '1 MB of garbage with line ends': { do: 'garbage', bytes: 1024 * 1024, terminators: true },
} satisfies Record<string, Act>)) {
  // The verdict is there already; garbage right behind it makes it doubtful.
  add('close', name, [act], ['verdict', 'error'], { talksOn: true })
}

for (const when of untilSent) {
  const more = { bytes: large, lies: true }
  add(when, 'OK before the data, and goes on', [{ do: 'say', text: 'stream: OK' }], 'error', more)
  add(when, 'OK before the data, and hangs up', [{ do: 'answer', text: 'stream: OK' }], 'error', more)
  const virus: Act = { do: 'answer', text: 'stream: Early.Test FOUND' }
  // A verdict before there was anything to judge is none; later on a virus is one, if its name gets through.
  const early: readonly End[] =
    when === 'first' || when === 'middle' || when === 'dataConnect' ? ['found', 'error'] : ['error', 'found']
  add(when, 'FOUND before the data', [virus], when === 'port' ? 'error' : early, more)
}

// More than the kernel takes off our hands, so that the message cannot have been sent.
add(
  'first',
  'OK before the data, and reads no more',
  [{ do: 'say', text: 'stream: OK' }, { do: 'freeze' }],
  'error',
  {
    bytes: 8 * large,
  },
)

// By the rules it may be delivered, so it counts only for all of the message.
const encrypted = 'stream: Heuristics.Encrypted.Zip FOUND'
add('first', 'encrypted before the data', [{ do: 'answer', text: encrypted }], 'error', { bytes: 4 * large })

rows.push(
  {
    name: 'two replies in one write',
    script: () => [{ at: 'reply', do: 'answer', text: '{verdict}\0{verdict}' }],
    ends: same('unclean'),
    text: /(OK|FOUND), and then: stream: /,
  },
  {
    name: 'OK and FOUND in one write',
    script: () => [{ at: 'reply', do: 'answer', text: 'stream: OK\nstream: Second.Test FOUND' }],
    ends: same('error'),
  },
  {
    name: 'two replies in two writes',
    script: () => [
      { at: 'reply', do: 'say', text: '{verdict}' },
      { at: 'reply', do: 'wait', ms: 1 },
      { at: 'reply', do: 'say', text: 'stream: OK' },
    ],
    ends: same('unclean'),
    talksOn: true,
  },
  {
    name: 'the reply byte by byte',
    script: () => [{ at: 'reply', do: 'say', text: '{verdict}', split: 'bytes' }],
    ends: same('verdict'),
  },
  {
    name: 'the PORT line byte by byte',
    script: () => [{ at: 'port', do: 'say', text: 'PORT {port}', split: 'bytes' }],
    ends: { stream: 'verdict', auto: 'verdict' },
  },
  {
    name: 'the reply slower than the budget',
    script: () => [{ at: 'reply', do: 'say', text: '{verdict}', split: 'bytes', everyMs: 100 }],
    ends: same('timeout'),
    ...shortBudget,
  },
  {
    name: 'PORT slower than the budget',
    script: () => [{ at: 'port', do: 'say', text: 'PORT {port}', split: 'bytes', everyMs: 150 }],
    ends: { stream: 'timeout', auto: 'timeout' },
    ...shortBudget,
  },
  {
    name: 'OK without an end, and a close',
    script: () => [{ at: 'reply', do: 'answer', text: 'stream: OK', end: '' }],
    ends: same('error'),
    text: /closed in the middle of a reply: (1: )?stream: OK/,
  },
  {
    name: 'OK without an end, and a reset',
    script: () => [
      { at: 'reply', do: 'say', text: 'stream: OK', end: '' },
      { at: 'reply', do: 'reset' },
    ],
    ends: same('error'),
  },
  {
    name: 'OK without an end, and silence',
    script: () => [
      { at: 'reply', do: 'say', text: 'stream: OK', end: '' },
      { at: 'reply', do: 'stall' },
    ],
    ends: same('timeout'),
    ...shortBudget,
  },
  {
    name: 'nothing, then EOF',
    script: () => [{ at: 'reply', do: 'close' }],
    ends: same('error'),
    text: /reply: connection closed without a reply/,
  },
)
for (let split = 1; split <= 'stream: OK'.length; split++) {
  rows.push({
    name: `the reply in two, after ${split} bytes`,
    script: () => [{ at: 'reply', do: 'say', text: '{verdict}', split, everyMs: 5 }],
    ends: same('verdict'),
    bytes: 4096,
  })
}
for (let split = 1; split <= 'PORT 1024'.length; split++) {
  rows.push({
    name: `the PORT line in two, after ${split} bytes`,
    script: () => [{ at: 'port', do: 'say', text: 'PORT {port}', split, everyMs: 5 }],
    ends: { stream: 'verdict', auto: 'verdict' },
    bytes: 4096,
  })
}

const failures = [
  'Accept timeout. ERROR',
  'Accept poll. ERROR',
  'read timeout ERROR',
  `Can't find any free port. ERROR`,
  'cli_gentempfd() failed. ERROR',
  'Temporary file -> write ERROR',
  'Error processing command. ERROR',
  `stream: Can't allocate memory ERROR`,
  'stream: Exceeded time limit ERROR',
  'COMMAND UNAVAILABLE',
  'UNKNOWN COMMAND',
  'stream: ERROR',
  ' ERROR',
  'PONG',
  'stream:OK',
  'stream: ok',
  'stream: OK ',
  ' stream: OK',
  'stream: OK\r',
  'Stream: OK',
  '1: stream: OK',
  'fd[10]: OK',
  'stream: FOUND',
  'stream:  FOUND',
  'stream: Some.Virus FOUND ',
  'stream: Some.Virus FOUN',
  'Some.Virus FOUND',
]
for (const text of failures) {
  const shown = text === 'PONG' ? 'pong' : text.trim().replace('\r', '?')
  const isName = text === 'stream:  FOUND'
  rows.push({
    name: `'${text}' as the reply`,
    script: () => [{ at: 'reply', do: 'answer', text }],
    ends: same(isName ? ['found', 'error'] : 'error'),
    ...(isName ? {} : { text: shown }),
    bytes: 4096,
  })
  rows.push({
    name: `'${text}' instead of PORT`,
    script: () => [{ at: 'port', do: 'answer', text }],
    ends: { stream: 'error', auto: 'verdict' },
    bytes: 4096,
  })
  if (text === 'stream: ERROR') {
    for (const when of ['command', 'first', 'middle', 'lastByte'] as const) {
      add(when, `'read timeout ERROR'`, [{ do: 'answer', text: 'read timeout ERROR' }], 'error', {
        bytes: large,
      })
    }
  }
}
for (const when of ['accept', 'command', 'first', 'last', 'reply'] as const) {
  // The one reply that ends in LF whatever the command ended in.
  add(when, 'COMMAND READ TIMED OUT', [{ do: 'answer', text: 'COMMAND READ TIMED OUT', end: '\n' }], 'error')
}
rows.push(
  {
    name: 'the size limit in the middle',
    script: (size) => [
      { at: 'middle', after: middleOf(size), do: 'answer', text: 'INSTREAM size limit exceeded. ERROR' },
    ],
    // Whether the words arrive before our next write breaks is a matter of luck.
    ends: { instream: ['too_large', 'error'] },
    bytes: large,
  },
  {
    name: 'the size limit as the reply',
    script: () => [{ at: 'reply', do: 'answer', text: 'INSTREAM size limit exceeded. ERROR' }],
    ends: { instream: 'too_large' },
    text: 'INSTREAM size limit exceeded',
  },
  {
    name: 'limits that were reached',
    script: () => [{ at: 'reply', do: 'say', text: 'stream: Heuristics.Limits.Exceeded.MaxScanSize FOUND' }],
    ends: same('limits'),
    text: /Heuristics\.Limits\.Exceeded\.MaxScanSize/,
  },
  {
    name: 'a virus without a name',
    script: () => [{ at: 'reply', do: 'say', text: 'stream: (null) FOUND' }],
    ends: same('limits'),
    text: /\(null\)/,
  },
  {
    name: 'a virus',
    script: () => [{ at: 'reply', do: 'say', text: 'stream: Any.Test FOUND' }],
    ends: same('found'),
  },
  { name: 'no scan command at all', script: () => [], ends: same('error'), daemon: { protocols: [] } },
)

for (const line of [
  ...[
    'PORT 0',
    'PORT 65536',
    'PORT 99999',
    'PORT -1',
    'PORT 1e3',
    'PORT 0x400',
    'PORT',
    'PORT ',
    'PORT text',
  ],
  ...['PORT {port} ', 'PORT  {port}', ' PORT {port}', 'port {port}', 'PORT {port}\r', 'PORT {port} {port}'],
  ...['{port}', 'PORT 184467440737095516151024', 'PORT 10.24'],
]) {
  rows.push({
    name: `'${line}' instead of PORT`,
    script: () => [{ at: 'port', do: 'say', text: line }],
    ends: { stream: 'error', auto: 'verdict' },
    daemon: { acceptMs: 1000 },
    bytes: 4096,
  })
}

const strangers: Record<string, (socket: Socket) => void> = {
  'takes it and closes when we do': (socket) => socket.resume().on('end', () => socket.end()),
  'greets and takes it': (socket) =>
    socket
      .resume()
      .on('end', () => socket.end())
      .write('220 ready\r\n'),
  'takes it and never closes': (socket) => socket.resume(),
  'closes at once': (socket) => socket.end(),
  'resets at once': (socket) => socket.resetAndDestroy(),
  'reads nothing': (socket) => socket.pause(),
}
for (const [name, stranger] of Object.entries(strangers)) {
  rows.push({
    name: `the port of another program, which ${name}`,
    script: (_, port) => [{ at: 'port', do: 'say', text: `PORT ${port}` }],
    // A reset may come before we know that we are connected; then `auto` has lost nothing yet.
    ends: { stream: 'error', auto: name.startsWith('resets') ? ['error', 'verdict'] : 'verdict' },
    daemon: { acceptMs: 400 },
    scanner: { connectMs: patienceMs },
    bytes: large,
    stranger,
  })
}

/** Runs `use` while the stranger listens on a port of that host. */
export async function withStranger<T>(
  talk: Row['stranger'],
  use: (port: number) => Promise<T>,
  host = '127.0.0.1',
): Promise<T> {
  if (!talk) return use(0)
  const guests = new Set<Socket>()
  const server = createServer({ allowHalfOpen: true }, (socket) => {
    guests.add(socket)
    socket.on('error', () => undefined)
    talk(socket)
  })
  server.listen(0, host)
  await once(server, 'listening')
  try {
    return await use((server.address() as AddressInfo).port)
  } finally {
    for (const guest of guests) guest.destroy()
    server.close()
  }
}

/** Which address has the verdict, and which one, or why there is none. */
export function labelOf(end: End, content: Content, hasOthers: boolean): string {
  if (end === 'verdict') return content
  if (end === 'found') return 'infected'
  if (end === 'unclean' && content === 'infected') return 'infected'
  if (end === 'timeout' || end === 'limits') return end
  if (hasOthers) return `${content} by another address`
  return end === 'too_large' ? end : 'error'
}
