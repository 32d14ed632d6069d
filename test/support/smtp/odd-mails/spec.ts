// An odd mail as plain data (the names of its forms), and how it is written out. Data can be printed, repeated and made
// smaller by fast-check; the payload comes in only when it is written, so that two mails can differ in it alone.
import { boundaryParameters, boundaryTexts, delimiters } from './boundaries'
import { containers } from './containers'
import { encodings, tokens, wholeEncodings } from './encodings'
import { bytesOf, formOf, type Forms, textOf } from './form'
import { envelopes, type Field, headerBlocks, lineEnds, versions } from './headers'
import { dispositions, leafTypes, messageTypes, multipartTypes } from './types'

export interface LeafSpec {
  readonly kind: 'leaf'
  readonly header: string
  readonly type: string
  readonly disposition: string
  readonly encoding: string
  readonly token: string
  readonly container: string
}

export interface MultipartSpec {
  readonly kind: 'multipart'
  readonly header: string
  readonly type: string
  readonly boundary: string
  readonly parameter: string
  readonly delimiter: string
  readonly whole: string
  readonly before: readonly PartSpec[]
  readonly part: PartSpec
  readonly after: readonly PartSpec[]
}

export interface MessageSpec {
  readonly kind: 'message'
  readonly header: string
  readonly type: string
  readonly whole: string
  readonly envelope: string
  readonly version: string
  readonly part: PartSpec
}

/** Many ordinary entities around one part, or many ordinary parts in front of it. */
export interface DeepSpec {
  readonly kind: 'deep'
  readonly wrapper: keyof typeof wrappers
  readonly times: number
  readonly part: PartSpec
}

export type PartSpec = LeafSpec | MultipartSpec | MessageSpec | DeepSpec

export interface MailSpec {
  readonly envelope: string
  readonly version: string
  readonly lineEnds: string
  readonly root: PartSpec
}

/** The slots of each kind with their forms; the names of the slots are those of the specs. */
export const slots = {
  mail: { envelope: envelopes, version: versions, lineEnds },
  leaf: {
    header: headerBlocks,
    type: leafTypes,
    disposition: dispositions,
    encoding: encodings,
    token: tokens,
    container: containers,
  },
  multipart: {
    header: headerBlocks,
    type: multipartTypes,
    boundary: boundaryTexts,
    parameter: boundaryParameters,
    delimiter: delimiters,
    whole: wholeEncodings,
  },
  message: {
    header: headerBlocks,
    type: messageTypes,
    whole: wholeEncodings,
    envelope: envelopes,
    version: versions,
  },
} as const satisfies Record<string, Record<string, Forms<unknown>>>

export const ordinaryLeaf: LeafSpec = {
  kind: 'leaf',
  header: 'usual',
  type: 'usual',
  disposition: 'usual',
  encoding: 'usual',
  token: 'usual',
  container: 'usual',
}

export const ordinaryText: LeafSpec = {
  ...ordinaryLeaf,
  type: 'plain text in UTF-8',
  disposition: 'none',
  encoding: '7bit',
}

export const ordinaryMultipart: Omit<MultipartSpec, 'part'> = {
  kind: 'multipart',
  header: 'usual',
  type: 'usual',
  boundary: 'usual',
  parameter: 'usual',
  delimiter: 'usual',
  whole: 'usual',
  before: [ordinaryText],
  after: [],
}

export const ordinaryMessage: Omit<MessageSpec, 'part'> = {
  kind: 'message',
  header: 'usual',
  type: 'usual',
  whole: 'usual',
  envelope: 'usual',
  version: 'usual',
}

export const ordinaryMail: Omit<MailSpec, 'root'> = { envelope: 'usual', version: 'usual', lineEnds: 'usual' }

/** What a deep mail repeats. */
export const wrappers = {
  multipart: (part: PartSpec): PartSpec => ({ ...ordinaryMultipart, before: [], part }),
  'multipart, text in front': (part: PartSpec): PartSpec => ({ ...ordinaryMultipart, part }),
  'multipart, text behind': (part: PartSpec): PartSpec => ({
    ...ordinaryMultipart,
    before: [],
    part,
    after: [ordinaryText],
  }),
  'multipart/alternative': (part: PartSpec): PartSpec => ({
    ...ordinaryMultipart,
    type: 'alternative',
    part,
  }),
  message: (part: PartSpec): PartSpec => ({ ...ordinaryMessage, part }),
  'multipart and message by turns': (part: PartSpec): PartSpec => ({
    ...ordinaryMultipart,
    part: { ...ordinaryMessage, part },
  }),
  'parts in front': (part: PartSpec): PartSpec => part,
} as const

/** What a part is called that does not carry the payload; no mail program and no signature minds it. */
const filler = 'An ordinary line of text.'

interface Written {
  readonly fields: readonly Field[]
  readonly body: string
  readonly header: string
}

class Writer {
  #carried = false

  constructor(private readonly payload: string) {}

  mail(spec: MailSpec): string {
    const own = [...formOf(envelopes, spec.envelope), ...formOf(versions, spec.version)]
    return formOf(lineEnds, spec.lineEnds)(this.#entity(spec.root, 0, 'none', true, own))
  }

  #entity(
    spec: PartSpec,
    level: number,
    outer: string,
    carries: boolean,
    own: readonly Field[] = [],
  ): string {
    const { fields, body, header } = this.#written(spec, level, outer, carries)
    return formOf(headerBlocks, header)([...own, ...fields]) + body
  }

  #written(spec: PartSpec, level: number, outer: string, carries: boolean): Written {
    switch (spec.kind) {
      case 'leaf':
        return this.#leaf(spec, carries)
      case 'multipart':
        return this.#multipart(spec, level, outer, carries)
      case 'message':
        return this.#message(spec, level, outer, carries)
      case 'deep':
        return this.#written(unrolled(spec), level, outer, carries)
    }
  }

  #leaf(spec: LeafSpec, carries: boolean): Written {
    if (carries && this.#carried) throw new Error('a mail carries its payload once')
    this.#carried ||= carries
    const held = formOf(containers, spec.container)(carries ? this.payload : filler)
    const name = spec.encoding === 'usual' ? (held.encoding ?? spec.encoding) : spec.encoding
    const { token, body } = formOf(encodings, name)(held.content)
    const type = spec.type === 'usual' ? (held.type ?? leafTypes.usual) : formOf(leafTypes, spec.type)
    const fields = present([
      ['Content-Type', type],
      ['Content-Transfer-Encoding', token === null ? null : formOf(tokens, spec.token)(token)],
      [
        'Content-Disposition',
        formOf(dispositions, held.isText && spec.disposition === 'usual' ? 'none' : spec.disposition),
      ],
    ])
    return { fields, body, header: spec.header }
  }

  #multipart(spec: MultipartSpec, level: number, outer: string, carries: boolean): Written {
    const boundary = formOf(boundaryTexts, spec.boundary)(level, outer)
    const parts = [...spec.before, spec.part, ...spec.after].map((part, at) =>
      this.#entity(part, level + 1, boundary, carries && at === spec.before.length),
    )
    const inner = formOf(delimiters, spec.delimiter)(boundary, parts, spec.before.length, outer)
    const { token, body } = formOf(wholeEncodings, spec.whole)(inner)
    const type = formOf(multipartTypes, spec.type) + formOf(boundaryParameters, spec.parameter)(boundary)
    return {
      fields: present([
        ['Content-Type', type],
        ['Content-Transfer-Encoding', token],
      ]),
      body,
      header: spec.header,
    }
  }

  #message(spec: MessageSpec, level: number, outer: string, carries: boolean): Written {
    const own = [...formOf(envelopes, spec.envelope), ...formOf(versions, spec.version)]
    const inner = this.#entity(spec.part, level + 1, outer, carries, own)
    const { token, body } = formOf(wholeEncodings, spec.whole)(inner)
    const fields = present([
      ['Content-Type', formOf(messageTypes, spec.type)],
      ['Content-Transfer-Encoding', token],
    ])
    return { fields, body, header: spec.header }
  }
}

function unrolled({ wrapper, times, part }: DeepSpec): PartSpec {
  if (wrapper === 'parts in front') {
    return { ...ordinaryMultipart, before: Array<PartSpec>(times).fill(ordinaryText), part }
  }
  return Array.from({ length: times }).reduce<PartSpec>((inner) => wrappers[wrapper](inner), part)
}

function present(fields: readonly (readonly [name: string, value: string | null])[]): Field[] {
  return fields.filter((field): field is Field => field[1] !== null)
}

export function write(spec: MailSpec, payload: Buffer): Buffer {
  return bytesOf(new Writer(textOf(payload)).mail(spec))
}

/** What is not usual about the mail, as `kind slot: form`; of parts beside the way to the payload with `beside` in front. */
export function formsOf(spec: MailSpec): string[] {
  return [...new Set([...unusual('mail', spec), ...formsOfPart(spec.root)])]
}

function formsOfPart(spec: PartSpec): string[] {
  if (spec.kind === 'leaf') return unusual('leaf', spec)
  if (spec.kind === 'message') return [...unusual('message', spec), ...formsOfPart(spec.part)]
  if (spec.kind === 'deep') return [`deep ${spec.wrapper}: ${roughly(spec.times)}`, ...formsOfPart(spec.part)]
  const beside = [...spec.before, ...spec.after].filter((part) => part !== ordinaryText).flatMap(formsOfPart)
  const place =
    spec.before.length + spec.after.length === 0 ? 'alone' : spec.before.length === 0 ? 'first' : null
  return [
    ...unusual('multipart', spec),
    ...(place === null ? [] : [`multipart place: ${place}`]),
    ...beside.map((form) => `beside ${form}`),
    ...formsOfPart(spec.part),
  ]
}

/** So that forms can be counted. */
function roughly(times: number): string {
  return times < 15 ? 'fewer than 15' : times < 30 ? '15 to 29' : '30 and more'
}

function unusual(kind: keyof typeof slots, spec: object): string[] {
  return Object.keys(slots[kind]).flatMap((slot) => {
    const form = (spec as Record<string, unknown>)[slot]
    return typeof form === 'string' && form !== 'usual' ? [`${kind} ${slot}: ${form}`] : []
  })
}
