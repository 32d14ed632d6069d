// 32 browsers that watch while 10,000 messages come: each sees the last ones, and memory does not grow with messages.
import assert from 'node:assert/strict'
import { once } from 'node:events'
import { get, type IncomingMessage } from 'node:http'
import { test } from 'node:test'
import { setFlagsFromString } from 'node:v8'
import { runInNewContext } from 'node:vm'
import type { LogPage } from '../../../../lib/monitoring/dashboard/message-log'
import type { View } from '../../../../lib/monitoring/dashboard/view'
import { infected, judge, sampleMail, startSite, type TestSite } from '../../../support/monitoring-site'

setFlagsFromString('--expose-gc')
const collectGarbage = runInNewContext('gc') as () => void

/** A browser: keeps the last view, and asks for messages as page.js does. @param at each has an address of its own */
async function watch(site: TestSite, at: number) {
  const localAddress = `127.0.1.${at + 1}`
  const request = get(`${site.origin}/clamav-stream/events`, { localAddress })
  const [response] = (await once(request, 'response')) as [IncomingMessage]
  assert.equal(response.statusCode, 200)
  let text = ''
  let wake: () => void = () => undefined
  const seen = { view: null as View | null, messages: 0, last: '' }
  let cursor = { epoch: 0, seq: 0 }
  response.setEncoding('utf8').on('data', (chunk: string) => {
    text += chunk
    const events = text.split('\n\n')
    text = events.pop() ?? ''
    const data = events.filter((one) => one.startsWith('data: ')).at(-1)
    if (data) seen.view = JSON.parse(data.slice('data: '.length)) as View
    wake()
  })
  return {
    seen,
    async until(seq: number) {
      while (seen.view?.messages.seq !== seq) await new Promise<void>((resolve) => (wake = resolve))
      const query = `epoch=${cursor.epoch}&seq=${cursor.seq}`
      const answer = await fetch(`${site.origin}/clamav-stream/messages?${query}`)
      const { messages, ...now } = (await answer.json()) as LogPage
      cursor = now
      seen.messages += messages.length
      seen.last = messages.at(-1)?.what ?? seen.last
    },
    end: () => request.destroy(),
  }
}

test('32 watchers over 10,000 messages', { timeout: 120_000 }, async (t) => {
  const site = await startSite()
  t.after(() => site.stop())
  const watchers = await Promise.all(Array.from({ length: 32 }, (_, at) => watch(site, at)))
  t.after(() => watchers.forEach((watcher) => watcher.end()))
  let sent = 0
  /** Heap in use in bytes, after so many messages more, and once all watchers have seen them. */
  const after = async (count: number) => {
    for (let i = 0; i < count; i++) {
      const uuid = `2F1C6A44-9E0B-4D55-8A7C-${String(++sent).padStart(12, '0')}.1`
      judge(site, infected(`Win.Test.${sent}`), 'reject', { ...sampleMail, uuid, subject: `Subject ${sent}` })
    }
    await Promise.all(watchers.map((watcher) => watcher.until(sent)))
    collectGarbage()
    return process.memoryUsage().heapUsed
  }
  await after(500)
  const full = await after(1500)
  for (let i = 0; i < 3; i++) await after(2000)
  const later = await after(2000)
  assert.equal(sent, 10_000)
  for (const { seen } of watchers) assert.equal(seen.last, 'Win.Test.10000')
  assert.ok(later - full < 3_000_000, `${full} bytes with 2,000 messages, ${later} with 10,000`)
  t.diagnostic(
    `heap: ${Math.round(full / 1e6)} MB with 2,000 messages, ${Math.round(later / 1e6)} MB with 10,000`,
  )
})
