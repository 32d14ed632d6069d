// Files as an administrator might leave them: a ConfigError or settings that are what was written, and what Haraka's
// own loader would read.
import assert from 'node:assert/strict'
import { createRequire } from 'node:module'
import * as fc from 'fast-check'
import { ConfigError } from '../../lib/base/config-error'
import { entryIn, parseIni } from '../../lib/config/ini'
import { schema } from '../../lib/config/schema'
import { parseSettings, type Settings } from '../../lib/config/settings'
import { parseSignatureRule } from '../../lib/config/signature-rules'
import { cuts, fuzz } from './chance'

const readers = createRequire(require.resolve('haraka-config'))('./lib/readers/ini') as {
  parseIni(file: string, options: object, text: string): Record<string, Record<string, unknown>>
  logger: (text: string) => void
}
readers.logger = () => undefined

function parsed(text: string): Settings | ConfigError {
  const none = { lines: [] }
  try {
    return parseSettings({ ini: { lines: text.split(/\r\n|\r|\n/) }, signatures: none, exempt: none }, true)
  } catch (error) {
    assert.ok(error instanceof ConfigError, error instanceof Error ? error.stack : String(error))
    return error
  }
}

/** The loader leaves them out. */
const unsafe = ['__proto__', 'constructor', 'prototype']

const sections = Object.keys(schema) as (keyof typeof schema)[]
const places = sections.flatMap((section) => Object.keys(schema[section]).map((key) => ({ section, key })))

const good = fc.constantFrom(
  'localhost',
  '127.0.0.1:3310',
  '/run/c.sock',
  '3310',
  'auto',
  'true',
  'FALSE',
  '5',
  '30s',
  '2m',
  '1.5m',
  '8192',
  '64K',
  '25M',
  '1.5M',
  'reject',
  'quarantine reject',
  'defer',
  'accept',
  'infected',
  'a/b',
  '10/h',
  'headers',
  '*.exe *.scr',
  'text {virus}',
)
const bad = fc.constantFrom(
  '',
  '-1',
  '1e3',
  '0x10',
  'NaN',
  'Infinity',
  '99999999999999999999',
  '1,5',
  '5 s',
  '5y',
  '25Q',
  '25MM',
  'yes please',
  'true ; note',
  'reject accept',
  'tag defer',
  '../up',
  '/',
  '[::1',
  '::1:3310',
  'host:0',
  'host:99999',
  'constructor',
  '__proto__',
  'toString',
  '{}',
  '{virus',
  '\u202e',
  '\xff',
  '"',
  '10/s',
  '/10',
  '*.exe"',
  '300.1.1.1',
  'a b c',
)
const value = fc.oneof(
  { weight: 3, arbitrary: good },
  { weight: 3, arbitrary: bad },
  { weight: 1, arbitrary: fc.string({ unit: 'binary', maxLength: 12 }) },
  { weight: 1, arbitrary: fc.integer().map(String) },
  { weight: 1, arbitrary: fc.float().map(String) },
)

/** Numbers as the documentation says they are read, by independent code. */
function expected(what: string, text: string): unknown {
  const [, digits = '', unit = ''] = /^(\d+(?:\.\d+)?)\s*([a-z]*)$/i.exec(text) ?? []
  const number = Number(digits)
  if (what === 'size') {
    const factor = { '': 1, k: 1024, m: 1024 ** 2, g: 1024 ** 3 }[unit.toLowerCase().replace(/b$/, '')]
    return Math.floor(number * (factor ?? NaN))
  }
  if (what === 'time') {
    const factor = { '': 1000, ms: 1, s: 1000, m: 60_000, h: 3_600_000, d: 86_400_000 }[unit.toLowerCase()]
    return Math.round(number * (factor ?? NaN))
  }
  return what === 'number' ? Number(/^\d+$/.test(text) ? text : NaN) : text.toLowerCase()
}

/** Settings that stand by themselves in the outcome, with how they are read. */
const readable: Record<string, readonly [what: string, of: (settings: Settings) => unknown]> = {
  'main.max_size': ['size', ({ scan }) => scan.maxBytes],
  'main.stream_buffer_size': ['size', ({ scan }) => scan.bufferBytes],
  'main.connect_timeout': ['time', ({ scan }) => scan.connectMs],
  'main.scan_timeout': ['time', ({ scan }) => scan.scanMs],
  'main.host_rest': ['time', ({ hosts }) => hosts.restMs],
  'main.ping_interval': ['time', ({ startup }) => startup.pingIntervalMs],
  'main.max_pings': ['number', ({ startup }) => startup.maxPings],
  'main.max_concurrent': ['number', ({ hosts }) => hosts.maxConcurrent],
  'main.protocol': ['word', ({ scan }) => scan.protocol],
  'unscanned.error': ['word', ({ rules }) => rules.unscanned.error.text],
  'unscanned.timeout': ['word', ({ rules }) => rules.unscanned.timeout.text],
  'bounce.include': ['word', ({ bounce }) => bounce.include],
}

fuzz(
  'a key is what was written, or refused',
  0.1,
  fc.property(fc.constantFrom(...places), value, ({ section, key }, written) => {
    fc.pre(!/[\r\n]|\\[ \t]*$/.test(written))
    const settings = parsed(`[${section}]\n${key} = ${written}\n`)
    const check = readable[`${section}.${key}`]
    if (settings instanceof ConfigError || !check) return
    assert.deepEqual(check[1](settings), expected(check[0], written.trim()), `${section}.${key} = ${written}`)
    assert.ok(Object.isFrozen(settings.scan) && Object.isFrozen(settings.rules.unscanned))
  }),
)

const strangeKeys = fc.constantFrom(
  'maxPings',
  'Host',
  'hosts',
  '__proto__',
  'constructor',
  'toString',
  'host[]',
  'action',
  'x y',
  'é',
)
fuzz(
  'a key that does not exist, or stands in another section, is refused',
  0.05,
  fc.property(
    fc.constantFrom(...sections),
    fc.oneof(
      strangeKeys,
      fc.constantFrom(...places).map(({ key }) => key),
    ),
    (section, key) => {
      const exists = Object.hasOwn(schema[section], key.replace(/\[\]$/, ''))
      const outcome = parsed(`[${section}]\n${key} = 5\n`)
      if (!exists) assert.ok(outcome instanceof ConfigError, `[${section}] ${key}`)
    },
  ),
)

const line = fc.oneof(
  fc.constantFrom(...sections).map((section) => `[${section}]`),
  fc.tuple(fc.constantFrom(...places), value).map(([{ key }, text]) => `${key}=${text}`),
  fc.constantFrom(
    '',
    '; comment',
    '# comment',
    'max_size',
    'max_size 25M',
    '[main',
    'main]',
    '[]',
    '=',
    '= x',
    'a = b \\',
    '\\',
    'host = \\',
    '[main] ; x',
  ),
  fc.string({ unit: 'binary', maxLength: 15 }),
)
fuzz(
  'nothing but a ConfigError is thrown, whatever the file',
  0.1,
  fc.property(fc.array(line, { maxLength: 12 }), fc.constantFrom('\n', '\r\n', '\r'), (lines, end) => {
    parsed(lines.join(end))
  }),
)

fuzz(
  "what is read without complaint is what Haraka's loader reads",
  0.2,
  fc.property(
    fc.array(
      fc.oneof(line, fc.constantFrom('a = b', 'a[] = 1', 'a[] = c d', 'b=1\\', ' 2', 'c:d/e@f = g;h')),
      {
        maxLength: 12,
      },
    ),
    fc.constantFrom('\n', '\r\n', '\r'),
    (lines, end) => {
      const text = lines.join(end)
      const { settings, problems } = parseIni(text.split(/\r\n|\r|\n/))
      if (problems.length > 0) return
      const theirs = Object.entries(readers.parseIni('x.ini', {}, text)).flatMap(([section, keys]) =>
        Object.entries(keys).map(([key, read]) => [section, key, [read].flat().join(' ')] as const),
      )
      const ours = settings
        .filter(({ section, key }) => ![section, key].some((name) => unsafe.includes(name)))
        .map(({ section, key, value: text }) => [section, key, text] as const)
      const numbers = ([section, key, text]: readonly [string, string, string]) =>
        [
          section,
          key,
          text.split(' ').map((word) => (/^-?\d+(\.\d+)?$/.test(word) ? String(Number(word)) : word)),
        ] as const
      assert.deepEqual(ours.map(numbers).sort(), theirs.map(numbers).sort(), JSON.stringify(text))
    },
  ),
)

const setting = 'scan_timeout = 45s'
fuzz(
  'a setting cut over several lines counts as a whole, or is refused',
  0.02,
  fc.property(
    fc.array(fc.nat(20), { maxLength: 4 }),
    fc.constantFrom('', '\n', '\n[infected]\naction=tag\n', '\n; comment\n', '\n\n'),
    fc.boolean(),
    (at, next, isOpen) => {
      const pieces = cuts(setting.length, at).map(([from, to]) => setting.slice(from, to))
      const outcome = parsed(`[main]\n${pieces.join('\\\n')}${isOpen ? '\\' : ''}${next}`)
      if (!(outcome instanceof ConfigError)) assert.equal(outcome.scan.scanMs, 45_000)
    },
  ),
)

fuzz(
  'a line of signatures is a rule, none, or wrong, and nothing is thrown',
  1,
  fc.property(
    fc.oneof(
      fc.string({ unit: 'binary', maxLength: 30 }),
      fc
        .array(
          fc.constantFrom(
            '/',
            '*',
            '?',
            '#',
            ' ',
            '(',
            ')',
            '[',
            '\\',
            '+',
            'Eicar',
            '.',
            'reject',
            'tag',
            'quarantine',
            '{1,9}',
          ),
          { maxLength: 8 },
        )
        .map((words) => words.join('')),
    ),
    (text) => {
      parseSignatureRule(entryIn(text))
    },
  ),
)
