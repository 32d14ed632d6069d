// Files in calendars and address books: where data begin behind parameters that are written in any way.
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { Budget, defaultLimits } from '../../../lib/mime/budget'
import { calendarFiles } from '../../../lib/mime/containers/calendars'
import { lines } from '../../support/smtp/attachment-mails'

const data = Buffer.from('the content').toString('base64')

async function found(text: string): Promise<{ contents: string[]; names: string[] }> {
  const [contents, names]: string[][] = [[], []]
  const budget = new Budget(defaultLimits, new AbortController().signal)
  for await (const { bytes, name } of calendarFiles(Buffer.from(text, 'latin1'), budget)) {
    if (bytes) contents?.push(bytes.toString('latin1'))
    if (name !== null) names?.push(name)
  }
  return { contents: contents ?? [], names: names ?? [] }
}

const entries: Readonly<Record<string, string>> = {
  'as RFC 5545 has it': `ATTACH;ENCODING=BASE64;VALUE=BINARY:${data}`,
  'in no usual case': `aTTACH;eNCODING=bASE64;vALUE=bINARY:${data}`,
  'blanks around the sign': `ATTACH;ENCODING \t=  BASE64:${data}`,
  'quotes around the value': `ATTACH;ENCODING="BASE64":${data}`,
  'the value alone says it': `ATTACH;VALUE=BINARY:${data}`,
  'of vCard 2.1': `PHOTO;BASE64;JPEG:${data}`,
  'a colon in quotes behind': `ATTACH;ENCODING=BASE64;VALUE=BINARY;ALTREP="cid:x":${data}`,
  'a colon in quotes in front': `ATTACH;ALTREP="cid:x";ENCODING=BASE64:${data}`,
  'more parameters than anybody writes': `ATTACH;ENCODING=BASE64;X-A=${'x'.repeat(200_000)}:${data}`,
  'quotes that do not close': `ATTACH;X-A=";ENCODING=BASE64:${data}`,
  'a colon in quotes, to a naive program': `ATTACH;X-A="y:${data}";ENCODING=BASE64:`,
  'something else among the data': `ATTACH;ENCODING=BASE64:${data.slice(0, 4)}*${data.slice(4)}`,
  'behind a folded mark': `ATT\r\n ACH;ENCO\r\n\tDING=BASE64:${data}`,
  'folded by LF alone': `ATTACH;ENCODING=BASE64:${data.slice(0, 3)}\n ${data.slice(3)}`,
  'lines that are not folded': `PHOTO;ENCODING=b:\r\n${data.slice(0, 8)}\r\n${data.slice(8)}\r\n`,
}

for (const [name, entry] of Object.entries(entries)) {
  test(`data: ${name}`, async () => {
    for (const front of ['', 'text\r\n'.repeat(30_000)]) {
      const { contents } = await found(front + lines('BEGIN:VCALENDAR', entry, 'END:VCALENDAR'))
      assert.ok(
        contents.some((content) => content.startsWith('the content')),
        contents.join().slice(0, 1000),
      )
    }
  })
}

test('data of every line, and of several parameters on one line once', async () => {
  const row = `X;ENCODING=BASE64;ENCODING=B:${data}`
  const { contents } = await found(lines(...Array<string>(1000).fill(row)))
  assert.deepEqual(contents, Array<string>(1000).fill('the content'))
})

test('names, in any case and however far from the beginning', async () => {
  const calendar = (...rows: string[]) => lines('text\r\n'.repeat(30_000), 'BEGIN:VCALENDAR', ...rows)
  const attachments = calendar(
    'aTTACH;fILENAME="evil one.exe":cid:a',
    `ATTACH;X-A=${'x'.repeat(9000)};X-FILENAME = evil.exe:cid:b`,
    'X-A;FILENAME=none.exe:cid:c',
  )
  assert.deepEqual((await found(attachments)).names, ['evil one.exe', 'evil.exe'])
  assert.deepEqual((await found(lines('Content-Disposition: attachment;filename=a.exe'))).names, [])
})
