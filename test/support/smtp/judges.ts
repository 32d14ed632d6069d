// Mail readers as judges: what one of them opens, a mail program may open as well. They share no code with the product.
import { type Attachment, simpleParser } from 'mailparser'
import PostalMime from 'postal-mime'

/** What a reader found in a mail. */
type Contents = readonly { readonly content: Buffer; readonly isMessage: boolean }[]

type Reader = (mail: Buffer) => Promise<Contents>

const readers: Readonly<Record<string, Reader>> = {
  async mailparser(mail) {
    const { text, html, attachments } = await simpleParser(mail, {
      skipHtmlToText: true,
      skipTextToHtml: true,
      skipImageLinks: true,
    })
    return [
      ...contents(text, html),
      // The types know no attachment without content; there is one where the mail ends early.
      ...attachments.flatMap(({ content, contentType }: Partial<Attachment>) =>
        contentsOf(content, contentType),
      ),
    ]
  },
  async 'postal-mime'(mail) {
    const { text, html, attachments } = await PostalMime.parse(mail)
    return [
      ...contents(text, html),
      ...attachments.flatMap(({ content, mimeType }) =>
        contentsOf(typeof content === 'string' ? content : new Uint8Array(content), mimeType),
      ),
    ]
  },
}

function contents(...texts: readonly (string | false | undefined)[]): Contents {
  return texts.flatMap((text) => (text ? contentsOf(text) : []))
}

function contentsOf(content: Uint8Array | string | undefined, type = ''): Contents {
  return content === undefined ? [] : [{ content: Buffer.from(content), isMessage: /^message\//i.test(type) }]
}

/** A message in a message can be opened as well, and so on; so deep no user goes. */
const maxDepth = 30

async function opens(read: Reader, mail: Buffer, payload: Buffer, depth = 0): Promise<boolean> {
  const found = await read(mail).catch((): Contents => [])
  if (found.some(({ content }) => content.includes(payload))) return true
  if (depth === maxDepth) return false
  for (const { content, isMessage } of found) {
    if (isMessage && (await opens(read, content, payload, depth + 1))) return true
  }
  return false
}

/** The names of the readers in whose parts the payload stands. */
export async function judge(mail: Buffer, payload: Buffer): Promise<string[]> {
  const names: string[] = []
  for (const [name, read] of Object.entries(readers)) {
    if (await opens(read, mail, payload)) names.push(name)
  }
  return names
}
