// The command line's help, which is its documentation; what it shows of strangers' texts; and that it stays out of
// the plugin's way.
import assert from 'node:assert/strict'
import { readFileSync } from 'node:fs'
import path from 'node:path'
import { PassThrough } from 'node:stream'
import { test } from 'node:test'
import { type Command, CommanderError } from 'commander'
import { exitCode, summary } from '../../lib/cli/check/results'
import { program } from '../../lib/cli/program'
import { parseHop } from '../../lib/cli/quarantine/next-hop'
import { fits } from '../../lib/cli/quarantine/store'
import { cut, escaped, Progress, table } from '../../lib/cli/terminal'
import { commandsPage } from '../../scripts/commands-page'

const root = path.resolve(__dirname, '..', '..')

test('docs/reference/commands.md is what --help says (npm run docs)', () => {
  assert.equal(readFileSync(path.join(root, 'docs/reference/commands.md'), 'utf8'), commandsPage())
})

test('the page names every option of every command', () => {
  const all = (command: Command, name: string): [string, Command][] => [
    [name, command],
    ...command.commands
      .filter((one) => one.name() !== 'help')
      .flatMap((one) => all(one, `${name} ${one.name()}`)),
  ]
  const commands = all(
    program(() => undefined),
    'clamav-stream',
  )
  assert.ok(commands.length > 8)
  for (const [name, command] of commands) {
    const [, section = ''] = commandsPage().split(`\n## ${name}\n`)
    const [block = ''] = section.split('\n## ')
    for (const { long } of command.options) assert.ok(long && block.includes(long), `${name} ${long ?? ''}`)
  }
})

test('texts of senders: no character moves a cursor, hides or reverses text', () => {
  for (const [text, expected] of [
    ['plain text, na\u00efve \u65e5\u672c \u{1f600}', 'plain text, na\u00efve \u65e5\u672c \u{1f600}'],
    ['\x1b[2J\r\n\t\x7f\x9b', '\\x1b[2J\\x0d\\x0a\\x09\\x7f\\x9b'],
    ['a\u202eb\u2066c\u200dd\ufeffe', 'a\\u202eb\\u2066c\\u200dd\\ufeffe'],
    ['\u2028\u2029\u00ad\u{e0041}', '\\u2028\\u2029\\xad\\u{e0041}'],
    ['\ud800', '\\ud800'],
    ['\ufffd', '?'],
  ] as const)
    assert.equal(escaped(text), expected)
})

test('columns, and what does not fit', () => {
  assert.equal(
    table([
      ['A', 'BB', 'C'],
      ['aaa', 'b', 'c c'],
    ]),
    'A    BB  C\naaa  b   c c\n',
  )
  assert.equal(table([['a', 'bcdef']], 5), 'a  b…\n')
  assert.equal(cut('e\u0301e\u0301e\u0301', 3), 'e\u0301e\u0301e\u0301')
})

test('a bar for a terminal, nothing for anything else', () => {
  const terminal = Object.assign(new PassThrough(), { isTTY: true, columns: 60 })
  const bar = new Progress(terminal, 200)
  bar.draw(100, '5 scanned')
  bar.clear()
  assert.equal(String(terminal.read()), `\r\x1b[K[${'#'.repeat(12)}${'.'.repeat(12)}] 50 % 5 scanned\r\x1b[K`)
  const file = new PassThrough()
  const none = new Progress(file, 200)
  none.draw(100, '5 scanned')
  none.clear()
  assert.equal(file.read(), null)
})

test('filters: any part, or the whole with wildcards', () => {
  for (const [pattern, text, is] of [
    ['ann', 'Ann@example.com', true],
    ['@example.com', 'ann@example.com', true],
    ['*@example.com', 'ann@example.com', true],
    ['*@example', 'ann@example.com', false],
    ['a?n@*', 'ann@x', true],
    ['a.n*', 'ann', false],
    ['(', 'a(b', true],
  ] as const)
    assert.equal(fits(pattern)(text), is, `${pattern} ${text}`)
})

test('a filter without a pattern, as of a variable that is not set, is a mistake and not everything', async () => {
  for (const filter of ['--virus', '--sender', '--recipient']) {
    for (const empty of ['', ' ']) {
      const said: string[] = []
      const root = program(() => assert.fail('it ran'))
      const deletion = root.commands
        .find((one) => one.name() === 'quarantine')
        ?.commands.find((one) => one.name() === 'delete')
      deletion?.configureOutput({ writeErr: (text) => void said.push(text) })
      const args = ['quarantine', 'delete', '--dir', '/nonexistent', '--yes', filter, empty]
      await assert.rejects(root.parseAsync(args, { from: 'user' }), CommanderError)
      assert.match(said.join(''), /is invalid. It has to be a pattern/)
    }
  }
})

test('--to', () => {
  const where = (text: string) => {
    const { host, port } = parseHop(text)
    return [host, port]
  }
  assert.deepEqual(where('mail.example.com'), ['mail.example.com', 25])
  assert.deepEqual(where('192.0.2.1:2525'), ['192.0.2.1', 2525])
  assert.deepEqual(where('[::1]:2525'), ['::1', 2525])
  assert.deepEqual(where('::1'), ['::1', 25])
  assert.deepEqual(where('relay_1.internal.:587'), ['relay_1.internal.', 587])
  // `::1:25` is an address as well.
  for (const wrong of [
    '',
    'a:b',
    'a:0',
    'a:70000',
    '[x]:1',
    'a b:25',
    'http://x',
    '::1:25',
    '1.2.3',
    '/tmp/x',
  ])
    assert.throws(() => parseHop(wrong), /--to .*host:port/, wrong)
})

test('the line for monitoring', () => {
  const of = (level: 'ok' | 'note' | 'warning' | 'failure') => ({ level, about: 'x', text: `a ${level}` })
  assert.deepEqual(
    [
      [of('ok'), of('note')],
      [of('ok'), of('warning')],
      [of('warning'), of('failure')],
    ].map((all) => [exitCode(all), summary(all)]),
    [
      [0, 'CLAMAV-STREAM OK: every message is scanned, within the limits of clamd'],
      [1, 'CLAMAV-STREAM WARNING: x: a warning'],
      [2, 'CLAMAV-STREAM CRITICAL: x: a failure; x: a warning'],
    ],
  )
})
