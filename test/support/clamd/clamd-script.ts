// The script language of fake-clamd.ts: a list of steps, each saying at which moment of the dialogue the daemon
// misbehaves and how. What no step mentions is done as a real clamd does it.

/**
 * Moments, in the order of the dialogue. An INSTREAM dialogue has no `port` and no `dataConnect`.
 * - accept: the command connection was accepted, nothing was read
 * - command: the command line was read
 * - port: instead of the PORT line, if something is said; else just before it
 * - dataConnect: the data connection was accepted
 * - first: the first bytes of the message came
 * - middle: at least `after` bytes of it came; `after` the whole size is the last byte, before the end mark
 * - last: the end mark came (FIN, or the chunk of length zero); the data connection is still open on our side
 * - terminator: our side of the data connection is closed as well
 * - reply: instead of the verdict, if something is said; else just before it
 * - close: the reply was written, the command connection is still open
 * In a session `accept` belongs to the first scan alone, and what follows `close` is the next command.
 */
export type Moment =
  | 'accept'
  | 'command'
  | 'port'
  | 'dataConnect'
  | 'first'
  | 'middle'
  | 'last'
  | 'terminator'
  | 'reply'
  | 'close'

/** Which connection a step is about. By default the one the moment belongs to: data from dataConnect to last. */
export type Which = 'command' | 'data' | 'both'

interface Pace {
  /** Written in one piece by default; in two, the first of that number of bytes; or byte by byte. */
  split?: number | 'bytes'
  /** Between the pieces; 1000 and 'bytes' make a dribble. Default 1. */
  everyMs?: number
}

interface Words extends Pace {
  /** Sent as Latin-1. `{port}` stands for the real data port, `{verdict}` for the real verdict. */
  text: string
  /** Default: as the command was ended; LF where there was no command yet. */
  end?: '\0' | '\n' | ''
  /** In a session, the number in front of it; null: none. Default: that of the command. */
  number?: number | null
}

interface Garbage extends Pace {
  /** How many; random, but the same for the same seed. */
  bytes: number
  seed?: number
  /** Whether NUL and LF may be among them. Default false. */
  terminators?: boolean
}

export type Act =
  /** On the command connection, and the dialogue goes on; several in a row are several writes. */
  | ({ do: 'say' } & Words)
  /** Says it and closes everything, as clamd does after a reply. */
  | ({ do: 'answer' } & Words)
  | ({ do: 'garbage' } & Garbage)
  /** RST. If only the data connection goes, the dialogue continues as if the message had ended. */
  | { do: 'reset'; on?: Which }
  | { do: 'close'; on?: Which }
  /** FIN; reading goes on. */
  | { do: 'halfClose'; on?: Which }
  | { do: 'wait'; ms: number }
  /** Never says or does anything again; takes whatever is sent. */
  | { do: 'stall' }
  /** The same, and reads nothing more either: the client's writes get stuck. */
  | { do: 'freeze' }

/** Dead ends, because nothing listens (refuse) or nothing accepts (blackHole, see black-hole.ts). */
export interface DataDeadEnd {
  at: 'dataConnect'
  do: 'refuse' | 'blackHole'
}

export interface ConnectDeadEnd {
  at: 'connect'
  do: 'refuse' | 'blackHole'
}

export type Step =
  ({ at: Exclude<Moment, 'middle'> } & Act) | ({ at: 'middle'; after: number } & Act) | DataDeadEnd

export type Script = readonly Step[]

export function isAct<S extends Step>(step: S): step is Exclude<S, DataDeadEnd> {
  return step.do !== 'refuse' && step.do !== 'blackHole'
}

/** Repeatable noise: xorshift32. */
export function garbage({ bytes, seed = 1, terminators = false }: Omit<Garbage, keyof Pace>): Buffer {
  const noise = Buffer.alloc(bytes)
  let state = seed | 0 || 1
  for (let i = 0; i < bytes;) {
    state ^= state << 13
    state ^= state >>> 17
    state ^= state << 5
    const byte = (state >>> 8) & 0xff
    if (terminators || (byte !== 0 && byte !== 10)) noise[i++] = byte
  }
  return noise
}

/** The pieces in which bytes are written. */
export function pieces(bytes: Buffer, split: Pace['split']): Buffer[] {
  if (split === undefined) return [bytes]
  if (split === 'bytes') return Array.from(bytes, (byte) => Buffer.from([byte]))
  return [bytes.subarray(0, split), bytes.subarray(split)]
}
