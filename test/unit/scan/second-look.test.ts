// What a second look sends, what it makes of the answers, and where it ends; a real clamd is in test/integration.
import assert from 'node:assert/strict'
import { test } from 'node:test'
import type { Reply } from '../../../lib/clamd/protocol'
import { Budget } from '../../../lib/mime/budget'
import { defaultReadingLimits, scanLimits } from '../../../lib/scan/readings/limits'
import type { Content } from '../../../lib/scan/readings/readings'
import { secondLook } from '../../../lib/scan/second-look'
import { plainCheck, sourceOf } from '../../support/readings'

const head = 'MIME-Version: 1.0\r\nContent-Type: multipart/signed; boundary=b\r\n\r\n'
const part = (text: string) => `--b\r\nContent-Type: text/plain\r\n\r\n${text}\r\n`
const clean: Reply = { kind: 'clean' }

async function look(mail: string, replyTo: (content: Content) => Reply = () => clean, sends = scanLimits) {
  const message = Buffer.from(mail, 'latin1')
  const sent: Content[] = []
  const budget = new Budget(defaultReadingLimits, new AbortController().signal)
  const { insight, end } = await secondLook(
    {
      message: sourceOf(message),
      plain: plainCheck(message),
      parts: null,
      scope: 'auto',
      maxBytes: 25 * 1024 * 1024,
      silentLimits: null,
      signatures: [],
      budget,
      sends,
    },
    (content) => {
      sent.push(content)
      return Promise.resolve({ reply: replyTo(content) })
    },
  )
  return { insight, end, sent }
}

test('of very many contents, the first ones are sent, and the message is over a limit', async () => {
  const parts = Array.from({ length: 600 }, (_, index) => part(`text ${index}`))
  const { insight, sent } = await look(head + parts.join(''))
  assert.equal(sent.length, scanLimits.contents)
  assert.equal(insight.incompleteBecause, 'more than 512 contents')
})

test('so is one whose contents have many times its bytes', async () => {
  const mail = head + part('a '.repeat(50)) + part('b '.repeat(50))
  const sends = { contents: 10, bytesPerByte: 0, extraBytes: 150 }
  const { insight, sent } = await look(mail, () => clean, sends)
  assert.equal(sent.length, 1)
  assert.equal(insight.incompleteBecause, 'contents of more than 150 bytes')
})

const encrypted = { kind: 'found', name: 'Heuristics.Encrypted.Zip' } as const
const limit = { kind: 'found', name: 'Heuristics.Limits.Exceeded.MaxFiles' } as const
const virus = { kind: 'found', name: 'Eicar-Test-Signature' } as const

for (const [name, closed] of Object.entries({ encrypted, limit })) {
  test(`a virus behind what is closed (${name}) is found`, async () => {
    const mail = head + part('is closed') + part('a virus') + part('the rest')
    const replyTo = ({ bytes }: Content) =>
      bytes.equals(Buffer.from('is closed')) ? closed : bytes.equals(Buffer.from('a virus')) ? virus : clean
    const { end, insight } = await look(mail, replyTo)
    assert.deepEqual(end?.reply, virus)
    assert.equal(insight.part, 'part 2')
    assert.equal(insight[name === 'limit' ? 'incompleteBecause' : 'encrypted'] !== null, true)
  })
}
