/*
 * Readers of a message: the parts of it and of every message in it; for each body the decoders and the search for archives.
 * Every message streams through them, also one that is odd and read again (lib/scan/readings/): a plain one is not to be
 * held, and only here is known which part has which names, by which `allow` goes.
 */

import type { Budget } from '../mime/budget'
import { type BodySink, isMessage, isMultipart, MimeReader, type Part } from '../mime/mime-reader'
import type { ContentHeader } from '../mime/part-headers'
import { decoderOf, type Encoding, encodingsOf } from '../mime/transfer-encodings'
import { type Archive, ArchiveWatch } from './archives/archive-detector'
import { containerOf, isText } from './file-types'
import { isAttached, type Name } from './filenames'
import type { Findings } from './findings'
import { nameForLog } from './normalize'

export type FoundArchive = Archive & {
  /** For a log. */
  readonly where: string
  /** Names of the part. */
  readonly names: readonly Name[]
  /** In this reading only some program finds it, and damaged it is none. */
  readonly isDoubtful: boolean
}

/** What is looked for in contents. */
export interface FileChecks {
  readonly insideArchives: boolean
  /** What a file is matters: it may be denied by that. */
  readonly types: boolean
}

export class Readers {
  /** A file is not held that would be opened: its end alone says what it is. */
  hasMissed = false
  /** Messages that are open, the outermost one counted. */
  #open = 1

  constructor(
    private readonly findings: Findings,
    private readonly budget: Budget,
    /** Takes the archive over, and releases its bytes to the budget when done with it. */
    private readonly onArchive: (archive: FoundArchive) => void,
    private readonly checks: FileChecks,
  ) {}

  /** Of the whole message. */
  outermost(): MimeReader {
    return this.#message('', 0)
  }

  #message(prefix: string, depth: number): MimeReader {
    const handler = {
      part: (part: Part) => {
        const where = prefix + (part.number === 0 ? 'message' : `part ${part.number}`)
        for (const type of part.types) {
          const why = absent.get(type)
          if (why !== undefined) this.findings.trouble(where, why)
        }
        const names = this.findings.headers(part.headers, where, part.types)
        return this.#body(part, names, where, depth)
      },
      stray: (headers: readonly ContentHeader[]) => {
        this.findings.headers(headers, `${prefix}between parts`)
      },
      epilogue: () => fork([]),
      trouble: (what: string) => this.findings.trouble(`${prefix}message`, what),
    }
    return new MimeReader(handler, this.budget.limits.parts)
  }

  #body(part: Part, names: readonly Name[], where: string, depth: number): BodySink {
    const claimed = encodingsOf(part.headers)
    const isEncoded = claimed.some((encoding) => encoding !== 'identity')
    // RFC 2046 allows a message no encoding, so some take it as it is, whatever it says.
    const isMessagePart = part.types.some(isMessage)
    const encodings = isMessagePart ? [...new Set<Encoding>([...claimed, 'identity'])] : claimed
    const called = names[0] ? `${where} (${nameForLog(names[0][0])})` : where
    return fork(
      encodings.map((encoding) => {
        const readers: BodySink[] = [this.#archiveWatch(called, names, isAttached(names, part.headers))]
        if (holdsMessage(part, names, isEncoded)) readers.push(this.#messageWithin(where, depth))
        if (isEncoded && part.types.some(isMultipart)) readers.push(this.#multipartWithin(part, where, depth))
        return decoding(encoding, fork(readers))
      }),
    )
  }

  /** @param isFile what is shown in place may be HTML, which is no attachment */
  #archiveWatch(where: string, names: readonly Name[], isFile: boolean): ArchiveWatch {
    const { insideArchives, types: wantsTypes } = this.checks
    const onTypes = (types: ReadonlySet<string>) => {
      if (wantsTypes && (isFile || !isText(types))) this.findings.file({ names, types })
    }
    return new ArchiveWatch(this.budget, {
      onTypes,
      onTypesOfEnd: (types) => {
        onTypes(types)
        this.hasMissed ||= insideArchives
      },
      holds: (types) => {
        const container = containerOf(types)
        if (insideArchives && container?.by === 'nobody')
          this.findings.trouble(where, `${container.kind} (not opened here)`)
        else if (insideArchives && container) return true
        return types.has('tnef') || (wantsTypes && types.has('ole'))
      },
      findsZips: insideArchives,
      onArchive: (archive) => this.onArchive({ ...archive, where, names, isDoubtful: false }),
      onOverBudget: (why) => this.findings.trouble(where, why),
    })
  }

  #messageWithin(where: string, depth: number): BodySink {
    const { messages, readers } = this.budget.limits
    if (depth >= messages) {
      this.findings.trouble(where, `messages are nested more than ${messages} deep`)
      return fork([])
    }
    if (this.#open >= readers) {
      this.findings.trouble(where, `messages are to be read in more than ${readers} ways`)
      return fork([])
    }
    this.#open++
    return fork([this.#message(`${where}, `, depth + 1), { write: () => undefined, end: () => this.#open-- }])
  }

  /** The parts of an encoded multipart, which RFC 2045 forbids and some programs show. */
  #multipartWithin(part: Part, where: string, depth: number): BodySink {
    const reader = this.#messageWithin(where, depth)
    for (const { field, value } of part.headers) {
      if (field === 'type')
        reader.write(Buffer.from(`Content-Type:${value.replaceAll('\n', ' ')}\r\n`, 'latin1'))
    }
    reader.write(Buffer.from('\r\n'))
    return reader
  }
}

/** Types of which a program may show a file that is not in this message, or not all of it. */
const absent: ReadonlyMap<string, string> = new Map([
  ['message/partial', 'it is one piece of a message'],
  ['message/external-body', 'its content lies elsewhere'],
])

/** A message that has to be decoded first, or one that is attached as a file. */
function holdsMessage(part: Part, names: readonly Name[], isEncoded: boolean): boolean {
  if (part.types.some(isMessage) && (isEncoded || part.types.some(isMultipart))) return true
  return names.some((name) => name.some((reading) => /\.(?:eml|mht|mhtml)\W*$/i.test(reading)))
}

function fork(sinks: readonly BodySink[]): BodySink {
  const [only] = sinks
  if (only && sinks.length === 1) return only
  return {
    write: (bytes) => {
      for (const sink of sinks) sink.write(bytes)
    },
    end: () => {
      for (const sink of sinks) sink.end()
    },
  }
}

function decoding(encoding: Encoding, sink: BodySink): BodySink {
  const decoder = decoderOf(encoding)
  return {
    write: (bytes) => sink.write(decoder.write(bytes)),
    end: () => {
      sink.write(decoder.end())
      sink.end()
    },
  }
}
