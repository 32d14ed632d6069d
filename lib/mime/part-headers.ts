/*
 * Reads the Content- headers of one MIME part: all of them, also repeated and malformed ones. Their values are
 * read in parameters.ts and lib/attachments/filenames.ts.
 */

export interface ContentHeader {
  /** `name`: Content-Name of old mail programs, whose value is a file name. */
  readonly field: 'type' | 'disposition' | 'encoding' | 'name'
  /** One character per byte. A fold is `\n`, without its white space. */
  readonly value: string
}

/** Many programs ignore folds, controls and 8-bit spaces between name and colon. */
const field = /^content-(?<name>type|disposition|transfer-encoding|name)[^!-~]*:(?<value>[^]*)$/i

/** @param section header lines as they are in the message, one character per byte */
export function contentHeaders(section: string): ContentHeader[] {
  if (!/\r(?!\n)/.test(section)) return headersOf(section)
  // A bare carriage return ends a line for some programs and is ignored by others.
  return [...headersOf(section.replace(/\r(?!\n)/g, '')), ...headersOf(section.replace(/\r(?!\n)/g, '\r\n'))]
}

function headersOf(section: string): ContentHeader[] {
  const found: ContentHeader[] = []
  for (const line of section.replace(/\r?\n[ \t]+/g, '\v').split(/\r?\n/)) {
    const { name, value = '' } = field.exec(line)?.groups ?? {}
    if (name === undefined) continue
    const unfolded = value.replaceAll('\v', '\n')
    found.push({
      field: name.toLowerCase().replace('transfer-', '') as ContentHeader['field'],
      value: unfolded,
    })
  }
  return found
}
