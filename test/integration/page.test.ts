// The page in a real Chromium: live, harmless whatever strangers write, readable on a telephone and by a screen reader.
import assert from 'node:assert/strict'
import { test } from 'node:test'
import type { Page } from 'playwright-core'
import { Stats } from '../../lib/monitoring/dashboard/stats'
import { chromiumOrSkip, openPage, violations } from '../support/chromium'
import {
  clean,
  infected,
  pageOf,
  sampleMail,
  someAddress,
  startSite,
  unscanned,
} from '../support/monitoring-site'

/** Rows of a table body, as text. */
const rows = (page: Page, id: string) => page.locator(`#${id} tr`).allInnerTexts()

const sideways = (page: Page) =>
  page.evaluate<number>('document.documentElement.scrollWidth - document.documentElement.clientWidth')

test('the page shows what there is, and goes on by itself', async (t) => {
  const browser = await chromiumOrSkip(t)
  if (!browser) return
  const site = await startSite()
  t.after(() => site.stop())
  const stats = new Stats(Date.now)
  stats.add(clean, null, 'accept', () => sampleMail)
  stats.add(infected('Win.Test.A'), null, 'reject', () => sampleMail)
  site.pages = [pageOf(stats, someAddress), pageOf(null, { ...someAddress, state: 'resting', inFlight: 2 })]
  const { page, complaints } = await openPage(browser, site.origin)
  await page.goto(`${site.origin}/clamav-stream`)
  await page.getByRole('cell', { name: 'from sender@example.net' }).waitFor()

  assert.equal(await page.getByRole('status').innerText(), 'Live')
  const [address = ''] = await rows(page, 'addresses')
  for (const part of [
    someAddress.text,
    'INSTREAM',
    'in 1 of 2 processes',
    '2 in flight',
    '20 ms',
    '100%',
    '2 scans',
  ])
    assert.ok(address.includes(part), `${part} in ${address}`)
  assert.match((await rows(page, 'verdicts')).join('|'), /Clean\s+1\s+1.*\|Infected\s+1\s+1/s)
  assert.match((await rows(page, 'signatures')).join('|'), /^Win\.Test\.A\s+1$/)
  assert.match((await rows(page, 'unscanned')).join('|'), /None since the start/)
  assert.match(await page.locator('#about').innerText(), /2 processes/)

  // What is under the reader's eye is not replaced when other parts change.
  const cell = await page.locator('#infected tr').first().elementHandle()
  stats.add(unscanned('192.0.2.10:3310 instream: reply: broken off'), null, 'defer', () => sampleMail)
  site.pages = [pageOf(stats, someAddress)]
  await page.getByText('broken off').waitFor()
  assert.equal(await cell.evaluate((row) => (row as { isConnected: boolean }).isConnected), true)

  await page.getByRole('button', { name: 'Pause' }).click()
  assert.equal(await page.getByRole('status').innerText(), 'Paused')
  stats.add(infected('Win.Test.B'), null, 'reject', () => sampleMail)
  site.pages = [pageOf(stats, someAddress)]
  await page.evaluate(`new Promise((resolve) => {
    const second = new EventSource('clamav-stream/events')
    second.onmessage = ({ data }) => data.includes('Win.Test.B') && resolve(second.close())
  })`)
  assert.equal(await page.getByText('Win.Test.B').count(), 0)
  await page.getByRole('button', { name: 'Pause' }).click()
  await page.getByText('Win.Test.B').first().waitFor()
  assert.deepEqual(complaints, [])
})

const evil = [
  '<script>document.title = "pwned"</script>',
  '<img src=x onerror="document.title = `pwned`">',
  '"><svg/onload=alert(1)>',
  '</script><iframe src=//evil.example.net>',
  'javascript:alert(1)',
  "' onmouseover='alert(1)",
  '\u202egpj.exe\u2066 turned round \u2069',
  'zero\u200bwidth\u00adsoft\u{e0041}tag',
  'line\r\nbreak\u2028and\u0000nul\u001b[31m',
  `z${'\u0335\u0301\u0489'.repeat(200)}algo`,
  'שלום עליכם, مرحبا',
  'x'.repeat(100_000),
  '&lt;b&gt; &amp; \ud800 {{7*7}} ${7*7}',
]

test('whatever strangers write stays text, in its place', async (t) => {
  const browser = await chromiumOrSkip(t)
  if (!browser) return
  const site = await startSite()
  t.after(() => site.stop())
  const stats = new Stats(Date.now)
  for (const text of evil) {
    const mail = {
      ...sampleMail,
      from: text,
      to: [text, text],
      ip: text,
      user: text,
      subject: text,
      uuid: text,
    }
    stats.add(infected(text), { denied: text, name: text }, 'reject', () => mail)
    stats.add(unscanned(text), null, 'defer', () => mail)
  }
  site.pages = [pageOf(stats, someAddress)]
  for (const width of [360, 1280]) {
    const { page, complaints } = await openPage(browser, site.origin, { viewport: { width, height: 800 } })
    await page.goto(`${site.origin}/clamav-stream`)
    await page.getByText('turned round').first().waitFor()
    assert.equal(await page.locator('#infected tr').count(), evil.length)
    assert.equal(await page.title(), 'clamav-stream')
    assert.equal(await page.locator('main :is(script, img, iframe, a, svg:not(.bars))').count(), 0)
    const text = await page.evaluate<string>('document.body.textContent')
    assert.doesNotMatch(text, /[\p{Bidi_Control}\p{Zl}\p{Zp}\u200b\u00ad]/u)
    assert.doesNotMatch(text.replaceAll('\n', ''), /\p{Cc}/u)
    assert.ok(text.includes('<img src=x onerror='), 'shown as it was written')
    assert.ok(text.length < 60_000, `${text.length} characters`)
    assert.ok((await sideways(page)) <= 0, `${width} px`)
    const tallest = await page.evaluate<number>(
      "Math.max(...[...document.querySelectorAll('tbody tr')].map((row) => row.offsetHeight))",
    )
    assert.ok(tallest < 1500, `a row of ${tallest} px`)
    assert.deepEqual(complaints, [])
  }
})

test('axe has nothing to say about it, in light and dark, wide and narrow; nor about the way in', async (t) => {
  const browser = await chromiumOrSkip(t)
  if (!browser) return
  const site = await startSite()
  t.after(() => site.stop())
  const stats = new Stats(Date.now)
  stats.add(clean, null, 'accept', () => sampleMail)
  stats.add(infected('Win.Test.A'), { denied: '*.exe', name: 'a.exe' }, 'reject', () => sampleMail)
  stats.add(unscanned('broken off'), null, 'defer', () => sampleMail)
  site.pages = [
    pageOf(
      stats,
      someAddress,
      { ...someAddress, text: '[2001:db8::10]:3310', state: 'resting' },
      { ...someAddress, text: '/run/clamav/clamd.sock', state: 'untrusted', maxScannableBytes: 26_214_400 },
    ),
  ]
  for (const colorScheme of ['light', 'dark'] as const) {
    for (const width of [360, 1280]) {
      const { page, complaints } = await openPage(browser, site.origin, {
        colorScheme,
        viewport: { width, height: 800 },
      })
      await page.goto(`${site.origin}/clamav-stream`)
      await page.getByText('broken off').waitFor()
      assert.deepEqual(await violations(page), [], `${colorScheme}, ${width} px`)
      assert.ok((await sideways(page)) <= 0, `${width} px`)
      assert.deepEqual(complaints, [])
    }
  }
  site.settings = { ...site.settings, token: 'correct-horse-battery' }
  const { page } = await openPage(browser, site.origin)
  await page.goto(`${site.origin}/clamav-stream?wrong`)
  assert.deepEqual(await violations(page), [])
})

test('with a token, the page is behind a form; the token gets into no address and no cookie', async (t) => {
  const browser = await chromiumOrSkip(t)
  if (!browser) return
  const token = 'correct-horse-battery'
  const site = await startSite({ token })
  t.after(() => site.stop())
  site.pages = [pageOf(null, someAddress)]
  const { page, complaints } = await openPage(browser, site.origin)
  const visited: string[] = []
  page.on('request', (request) => visited.push(request.url(), request.headers().referer ?? ''))
  await page.goto(`${site.origin}/clamav-stream`)
  assert.equal(await page.getByRole('table').count(), 0)

  await page.getByLabel('Token').fill('wrong')
  await page.getByRole('button').click()
  await page.getByRole('alert').waitFor()
  await page.getByLabel('Token').fill(token)
  await page.getByRole('button').click()
  await page.getByText(someAddress.text).waitFor()
  assert.equal(page.url(), `${site.origin}/clamav-stream`)

  const [cookie] = await page.context().cookies()
  assert.equal(cookie?.httpOnly, true)
  assert.equal(cookie.sameSite, 'Strict')
  assert.equal(cookie.path, '/clamav-stream')
  assert.ok(!cookie.value.includes(token))
  assert.ok(!visited.join('\n').includes(token))

  // Another token: who watches is shown out.
  site.settings = { ...site.settings, token: `${token}-2` }
  await page.getByText('reload the page').waitFor()
  await page.reload()
  await page.getByLabel('Token').waitFor()
  assert.deepEqual(
    complaints.filter((text) => !text.includes('401')),
    [],
  )
})

test('a connection that breaks is told, and taken up again', async (t) => {
  const browser = await chromiumOrSkip(t)
  if (!browser) return
  const site = await startSite()
  t.after(() => site.stop())
  site.pages = [pageOf(null, someAddress)]
  const { page } = await openPage(browser, site.origin)
  await page.goto(`${site.origin}/clamav-stream`)
  await page.getByText('Live', { exact: true }).waitFor()
  await page.context().setOffline(true)
  // Chromium leaves open connections alone, so it is the server that ends this one.
  site.settings = { ...site.settings, page: false }
  await page.getByText('Connection lost').waitFor()
  site.settings = { ...site.settings, page: true }
  await page.context().setOffline(false)
  await page.getByText('Live', { exact: true }).waitFor()
})
