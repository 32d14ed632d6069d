// Makes docs/guide/page.png: the page in a real Chromium, with invented figures. The picture is in the package, so
// pngquant (Debian: apt-get install pngquant) shrinks it to a third; without pngquant it stays as it is.
// Run it with `node --import tsx scripts/screenshot.ts`. With a folder as argument, it puts a picture of each view there,
// in each width and scheme, to look at.
import { spawnSync } from 'node:child_process'
import { mkdirSync } from 'node:fs'
import path from 'node:path'
import type { AddressState } from '../lib/hosts/host-pool'
import type { CopySummary } from '../lib/monitoring/dashboard/quarantine-summary'
import { findChromium, launch, openPage } from '../test/support/chromium'
import {
  clean,
  infected,
  judge,
  sampleMail,
  startSite,
  type TestSite,
  unscanned,
} from '../test/support/monitoring-site'

const minuteMs = 60_000
const noon = Date.UTC(2026, 4, 12, 12, 0, 0)

/** The same picture each time: a generator of numbers that begins at the same one (Park and Miller). */
let seed = 20_260_512
const random = () => (seed = (seed * 48_271) % 2_147_483_647) / 2_147_483_647
const oneOf = <T>(choices: readonly T[]): T => choices[Math.floor(random() * choices.length)] as T

const texts = ['192.0.2.10:3310', '192.0.2.11:3310', '[2001:db8::12]:3310'] as const
const signatures = [
  ...Array<string>(6).fill('Win.Trojan.Emotet-9951800-0'),
  ...Array<string>(3).fill('Heuristics.Phishing.Email.SpoofedDomain'),
  'Doc.Dropper.Agent-6934560-0',
  'Eicar-Test-Signature',
  'Pdf.Phishing.Agent-7642134-0',
]
const subjects = ['Overdue invoice 48213', 'Your parcel is waiting', 'Re: contract', 'Scan from printer 3']
const senders = ['billing@example.net', 'parcel@example.org', 'j.smith@example.net', 'printer@example.com']
const recipients = ['alice@example.com', 'bob@example.com', 'sales@example.com', 'info@example.com']

const uuid = () =>
  `${Math.floor(random() * 2 ** 32)
    .toString(16)
    .toUpperCase()
    .padStart(8, '0')}-9E0B-4D55-8A7C-0D7E4C1B9A55.1`

function weekOfMail(site: TestSite, clock: { ms: number }): void {
  const mail = () => ({
    ...sampleMail,
    uuid: uuid(),
    from: oneOf(senders),
    to: [oneOf(recipients)],
    ip: `198.51.100.${1 + Math.floor(random() * 250)}`,
    subject: oneOf(subjects),
  })
  for (clock.ms = noon - 7 * 24 * 60 * minuteMs; clock.ms < noon; clock.ms += 4000) {
    // More by day than by night.
    const hour = new Date(clock.ms).getUTCHours()
    if (random() > 0.25 + 0.7 * Math.exp(-(((hour - 12) / 5) ** 2))) continue
    const chance = random()
    const at = oneOf(texts)
    const ms = Math.round((at === texts[2] ? 14 : 8) + 60 * random() ** 6 + 900 * random() ** 40)
    const scan = { clamd: at, ms, bytes: Math.round(4000 + 3_000_000 * random() ** 12), engine: engineAt(5) }
    if (chance < 0.0035) judge(site, { ...infected(oneOf(signatures)), ...scan }, 'quarantine reject', mail())
    else if (chance < 0.004) {
      const denied = { denied: '*.exe', name: 'invoice.pdf.exe' }
      judge(site, { ...clean, ...scan }, 'reject', mail(), denied)
    } else if (chance > 0.9997) {
      const why = `${scan.clamd} instream: reply: the connection ended without a reply`
      judge(site, { ...unscanned(why), ...scan }, 'defer', mail())
    } else judge(site, { ...clean, ...scan }, 'accept', mail())
  }
  clock.ms = noon
}

const engineAt = (hours: number, number = 27_912) => ({
  release: 'ClamAV 1.4.6',
  signatures: { number, builtMs: noon - hours * 60 * minuteMs },
  line: '',
})

const stateOf = (text: string, hours: number, more: Partial<AddressState> = {}): AddressState => ({
  text,
  role: 'host',
  state: 'up',
  inFlight: 0,
  protocol: 'instream',
  engine: engineAt(hours),
  maxScannableBytes: 26_214_400,
  ...more,
})

function copies(): CopySummary[] {
  return Array.from({ length: 214 }, (_, at) => ({
    day: '20260512',
    uuid: uuid(),
    time: noon - Math.round((at + random()) * 47 * minuteMs),
    bytes: Math.round(4000 + 3_000_000 * random() ** 6),
    what: oneOf(signatures),
    from: oneOf(senders),
    to: [oneOf(recipients)],
    recipients: 1,
    ip: '198.51.100.7',
    user: '',
    messageId: '<1@example.net>',
    engine: 'ClamAV 1.4.6/27912',
  }))
}

/** To a palette; 128 colours hold all that is on the page, smoothed letters included. */
function shrink(picture: string): void {
  const options = ['--nofs', '--speed', '1', '--strip', '--force', '--output', picture]
  const { error, status, stderr } = spawnSync('pngquant', [...options, '128', picture], { encoding: 'utf8' })
  if (error) console.error(`left as it is: ${error.message}`)
  else if (status !== 0) throw new Error(`pngquant: ${stderr}`)
}

async function main(folder: string | undefined) {
  const chromium = findChromium()
  if (chromium === undefined) throw new Error('there is no chromium (Debian: apt-get install chromium)')
  // Everything happens at noon of that day: here, and in the browser.
  const clock = { ms: noon }
  Date.now = () => clock.ms
  const site = await startSite()
  const browser = await launch(chromium)
  const [first, second, third] = texts
  try {
    const states = [
      stateOf(first, 5, { inFlight: 2 }),
      stateOf(second, 5, { inFlight: 1 }),
      stateOf(third, 29),
    ]
    weekOfMail(site, clock)
    site.addresses = states
    const rests = { ...stateOf(third, 29), state: 'resting' as const }
    site.others = [{ recent: null, addresses: [...states.slice(0, 2), rests], processes: 1 }]
    const all = copies()
    const bytes = all.reduce((sum, one) => sum + one.bytes, 0)
    site.quarantine = {
      look: () => Promise.resolve({ count: all.length, bytes, isPartial: false }),
      list: () => Promise.resolve(all),
    }
    const picture = async (
      file: string,
      view: string,
      colorScheme: 'light' | 'dark',
      viewport: { width: number; height: number },
      fullPage = false,
    ) => {
      const { page, complaints } = await openPage(browser, site.origin, { colorScheme, viewport })
      await page.clock.setFixedTime(noon)
      await page.goto(`${site.origin}/clamav-stream#${view.replace('+', '')}`)
      await page.getByText('Live', { exact: true }).waitFor()
      if (view === 'overview') await page.locator('.chart canvas').nth(5).waitFor()
      else await page.locator('.entry').nth(20).waitFor()
      if (view.endsWith('+')) await page.locator('.entry').nth(2).click()
      await page.screenshot({ path: file, fullPage })
      await page.context().close()
      if (complaints.length > 0) throw new Error(complaints.join('\n'))
    }
    if (folder === undefined) {
      const file = path.join(__dirname, '..', 'docs', 'guide', 'page.png')
      await picture(file, 'overview', 'light', { width: 1280, height: 860 })
      shrink(file)
      return
    }
    mkdirSync(folder, { recursive: true })
    for (const view of ['overview', 'messages+', 'quarantine+'])
      for (const width of [360, 800, 1280])
        for (const scheme of ['light', 'dark'] as const) {
          const file = path.join(folder, `${view.replace('+', '')}-${width}-${scheme}.png`)
          await picture(file, view, scheme, { width, height: 800 }, view === 'overview')
        }
  } finally {
    await browser.close()
    await site.stop()
  }
}

main(process.argv[2]).catch((error: unknown) => {
  console.error(error)
  process.exitCode = 1
})
