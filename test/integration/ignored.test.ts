// A name that a rule ignores counts as nothing found; clamd stops at the first name, so the rest is looked into.
import assert from 'node:assert/strict'
import { randomBytes } from 'node:crypto'
import { after, before, test } from 'node:test'
import { Invalid } from '../../lib/base/invalid'
import { parseSignatureRule } from '../../lib/config/signature-rules'
import type { Scope } from '../../lib/scan/second-look'
import { type RealClamd, skipWithoutClamd, startClamd } from '../support/clamd/clamd'
import { Scanning } from '../support/clamd/scanning'
import { eicar, phishingMarker } from '../support/eicar'
import { withAttachments } from '../support/smtp/mails'

const skip = skipWithoutClamd()
const alarm = { name: 'alarm.bin', content: Buffer.from(phishingMarker.text) }
const virus = { name: 'virus.bin', content: Buffer.from(eicar()) }
const large = { name: 'large.bin', content: randomBytes(64 * 1024) }

let clamd: RealClamd
before(async () => {
  if (skip === false) clamd = await startClamd()
})
after(() => (skip === false ? clamd.stop() : undefined))

function scanningBy(scope: Scope, ...rules: readonly string[]): Scanning {
  const signatures = rules.map((rule) => {
    const parsed = parseSignatureRule(rule)
    return parsed instanceof Invalid ? assert.fail(parsed.why) : parsed
  })
  return new Scanning([{ host: clamd.host, port: clamd.port }], { protocol: 'instream', scope, signatures })
}

for (const scope of ['auto', 'all', 'parts', 'message'] as const) {
  test(`scan=${scope}: an ignored name is clean by itself, and hides no virus`, { skip }, async () => {
    const scanning = scanningBy(scope, 'Heuristics.Phishing.* ignore')
    for (const more of [[], [large]]) {
      const alone = await scanning.scan(withAttachments(alarm, ...more))
      assert.equal(alone.outcome, 'clean')
      assert.deepEqual(alone.ignored, [phishingMarker.name])
      for (const mail of [withAttachments(alarm, virus, ...more), withAttachments(...more, virus, alarm)]) {
        const verdict = await scanning.scan(mail)
        assert.equal(verdict.outcome, 'infected')
        assert.match(verdict.virus, /^Eicar/)
      }
    }
  })
}

test('an earlier rule for the name wins, and other names are not ignored', { skip }, async () => {
  const tagged = scanningBy('auto', 'Heuristics.Phishing.Email.* tag', 'Heuristics.* ignore')
  const verdict = await tagged.scan(withAttachments(alarm))
  assert.equal(verdict.outcome, 'infected')
  assert.deepEqual(verdict.ignored, [])
  const eicarIgnored = scanningBy('auto', 'Eicar* ignore')
  assert.equal((await eicarIgnored.scan(withAttachments(alarm, virus))).outcome, 'infected')
  assert.equal((await eicarIgnored.scan(withAttachments(virus))).outcome, 'clean')
})
