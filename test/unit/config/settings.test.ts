// The ini, docs/reference/config.md and the code agree; one message names every mistake.
import assert from 'node:assert/strict'
import { readFileSync } from 'node:fs'
import path from 'node:path'
import { test } from 'node:test'
import { ConfigError } from '../../../lib/base/config-error'
import { schema } from '../../../lib/config/schema'
import { parseSettings, type Settings } from '../../../lib/config/settings'
import { actionOf } from '../../../lib/policy/action'

const root = path.resolve(__dirname, '..', '..', '..')
const ini = readFileSync(path.join(root, 'config', 'clamav-stream.ini'), 'utf8').split('\n')

type Ini = Record<string, Record<string, unknown>>

interface Given {
  iniLines?: string[]
  signatures?: string[]
  exemptLines?: string[]
  hasQuarantine?: boolean
}

function parse(sections: Ini = {}, given: Given = {}): Settings {
  const { iniLines = [], signatures = [], exemptLines = [], hasQuarantine = true } = given
  const written = Object.entries(sections).flatMap(([section, keys]) => [
    `[${section}]`,
    ...Object.entries(keys).map(([key, value]) => `${key} = ${String(value)}`),
  ])
  return parseSettings(
    {
      ini: { lines: [...written, ...iniLines] },
      signatures: { lines: signatures },
      exempt: { lines: exemptLines },
    },
    hasQuarantine,
  )
}

function problems(sections: Ini, given: Given = {}): string {
  try {
    parse(sections, given)
  } catch (error) {
    assert.ok(error instanceof ConfigError)
    return error.message
  }
  return ''
}

test('an empty ini gives the defaults of the contract', () => {
  assert.deepEqual(parse(), {
    scan: {
      protocol: 'auto',
      bufferBytes: 8192,
      connectMs: 5000,
      scanMs: 60_000,
      maxBytes: 25 * 1024 * 1024,
      scope: 'auto',
      signatures: [],
    },
    hosts: {
      hosts: [{ name: 'localhost', port: 3310 }],
      backups: [],
      restMs: 30_000,
      resolveMs: 60_000,
      connectMs: 5000,
      maxConcurrent: 0,
    },
    unscannableAfter: 3,
    tls: null,
    startup: { maxPings: 6, pingIntervalMs: 30_000 },
    health: { selfTest: 'full', maxSignatureAgeMs: 3 * 86_400_000 },
    rules: {
      infected: actionOf('reject'),
      authenticated: actionOf('reject'),
      signatures: [],
      unscanned: {
        error: actionOf('defer'),
        timeout: actionOf('defer'),
        unscannable: actionOf('defer'),
        too_large: actionOf('reject'),
        limits: actionOf('reject'),
        encrypted: actionOf('accept'),
      },
      unscannedAuthenticated: {
        error: actionOf('defer'),
        timeout: actionOf('defer'),
        unscannable: actionOf('defer'),
        too_large: actionOf('reject'),
        limits: actionOf('reject'),
        encrypted: actionOf('accept'),
      },
      attachments: { denied: actionOf('reject'), unreadable: actionOf('accept') },
    },
    check: { authenticated: true, relay: true, privateIp: true, localIp: true },
    exemptions: [],
    infectedText: 'Message is infected with {virus}',
    quarantineFolder: 'infected',
    bounce: {
      from: { name: '', address: 'MAILER-DAEMON@(me)' },
      notice:
        'Warning: We were unable to deliver the message below because it was found infected by virus(es).',
      include: 'headers',
      limit: { count: 10, perMs: 3_600_000 },
    },
    notify: {
      to: null,
      on: ['infected', 'unscanned', 'failed_copy'],
      limit: { count: 10, perMs: 3_600_000 },
      command: null,
    },
    attachments: { deny: [], allow: [], insideArchives: true, debug: false },
    http: { metrics: true, page: false, token: '' },
    tokenFile: null,
    detailsHeader: false,
    debug: false,
  })
})

test('the default ini has every key, commented out at its default, with a sentence above it', () => {
  const shipped: Record<string, Record<string, string>> = {}
  let section = ''
  ini.forEach((line, index) => {
    section = /^\[(\w+)\]$/.exec(line)?.[1] ?? section
    const key = /^;(\w+)=(.*)$/.exec(line)
    if (!key) {
      assert.match(line, /^(; .*|\[\w+\]|)$/, 'nothing is set in the shipped file')
      return
    }
    shipped[section] = { ...shipped[section], [key[1] ?? '']: key[2] ?? '' }
    assert.match(ini[index - 1] ?? '', /^; .*[.:,a-z]$/, `${line} has a sentence`)
  })
  const expected = Object.fromEntries(
    Object.entries(schema).map(([name, keys]) => [
      name,
      Object.fromEntries(Object.entries(keys).map(([key, { initial }]) => [key, initial])),
    ]),
  )
  assert.deepEqual(shipped, expected)
})

test('docs/reference/config.md names every key with its type, its default and what is allowed', () => {
  const docs = readFileSync(path.join(root, 'docs', 'reference', 'config.md'), 'utf8')
  const marked = (text: string) => [...text.matchAll(/`([^`]+)`/g)].map(([, word = '']) => word)
  for (const [section, keys] of Object.entries(schema)) {
    const chapter = docs.split(/^## /m).find((text) => text.startsWith(`[${section}]`)) ?? ''
    const found = [...chapter.matchAll(/^### (\w+)\n\n_(.+); default (?:empty|`(.*)`)\._\s\S/gm)]
    assert.deepEqual(
      found.map(([, key, , initial = '']) => [key, initial]),
      Object.entries<{ initial: string }>(keys).map(([key, { initial }]) => [key, initial]),
      `[${section}]: the keys in the order of the ini, each with its default`,
    )
    for (const [, key = '', form = ''] of found) {
      const { allowed } =
        (keys as Record<string, { type: { allowed: string } }>)[key]?.type ?? assert.fail(key)
      const type = `[${section}] ${key}: ${form}`
      const bounds = /^a whole number from (\d+) to (\d+)$/.exec(allowed)
      if (bounds) assert.equal(form, `Number from ${bounds[1]} to ${bounds[2]}`)
      else if (allowed === 'true or false') assert.equal(form, 'Yes/no')
      else if (/^a (time|size)/.test(allowed)) assert.match(form, /^(Time|Size) from /, type)
      else if (form.startsWith('Word: '))
        assert.deepEqual(marked(form).sort(), allowed.split(/, | or /).sort(), type)
    }
  }
})

test('times, sizes, words and hosts are accepted in their usual forms', () => {
  const settings = parse({
    main: {
      host: 'a, b:3311;[::1]  /run/c.sock',
      port: 3312,
      connect_timeout: '500ms',
      scan_timeout: 90,
      host_rest: '1.5m',
      resolve_interval: '2H',
      stream_buffer_size: '64K',
      max_size: '1.5m',
      protocol: 'InStream',
      debug: 'YES',
    },
    infected: { action: 'Tag', message: 'No {virus} please; thank you' },
    check: { private_ip: 'off', local_ip: 1 },
  })
  assert.deepEqual(settings.hosts.hosts, [
    { name: 'a', port: 3312 },
    { name: 'b', port: 3311 },
    { host: '::1', port: 3312 },
    { path: '/run/c.sock' },
  ])
  assert.equal(settings.scan.connectMs, 500)
  assert.equal(settings.scan.scanMs, 90_000)
  assert.equal(settings.hosts.restMs, 90_000)
  assert.equal(settings.hosts.resolveMs, 7_200_000)
  assert.equal(settings.scan.bufferBytes, 65_536)
  assert.equal(settings.scan.maxBytes, 1.5 * 1024 * 1024)
  assert.equal(settings.scan.protocol, 'instream')
  assert.equal(settings.debug, true)
  assert.equal(settings.rules.infected.text, 'tag')
  assert.equal(settings.rules.authenticated.text, 'tag', 'as action')
  assert.equal(
    parse({ infected: { action: 'tag', authenticated: '' } }).rules.authenticated.text,
    'tag',
    'left empty, too',
  )
  assert.equal(settings.infectedText, 'No {virus} please; thank you')
  assert.deepEqual(settings.check, { authenticated: true, relay: true, privateIp: false, localIp: true })
})

const wrong: [section: string, key: string, value: string | number | undefined][] = [
  ['main', 'host', ''],
  ['main', 'host', 'two words:x'],
  ['main', 'host', '::1:3310'],
  ['main', 'host', 3310.5],
  ['main', 'backup', 'two words:x'],
  ['main', 'backup', 'tls:///run/clamd.sock'],
  ['tls', 'servername', 'clamd.example.com:3311'],
  ['tls', 'servername', 'two words'],
  ['main', 'port', 0],
  ['main', 'port', 65536],
  ['main', 'port', 'http'],
  ['main', 'protocol', 'both'],
  ['main', 'max_pings', -1],
  ['main', 'ping_interval', '30 seconds'],
  ['main', 'ping_interval', 0],
  ['main', 'stream_buffer_size', 0],
  ['main', 'stream_buffer_size', '8 KiB'],
  ['main', 'connect_timeout', '5x'],
  ['main', 'connect_timeout', '-5s'],
  ['main', 'scan_timeout', 0],
  ['main', 'scan_timeout', '30d'],
  ['main', 'host_rest', 'never'],
  ['main', 'resolve_interval', ''],
  ['main', 'max_size', '25M ; the same as clamd'],
  ['main', 'max_size', '9999G'],
  ['main', 'max_concurrent', 1.5],
  ['main', 'details_header', 'maybe'],
  ['main', 'debug', undefined],
  ['infected', 'action', 'rejct'],
  ['infected', 'action', 'accept'],
  ['infected', 'action', 'tag discard'],
  ['infected', 'action', 'tag quarantine'],
  ['infected', 'message', 'Käfer'],
  ['infected', 'message', ''],
  ['infected', 'message', '{name} found'],
  ['infected', 'message', '{virus} is {virus}'],
  ['infected', 'message', 'x'.repeat(257)],
  ['unscanned', 'error', 'discard'],
  ['unscanned', 'timeout', 'tag'],
  ['unscanned', 'too_large', 'ignore'],
  ['unscanned', 'limits', 'true'],
  ['check', 'authenticated', 'ja'],
  ['check', 'relay', 2],
  ['check', 'private_ip', 'true ; note'],
  ['check', 'local_ip', ''],
  ['quarantine', 'folder', '../up'],
  ['quarantine', 'folder', '/etc'],
  ['quarantine', 'folder', ''],
  ['quarantine', 'folder', 'a/./b'],
  ['bounce', 'from', 'nobody'],
  ['bounce', 'from', 'a@b c'],
  ['bounce', 'notice', ''],
  ['bounce', 'include', 'all'],
  ['bounce', 'limit', 10],
  ['bounce', 'limit', '10/w'],
  ['notify', 'to', 'postmaster'],
  ['notify', 'on', ''],
  ['notify', 'on', 'infected clean'],
  ['notify', 'limit', '10'],
  ['notify', 'command', 'tell.sh'],
  ['notify', 'command', '/usr/bin/logger -t av'],
  ['attachments', 'inside_archives', 'deep'],
  ['attachments', 'action', 'accept'],
  ['attachments', 'unreadable', 'tag'],
  ['attachments', 'debug', 'all'],
  ['http', 'metrics', '/metrics'],
  ['http', 'page', 'public'],
]
for (const [section, key, value] of wrong) {
  test(`[${section}] ${key} = ${JSON.stringify(value)} is refused by name`, (t) => {
    if (value === undefined) {
      // A key without "=" reaches us as a property without a value; it must not pass for "not there".
      assert.match(
        problems({ [section]: {} }, { iniLines: [`[${section}]`, key] }),
        new RegExp(`"${key}" is not a setting`),
      )
      t.diagnostic('seen in the lines')
      return
    }
    const message = problems({ [section]: { [key]: value } })
    assert.ok(message.startsWith(`clamav-stream.ini: [${section}] ${key} = ${value}`.trimEnd()), message)
    assert.match(message, /allowed is /)
  })
}

test('[unscanned] authenticated replaces every action but that of encrypted mail', () => {
  const { rules } = parse({ unscanned: { timeout: 'reject', authenticated: 'quarantine' } })
  assert.equal(rules.unscanned.timeout.text, 'reject')
  const { encrypted, ...failures } = rules.unscannedAuthenticated
  assert.equal(encrypted.text, 'accept')
  assert.deepEqual([...new Set(Object.values(failures).map(({ text }) => text))], ['quarantine'])
  assert.deepEqual(Object.keys(rules.unscannedAuthenticated).sort(), Object.keys(rules.unscanned).sort())
})

test('a token is valid in a header, and never logged', () => {
  for (const token of ['correct-horse-battery', 'A'.repeat(256), '', 'a1._~+/-a1._~+/-']) {
    assert.equal(parse({ http: { token } }).http.token, token)
  }
  for (const token of [
    'short',
    'with space in the midst',
    'A'.repeat(257),
    'semi;colon;semi;colon',
    1234567890123456,
  ]) {
    const message = problems({ http: { token } })
    assert.match(message, /^clamav-stream\.ini: \[http\] token = \(not shown\): allowed is /)
    assert.ok(!message.includes(String(token)))
  }
  for (const line of ['token s3cret-s3cret-s3cret', 'Token: s3cret', 'token=s3cret\\', 'my secret is s3cret'])
    assert.doesNotMatch(problems({}, { iniLines: ['[http]', line, '[check]'] }), /s3cret/, line)
})

test('every action that stores a copy needs queue/quarantine in config/plugins', () => {
  const wanting: [section: string, key: string, value: string][] = [
    ['infected', 'action', 'quarantine reject'],
    ['infected', 'authenticated', 'bounce quarantine'],
    ['unscanned', 'timeout', 'quarantine'],
  ]
  for (const [section, key, value] of wanting) {
    assert.equal(problems({ [section]: { [key]: value } }), '')
    const message = problems({ [section]: { [key]: value } }, { hasQuarantine: false })
    assert.match(message, /^config\/plugins: /)
    assert.ok(message.includes(`[${section}] ${key}`) && message.includes('queue/quarantine'), message)
  }
  const without = { hasQuarantine: false }
  assert.match(problems({}, { ...without, signatures: ['Eicar* quarantine'] }), /queue\/quarantine/)
  // Of two rules with one pattern the first is in force.
  const twice = ['Eicar* quarantine', 'Eicar* reject']
  assert.match(problems({}, { ...without, signatures: twice }), /queue\/quarantine/)
  assert.match(
    problems({ attachments: { deny: '*.exe', action: 'quarantine' } }, without),
    /queue\/quarantine/,
  )
  assert.equal(problems({ attachments: { action: 'quarantine' } }, without), '', 'nothing is denied')
})

test('the sections of the rules are accepted in their usual forms', () => {
  const settings = parse({
    quarantine: { folder: 'virus/kept' },
    bounce: { from: 'Mail <no-reply@(me)>', notice: 'Schade: Virus!', include: 'None', limit: '3/D' },
    attachments: {
      deny: '*.exe, *.SCR',
      inside_archives: 'no',
      action: 'reject quarantine',
      unreadable: 'Defer',
    },
  })
  assert.equal(settings.quarantineFolder, 'virus/kept')
  assert.deepEqual(settings.bounce, {
    from: { name: 'Mail', address: 'no-reply@(me)' },
    notice: 'Schade: Virus!',
    include: 'none',
    limit: { count: 3, perMs: 86_400_000 },
  })
  assert.deepEqual(
    settings.attachments.deny.map((mask) => mask.text),
    ['*.exe', '*.SCR'],
  )
  assert.equal(settings.attachments.insideArchives, false)
  assert.equal(settings.rules.attachments.denied.text, 'quarantine reject')
  assert.equal(settings.rules.attachments.unreadable.text, 'defer')
})

test('an unknown key or section names the nearest one, James spellings included', () => {
  const nearest: [section: string, key: string, hint: string][] = [
    ['main', 'maxPings', 'max_pings'],
    ['main', 'pingIntervalMilli', 'ping_interval'],
    ['main', 'streamBufferSize', 'stream_buffer_size'],
    ['main', 'hosts', 'host'],
    ['main', 'hots', 'host'],
    ['main', 'Port', 'port'],
    ['infected', 'acton', 'action'],
    ['main', 'action', '\\[infected\\] action'],
    ['unscanned', 'toolarge', 'too_large'],
    ['main', 'clamd_socket', 'host'],
    ['main', 'timeout', 'scan_timeout'],
    ['unscanned', 'size', 'too_large'],
    ['infected', 'quarantine_folder', '\\[quarantine\\] folder'],
    ['http', 'listen', "listen in Haraka's own http.ini"],
  ]
  for (const [section, key, hint] of nearest) {
    assert.match(
      problems({ [section]: { [key]: 'x' } }),
      new RegExp(`${key} is no key; did you mean ${hint}\\?`),
    )
  }
  assert.match(
    problems({ unscanned: { qwertz: 'x' } }),
    /\[unscanned\] qwertz is no key; there are error, timeout, .* and \w+$/,
  )
  assert.match(
    problems({ qwertz: { x: 'x' } }),
    /\[qwertz\] is no section; there are main, tls, infected, .* and /,
  )
  assert.match(
    problems({ infectd: { action: 'tag' } }),
    /\[infectd\] is no section; did you mean \[infected\]\?/,
  )
  assert.match(
    problems({ reject: { virus: 'x' } }),
    /\[reject\] is no section; did you mean clamav-stream\.signatures\?/,
  )
})

test('a problem in a continued line has the number of its first line', () => {
  const message = problems({}, { iniLines: ['host=a, \\', ' b', 'host=c'] })
  assert.match(message, /host is set twice, in lines 1 and 3/)
})

test('a backslash at the end without a next line is an error, because the loader drops the line or moves it to the next section', () => {
  for (const iniLines of [
    ['max_size=1M \\'],
    ['max_size=1M\\', '', '; comment'],
    ['message=a\\', '[infected]', 'action=tag'],
  ]) {
    assert.ok(
      problems({}, { iniLines }).includes(`"${iniLines[0] ?? ''}" ends in a backslash`),
      iniLines.join('|'),
    )
  }
})

test('lines that the loader would skip are errors; comments, blanks, sections and continued lines are fine', () => {
  const lines = ['; comment \\', '# other', '', '[main]', 'host = a, \\', ' b', 'port=1', '  debug = true']
  assert.equal(problems({}, { iniLines: lines }), '')
  for (const line of ['host localhost', 'port: 3310', '[main', 'tag', '= 5']) {
    assert.ok(problems({}, { iniLines: [line] }).includes(`"${line}" is not a setting`), line)
  }
})

test('a key that is set twice is an error, a list of values is not', () => {
  const message = problems({}, { iniLines: ['host=a', '[infected]', 'action=tag', '[main]', 'host=b'] })
  assert.match(message, /^clamav-stream\.ini: \[main\] host is set twice, in lines 1 and 5/)
  assert.match(problems({}, { iniLines: ['host=a', 'host[]=b'] }), /\[main\] host is set twice/)
  const { hosts } = parse({}, { iniLines: ['host[]=a', 'host[]=b:1'] }).hosts
  assert.deepEqual(hosts, [
    { name: 'a', port: 3310 },
    { name: 'b', port: 1 },
  ])
})

test('masks that cannot match the intended names are refused', () => {
  const deny = (value: string) => problems({ attachments: { deny: value } })
  assert.match(
    deny('*.com .exe'),
    /deny = \*\.com \.exe \(did you mean \*\.exe\?\): allowed is masks such as/,
  )
  assert.match(deny('exe, com'), /\(did you mean \*\.exe\?\)/)
  assert.match(deny('*.exe # windows'), /\(#\): allowed is/)
  for (const value of ['"*.exe"', '*/x.exe', 'x'.repeat(65)]) assert.match(deny(value), /allowed is masks/)
  const texts = (value: string) =>
    parse({ attachments: { deny: value } }).attachments.deny.map(({ text }) => text)
  assert.deepEqual(texts('*.exe;*.scr, *.?at .*'), ['*.exe', '*.scr', '*.?at', '.*'])
})

test('mistakes are in the order of the file', () => {
  const message = problems(
    {},
    { iniLines: ['[check]', 'relay=x', '[main]', 'port=0', 'foo', 'hosts=1', '[infectd]'] },
  )
  const order = ['relay', 'port', '"foo"', 'hosts', '[infectd]'].map((word) => message.indexOf(word))
  assert.deepEqual(
    order,
    [...order].sort((a, b) => a - b),
    message,
  )
  assert.ok(!order.includes(-1))
})

test('all mistakes are in one message', () => {
  const message = problems(
    { main: { port: 'x', foo: 1 }, check: { relay: 'x' } },
    { iniLines: ['host localhost'], signatures: ['Eicar delete'], exemptLines: ['# ours', 'network 10'] },
  )
  for (const part of [
    /^6 settings are wrong/,
    /port = x/,
    /foo/,
    /relay = x/,
    /"host localhost"/,
    /Eicar delete/,
    /clamav-stream\.exempt: line 2: network 10: /,
  ]) {
    assert.match(message, part)
  }
})

test('signature rules: wildcards, regular expressions, comments, first match, no case', () => {
  const { signatures } = parse(
    {},
    {
      signatures: [
        'Heuristics.Phishing.* tag',
        '/^win\\.(trojan|worm)\\./  Discard # a comment',
        '   # only a comment',
        'PUA.?in.X defer',
        '/a b/ reject',
        'False.Alarm* IGNORE',
      ],
    },
  ).rules
  const action = (name: string) => {
    const found = signatures.find(({ pattern }) => pattern.test(name))?.action
    return found === 'ignore' ? found : found?.text
  }
  assert.equal(signatures.length, 5)
  assert.equal(action('False.Alarm-1'), 'ignore')
  assert.equal(action('heuristics.phishing.Email'), 'tag')
  assert.equal(action('X.Heuristics.Phishing.Email'), undefined)
  assert.equal(action('HeuristicsxPhishing.Email'), undefined)
  assert.equal(action('Win.Trojan.Agent'), 'discard')
  assert.equal(action('PUA.Win.X'), 'defer')
  assert.equal(action('PUA.Win.Xy'), undefined)
  assert.equal(action('xa by'), 'reject')
})

test('the worst name for a wildcard pattern costs at most name length times pattern length', () => {
  const { signatures } = parse({}, { signatures: [`*${'a*'.repeat(30)}b reject`] }).rules
  const started = process.cpuUsage()
  assert.equal(signatures[0]?.pattern.test('a'.repeat(128)), false)
  assert.equal(signatures[0].pattern.test(`${'a'.repeat(127)}B`), true)
  assert.ok(process.cpuUsage(started).user < 1_000_000)
})

test('an invalid signature rule is named', () => {
  // U+212A is no k, and no signature has it in its name.
  const rules = [
    'Eicar',
    'Eicar delete',
    '/(/ tag',
    'Eicar tag quarantine',
    'Eicar tag tag',
    'Wor\u212a.* tag',
  ]
  for (const rule of rules) {
    const message = problems({}, { signatures: [rule] })
    assert.ok(message.startsWith(`clamav-stream.signatures: line 1: ${rule}: `), message)
  }
})

test('characters that Unicode folds to ASCII letters do not match', () => {
  for (const [section, key, value] of [
    ['bounce', 'from', 'postma\u017fter@example.com'],
    ['bounce', 'from', 'postmaster@\u212a.example'],
    ['bounce', 'limit', '10/\uff48'],
    ['main', 'max_size', '64\u212a'],
    ['main', 'host', '\u212a.example'],
    ['check', 'relay', 'fal\u017fe'],
    ['unscanned', 'error', '\uff41ccept'],
  ] as const)
    assert.match(problems({ [section]: { [key]: value } }), new RegExp(`\\[${section}\\] ${key} = `), value)
})

test('settings are deeply frozen', () => {
  const settings = parse({}, { signatures: ['a tag'], exemptLines: ['network ::/0 user a'] })
  assert.throws(() => Object.assign(settings.rules.unscanned, { error: actionOf('accept') }), TypeError)
  assert.throws(() => Object.assign(settings.scan, { maxBytes: 1 }), TypeError)
})

test('a comment behind a value is named as such', () => {
  const hint = '; a comment needs a line of its own'
  for (const [section, key, value] of [
    ['main', 'max_size', '25M ; megabytes'],
    ['main', 'scan_timeout', '60s # seconds'],
    ['main', 'host', 'clamd.example.com # the first'],
    ['unscanned', 'error', 'accept\t; for now'],
  ] as const)
    assert.ok(problems({ [section]: { [key]: value } }).endsWith(hint), value)
  assert.ok(!problems({ main: { max_size: 'lots' } }).includes(hint))
})
