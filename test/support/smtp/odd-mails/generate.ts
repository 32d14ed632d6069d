// Odd mails by chance: in every slot mostly the usual form, so that a few oddities meet in one mail.
import * as fc from 'fast-check'
import type { Forms } from './form'
import { oddsOf } from './odds'
import {
  type DeepSpec,
  type LeafSpec,
  type MailSpec,
  type MessageSpec,
  type MultipartSpec,
  ordinaryLeaf,
  ordinaryMail,
  ordinaryMessage,
  ordinaryMultipart,
  ordinaryText,
  type PartSpec,
  slots,
  wrappers,
} from './spec'

/** Of so many choices one is odd. */
const oddIn = { mail: 16, leaf: 7, multipart: 10, message: 9 }

function slot(forms: Forms<unknown>, every: number): fc.Arbitrary<string> {
  const odd = Object.keys(forms).filter((name) => name !== 'usual')
  const weighted = odd.flatMap((name) => Array<string>(oddsOf(name)).fill(name))
  return fc.oneof(
    { withCrossShrink: true },
    { weight: every - 1, arbitrary: fc.constant('usual') },
    { weight: 1, arbitrary: fc.constantFrom(...weighted) },
  )
}

type Names<Kind extends keyof typeof slots> = { readonly [Slot in keyof (typeof slots)[Kind]]: string }

/** A form for every slot of a kind. */
function names<Kind extends keyof typeof slots>(
  kind: Kind,
  every: number = oddIn[kind],
): fc.Arbitrary<Names<Kind>> {
  const entries = Object.entries(slots[kind] as Record<string, Forms<unknown>>)
  return fc.record(
    Object.fromEntries(entries.map(([name, forms]) => [name, slot(forms, every)])),
  ) as unknown as fc.Arbitrary<Names<Kind>>
}

const leaf: fc.Arbitrary<LeafSpec> = names('leaf').map((chosen) => ({ ...ordinaryLeaf, ...chosen }))

/** A part that does not carry the payload. */
const beside: fc.Arbitrary<PartSpec> = fc.oneof(
  { weight: 6, arbitrary: fc.constant(ordinaryText) },
  { weight: 1, arbitrary: fc.constant(ordinaryLeaf) },
  { weight: 1, arbitrary: names('leaf', 5).map((chosen) => ({ ...ordinaryLeaf, ...chosen })) },
  {
    weight: 1,
    arbitrary: names('multipart', 12).map((chosen) => ({
      ...ordinaryMultipart,
      ...chosen,
      part: ordinaryLeaf,
    })),
  },
)

function multipart(part: fc.Arbitrary<PartSpec>): fc.Arbitrary<MultipartSpec> {
  return fc
    .tuple(names('multipart'), fc.array(beside, { maxLength: 2 }), part, fc.array(beside, { maxLength: 2 }))
    .map(([chosen, before, inner, after]) => ({
      ...ordinaryMultipart,
      ...chosen,
      before,
      part: inner,
      after,
    }))
}

function message(part: fc.Arbitrary<PartSpec>): fc.Arbitrary<MessageSpec> {
  return fc
    .tuple(names('message'), part)
    .map(([chosen, inner]) => ({ ...ordinaryMessage, ...chosen, part: inner }))
}

/** Around clamd's limit of 17. Of more than 10,000 parts it does not read all, but that takes it ten seconds. */
function deep(part: fc.Arbitrary<PartSpec>): fc.Arbitrary<DeepSpec> {
  const nesting = Object.keys(wrappers).filter(
    (name) => name !== 'parts in front',
  ) as (keyof typeof wrappers)[]
  const nested = fc.tuple(
    fc.constantFrom(...nesting),
    fc.oneof(fc.integer({ min: 2, max: 12 }), fc.integer({ min: 13, max: 24 })),
  )
  const many = fc.tuple(
    fc.constant('parts in front' as const),
    fc.oneof(
      { weight: 5, arbitrary: fc.integer({ min: 3, max: 300 }) },
      { weight: 1, arbitrary: fc.constant(1100) },
    ),
  )
  return fc
    .tuple(fc.oneof({ weight: 4, arbitrary: nested }, { weight: 1, arbitrary: many }), part)
    .map(([[wrapper, times], inner]) => ({ kind: 'deep' as const, wrapper, times, part: inner }))
}

function entity(levels: number): fc.Arbitrary<PartSpec> {
  if (levels === 0) return leaf
  const inner = entity(levels - 1)
  return fc.oneof(
    { withCrossShrink: true },
    { weight: 10, arbitrary: leaf },
    { weight: 12, arbitrary: multipart(inner) },
    { weight: 3, arbitrary: message(inner) },
    { weight: 1, arbitrary: deep(inner) },
  )
}

/** The payload is hardly ever in the root itself, as in real mail. */
const root: fc.Arbitrary<PartSpec> = fc.oneof(
  { withCrossShrink: true },
  { weight: 1, arbitrary: leaf },
  { weight: 8, arbitrary: multipart(entity(2)) },
  { weight: 1, arbitrary: message(entity(2)) },
  { weight: 1, arbitrary: deep(entity(1)) },
)

export const mailSpecs: fc.Arbitrary<MailSpec> = fc
  .tuple(names('mail'), root)
  .map(([chosen, part]) => ({ ...ordinaryMail, ...chosen, root: part }))

/** Every form of every slot, each in a mail that is ordinary otherwise. */
export function eachFormAlone(): MailSpec[] {
  const mixed = (part: PartSpec): MailSpec => ({ ...ordinaryMail, root: { ...ordinaryMultipart, part } })
  const forms = <Kind extends keyof typeof slots>(
    kind: Kind,
    mail: (chosen: Partial<Names<Kind>>) => MailSpec,
  ) =>
    Object.entries(slots[kind] as Record<string, Forms<unknown>>).flatMap(([name, choices]) =>
      Object.keys(choices)
        .filter((form) => form !== 'usual')
        .map((form) => mail({ [name]: form } as Partial<Names<Kind>>)),
    )
  const deep = (wrapper: keyof typeof wrappers, times: readonly number[]) =>
    times.map((each): MailSpec => {
      return { ...ordinaryMail, root: { kind: 'deep', wrapper, times: each, part: ordinaryLeaf } }
    })
  const places: Pick<MultipartSpec, 'before' | 'after'>[] = [
    { before: [], after: [] },
    { before: [], after: [ordinaryText] },
    { before: [ordinaryText], after: [ordinaryText] },
  ]
  const placed = (type: string) =>
    places.map((place): MailSpec => ({
      ...ordinaryMail,
      root: { ...ordinaryMultipart, ...place, type, part: ordinaryLeaf },
    }))
  return [
    ...deep('multipart', [16, 17, 18, 19, 20]),
    ...deep('message', [16, 17, 18, 19, 20]),
    ...deep('multipart, text in front', [16, 18, 20]),
    ...deep('multipart, text behind', [16, 18, 20]),
    ...deep('multipart and message by turns', [8, 9, 10]),
    ...deep('parts in front', [300, 1100, 12_000]),
    ...Object.keys(slots.multipart.type).flatMap(placed),
    ...forms('mail', (chosen) => ({ ...mixed(ordinaryLeaf), ...chosen })),
    ...forms('leaf', (chosen) => mixed({ ...ordinaryLeaf, ...chosen })),
    ...forms('leaf', (chosen) => ({ ...ordinaryMail, root: { ...ordinaryLeaf, ...chosen } })),
    ...forms('multipart', (chosen) => ({
      ...ordinaryMail,
      root: { ...ordinaryMultipart, ...chosen, part: ordinaryLeaf },
    })),
    ...forms('multipart', (chosen) => mixed({ ...ordinaryMultipart, ...chosen, part: ordinaryLeaf })),
    ...forms('message', (chosen) => mixed({ ...ordinaryMessage, ...chosen, part: ordinaryLeaf })),
    ...forms('message', (chosen) => ({
      ...ordinaryMail,
      root: { ...ordinaryMessage, ...chosen, part: { ...ordinaryMultipart, part: ordinaryLeaf } },
    })),
  ]
}
