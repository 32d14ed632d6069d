// [notify] in a real Haraka: the postmaster's mail leaves by the outbound queue, the program is run, no message waits for
// them, and a notice that comes back causes no other.
import assert from 'node:assert/strict'
import { chmodSync, existsSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import path from 'node:path'
import { test } from 'node:test'
import { simpleParser } from 'mailparser'
import { addressText } from '../../lib/clamd/address'
import { startFakeClamd } from '../support/clamd/fake-clamd'
import { startHaraka } from '../support/haraka/haraka'
import { TemporaryDirectory } from '../support/process'
import { startSink } from '../support/smtp/sink'
import { sendMessage } from '../support/smtp/smtp'
import { bounded, drained, senderFor, startKeepingHaraka } from './messages'

test(
  'infected, unscanned and not kept: a mail and a line of JSON for each, at most limit',
  bounded,
  async (t) => {
    const judge = (message: Buffer) =>
      Promise.resolve(message.includes('Subject: virus') ? 'stream: Test-Virus FOUND' : 'stream: OK')
    const clamd = await startFakeClamd({ judge })
    t.after(() => clamd.stop())
    const sink = await startSink()
    t.after(() => sink.stop())
    const folder = new TemporaryDirectory('notify')
    t.after(() => folder.remove())
    const [events, command] = [path.join(folder.path, 'events'), path.join(folder.path, 'tell')]
    writeFileSync(command, `#!/bin/sh\ncat >> '${events}'\n`)
    chmodSync(command, 0o755)
    const { haraka, base } = await startKeepingHaraka(t, {
      ini:
        `host=${addressText(clamd.address)}\nmax_pings=0\nscan=message\nmax_size=4000\n[infected]\naction=quarantine reject\n` +
        `[notify]\nto=Postmaster <postmaster@(me)>\nlimit=3/h\ncommand=${command}\n`,
      nextHop: sink.port,
    })
    const send = async (subject: string, options: { from?: string; header?: string } = {}) => {
      const { from = senderFor('plain'), header = 'X-Own: private' } = options
      const data = Buffer.from(
        `Subject: ${subject} with a subject\r\n${header}\r\n\r\n${'Secret text.\r\n'.repeat(subject === 'large' ? 400 : 1)}`,
      )
      return (await sendMessage(haraka.port, { from, data })).code
    }

    assert.equal(await send('clean'), 250)
    assert.equal(await send('virus', { from: 'bob@example.com' }), 550)
    assert.equal(await send('large'), 552)
    // A notice that comes back, and so causes none.
    assert.equal(await send('virus', { from: '', header: 'Auto-Submitted: auto-generated' }), 550)
    // A file where the folder should be: no copy can be kept.
    rmSync(path.join(base, 'infected'), { recursive: true })
    writeFileSync(path.join(base, 'infected'), '')
    assert.equal(await send('virus'), 450)

    const lines = await written(events, 4)
    assert.deepEqual(lines.map(({ event }) => event).sort(), [
      'failed_copy',
      'infected',
      'infected',
      'unscanned',
    ])
    const first = lines.find(({ from }) => from === 'bob@example.com')
    assert.deepEqual(
      [first?.virus, first?.server, first?.subject, first?.action],
      ['Test-Virus', 'mx.example.com', 'virus with a subject', 'quarantine reject'],
    )
    const arrived = await sink.waitFor(3)
    await drained(haraka)
    assert.equal(arrived.length, 3)
    for (const { from, to, data } of arrived) {
      assert.deepEqual([from, to], ['', ['postmaster@mx.example.com']])
      assert.doesNotMatch(data.toString('latin1'), /Secret|private/)
    }
    const subjects = await Promise.all(arrived.map(async ({ data }) => (await simpleParser(data)).subject))
    assert.deepEqual(subjects.sort(), [
      'clamav-stream: infected (Test-Virus)',
      'clamav-stream: infected (Test-Virus)',
      'clamav-stream: unscanned (too_large)',
    ])
  },
)

test('a program that is not there stops the start', bounded, async () => {
  await assert.rejects(
    startHaraka({ ini: '[notify]\ncommand=/nonexistent/tell\n' }).then((haraka) => haraka.stop()),
    /\[notify\] command = \/nonexistent\/tell: it cannot be run/,
  )
})

/** The lines of the file, as soon as there are so many. */
async function written(file: string, count: number): Promise<Record<string, unknown>[]> {
  for (;;) {
    const lines = existsSync(file) ? readFileSync(file, 'utf8').split('\n').slice(0, -1) : []
    if (lines.length >= count) return lines.map((line) => JSON.parse(line) as Record<string, unknown>)
    await new Promise((resolve) => setTimeout(resolve, 20))
  }
}
