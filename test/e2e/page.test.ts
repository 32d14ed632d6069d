// The page of the packed package in a real Haraka: its files are there, and it shows what all workers have seen.
import assert from 'node:assert/strict'
import { mkdirSync, rmSync, writeFileSync } from 'node:fs'
import path from 'node:path'
import { test } from 'node:test'
import { addressText } from '../../lib/clamd/address'
import type { Figures } from '../../lib/monitoring/dashboard/figures'
import type { LogPage } from '../../lib/monitoring/dashboard/message-log'
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
  await page.getByText('No address is known.').waitFor()
  assert.equal(await page.locator('#alerts').innerText(), '', 'no alarm before the first message')
  await page.getByRole('link', { name: 'Messages' }).click()
  await page.getByText('None since the start.').waitFor()

  clamd.queue(found('Win.<b>Test</b>.UNOFFICIAL'))
  const data = mails
    .clean()
    .toString('latin1')
    .replace(/^Subject:.*$/im, 'Subject: =?utf-8?B?PHNjcmlwdD5hbGVydCgxKTwvc2NyaXB0PuKAriBnbnAuZXhl?=')
  assert.equal((await sendMessage(haraka.port, { data })).code, 550)
  const row = page.locator('#messages .entry')
  await row.getByText('Win.<b>Test</b>.UNOFFICIAL').waitFor()
  await row.click()
  const text = await page.locator('#messages .details').innerText()
  for (const part of [
    'quarantine reject',
    '<script>alert(1)</script>\ufffd gnp.exe',
    'recipient@example.com',
  ])
    assert.ok(text.includes(part), `${part} in ${text}`)

  await page.getByRole('link', { name: 'Its copy in the quarantine' }).click()
  const copy = page.locator('#quarantine .entry')
  await copy.waitFor({ timeout: 60_000 })
  await copy.click()
  const command = await page.locator('#quarantine code').nth(1).innerText()
  assert.match(command, /^npx clamav-stream quarantine release [0-9A-F-]+\.1$/)
  await page.getByRole('button', { name: 'Rescan', exact: true }).click()
  await page.locator('#quarantine .details').getByText('✓ not found').waitFor()
  assert.deepEqual(complaints, [])
})

test('a message whose copy cannot be kept is listed as that, and the banner says so', async (t) => {
  const clamd = await new FakeClamd().start()
  t.after(() => clamd.stop())
  const { haraka, origin } = await startWebHaraka({
    ini:
      `host=${addressText(clamd.address)}\nmax_pings=0\nprotocol=instream\n` +
      `[infected]\naction=quarantine reject\n[quarantine]\nfolder=infected\n[http]\npage=true\n`,
    plugins: ['clamav-stream', 'queue/quarantine'],
    files: { 'quarantine.ini': 'quarantine_path=quarantine\n' },
  })
  t.after(() => haraka.stop())
  // A file where the folder is to be.
  const folder = path.join(haraka.site, 'quarantine', 'infected')
  rmSync(folder, { recursive: true, force: true })
  mkdirSync(path.dirname(folder), { recursive: true })
  writeFileSync(folder, '')
  clamd.queue(found('Win.Test'))
  assert.equal((await sendMessage(haraka.port, { data: mails.clean() })).code, 450)
  const { alerts } = await eventWhere<View>(
    `${origin}/clamav-stream/events`,
    (view) => view.alerts.length > 0,
  )
  assert.deepEqual(
    alerts.map(({ section }) => section),
    ['a-copy-cannot-be-kept'],
  )
  const answer = await fetch(`${origin}/clamav-stream/messages`)
  const { messages } = (await answer.json()) as LogPage
  assert.deepEqual(
    messages.map(({ kind, action }) => `${kind}: ${action}`),
    ['infected: quarantine reject', 'copy failed: defer'],
  )
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
  await eventWhere<View>(
    `${origin}/clamav-stream/events`,
    ({ processes, messages }) => processes === 2 && messages.seq === 6,
  )
  const ask = async (what: string) => (await fetch(`${origin}/clamav-stream/${what}`)).json()
  const { messages } = (await ask('messages')) as LogPage
  assert.deepEqual(messages.map(({ what }) => what).sort(), [
    'Test.0',
    'Test.1',
    'Test.2',
    'Test.3',
    'Test.4',
    'Test.5',
  ])
  const { sum } = (await ask('figures?span=day')) as Figures
  assert.deepEqual([sum.counts.infected, sum.scans.scans], [6, 6])
})
