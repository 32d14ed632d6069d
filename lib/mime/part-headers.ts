/*
 * The header section of one MIME part, taken apart: its Content- headers, all of them, however often and
 * however oddly they come. What their values mean is read in parameters.ts and names.ts.
 */

export interface ContentHeader {
  /** `name`: of old mail programs, with nothing but a name in it. */
  readonly field: 'type' | 'disposition' | 'encoding' | 'name'
  /** One character per byte. A folded line is `\n`, its white space gone. */
  readonly value: string
}

/** Folds, controls and 8-bit spaces between name and colon are nothing to many a program. */
const field =
  /^(?:content-(?<name>type|disposition|transfer-encoding|name)|x-sun-data-(?<sun>name))[^!-~]*:(?<value>[^]*)$/i

/** @param section header lines as they are in the message, one character per byte */
export function contentHeaders(section: string): ContentHeader[] {
  if (!/\r(?!\n)/.test(section)) return headersOf(section)
  // A carriage return by itself ends a line for some programs and is nothing for others.
  return [...headersOf(section.replace(/\r(?!\n)/g, '')), ...headersOf(section.replace(/\r(?!\n)/g, '\r\n'))]
}

function headersOf(section: string): ContentHeader[] {
  const found: ContentHeader[] = []
  for (const line of section.replace(/\r?\n[ \t]+/g, '\v').split(/\r?\n/)) {
    const { name, sun, value = '' } = field.exec(line)?.groups ?? {}
    const word = name ?? sun
    if (word === undefined) continue
    const unfolded = value.replaceAll('\v', '\n')
    found.push({
      field: word.toLowerCase().replace('transfer-', '') as ContentHeader['field'],
      value: unfolded,
    })
  }
  return found
}
