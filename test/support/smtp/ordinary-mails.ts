// Ordinary mails: what nearly all real mail looks like, written anew after the habits of well-known programs. Each knows
// the places in it that could carry something, and which of these clamd does not read.
import { messages, multiparts, plainTexts, signed, type Write } from './ordinary-mails/mails'
import { bytesOf, textOf } from './ordinary-mails/writing'

/**
 * Measured: of `multipart/signed` clamd decodes the first part alone; a field of the whole mail's header that ends in a
 * semicolon swallows the next one.
 */
const unread: Readonly<Record<string, readonly string[]>> = {
  'a file as the whole mail, a semicolon behind its name': ['pdf'],
  'S/MIME, detached, a text': ['signature'],
  'S/MIME, detached, with files': ['signature'],
  'S/MIME, detached, one file': ['signature'],
}

export class OrdinaryMail {
  constructor(
    readonly name: string,
    private readonly write: Write,
  ) {}

  /** The places that clamd does not read. */
  get unread(): readonly string[] {
    return unread[this.name] ?? []
  }

  async bytes(): Promise<Buffer> {
    return bytesOf(await this.write((_, ordinary) => asText(ordinary)))
  }

  /** The names of the places, in order. */
  async places(): Promise<string[]> {
    const names = new Set<string>()
    await this.write((name, ordinary) => {
      names.add(name)
      return asText(ordinary)
    })
    return [...names]
  }

  /** With the payload in one place. */
  async carrying(payload: Buffer, place: string): Promise<Buffer> {
    return bytesOf(await this.write((name, ordinary) => asText(name === place ? payload : ordinary)))
  }
}

function asText(content: string | Buffer): string {
  return typeof content === 'string' ? content : textOf(content)
}

export const ordinaryMails: readonly OrdinaryMail[] = Object.entries({
  ...plainTexts,
  ...multiparts,
  ...messages,
  ...signed,
}).map(([name, write]) => new OrdinaryMail(name, write))
