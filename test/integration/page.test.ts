// The page in a real Chromium: what it shows, that it goes on by itself, and that what strangers write does no harm.
import assert from 'node:assert/strict'
import { readFileSync } from 'node:fs'
import { test } from 'node:test'
import type { Page } from 'playwright-core'
import { chromiumOrSkip, openPage } from '../support/chromium'
import {
  clean,
  infected,
  judge,
  sampleMail,
  someAddress,
  someCopy,
  startSite,
  unscanned,
} from '../support/monitoring-site'

/** Rows of a table body, as text. */
const rows = (page: Page, id: string) => page.locator(`#${id} tr`).allInnerTexts()
/** The lines of a list, as text. */
const lines = (page: Page) => page.locator('.entry:visible').allInnerTexts()

test('the overview shows what there is, and goes on by itself', async (t) => {
  const browser = await chromiumOrSkip(t)
  if (!browser) return
  const site = await startSite()
  t.after(() => site.stop())
  judge(site, clean, 'accept')
  judge(site, infected('Win.Test.A'), 'reject')
  const resting = { ...someAddress, state: 'resting' as const, inFlight: 2 }
  site.others = [{ recent: null, addresses: [resting], processes: 1 }]
  const { page, complaints } = await openPage(browser, site.origin)
  await page.goto(`${site.origin}/clamav-stream`)
  await page.locator('#signatures').getByText('Win.Test.A').waitFor()
  await page.locator('#addresses').getByText('in 1 of 2 processes').waitFor()

  assert.equal(await page.getByRole('status').first().innerText(), 'Live')
  const [address = ''] = await rows(page, 'addresses')
  for (const part of [someAddress.text, 'INSTREAM', '100%'])
    assert.ok(address.includes(part), `${part} in ${address}`)
  assert.match(await page.locator('#sums').innerText(), /Clean\s+1\s+Infected\s+1\s+Not scanned\s+0/)
  assert.deepEqual(await rows(page, 'signatures'), ['Win.Test.A\t1'])
  assert.match(await page.locator('#about').innerText(), /2 processes/)
  assert.equal(await page.locator('#alerts').innerText(), '', 'nothing to say while all is well')

  site.others = []
  site.addresses = [{ ...someAddress, state: 'resting' }]
  judge(site, unscanned('broken off'), 'defer')
  const alert = page.getByText(/^Mail is deferred: no clamd answers since \d\d:\d\d:\d\d\.$/)
  await alert.waitFor()
  await page.getByRole('link', { name: 'What to do' }).first().click()
  await page.getByRole('heading', { name: 'clamd does not run' }).waitFor()
  assert.equal(page.url(), `${site.origin}/clamav-stream/runbook#clamd-does-not-run`)
  assert.ok((await page.getByRole('button', { name: 'Copy the command' }).count()) > 10)
  await page.getByRole('link', { name: 'clamav-stream' }).first().click()
  await alert.waitFor()

  await page.getByRole('button', { name: 'Pause' }).click()
  assert.equal(await page.getByRole('status').first().innerText(), 'Paused')
  site.addresses = [someAddress]
  judge(site, clean, 'accept')
  await page.evaluate(`new Promise((resolve) => {
    const second = new EventSource('clamav-stream/events')
    second.onmessage = ({ data }) => !data.includes('no clamd answers') && resolve(second.close())
  })`)
  assert.equal(await alert.count(), 1)
  await page.getByRole('button', { name: 'Pause' }).click()
  await alert.waitFor({ state: 'detached' })
  assert.deepEqual(complaints, [])
})

test('charts of the hour, the day and the week, with the same figures in tables', async (t) => {
  const browser = await chromiumOrSkip(t)
  if (!browser) return
  const site = await startSite()
  t.after(() => site.stop())
  for (const ms of [10, 20, 1500]) judge(site, { ...clean, ms, bytes: 6_000_000 }, 'accept')
  judge(site, infected('Win.Test.A'), 'reject')
  const { page, complaints } = await openPage(browser, site.origin)
  await page.goto(`${site.origin}/clamav-stream`)
  const charts = page.locator('figure')
  await charts.nth(5).locator('canvas').waitFor()
  assert.equal(await charts.count(), 6)

  const times = charts.filter({ hasText: 'Time per scan' })
  await times.locator('.u-over').hover({ position: { x: 5, y: 50 } })
  assert.match(await times.locator('.tooltip').innerText(), /^\d\d:\d\d, 1 min\s+p50 –\s+p95 –\s+p99 –$/)
  await times.getByText('As a table').click()
  const first = times.locator('tbody tr').first()
  await first.waitFor()
  assert.equal(await times.locator('tbody tr').count(), 60)
  assert.match(await times.locator('tbody').innerText(), /\t\d\d ms\t1\.\d s\t1\.\d s/)
  assert.match((await times.getByRole('img').getAttribute('aria-label')) ?? '', /p99 at most 1\.\d s/)
  for (const [name, count] of [
    ['Last day', 96],
    ['Last week', 84],
  ] as const) {
    await page.getByLabel(name).check()
    await times
      .locator('tbody tr')
      .nth(count - 1)
      .waitFor()
    await page.waitForFunction(
      `document.querySelectorAll('figure')[2].querySelectorAll('tbody tr').length === ${count}`,
    )
    assert.match(await page.locator('#sums').innerText(), /Clean\s+3\s+Infected\s+1/)
  }
  const throughput = charts.filter({ hasText: 'Throughput' })
  await throughput.getByText('As a table').click()
  await throughput.locator('tbody tr').first().waitFor()
  assert.equal(await throughput.locator('tbody tr').count(), 84)
  assert.deepEqual(complaints, [])
})

test('messages are found, sorted, unfolded, linked to and saved', async (t) => {
  const browser = await chromiumOrSkip(t)
  if (!browser) return
  const site = await startSite()
  t.after(() => site.stop())
  const uuid = (at: number) => `2F1C6A44-9E0B-4D55-8A7C-0D7E4C1B9A55.${at}`
  const mail = (at: number, from: string) => ({
    ...sampleMail,
    uuid: uuid(at),
    from,
    subject: `Invoice ${at}`,
  })
  judge(site, infected('Win.Test.A'), 'quarantine reject', mail(1, 'zoe@example.net'))
  const parts = { readings: 4, parts: 3, part: 'part 2 (base64)', oddity: 'two boundaries' }
  judge(site, { ...infected('Win.Test.B'), ...parts }, 'reject', mail(2, '=HYPERLINK("http://example.net")'))
  judge(site, unscanned('broken off'), 'defer', mail(3, 'bob@example.net'))
  judge(site, clean, 'reject', mail(4, 'bob@example.net'), { denied: '*.exe', name: 'invoice.pdf.exe' })
  const kept = { verdict: infected('Win.Test.A'), finding: null, action: 'defer' }
  site.recorder.copyFailed(kept, () => mail(5, 'eve@example.net'), 'ENOSPC: no space left on device')
  const { page, complaints } = await openPage(browser, site.origin, { acceptDownloads: true })
  await page.goto(`${site.origin}/clamav-stream#messages`)
  await page.locator('.entry').nth(4).waitFor()

  const verdicts = async () => (await lines(page)).map((line) => line.split('\t')[1])
  assert.deepEqual(await verdicts(), ['Copy failed', 'Denied', 'Not scanned', 'Infected', 'Infected'])
  await page.getByRole('searchbox').fill('INVOICE bob')
  assert.deepEqual(await verdicts(), ['Denied', 'Not scanned'])
  assert.match(page.url(), /#messages\?q=INVOICE\+bob$/)
  await page.getByRole('searchbox').fill('no space left')
  assert.deepEqual(await verdicts(), ['Copy failed'])
  await page.getByRole('button', { name: 'Clear' }).click()
  await page.getByRole('combobox', { name: 'Verdict' }).selectOption({ label: 'Infected' })
  await page.getByRole('button', { name: 'Sender' }).click()
  assert.deepEqual(
    (await lines(page)).map((line) => line.split('\t')[3]),
    ['=HYPERLINK("http://example.net")', 'zoe@example.net'],
  )
  assert.equal(await page.locator('th[aria-sort="ascending"]').innerText(), 'Sender')
  assert.match(page.url(), /sort=sender$/)

  const download = page.waitForEvent('download')
  await page.getByRole('button', { name: 'Save these as CSV' }).click()
  const csv = readFileSync(await (await download).path(), 'utf8')
  const [head = '', ...saved] = csv.trimEnd().split('\r\n')
  assert.match(head, /^\ufeff"uuid","from","to",/)
  assert.equal(saved.length, 2)
  assert.ok(csv.includes(`"'=HYPERLINK(""http://example.net"")"`), csv)
  const second = page.waitForEvent('download')
  await page.getByRole('button', { name: 'Save these as JSON' }).click()
  const json = JSON.parse(readFileSync(await (await second).path(), 'utf8')) as { uuid: string }[]
  assert.deepEqual(
    json.map((one) => one.uuid),
    [uuid(2), uuid(1)],
  )

  // By keyboard: the time is the button that unfolds.
  await page.locator('.entry button').first().focus()
  await page.keyboard.press('Enter')
  const details = await page.locator('.details').innerText()
  for (const part of [
    'Win.Test.B',
    '4 contents of 3 parts',
    'part 2 (base64)',
    'two boundaries',
    '1,000 bytes',
    '20 ms',
    uuid(2),
  ])
    assert.ok(details.includes(part), `${part} in ${details}`)

  await page.goto(`${site.origin}/clamav-stream#messages?id=${uuid(4)}`)
  await page.getByText('invoice.pdf.exe').waitFor()
  assert.deepEqual(await verdicts(), ['Denied'])

  // What is under the reader's eye is not replaced by what comes after it.
  const row = await page.locator('.entry').first().elementHandle()
  judge(site, infected('Win.Test.C'), 'reject', mail(4, 'late@example.net'))
  await page.getByText('late@example.net').first().waitFor()
  assert.equal(await row.evaluate((one) => (one as { isConnected: boolean }).isConnected), true)
  assert.equal(await page.locator('.details').count(), 1)
  assert.deepEqual(complaints, [])
})

test('the quarantine: what to do with a copy, and whether today finds it', async (t) => {
  const browser = await chromiumOrSkip(t)
  if (!browser) return
  const site = await startSite()
  t.after(() => site.stop())
  const copies = [someCopy(1), someCopy(2), { ...someCopy(3), uuid: "x'; rm -rf ~; '", what: 'Other.Test' }]
  site.quarantine = {
    look: () => Promise.resolve({ count: 5000, bytes: 3_000_000, isPartial: false }),
    list: () => Promise.resolve(copies),
  }
  const asked: string[] = []
  site.rescan = {
    scan: (day, uuid) => {
      asked.push(`${day}/${uuid}`)
      const isFound = asked.length > 1
      return Promise.resolve({
        outcome: isFound ? 'infected' : 'clean',
        what: isFound ? 'Win.<b>Test</b>' : '',
        engine: 'ClamAV 1.4.6/27912',
        time: Date.now(),
      })
    },
  }
  const { page, complaints } = await openPage(browser, site.origin, {
    permissions: ['clipboard-read', 'clipboard-write'],
  })
  await page.goto(`${site.origin}/clamav-stream#quarantine?reason=Win.Test`)
  await page.locator('.entry').nth(1).waitFor()
  assert.equal(await page.locator('.entry').count(), 2)
  await page.getByText(/^5,000 copies, .* newest 3; .* quarantine list$/).waitFor()
  assert.deepEqual(asked, [], 'nothing is scanned unless asked')

  await page.locator('.entry').first().click()
  await page.getByRole('button', { name: 'Copy the command to release it' }).click()
  await page.getByText('Copied').waitFor()
  const command = await page.evaluate<string>('navigator.clipboard.readText()')
  assert.equal(command, `npx clamav-stream quarantine release ${copies[0]?.uuid}`)
  await page.getByRole('button', { name: 'Rescan', exact: true }).click()
  await page.locator('.details').getByText('✓ not found (ClamAV 1.4.6/27912)').waitFor()
  await page.getByRole('button', { name: 'Rescan these' }).click()
  await page.locator('.entry').getByText('✗ found: Win.<b>Test</b>').nth(1).waitFor()
  const [first, second] = copies.map(({ day, uuid }) => `${day}/${uuid}`)
  assert.deepEqual(asked, [first, first, second])

  await page.getByRole('button', { name: 'Clear' }).click()
  await page.locator('.entry', { hasText: 'Other.Test' }).click()
  const details = page.locator('.details').last()
  await details.getByText('rm -rf').waitFor()
  assert.equal(
    await details.locator('code').count(),
    0,
    'no command with a name that the plugin has not given',
  )
  assert.deepEqual(complaints, [])
})

test('with a token, the page is behind a form; the token gets into no address and no cookie', async (t) => {
  const browser = await chromiumOrSkip(t)
  if (!browser) return
  const token = 'correct-horse-battery'
  const site = await startSite({ token })
  t.after(() => site.stop())
  const { page, complaints } = await openPage(browser, site.origin)
  const visited: string[] = []
  page.on('request', (request) => visited.push(request.url(), request.headers().referer ?? ''))
  await page.goto(`${site.origin}/clamav-stream`)
  assert.equal(await page.getByRole('table').count(), 0)

  await page.getByLabel('Token').fill('wrong')
  await page.getByRole('button').click()
  await page.getByRole('alert').waitFor()
  assert.deepEqual(site.warnings.splice(0), ['wrong token from 127.0.0.1'])
  await page.getByLabel('Token').fill(token)
  await page.getByRole('button').click()
  await page.getByText(someAddress.text).first().waitFor()
  assert.equal(page.url(), `${site.origin}/clamav-stream`)

  const [cookie] = await page.context().cookies()
  assert.equal(cookie?.httpOnly, true)
  assert.equal(cookie.sameSite, 'Strict')
  assert.equal(cookie.path, '/clamav-stream')
  assert.ok(!cookie.value.includes(token))
  assert.ok(!visited.join('\n').includes(token))

  await page.getByRole('button', { name: 'Log out' }).click()
  await page.getByLabel('Token').fill(token)
  await page.getByRole('button').click()
  await page.getByText(someAddress.text).first().waitFor()

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
  const { page } = await openPage(browser, site.origin)
  await page.goto(`${site.origin}/clamav-stream#messages`)
  await page.getByText('Live', { exact: true }).waitFor()
  await page.context().setOffline(true)
  // Chromium leaves open connections alone, so it is the server that ends this one.
  site.settings = { ...site.settings, page: false }
  await page.getByText('Connection lost').waitFor()
  site.settings = { ...site.settings, page: true }
  judge(site, infected('Win.Test.A'), 'reject')
  await page.context().setOffline(false)
  await page.getByText('Live', { exact: true }).waitFor()
  await page.locator('.entry').getByText('Win.Test.A').waitFor()
})
