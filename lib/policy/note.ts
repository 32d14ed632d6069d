/*
 * What other plugins read of a scan, and may write: the types of `transaction.notes.clamav_stream`. They are the types
 * of the package, so this file imports nothing: a rule in TypeScript is checked whatever else its project has.
 */

/** STREAM with a port for the data, or INSTREAM. */
export type Protocol = 'stream' | 'instream'

/**
 * Why a message was not scanned. `exempt`: by [check] or the list. `encrypted`: nothing was found, and only the recipient
 * can look into a part. `unscannable`: every scan of it has failed, as often as [main] unscannable_after says.
 * `in_progress`: a clamd may still be at an earlier scan of it. The others: by what happened.
 */
export type Reason =
  'exempt' | 'too_large' | 'limits' | 'encrypted' | 'timeout' | 'error' | 'unscannable' | 'in_progress'

/** One or more of the words, each once, in any order. */
type Words<All extends string, First extends All = All> = First extends First
  ? First | `${First} ${Words<Exclude<All, First>>}`
  : never

type Beside = 'quarantine' | 'bounce'

/** Action words as they may stand in the note. */
export type ActionText =
  'accept' | 'tag' | Words<Beside | 'reject'> | Words<Beside | 'defer'> | Words<Beside | 'discard'>

interface Scan {
  /** `host:port`, `[v6]:port`, `tls://` before them, or the path of a socket. */
  clamd: string | null
  /** Release and signatures' number of that clamd, as in `ClamAV 1.4.6/27500`; null where it is not known. */
  engine: string | null
  protocol: Protocol | null
  bytes: number
  ms: number
  /** Contents that were scanned besides the whole message, in every reading. */
  readings: number
  /** Header sections of the message that were read for that. */
  parts: number
  /** The content that the verdict comes from, as in `part 2 (base64)`; null: the whole message. */
  part: string | null
  /** What will be done. Another plugin may overrule it in data_post at a priority between 0 and 50. */
  action: ActionText
}

export interface CleanNote extends Scan {
  outcome: 'clean'
  infected: false
  virus: null
  reason: null
}

export interface InfectedNote extends Scan {
  outcome: 'infected'
  infected: true
  /** Signature name: printable ASCII, at most 128 characters. */
  virus: string
  reason: null
}

export interface UnscannedNote extends Scan {
  outcome: 'unscanned'
  /** Not scanned, which is not the same as clean. */
  infected: null
  virus: null
  reason: Reason
}

/** Plain JSON, since the outbound queue writes notes to disk. */
export type Note = CleanNote | InfectedNote | UnscannedNote
