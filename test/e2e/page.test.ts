// The page of the packed package in a real Haraka: its files are there, and it shows what all workers have seen.
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { addressText } from '../../lib/clamd/address'
import type { View } from '../../lib/monitoring/dashboard/view'
import { chromiumOrSkip, openPage } from '../support/chromium'
import { FakeClamd } from '../support/clamd/fake-clamd'
import * as mails from '../support/smtp/mails'
import { sendMessage } from '../support/smtp/smtp'
import { eventWhere, startWebHaraka } from '../support/web'

const found = (name: string) =>
  [{ at: 'reply', do: 'answer', text: `stream: ${name} FOUND` }] as const satisfies readonly unknown[]

test('what was infected is on the page within moments, as it was, and what was kept', async (t) => {
  const browser = await chromiumOrSkip(t)
  if (!browser) return
  const clamd = await new FakeClamd().start()
  t.after(() => clamd.stop())
  const { haraka, origin } = await startWebHaraka({
    ini:
      `host=${addressText(clamd.address)}\nmax_pings=0\nprotocol=instream\n` +
      `[infected]\naction=quarantine reject\n[http]\npage=true\n`,
    plugins: ['clamav-stream', 'queue/quarantine'],
    files: { 'quarantine.ini': 'quarantine_path=quarantine\n' },
  })
  t.after(() => haraka.stop())
  const { page, complaints } = await openPage(browser, origin, { viewport: { width: 360, height: 800 } })
  await page.goto(`${origin}/clamav-stream/`)
  assert.equal(page.url(), `${origin}/clamav-stream`)
  await page.getByText('None since the start.').first().waitFor()

  clamd.queue(found('Win.<b>Test</b>.UNOFFICIAL'))
  const data = mails
    .clean()
    .toString('latin1')
    .replace(/^Subject:.*$/im, 'Subject: =?utf-8?B?PHNjcmlwdD5hbGVydCgxKTwvc2NyaXB0PuKAriBnbnAuZXhl?=')
  assert.equal((await sendMessage(haraka.port, { data })).code, 550)
  const row = page.locator('#infected tr')
  await row.getByText('Win.<b>Test</b>.UNOFFICIAL').waitFor()
  const text = await row.innerText()
  for (const part of [
    'quarantine reject',
    '<script>alert(1)</script>\ufffd gnp.exe',
    'recipient@example.com',
  ])
    assert.ok(text.includes(part), `${part} in ${text}`)
  await page.getByText('1 copy, ').waitFor({ timeout: 60_000 })
  assert.deepEqual(complaints, [])
})

test('in a cluster, the page is that of all workers', async (t) => {
  const clamd = await new FakeClamd().start()
  t.after(() => clamd.stop())
  const { haraka, origin } = await startWebHaraka({
    ini: `host=${addressText(clamd.address)}\nmax_pings=0\nprotocol=instream\n[http]\npage=true\n`,
    nodes: 2,
  })
  t.after(() => haraka.stop())
  clamd.queue(...Array.from({ length: 6 }, (_, index) => found(`Test.${index}`)))
  for (let i = 0; i < 6; i++) {
    assert.equal((await sendMessage(haraka.port, { data: mails.clean() })).code, 550)
  }
  const view = await eventWhere<View>(
    `${origin}/clamav-stream/events`,
    ({ processes, hour }) => processes === 2 && hour.infected === 6,
  )
  assert.deepEqual(
    view.infected.map(({ what }) => what),
    ['Test.5', 'Test.4', 'Test.3', 'Test.2', 'Test.1', 'Test.0'],
    'newest first',
  )
  assert.equal(view.addresses[0]?.scans, 6)
})
