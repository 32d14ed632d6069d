// What a reload does with each setting that concerns clamd.
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { parseSettings, type Settings } from '../../../lib/config/settings'
import type { Plugin } from '../../../lib/haraka/types'
import { provesAlike, topicOf } from '../../../lib/plugin/runtime'

const none = { lines: [] }

function settingsOf(...lines: string[]): Settings {
  return parseSettings({ ini: { lines }, signatures: none, exempt: none }, true)
}

const plugin = { name: 'clamav-stream' } as Plugin
const usual = settingsOf()

for (const [line, isSamePool, isProven] of [
  ['debug=true', true, true],
  ['unscannable_after=7', true, true],
  ['host=127.0.0.1', false, true],
  ['backup=127.0.0.1', false, true],
  ['scan=all', false, true],
  ['scan_timeout=90s', false, true],
  ['max_concurrent=7', false, true],
  ['ping_interval=7s', false, true],
  ['max_pings=7', false, true],
  ['max_pings=0', false, false],
  ['protocol=instream', false, false],
  ['max_size=7M', false, false],
  ['stream_buffer_size=7K', false, false],
  ['self_test=eicar', false, false],
] as const) {
  test(line, () => {
    const now = settingsOf('[main]', line)
    assert.equal(topicOf(plugin, now) === topicOf(plugin, usual), isSamePool)
    assert.equal(provesAlike(now, usual), isProven)
  })
}

test('rules for signatures say nothing about a clamd', () => {
  const signatures = { lines: ['PUA.* ignore'] }
  const now = parseSettings({ ini: none, signatures, exempt: none }, true)
  assert.equal(topicOf(plugin, now), topicOf(plugin, usual))
})
