// Makes docs/guide/page.png: the page in a real Chromium, with invented figures. The picture is in the package, so
// pngquant (Debian: apt-get install pngquant) shrinks it to a third; without pngquant it stays as it is.
// Run it with `node --import tsx scripts/screenshot.ts`.
import { spawnSync } from 'node:child_process'
import path from 'node:path'
import type { AddressState } from '../lib/hosts/host-pool'
import { Stats } from '../lib/monitoring/dashboard/stats'
import { findChromium, launch, openPage } from '../test/support/chromium'
import { clean, infected, pageOf, sampleMail, startSite, unscanned } from '../test/support/monitoring-site'

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

function dayOfMail(): Stats {
  const clock = { ms: noon - 24 * 60 * minuteMs }
  const stats = new Stats(() => clock.ms)
  const mail = () => ({
    ...sampleMail,
    uuid: `${Math.floor(random() * 2 ** 32)
      .toString(16)
      .toUpperCase()
      .padStart(8, '0')}-9E0B-4D55-8A7C-0D7E4C1B9A55.1`,
    from: oneOf(senders),
    to: [oneOf(recipients)],
    ip: `198.51.100.${1 + Math.floor(random() * 250)}`,
    subject: oneOf(subjects),
  })
  for (; clock.ms < noon; clock.ms += 2000) {
    // More by day than by night.
    const hour = new Date(clock.ms).getUTCHours()
    if (random() > 0.25 + 0.7 * Math.exp(-(((hour - 12) / 5) ** 2))) continue
    const chance = random()
    const scan = { clamd: oneOf(texts), ms: Math.round(8 + 60 * random() ** 6 + 900 * random() ** 40) }
    if (chance < 0.004) {
      const finding = chance < 0.0005 ? { denied: '*.exe', name: 'a.exe' } : null
      stats.add({ ...infected(oneOf(signatures)), ...scan }, finding, 'quarantine reject', mail)
    } else if (chance > 0.9997) {
      const why = `${scan.clamd} instream: reply: the connection ended without a reply`
      stats.add({ ...unscanned(why), ...scan }, null, 'defer', mail)
    } else {
      stats.add({ ...clean, ...scan }, null, 'accept', mail)
    }
  }
  clock.ms = noon
  return stats
}

function stateOf(
  text: string,
  number: number,
  hours: number,
  more: Partial<AddressState> = {},
): AddressState {
  const signatures = { number, builtMs: noon - hours * 60 * minuteMs }
  const engine = { release: 'ClamAV 1.4.6', signatures, line: '' }
  return {
    text,
    role: 'host',
    state: 'up',
    inFlight: 0,
    protocol: 'instream',
    engine,
    maxScannableBytes: 26_214_400,
    ...more,
  }
}

/** To a palette; 64 colours hold all that is on the page, smoothed letters included. */
function shrink(picture: string): void {
  const options = ['--nofs', '--speed', '1', '--strip', '--force', '--output', picture]
  const { error, status, stderr } = spawnSync('pngquant', [...options, '64', picture], { encoding: 'utf8' })
  if (error) console.error(`left as it is: ${error.message}`)
  else if (status !== 0) throw new Error(`pngquant: ${stderr}`)
}

async function main() {
  const chromium = findChromium()
  if (chromium === undefined) throw new Error('there is no chromium (Debian: apt-get install chromium)')
  // Everything happens at noon of that day: here, and in the browser.
  Date.now = () => noon
  const site = await startSite()
  const browser = await launch(chromium)
  try {
    const [first, second, third] = texts
    const stats = dayOfMail()
    const states = [
      stateOf(first, 27_912, 5, { inFlight: 2 }),
      stateOf(second, 27_912, 5, { inFlight: 1 }),
      stateOf(third, 27_911, 29),
    ]
    site.pages = [
      pageOf(stats, ...states),
      pageOf(
        null,
        ...states.map((state) => ({
          ...state,
          inFlight: 0,
          state: state.text === third ? ('resting' as const) : state.state,
        })),
      ),
    ]
    const { infected: last } = stats.snapshot()
    const newest = last.slice(0, 3).map(({ time, uuid, from, what }) => ({ time, uuid, from, what }))
    site.quarantine = {
      look: () => Promise.resolve({ count: 214, bytes: 61_203_411, newest, isPartial: false }),
    }
    const { page } = await openPage(browser, site.origin, {
      colorScheme: 'light',
      viewport: { width: 1000, height: 1205 },
    })
    await page.clock.setFixedTime(noon)
    await page.goto(`${site.origin}/clamav-stream`)
    await page.getByText('214 copies').waitFor()
    const picture = path.join(__dirname, '..', 'docs', 'guide', 'page.png')
    await page.screenshot({ path: picture })
    shrink(picture)
  } finally {
    await browser.close()
    await site.stop()
  }
}

main().catch((error: unknown) => {
  console.error(error)
  process.exitCode = 1
})
