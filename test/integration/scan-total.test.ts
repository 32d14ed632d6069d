// All that a real clamd unpacks in one scan counts against its MaxScanSize; it says nothing where it stops.
import assert from 'node:assert/strict'
import { connect } from 'node:net'
import { after, before, test } from 'node:test'
import { findArchiveLimits } from '../../lib/health/archive-limits'
import type { ArchiveLimits } from '../../lib/hosts/test-results'
import type { Scope } from '../../lib/scan/second-look'
import { type RealClamd, skipWithoutClamd, startClamd } from '../support/clamd/clamd'
import { Scanning } from '../support/clamd/scanning'
import { M, never, usual } from '../support/clamd/self-testing'
import { eicar } from '../support/eicar'
import { type Attachment, withAttachments } from '../support/smtp/mails'
import { type Entry, zip } from '../support/zip-builder'

const skip = skipWithoutClamd()
const bounded = { skip, timeout: 120_000 }
const debian = { MaxFileSize: '25M', MaxScanSize: '100M' }

interface Tested {
  readonly clamd: RealClamd
  readonly limits: ArchiveLimits
}

async function tested(config: Record<string, string>): Promise<Tested> {
  const clamd = await startClamd({ config })
  const address = { host: clamd.host, port: clamd.port }
  const settings = { ...usual, maxBytes: 25 * M }
  return { clamd, limits: await findArchiveLimits(address, settings, connect, never) }
}

let silent: Tested
let alerting: Tested
before(async () => {
  if (skip !== false) return
  // What it has found clean before would not count again.
  silent = await tested({ ...debian, DisableCache: 'yes' })
  alerting = await tested({ ...debian, AlertExceedsMax: 'yes' })
})
after(async () => {
  if (skip !== false) return
  await silent.clamd.stop()
  await alerting.clamd.stop()
})

async function scan({ clamd, limits }: Tested, mail: Buffer, scope: Scope = 'auto') {
  const address = { host: clamd.host, port: clamd.port }
  const scanning = new Scanning([address], { protocol: 'instream', sessions: true, scope })
  scanning.hosts.learn(address, { type: 'archivesTested', archives: limits })
  const verdict = await scanning.scan(mail)
  scanning.destroy()
  return verdict
}

/** Each of other letters. */
const members = (count: number, bytes: number): Entry[] =>
  Array.from({ length: count }, (_, index) => ({
    name: `${index}.txt`,
    content: Buffer.alloc(bytes, String.fromCharCode(97 + index)),
  }))
const file: Entry = { name: 'eicar.com', content: eicar() }
const attachedZip = (...entries: Entry[]): Attachment => ({ name: 'a.zip', content: zip(entries) })
const attachedFile: Attachment = { name: 'eicar.com', content: eicar() }
const five = members(5, 24_000_000)
/** clamd goes on with the next part where one does not fit: each is half of the one before. */
const halves = Array.from({ length: 19 }, (_, index) => {
  const content = Buffer.alloc(8_000_000 / 2 ** index, 'x')
  return content.length > 8192 ? attachedZip({ name: 'half.txt', content }) : { name: 'half.txt', content }
})

const beyond: Record<string, () => Buffer> = {
  'a member behind five large ones': () => withAttachments(attachedZip(...five, file)),
  'a part behind five large members': () => withAttachments(attachedZip(...five), ...halves, attachedFile),
  'a part behind two archives': () =>
    withAttachments(attachedZip(...five.slice(0, 3)), attachedZip(...five.slice(2)), ...halves, attachedFile),
  'a part behind an archive three times': () => {
    const two = attachedZip(...five.slice(0, 2))
    return withAttachments(two, two, two, ...halves, attachedFile)
  },
}
for (const [name, mail] of Object.entries(beyond)) {
  test(`a virus in ${name} is not called clean`, bounded, async () => {
    const whole = await scan(silent, mail(), 'message')
    assert.equal(whole.outcome, 'clean', 'clamd by itself')
    const verdict = await scan(silent, mail())
    assert.equal(verdict.outcome, 'unscanned', JSON.stringify(verdict))
    assert.equal(verdict.reason, 'limits')
    assert.match(verdict.text, /more than 94371840 bytes with all that is unpacked/)
  })
}

test('what clamd has unpacked to its end is clean, or infected', bounded, async () => {
  assert.deepEqual(silent.limits.totalBytes, { upTo: 90 * M, beyond: 'silent' })
  const sixty = members(3, 20_000_000)
  const clean = await scan(silent, withAttachments(attachedZip(...sixty)))
  assert.equal(clean.outcome, 'clean', JSON.stringify(clean))
  for (const mail of [
    withAttachments(attachedZip(...sixty, file)),
    withAttachments(attachedZip(...sixty), attachedFile),
  ])
    assert.equal((await scan(silent, mail)).outcome, 'infected')
})

test('with AlertExceedsMax it is clamd that says so', bounded, async () => {
  assert.deepEqual(alerting.limits.totalBytes, { upTo: null, beyond: 'reported' })
  const verdict = await scan(alerting, withAttachments(attachedZip(...five, file)))
  assert.equal(verdict.outcome, 'unscanned', JSON.stringify(verdict))
  assert.match(verdict.text, /Heuristics\.Limits\.Exceeded\.MaxScanSize/)
  const four = await scan(alerting, withAttachments(attachedZip(...members(4, 24_000_000))))
  assert.equal(four.outcome, 'clean', JSON.stringify(four))
})
