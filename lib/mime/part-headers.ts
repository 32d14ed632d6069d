/*
 * Reads the Content- headers of one MIME part: all of them, also repeated and malformed ones. Their values are
 * read in parameters.ts and lib/attachments/filenames.ts.
 */

import { withoutComments } from './parameters'

export interface ContentHeader {
  /** `name`: Content-Name of old mail programs, whose value is a file name. */
  readonly field: 'type' | 'disposition' | 'encoding' | 'name' | 'description' | 'location'
  /** One character per byte. A fold is `\n`, without its white space. */
  readonly value: string
}

/** Many programs ignore folds, controls and 8-bit spaces between name and colon, some also in front of the name. */
const field =
  /^[^!-~]*content-(?<name>type|disposition|transfer-encoding|name|description|location)[^!-~]*:(?<value>[^]*)$/i
/** A line that begins like this is a header of its own; to some programs any other one goes on with the header before. */
const headerStart = /^[^!-~]*[!#-'*+\-.0-9A-Z^_`a-z|~]{1,100}[^!-~]*:/

/** @param line its beginning will do; one character per byte */
export function beginsHeader(line: string): boolean {
  return headerStart.test(line)
}

/** @param section header lines as they are in the message, one character per byte */
export function contentHeaders(section: string): ContentHeader[] {
  if (!/\r(?!\n)/.test(section)) return headersOf(section)
  // A bare carriage return ends a line for some programs and is ignored by others.
  return [...headersOf(section.replace(/\r(?!\n)/g, '')), ...headersOf(section.replace(/\r(?!\n)/g, '\r\n'))]
}

/** All that they say the part is, in small letters: `text/plain`. */
export function mediaTypesOf(headers: readonly ContentHeader[]): string[] {
  return headers.filter(({ field }) => field === 'type').map(({ value }) => mediaType(value))
}

function mediaType(value: string): string {
  const type = withoutComments(value).split(';', 1)[0] ?? ''
  return type.replace(/[^\x21-\x7e]|"/g, '').toLowerCase()
}

function headersOf(section: string): ContentHeader[] {
  const found: ContentHeader[] = []
  for (const line of linesOf(section)) {
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

/** Headers with `\v` for each fold. Where a line is neither a fold nor a header, its header is taken with it and without it. */
function linesOf(section: string): string[] {
  const found: string[] = []
  let longer: string | null = null
  const end = () => {
    if (longer !== null) found.push(longer)
    longer = null
  }
  for (const line of section.replace(/\r?\n[ \t]+/g, '\v').split(/\r?\n/)) {
    const before: string | undefined = longer ?? found.at(-1)
    if (line === '' || before === undefined || beginsHeader(line)) {
      end()
      found.push(line)
    } else {
      longer = `${before}\v${line}`
    }
  }
  end()
  return found
}
