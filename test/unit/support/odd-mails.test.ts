// The makers of test mails themselves: the same mails for a seed, the payload in each of them, and judges that find it.
import assert from 'node:assert/strict'
import { randomBytes } from 'node:crypto'
import { test } from 'node:test'
import { judge } from '../../support/smtp/judges'
import { OddMail, oddMails, singleForms } from '../../support/smtp/odd-mails'
import { encodings } from '../../support/smtp/odd-mails/encodings'
import { bytesOf, textOf } from '../../support/smtp/odd-mails/form'
import { hiding, telling } from '../../support/smtp/odd-mails/odds'
import { ordinaryLeaf, ordinaryMail, ordinaryMultipart, slots } from '../../support/smtp/odd-mails/spec'
import { ordinaryMails } from '../../support/smtp/ordinary-mails'

/** As long as the EICAR test string, of letters, digits and punctuation like it. */
const payload = Buffer.from('K7P!Q%@BQ[4\\PZQ54(Q^)7DD)7}$HARML-TWINSTANDARD-OF-THETEST-FILE!$I+I*')
const twin = Buffer.from(payload.toString().replace('HARML-TWIN', 'OTHER-TWIN'))

test('a seed always gives the same mails, and another seed gives others', () => {
  const written = (seed: number) => oddMails(seed, 50).map((odd) => odd.carrying(payload).toString('latin1'))
  assert.deepEqual(written(7), written(7))
  assert.notDeepEqual(written(7), written(8))
})

test('mails are odd, but not in everything, and no larger than a few times the largest form', () => {
  const mails = oddMails(1, 200)
  const odd = mails.filter(({ forms }) => forms.length > 0)
  assert.ok(odd.length > 150)
  assert.ok(new Set(odd.flatMap(({ forms }) => forms)).size > 150)
  assert.ok(odd.reduce((sum, { forms }) => sum + forms.length, 0) / odd.length < 6)
  for (const mail of mails) assert.ok(mail.carrying(payload).length < 4_000_000)
})

test('twins differ in their payload alone', () => {
  for (const odd of oddMails(2, 150)) {
    const [one, other] = [odd.carrying(payload), odd.carrying(twin)]
    assert.equal(one.equals(other), false, odd.toString())
    const shorter = Math.min(one.length, other.length)
    let front = 0
    while (front < shorter && one[front] === other[front]) front++
    let behind = 0
    while (behind < shorter - front && one.at(-1 - behind) === other.at(-1 - behind)) behind++
    assert.ok(Math.max(one.length, other.length) - front - behind < 16_384, odd.toString())
  }
})

test('every encoding can be undone', () => {
  const content = `${payload.toString()} and a little more of it.`
  for (const [name, encode] of Object.entries(encodings)) {
    const { body } = encode(content)
    const once = decodings(body)
    assert.ok(
      [...once, ...once.flatMap(decodings)].some((decoded) => decoded.includes(content)),
      name,
    )
  }
})

/** What the most lenient reader could make of it. */
function decodings(body: string): string[] {
  // Most programs join lines behind a sign and its blanks, some behind all that stands between a CR and its LF.
  const breaks = [/=[ \t\v\f\0\r]*(?:\n|\r)(?:=\r\n)?/g, /=\r[^\n]*\n/g]
  const quotedPrintable = breaks.map((end) =>
    body
      .replace(end, '')
      .replace(/=([0-9A-F]{2})/gi, (_, hex: string) => String.fromCharCode(parseInt(hex, 16))),
  )
  const letters = [
    body.replace(/[^A-Za-z0-9+/=]/g, ''),
    body
      .replaceAll('-', '+')
      .replaceAll('_', '/')
      .replace(/[^A-Za-z0-9+/=]/g, ''),
  ]
  const base64 = letters.flatMap((all) =>
    [0, 1, 2, 3].map((from) =>
      all
        .slice(from)
        .split(/(?<==)(?!=)/)
        .map((piece) => textOf(Buffer.from(piece, 'base64')))
        .join(''),
    ),
  )
  return [body, ...quotedPrintable, ...base64, uudecoded(body), yDecoded(body)]
}

function uudecoded(body: string): string {
  const rows = body.split('\r\n').filter((row) => /^[!-M]/.test(row) && row.length % 4 === 1)
  return rows
    .map((row) => {
      const bits = [...bytesOf(row.slice(1))]
        .map((c) => ((c - 32) & 63).toString(2).padStart(6, '0'))
        .join('')
      const bytes = (bits.match(/.{8}/g) ?? []).map((byte) => parseInt(byte, 2))
      return textOf(Buffer.from(bytes.slice(0, row.charCodeAt(0) - 32)))
    })
    .join('')
}

function yDecoded(body: string): string {
  const rows = body.split('\r\n').filter((row) => !row.startsWith('=y'))
  const plain = rows
    .join('')
    .replace(/=([^])/g, (_, c: string) => String.fromCharCode((c.charCodeAt(0) - 64) & 255))
  return textOf(Buffer.from(bytesOf(plain).map((byte) => (byte - 42) & 255)))
}

test('each form stands alone in a mail of its own', () => {
  const mails = singleForms()
  assert.ok(mails.length > 800)
  for (const { forms } of mails) assert.ok(forms.length <= 2, forms.join())
})

test('every form whose odds are set is there', () => {
  const tables: Record<string, object>[] = Object.values(slots)
  const all = new Set(tables.flatMap((kind) => Object.values(kind).flatMap((forms) => Object.keys(forms))))
  for (const form of [...hiding, ...telling]) assert.ok(all.has(form), form)
})

test('the judges open what is ordinary, and find nothing that is not there', async () => {
  const odd = new OddMail({ ...ordinaryMail, root: { ...ordinaryMultipart, part: ordinaryLeaf } })
  assert.deepEqual(odd.forms, [])
  const mail = odd.carrying(payload)
  assert.deepEqual(await judge(mail, payload), ['mailparser', 'postal-mime'])
  assert.deepEqual(await judge(mail, twin), [])
})

test('the judges survive any bytes', async () => {
  for (const length of [0, 1, 1000]) assert.deepEqual(await judge(randomBytes(length), payload), [])
})

test('ordinary mails have CRLF alone, short lines, and names of their own', async () => {
  assert.equal(new Set(ordinaryMails.map(({ name }) => name)).size, ordinaryMails.length)
  for (const mail of ordinaryMails) {
    const text = (await mail.bytes()).toString('latin1')
    assert.doesNotMatch(text, /[^\r]\n|\r(?!\n)/, mail.name)
    for (const line of text.split('\r\n')) assert.ok(line.length <= 998, mail.name)
  }
})

test('both judges open every place of an ordinary mail', async () => {
  for (const mail of ordinaryMails) {
    for (const place of await mail.places()) {
      // mailparser takes parts of a digest that name no type for text.
      const minBytes = mail.name === 'a digest without types' ? 1 : 2
      const found = await judge(await mail.carrying(payload, place), payload)
      assert.ok(found.length >= minBytes, `${mail.name}: ${place}: ${found.join()}`)
    }
  }
})
