// `clamav-stream migrate`: whatever the files of haraka-plugin-clamd and haraka-plugin-attachment say, the output is a
// clamav-stream.ini that starts; and names of viruses meet the same fate as in the real haraka-plugin-clamd.
import assert from 'node:assert/strict'
import { existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs'
import path from 'node:path'
import { after, test } from 'node:test'
import constants from 'haraka-constants'
import { migrate, migrated } from '../../../lib/cli/migrate/command'
import { openSite } from '../../../lib/cli/site'
import { UserError } from '../../../lib/cli/user-error'
import { parseIni } from '../../../lib/config/ini'
import { parseSettings, type Settings } from '../../../lib/config/settings'
import { decide } from '../../../lib/policy/rules'
import { noReadings } from '../../../lib/policy/verdict'
import { repository } from '../../support/haraka/haraka-install'
import { TemporaryDirectory } from '../../support/process'
import { seeded } from '../../support/random'

const sites = new TemporaryDirectory('migrate')
after(() => sites.remove())
let count = 0

/** A folder of a Haraka with these files of config/. */
function site(files: Record<string, string>): string {
  const directory = path.join(sites.path, String(++count))
  mkdirSync(path.join(directory, 'config'), { recursive: true })
  for (const [name, text] of Object.entries({ plugins: 'clamd\n', ...files }))
    writeFileSync(path.join(directory, 'config', name), text)
  return directory
}

const shipped = readFileSync(path.join(repository, 'config/clamav-stream.signatures'), 'utf8')

/** The output for a site, and the settings that it makes. */
function from(files: Record<string, string>): { ini: string; settings: Settings } {
  const { ini, signatures } = migrated(openSite(site(files)))
  const lines = (text: string) => ({ lines: text.split('\n') })
  const sources = { ini: lines(ini), signatures: lines(signatures ?? shipped), exempt: lines('') }
  return { ini, settings: parseSettings(sources, false) }
}

const keys = (ini: string) =>
  parseIni(ini.split('\n')).settings.map(({ section, key, value }) => `[${section}] ${key}=${value}`)
const left = (ini: string) => ini.slice(ini.indexOf('Not carried over:')).trim()

test('settings of clamd.ini, one by one', () => {
  const cases: [string, string[]][] = [
    ['', []],
    ['clamd_socket=/run/clamd.sock', ['[main] host=/run/clamd.sock']],
    ['clamd_socket=[::1]:3311;b, c:1', ['[main] host=[::1]:3311', '[main] backup=b c:1']],
    ['clamd_socket=a,b\nrandomize_host_order=yes', ['[main] host=a b']],
    ['clamd_socket=a:port:x b', ['[main] host=b']],
    ['timeout=90\nconnect_timeout=2.5', ['[main] connect_timeout=2.5s', '[main] scan_timeout=90s']],
    ['max_size=1048576', ['[main] max_size=1048576']],
    ['[reject]\nerror=false', ['[unscanned] error=accept', '[unscanned] timeout=accept']],
    ['[reject]\nvirus=off', ['[infected] action=tag']],
    ['[reject]\nEncrypted=true', ['[unscanned] encrypted=reject']],
    ['[check]\nrelay=false\nauthenticated=0', ['[check] authenticated=false', '[check] relay=false']],
    ['[check]\nlocal_ip=false\nprivate_ip=false', ['[check] local_ip=false', '[check] private_ip=false']],
  ]
  for (const [written, expected] of cases)
    assert.deepEqual(keys(from({ 'clamd.ini': written }).ini), expected, written)
})

test('what is not carried over is named, with the reason', () => {
  for (const [written, expected] of [
    ['only_with_attachments=true', /only_with_attachments=true: every message is scanned/],
    ['clamd_socket=a:port:x', /a:port:x .*\n.*there is no host in it/],
    ['max_size=25M', /max_size=25M: it is no number of bytes/],
    ['max_size=99999999999', /max_size=99999999999: .*allowed is a size/],
    ['timeout=30s', /timeout=30s: it is no number of seconds/],
    ['connect_timeout=0', /connect_timeout=0: it stood for the default there/],
    ['socket=a', /\[main\] socket=a: it had no effect there/],
    ['[check]\nprivate_ip=false', /private_ip=false: see \[check\]/],
  ] as const) {
    const { ini, settings } = from({ 'clamd.ini': written })
    assert.match(left(ini), expected, written)
    assert.equal(settings.check.privateIp, true)
  }
  assert.match(left(from({ 'clamd.ini': '' }).ini), /^Not carried over:\n; - nothing$/)
  assert.match(left(from({ 'clamd.ini': '', plugins: '' }).ini), /clamd is not listed/)
})

test('extensions and expressions of haraka-plugin-attachment become items, and others are named', () => {
  const { ini, settings } = from({
    plugins: 'attachment\n',
    'attachment.ini': 'disallowed_extensions=exe, COM;tar.gz x:\n[archive]\nextensions=zip,rar\nmax_depth=3',
    'attachment.filename.regex': '\\.vbs$\n^.*\\.(?:js|jse)$\n^a b/c\\.docx?$\n(',
    'attachment.archive.filename.regex': '\\.(exe|lnk)$\n^x\\.y$',
    'attachment.ctype.regex': 'executable\nimage/x-icon\n^text/.*',
  })
  assert.deepEqual(
    settings.attachments.deny.map(({ text }) => text),
    [
      ...['*.exe', '*.COM', '*.tar.gz', '*.vbs', '*.js', '*.jse', '/^a b\\/c\\.docx?$/'],
      ...['in:archive *.lnk', 'in:archive /^x\\.y$/'],
      ...['content-type:*executable*/*', 'content-type:*/*executable*', 'content-type:*image/x-icon*'],
    ],
  )
  assert.equal(settings.attachments.insideArchives, true)
  for (const expected of [
    'extensions: x:',
    'filename.regex: (:',
    'ctype.regex: ^text/.*:',
    'max_depth: the limits',
  ])
    assert.ok(left(ini).includes(expected), expected)
  const alone = from({
    plugins: 'attachment\n',
    'attachment.ini': 'disallowed_extensions=',
    'attachment.filename.regex': '\\.vbs$',
  })
  assert.equal(alone.settings.attachments.insideArchives, false)
})

test('without settings of its own, the package of haraka-plugin-attachment has them, zip among them', () => {
  const directory = site({ plugins: 'attachment\n' })
  mkdirSync(path.join(directory, 'node_modules'))
  const inModules = path.join(directory, 'node_modules/haraka-plugin-attachment')
  mkdirSync(path.join(inModules, 'config'), { recursive: true })
  writeFileSync(path.join(inModules, 'package.json'), '{"name":"haraka-plugin-attachment"}')
  writeFileSync(path.join(inModules, 'config/attachment.ini'), 'disallowed_extensions=exe,zip')
  assert.ok(keys(migrated(openSite(directory)).ini).includes('[attachments] deny=*.exe *.zip'))
})

interface ClamdPlugin extends Record<string, unknown> {
  load_excludes(): void
  load_clamd_ini(): void
  handle_clamd(connection: object, line: string): [number?]
}

/** The real haraka-plugin-clamd with the files of a site. */
async function clamdPlugin(directory: string): Promise<ClamdPlugin> {
  Object.assign(globalThis, { DENY: constants.deny, DENYSOFT: constants.denysoft })
  const imported = await import('haraka-plugin-clamd')
  const none = () => undefined
  const plugin = Object.assign(Object.create(imported.default) as ClamdPlugin, {
    name: 'clamd',
    config: openSite(directory).haraka,
    loginfo: none,
    logerror: none,
  })
  plugin.load_excludes()
  plugin.load_clamd_ini()
  return plugin
}

const sender = {
  isAuthenticated: false,
  isRelaying: false,
  isPrivate: false,
  isLocal: false,
  canReceiveBounce: false,
}

test('each name is rejected or tagged as in the real haraka-plugin-clamd', async () => {
  const random = seeded(20261130)
  const viruses = [
    'Win.Test-1',
    'Eicar.TestSig_1',
    'PUA.Win.A-1',
    'PUA.Win.A.UNOFFICIAL',
    'Sanesecurity.X.UNOFFICIAL',
    'X.TestSig_2.UNOFFICIAL',
    'Heuristics.Phishing.Email.SpoofedDomain',
    'Heuristics.Structured.SSN',
    'Heuristics.OLE2.ContainsMacros.VBA',
    'Heuristics.Safebrowsing.A',
    'Broken.Executable.A',
  ]
  const categories =
    'virus error PUA Structured OLE2 Safebrowsing UNOFFICIAL Phishing Broken.Executable Encrypted'.split(' ')
  const entries = [
    '!*.TestSig_*',
    '!PUA.*',
    '*.UNOFFICIAL',
    'TestSig_?',
    'Heuristics.*',
    '/^win\\./',
    '!/A$/',
    '!',
    '(',
    'Win.Test-1',
  ]
  const some = <T>(all: readonly T[]) => all.filter(() => random(10) < 4)
  const connection = () => ({
    logwarn: () => undefined,
    transaction: { results: { add: () => undefined }, add_header: () => undefined },
  })
  let rejected = 0
  for (let run = 0; run < 80; run++) {
    const files = {
      'clamd.ini': `[reject]\n${some(categories)
        .map((key) => `${key}=${String(random(10) < (key === 'virus' ? 8 : 3))}`)
        .join('\n')}`,
      'clamd.excludes': some(entries).join('\n'),
    }
    const plugin = await clamdPlugin(site(files))
    const { rules } = from(files).settings
    for (const virus of viruses) {
      const [code] = plugin.handle_clamd(connection(), `stream: ${virus} FOUND`)
      const scan = { clamd: null, engine: null, protocol: null, bytes: 1, ms: 1, ...noReadings }
      const { action } = decide(rules, { outcome: 'infected', virus, ...scan }, null, sender)
      assert.equal(
        action.text,
        code === constants.deny ? 'reject' : 'tag',
        `${virus} ${JSON.stringify(files)}`,
      )
      if (action.text === 'reject') rejected++
    }
  }
  assert.ok(rejected > 100 && rejected < 800, String(rejected))
})

test('whatever the files hold, the output starts', () => {
  const random = seeded(7)
  const pick = (all: readonly string[]) => all[random(all.length)] ?? ''
  const names = [
    'clamd_socket',
    'timeout',
    'connect_timeout',
    'max_size',
    'randomize_host_order',
    'disallowed_extensions',
    'virus',
    'PUA',
    'UNOFFICIAL',
    'private_ip',
    'local_ip',
    'extensions',
    'x[]',
    'Phishing',
  ]
  const values = [
    '',
    'true',
    'false',
    '0',
    '-1',
    '1e9',
    '1.5',
    '99999999999',
    'a b',
    '[::1',
    '/',
    ';',
    '#',
    '\\',
    'a\\',
    '*',
    '"',
    'é\u202e',
    'exe,.com',
    '../x',
    '\u0000',
    'x'.repeat(500),
    '!',
    '/(/',
    '/a/i',
    'a tag',
    '* reject',
    '\\.exe$',
    '\\.(a|)$',
    '[main]',
    'host=x',
  ]
  const lines = (make: () => string) => Array.from({ length: 8 }, make).join('\n')
  for (let run = 0; run < 200; run++) {
    const ini = () =>
      random(5) === 0
        ? `[${pick(['main', 'reject', 'check', 'archive', 'x'])}]`
        : `${pick(names)}=${pick(values)}`
    const value = () => pick(values)
    const files = {
      plugins: 'clamd\nattachment\n',
      'clamd.ini': lines(ini),
      'attachment.ini': lines(ini),
      'clamd.excludes': lines(value),
      'attachment.filename.regex': lines(value),
      'attachment.ctype.regex': lines(value),
    }
    assert.doesNotThrow(() => from(files), JSON.stringify(files))
  }
})

test('it prints one ini, or writes two files and overwrites none', (t) => {
  const config = site({ 'clamd.ini': '[reject]\nPUA=false' })
  let text = ''
  t.mock.method(process.stdout, 'write', (piece: string) => (text += piece) !== '')
  assert.equal(migrate({ config }), 0)
  const source = { lines: text.split('\n') }
  assert.doesNotThrow(() =>
    parseSettings({ ini: source, signatures: { lines: [] }, exempt: { lines: [] } }, false),
  )
  assert.match(text, /^; Heuristics\.Phishing\.\* tag$/m)
  const target = path.join(config, 'config')
  migrate({ config, write: target })
  assert.match(
    readFileSync(path.join(target, 'clamav-stream.signatures'), 'utf8'),
    /^PUA\..* tag$|^\/\^PUA.* tag$/m,
  )
  assert.ok(existsSync(path.join(target, 'clamav-stream.ini')))
  assert.throws(() => migrate({ config, write: target }), UserError)
  assert.throws(() => migrate({ config: site({ plugins: 'rspamd\n' }) }), UserError)
})
