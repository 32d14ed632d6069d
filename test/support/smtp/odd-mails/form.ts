// A slot is one decision about a mail (how the boundary is written, how a part is encoded ...); its forms are the ways
// to decide it, each under a name that a failing test can print. `usual` is what ordinary mail programs write.
// Everything is built from strings with one character a byte (latin1), lines end in CRLF.

/** The forms of a slot by name. */
export type Forms<Form> = Readonly<Record<string, Form>> & { readonly usual: Form }

export function formOf<Form>(forms: Forms<Form>, name: string): Form {
  const form = Object.hasOwn(forms, name) ? forms[name] : undefined
  if (form === undefined) throw new Error(`no such form: ${name}`)
  return form
}

export function crlf(...lines: readonly string[]): string {
  return lines.map((line) => `${line}\r\n`).join('')
}

export function bytesOf(text: string): Buffer {
  return Buffer.from(text, 'latin1')
}

export function textOf(bytes: Buffer): string {
  return bytes.toString('latin1')
}

/** In pieces of `length` characters; nothing for the empty text. */
export function pieces(text: string, length: number): string[] {
  return text.match(new RegExp(`[^]{1,${length}}`, 'g')) ?? []
}
