/*
 * What lies in a winmail.dat (TNEF, as Outlook writes it): its attributes, and the MAPI properties that some of them hold.
 * Layout: [MS-OXTNEF], [MS-OXPROPS].
 */

const magic = 0x223e9f78
const headerBytes = 6
const attributeHeaderBytes = 9
const checksumBytes = 2

const attachmentData = 0x0006800f
const messageBody = 0x0002800c
const messageProperties = 0x00069003
const attachmentProperties = 0x00069005
/** PidTagAttachDataBinary and -Object, PidTagBody, PidTagRtfCompressed, PidTagBodyHtml, by their numbers. */
const contentProperties = new Set([0x3701, 0x1000, 0x1009, 0x1013])
const types = { text8: 0x001e, text16: 0x001f, object: 0x000d, binary: 0x0102 }
/** Type, number and count of values. */
const propertyTagBytes = 8
/** In front of an object's bytes. */
const interfaceIdBytes = 16

export interface TnefAttribute {
  readonly id: number
  readonly value: Buffer
}

export function startsAsTnef(content: Buffer): boolean {
  return content.length >= 4 && content.readUInt32LE(0) === magic
}

/** Never throws; ends where the content makes no sense. */
export function* tnefAttributes(content: Buffer): Generator<TnefAttribute> {
  let at = headerBytes
  while (at + attributeHeaderBytes <= content.length) {
    const from = at + attributeHeaderBytes
    const value = content.subarray(from, from + content.readUInt32LE(at + 5))
    yield { id: content.readUInt32LE(at + 1), value }
    at = from + value.length + checksumBytes
  }
}

/** Attachments and texts, as they are stored; null: another look at the clock. */
export function* tnefContents(content: Buffer): Generator<Buffer | null> {
  for (const { id, value } of tnefAttributes(content)) {
    yield id === attachmentData || id === messageBody ? value : null
    if (id === messageProperties || id === attachmentProperties) yield* propertyContents(value)
  }
}

function* propertyContents(value: Buffer): Generator<Buffer | null> {
  for (const property of propertiesOf(value, contentProperties, Object.values(types))) {
    if (property === null) yield null
    else if (property.content.length > 0)
      yield property.type === types.object ? property.content.subarray(interfaceIdBytes) : property.content
  }
}

export interface MapiProperty {
  readonly type: number
  readonly content: Buffer
}

/**
 * MAPI properties with one value of the given numbers and types; null: another look at the clock. Found by their tags
 * wherever they lie: properties of any kind and length come before them.
 */
export function* propertiesOf(
  value: Buffer,
  numbers: Iterable<number>,
  kinds: readonly number[],
): Generator<MapiProperty | null> {
  const tag = Buffer.alloc(propertyTagBytes)
  for (const number of numbers) {
    for (const type of kinds) {
      yield null
      tag.writeUInt32LE(number * 0x10000 + type)
      tag.writeUInt32LE(1, 4)
      for (let at = value.indexOf(tag); at >= 0; at = value.indexOf(tag, at + 1)) {
        const from = at + propertyTagBytes + 4
        if (from > value.length) break
        yield { type, content: value.subarray(from, from + value.readUInt32LE(from - 4)) }
      }
    }
  }
}
