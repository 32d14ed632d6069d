// Settings at start and while Haraka runs: what is wrong stops the start, or leaves the old ones in force, with one
// message that names all of it; what is right is in force for the next message.
import assert from 'node:assert/strict'
import { test, type TestContext } from 'node:test'
import { addressText } from '../../lib/clamd/address'
import { startFakeClamd } from '../support/clamd/fake-clamd'
import { type Haraka, type HarakaOptions, StartError, startHaraka } from '../support/haraka/haraka'
import * as mails from '../support/smtp/mails'
import { connect, dotStuffed } from '../support/smtp/smtp'
import { deliveredFrom, messagePlugins, messageSources, ourHeaders, post, senderFor, told } from './messages'

async function startFails(options: HarakaOptions): Promise<string> {
  const result = await startHaraka(options).then(
    async (haraka) => {
      await haraka.stop()
      return undefined
    },
    (error: unknown) => error,
  )
  assert.ok(result instanceof StartError, 'Haraka started')
  assert.notEqual(result.exit.code, 0)
  return result.log
}

const wrongIni = `
[main]
host=localhost:99999
port=0
protocol=streaming
maxPings=6
pingIntervalMilli=30000
streamBufferSize=8192
connect_timeout=soon
max_size=25 apples
this is no setting
[infected]
action=delete
message=Found {name}
[unscanned]
error=tag
[check]
relay=perhaps
local=false
[infection]
x=1
[quarantine]
folder=../elsewhere
`
const wrongSignatures = `
Good.* tag
Eicar.* quarantine
/(/ reject
Alone
`
/** What the one message must name: the key or line, the value, and what is allowed. */
const named: RegExp[] = [
  /\[main\] host = localhost:99999 .*allowed/,
  /\[main\] port = 0: allowed is a whole number from 1 to 65535/,
  /\[main\] protocol = streaming: allowed is auto, stream or instream/,
  /\[main\] maxPings is no key; did you mean max_pings\?/,
  /\[main\] pingIntervalMilli is no key; did you mean ping_interval\?/,
  /\[main\] streamBufferSize is no key; did you mean stream_buffer_size\?/,
  /\[main\] connect_timeout = soon: allowed is a time/,
  /\[main\] max_size = 25 apples: allowed is a size/,
  /"this is no setting" is not a setting/,
  /\[infected\] action = delete: allowed is reject, defer, discard or tag/,
  /\[infected\] message = Found \{name\} \(\{name\} is unknown\)/,
  /\[unscanned\] error = tag: allowed is defer, reject, accept or quarantine/,
  /\[check\] relay = perhaps: allowed is true or false/,
  /\[check\] local is no key; did you mean local_ip\?/,
  /\[infection\] is no section; did you mean \[infected\]\?/,
  /\[quarantine\] folder = \.\.\/elsewhere: allowed is a relative path/,
  /config\/plugins: Eicar\.\* \(clamav-stream\.signatures\) needs queue\/quarantine: add the line queue\/quarantine, and restart Haraka/,
  /clamav-stream\.signatures: line 4: \/\(\/ reject: .*/,
  /clamav-stream\.signatures: line 5: Alone: a rule is PATTERN ACTION/,
]

for (const ignoreBadPlugins of [false, true]) {
  test(`wrong settings stop the start, ignore_bad_plugins=${ignoreBadPlugins}`, async () => {
    const log = await startFails({
      ini: wrongIni,
      signatures: wrongSignatures,
      smtpIni: `ignore_bad_plugins=${ignoreBadPlugins}`,
    })
    // As many as there are, so that nothing right is named either.
    assert.match(log, new RegExp(`${named.length} settings are wrong:`))
    for (const pattern of named) assert.match(log, pattern)
    assert.equal(log.match(/settings are wrong:/g)?.length, 1, 'it is one message')
  })
}

for (const name of ['clamav-stream.ini', 'clamav-stream.signatures', 'clamav-stream.exempt']) {
  test(`a ${name} that is there and cannot be read stops Haraka: without it other settings would be in force`, async () => {
    const notReadable = await startFails({ files: { [`${name}/x`]: '' } })
    assert.match(notReadable, new RegExp(`ConfigError: ${name}: \\S+/${name} cannot be read: EISDIR`))
    const notUtf8 = await startFails({ files: { [name]: Buffer.from('; K\xe4fer\n', 'latin1') } })
    assert.match(notUtf8, new RegExp(`ConfigError: ${name}: \\S+/${name} cannot be read: it is not UTF-8`))
  })
}

test('settings that Haraka has from elsewhere stop it: they would not be in force', async () => {
  const log = await startFails({
    files: { 'smtp.json': JSON.stringify({ '!clamav-stream.ini': { main: { host: '192.0.2.1' } } }) },
  })
  assert.match(
    log,
    /ConfigError: clamav-stream\.ini: smtp\.json has !clamav-stream\.ini; it is read from the file alone/,
  )
})

test('a plugin that is listed twice stops Haraka, and the message says so', async () => {
  const log = await startFails({ plugins: ['clamav-stream', 'clamav-stream'] })
  assert.match(log, /ConfigError: config\/plugins: clamav-stream is listed twice/)
})

test("a scan_timeout above clamd's MaxScanTime, or the time after which Haraka ends connections, is named at start", async (t) => {
  const haraka = await startHaraka({ ini: '[main]\nhost=127.0.0.1:1\nscan_timeout=6m\n' })
  t.after(() => haraka.stop())
  const warning = 'scan_timeout is 6m, and Haraka ends connections after 5m (inactivity_timeout in smtp.ini)'
  assert.ok(haraka.log.some((line) => line.includes(warning)))
  assert.ok(
    haraka.log.some((line) => line.includes("scan_timeout is 6m, and clamd's MaxScanTime is 2m by default")),
  )
})

for (const [bytes, accepted] of [
  [26_214_401, '25MB'],
  [0, 'messages of any size'],
  ['25M', 'messages of any size'],
] as const) {
  test(`[max] bytes=${bytes} in connection.ini is named at start`, async (t) => {
    const haraka = await startHaraka({ connection: { bytes }, ini: '[main]\nhost=127.0.0.1:1\n' })
    t.after(() => haraka.stop())
    const warning = haraka.log.find((line) => line.includes('Haraka accepts'))
    const text = `Haraka accepts ${accepted} ([max] bytes in connection.ini), max_size is 25MB`
    assert.ok(warning?.includes(text), warning ?? 'no warning')
  })
}

test('with ignore_bad_plugins=true a plugin that is not there scans nothing: Haraka starts without it', async (t) => {
  const haraka = await startHaraka({
    smtpIni: 'ignore_bad_plugins=true',
    plugins: [...messagePlugins, 'clamav-streem'],
    sources: messageSources,
  })
  t.after(() => haraka.stop())
  assert.ok(haraka.log.some((line) => /\[CRIT\].*clamav-streem failed/.test(line)))
  const { reply, told } = await post(haraka, mails.eicarBody())
  assert.equal(reply.code, 250, reply.text)
  assert.equal(told.note, null)
})

test('without a clamav-stream.ini the defaults hold, and mail waits for a clamd', async (t) => {
  const haraka = await startLetters(t, {})
  const clean = await post(haraka, mails.clean())
  // The machine may have a clamd on the default port.
  if (clean.told.note?.outcome === 'clean') {
    assert.equal(clean.reply.code, 250)
  } else {
    assert.match(`${clean.reply.code} ${clean.reply.text}`, /^451 4\.3\.0 /)
    assert.deepEqual(clean.delivered, [])
  }
  assert.match(clean.told.note?.clamd ?? '', /:3310$/)
})

test('an ini of nothing but comments and empty sections is as good as none', async (t) => {
  await startLetters(t, {
    ini: '; nothing\n[main]\n\n[infected]\n; nothing\n[unscanned]\n[check]\n',
    signatures: '# no\n',
  })
})

/** A Haraka that does not check its addresses, whose files are changed. */
class Changing {
  private constructor(readonly haraka: Haraka) {}

  static async start(t: TestContext, ini: string): Promise<Changing> {
    return new Changing(await startLetters(t, { ini: Changing.ini(ini), signatures: '# none\n' }))
  }

  static ini(text: string): string {
    return `max_pings=0\n${text}\n`
  }

  /** Resolves when Haraka has taken note of the change, which takes it five seconds. */
  async change(
    name: 'ini' | 'signatures',
    text: string,
    says: RegExp,
    whole = name === 'ini' ? Changing.ini(text) : text,
  ): Promise<string> {
    const write = () => this.haraka.writeConfig(`clamav-stream.${name}`, whole)
    return this.#after(write, says)
  }

  async remove(name: 'ini' | 'signatures', says: RegExp): Promise<string> {
    return this.#after(() => this.haraka.removeConfig(`clamav-stream.${name}`), says)
  }

  async #after(change: () => void, says: RegExp): Promise<string> {
    const from = this.haraka.log.length
    change()
    await this.haraka.waitForLog(says, 30_000, from)
    return this.haraka.log.slice(from).join('\n')
  }

  /** What becomes of an infected message now. */
  async infected(): Promise<{ code: number; clamd: string | null; delivered: string[][] }> {
    const { reply, delivered, told } = await post(this.haraka, mails.eicarBody())
    const clamd = told.note?.clamd ?? null
    return { code: reply.code, clamd, delivered: delivered.map(({ message }) => ourHeaders(message)) }
  }
}

const kept = /the old ones stay in force/
const taken = /settings reloaded/

// Each waits for Haraka to look at its files, so they may as well wait together.
test('settings change while Haraka runs', { concurrency: true }, async (t) => {
  const [first, second] = [await startFakeClamd(), await startFakeClamd()]
  t.after(() => Promise.all([first.stop(), second.stop()]))
  const [firstHost, secondHost] = [addressText(first.address), addressText(second.address)]

  const wrong = t.test(
    'wrong ones leave the old ones in force and are named, right ones are taken',
    async (t) => {
      const site = await Changing.start(t, `host=${firstHost}`)
      const told = await site.change('ini', 'hosts=x\nport=none\naction tag\n[infected]\naction=tag', kept)
      assert.match(told, /3 settings are wrong:/)
      assert.match(told, /\[main\] hosts is no key; did you mean host\?/)
      assert.match(told, /\[main\] port = none: allowed is/)
      assert.match(told, /"action tag" is not a setting/)
      assert.deepEqual(await site.infected(), { code: 550, clamd: firstHost, delivered: [] })

      assert.match(
        await site.change('ini', 'host=no-such-host.invalid', kept),
        /\[main\] host or backup: cannot look up no-such-host\.invalid: /,
      )
      assert.deepEqual(await site.infected(), { code: 550, clamd: firstHost, delivered: [] })

      await site.change('ini', `host=${secondHost}\ndetails_header=yes\n[infected]\naction=tag`, taken)
      const headers = ['X-MessageIsInfected: true', 'X-Virus-Status: infected (Eicar-Test-Signature)']
      assert.deepEqual(await site.infected(), { code: 250, clamd: secondHost, delivered: [headers] })

      assert.match(await site.remove('ini', kept), /clamav-stream\.ini is gone/)
      assert.deepEqual(await site.infected(), { code: 250, clamd: secondHost, delivered: [headers] })

      assert.match(await site.change('ini', '', kept, ''), /clamav-stream\.ini says nothing any more/)
      assert.deepEqual(await site.infected(), { code: 250, clamd: secondHost, delivered: [headers] })

      const smaller = await site.change('ini', `host=${firstHost}\nmax_size=1M`, taken)
      assert.match(smaller, /Haraka accepts 25MB .*, max_size is 1MB: larger ones are not scanned/)
      assert.deepEqual(await site.infected(), { code: 550, clamd: firstHost, delivered: [] })
    },
  )

  const rules = t.test('rules for signatures likewise, again and again', async (t) => {
    const site = await Changing.start(t, `host=${firstHost}`)
    await site.change('signatures', 'Eicar* discard\n', taken)
    assert.deepEqual(await site.infected(), { code: 250, clamd: firstHost, delivered: [] })
    const told = await site.change('signatures', 'Eicar* keep\n', kept)
    assert.match(told, /clamav-stream\.signatures: line 1: Eicar\* keep/)
    assert.deepEqual(await site.infected(), { code: 250, clamd: firstHost, delivered: [] })
    await site.change('signatures', 'Eicar* defer\n', taken)
    assert.deepEqual(await site.infected(), { code: 451, clamd: firstHost, delivered: [] })
    const ignored = await site.change('signatures', 'Eicar* ignore\n', taken)
    assert.deepEqual(await site.infected(), {
      code: 250,
      clamd: firstHost,
      delivered: [['X-MessageIsInfected: false']],
    })
    assert.doesNotMatch(ignored, / answers: /, 'no clamd is asked again')
    assert.match(await site.remove('signatures', kept), /clamav-stream\.signatures is gone/)
    assert.equal((await site.infected()).code, 250)
    await site.change('signatures', '# none\n', taken)
    assert.deepEqual(
      await site.infected(),
      { code: 550, clamd: firstHost, delivered: [] },
      'the rule that is shipped says nothing of it',
    )
  })

  const flight = t.test('a message in flight keeps the settings it came under', async (t) => {
    const clamds = [await startFakeClamd(), await startFakeClamd()] as const
    t.after(() => Promise.all(clamds.map((clamd) => clamd.stop())))
    for (const clamd of clamds) await clamd.play([{ at: 'reply', do: 'stall' }])
    const hosts = clamds.map(({ address }) => addressText(address))
    const site = await Changing.start(t, `host=${hosts.join(' ')}\n[infected]\nmessage=Old {virus}`)
    const from = senderFor('plain')
    const client = await connect(site.haraka.port)
    t.after(() => client.destroy())
    await client.envelope({ from })
    client.write(dotStuffed(mails.eicarBody()))
    await Promise.race(clamds.map((clamd) => clamd.seen('reply')))
    await site.change('ini', `host=${secondHost}\n[infected]\naction=tag\nmessage=New {virus}`, taken)
    assert.equal((await site.infected()).clamd, secondHost)

    // Its clamd goes; the other one of its time is asked, and its rules decide.
    const [asked, other] = clamds[0].scans.length > 0 ? clamds : [clamds[1], clamds[0]]
    await other.play([])
    await asked.stop()
    const answer = await client.reply()
    assert.equal(`${answer.code} ${answer.text}`, '550 5.7.1 Old Eicar-Test-Signature')
    assert.equal((await told(site.haraka, from)).note?.clamd, addressText(other.address))
    assert.deepEqual(deliveredFrom(site.haraka, from), [])
  })
  await Promise.all([wrong, rules, flight])
})

async function startLetters(t: TestContext, options: HarakaOptions): Promise<Haraka> {
  const haraka = await startHaraka({
    plugins: [...messagePlugins, 'clamav-stream'],
    sources: messageSources,
    ...options,
  })
  t.after(() => haraka.stop())
  return haraka
}
