// The chain of a real site: bounce that lets its own bounces past the plugins after it, karma at its defaults with a
// client it does not know, attachment, delay_deny, queue/quarantine and queue/smtp_forward to a next hop. karma turns
// other plugins' rejections round, so whatever is said here of public addresses is its doing or ours.
import assert from 'node:assert/strict'
import { randomUUID } from 'node:crypto'
import { once } from 'node:events'
import { readdirSync } from 'node:fs'
import net from 'node:net'
import { test, type TestContext } from 'node:test'
import { clamdOrSkip, freePort, startClamd } from '../support/clamd/clamd'
import { eicar } from '../support/eicar'
import { type Haraka, installHaraka, startHaraka } from '../support/haraka/haraka'
import { TemporaryDirectory } from '../support/process'
import * as mails from '../support/smtp/mails'
import { type Sink, startSink } from '../support/smtp/sink'
import { proxyLine, publicAddress, sendMessage } from '../support/smtp/smtp'
import { messagePlugins, messageSources, otherPlugin, ourHeaders, post, type Role } from './messages'

const install = {
  packages: ['haraka-plugin-karma', 'haraka-plugin-bounce', 'haraka-plugin-attachment'],
}
/** Listed as an administrator would: what judges connections first, then content, then the queues. */
const chain = [
  ...messagePlugins,
  'delay_deny',
  'redis',
  'karma',
  'bounce',
  'attachment',
  'denier',
  'clamav-stream',
  'queue/quarantine',
  'queue/smtp_forward',
]

interface Site {
  haraka: Haraka
  sink: Sink
  /** Where copies are kept. */
  base: string
}

async function startSite(t: TestContext, clamd: string): Promise<Site> {
  const redis = await startRedis(t)
  const sink = await startSink()
  t.after(() => sink.stop())
  const kept = new TemporaryDirectory('quarantine')
  t.after(() => kept.remove())
  const endpoint = `host=127.0.0.1\nport=${redis}\n`
  const haraka = await startHaraka({
    haraka: await installHaraka(install),
    ini: `host=${clamd}\nmax_pings=0\n`,
    signatures: `Heuristics.Phishing.* tag\nTest.Odd_Name* quarantine reject\n`,
    plugins: chain,
    sources: {
      ...messageSources,
      denier: otherPlugin('denier', 'data_post', -50, `next(DENY, 'I say no')`),
    },
    files: {
      'redis.ini': `[server]\n${endpoint}[pubsub]\n${endpoint}`,
      'bounce.ini':
        `[validation]\nsecret=${'not so secret '.repeat(4)}\n` +
        '[check]\nhash_validation=true\n[reject]\nhash_validation=true\n[skip]\nremaining_plugins=true\n',
      'smtp_forward.ini': `host=127.0.0.1\nport=${sink.port}\n`,
      'quarantine.ini': `quarantine_path=${kept.path}\n`,
    },
    proxy: true,
    deliver: false,
    nextHop: sink.port,
  })
  t.after(() => haraka.stop())
  return { haraka, sink, base: kept.path }
}

/** As much of a redis as karma needs to start and to watch a client: it remembers and publishes nothing. */
async function startRedis(t: TestContext): Promise<number> {
  const sockets = new Set<net.Socket>()
  const server = net.createServer((socket) => {
    sockets.add(socket)
    let unread = ''
    let version = 2
    let queued = 0
    const answerTo = ([name = '', ...words]: string[]): string => {
      const command = name.toUpperCase()
      const bulk = (text: string) => `$${text.length}\r\n${text}\r\n`
      const map = (size: number) => (version === 3 ? `%${size}\r\n` : `*${2 * size}\r\n`)
      if (command === 'EXEC') {
        const answer = `*${queued}\r\n${':1\r\n'.repeat(queued)}`
        queued = 0
        return answer
      }
      if (command === 'MULTI') return '+OK\r\n'
      if (command === 'HELLO') {
        version = Number(words[0] ?? 2)
        return `${map(1)}${bulk('proto')}:${version}\r\n`
      }
      if (command === 'INFO') return bulk('redis_version:7.0.0\r\n')
      if (command === 'PING') return '+PONG\r\n'
      if (command === 'HGETALL') return map(0)
      if (command === 'PUBLISH') return ':0\r\n'
      if (/^P(UN)?SUBSCRIBE$/.test(command)) {
        const size = version === 3 ? '>3' : '*3'
        return `${size}\r\n${bulk(command.toLowerCase())}${bulk(words[0] ?? '')}:1\r\n`
      }
      return '+OK\r\n'
    }
    let isMulti = false
    socket.on('error', () => undefined)
    socket.on('close', () => sockets.delete(socket))
    socket.on('data', (chunk) => {
      unread += chunk.toString('latin1')
      for (;;) {
        const [command, rest] = takeCommand(unread)
        if (!command) return
        unread = rest
        const name = command[0]?.toUpperCase()
        if (isMulti && name !== 'EXEC') {
          queued++
          socket.write('+QUEUED\r\n')
        } else {
          socket.write(answerTo(command))
        }
        isMulti = name === 'MULTI' || (isMulti && name !== 'EXEC')
      }
    })
  })
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  t.after(() => {
    for (const socket of sockets) socket.destroy()
    server.close()
  })
  return (server.address() as net.AddressInfo).port
}

/** The first command of what has come, and the rest; null until it is complete. */
function takeCommand(text: string): [command: string[] | null, rest: string] {
  const count = /^\*(\d+)\r\n/.exec(text)
  if (!count) return [null, text]
  const command: string[] = []
  let rest = text.slice(count[0].length)
  while (command.length < Number(count[1])) {
    const size = /^\$(\d+)\r\n/.exec(rest)
    const length = Number(size?.[1] ?? 0)
    const from = size?.[0].length ?? 0
    if (!size || rest.length < from + length + 2) return [null, text]
    command.push(rest.slice(from, from + length))
    rest = rest.slice(from + length + 2)
  }
  return [command, rest]
}

const clients = { public: publicAddress, private: '192.168.3.4' }
const everybody = Object.entries(clients).flatMap(([name, address]) =>
  (['inbound', 'relaying'] as Role[]).map((role) => ({
    who: `${role} from a ${name} address`,
    role,
    proxyLine: proxyLine(address),
    isPublic: address === publicAddress,
  })),
)

/** Messages from a sender that the next hop has got. */
const arrived = ({ sink }: Site, from: string) => sink.messages.filter((message) => message.from === from)

test('a real site: what is clean arrives once, what is infected never', async (t) => {
  if (!clamdOrSkip(t)) return
  const clamd = await startClamd()
  t.after(() => clamd.stop())
  const site = await startSite(t, `${clamd.host}:${clamd.port}`)
  const { haraka, sink } = site
  const send = (data: Buffer, options: { kind?: string; role: Role; proxyLine: string }) =>
    post(haraka, data, { kind: options.kind ?? 'plain', role: options.role, proxyLine: options.proxyLine })

  for (const { who, isPublic, ...options } of everybody) {
    await t.test(`clean, ${who}`, async () => {
      const count = sink.messages.length
      const { reply, told } = await send(mails.forged(), options)
      assert.equal(reply.code, 250, reply.text)
      await sink.waitFor(count + 1)
      const [message, ...more] = arrived(site, told.from)
      assert.deepEqual(more, [])
      assert.deepEqual(ourHeaders(message?.data), ['X-MessageIsInfected: false'])
      assert.equal(/^X-Haraka-Karma: /m.test(message?.data.toString('latin1') ?? ''), isPublic, 'karma')
    })
    for (const kind of ['plain', 'denier']) {
      await t.test(`infected, ${who}, ${kind}`, async () => {
        const { reply, told } = await send(mails.eicarAttachment(), { ...options, kind })
        assert.match(`${reply.code} ${reply.text}`, /^550 /)
        // With the message's identifier it was answered at the gate: karma overrode the rejection in data_post.
        if (isPublic) assert.match(reply.text, /^5\.7\.1 Message is infected with \S+ \([0-9A-F-]+\.1\)$/)
        else if (kind === 'plain') assert.match(reply.text, /^5\.7\.1 Message is infected with \S+$/)
        assert.deepEqual(arrived(site, told.from), [])
      })
    }
    await t.test(`quarantine reject, ${who}`, async () => {
      const before = readdirSync(site.base, { recursive: true, encoding: 'utf8' })
      const { reply, told } = await send(mails.oddlyNamed(), options)
      assert.match(`${reply.code} ${reply.text}`, /^550 5\.7\.1 Message is infected with Test\.Odd_Name/)
      assert.deepEqual(arrived(site, told.from), [])
      const files = readdirSync(site.base, { recursive: true, encoding: 'utf8' })
      assert.equal(files.filter((name) => !before.includes(name) && name.endsWith('.json')).length, 1)
    })
    await t.test(`tagged, ${who}`, async () => {
      const count = sink.messages.length
      const { reply, told } = await send(mails.phishing(), options)
      assert.equal(reply.code, 250, reply.text)
      await sink.waitFor(count + 1)
      assert.deepEqual(
        arrived(site, told.from).map(({ data }) => ourHeaders(data)),
        [['X-MessageIsInfected: true']],
      )
    })
    await t.test(`a name that attachment denies, ${who}`, async () => {
      const data = mails.withAttachments({ name: 'setup.exe', content: 'MZ' })
      const { reply, told } = await send(data, options)
      assert.equal(reply.code, 550, reply.text)
      assert.deepEqual(arrived(site, told.from), [])
    })
  }

  await t.test('karma does turn a rejection round', async () => {
    const { reply, told } = await send(mails.clean(), {
      kind: 'denier',
      role: 'inbound',
      proxyLine: proxyLine(publicAddress),
    })
    assert.equal(reply.code, 250, reply.text)
    assert.deepEqual(
      arrived(site, told.from).map(({ data }) => ourHeaders(data)),
      [['X-MessageIsInfected: false']],
    )
  })

  await t.test('a bounce that the bounce plugin knows, and lets past the plugins after it', async () => {
    const headers = await sentHeaders(site)
    for (const [body, code] of [
      ['Nothing more.', 250],
      [eicar(), 550],
    ] as const) {
      const count = sink.messages.length
      const reply = await sendMessage(haraka.port, {
        from: '',
        to: 'sender@example.com',
        data: `From: MAILER-DAEMON@example.org\r\nSubject: Undelivered\r\n\r\n${headers}\r\n${body}\r\n`,
        proxyLine: proxyLine(publicAddress),
      })
      assert.equal(reply.code, code, reply.text)
      // An answer with the message's identifier comes from the gate: the scan in data_post was passed by.
      if (code === 550) assert.match(reply.text, /^5\.7\.1 Message is infected with \S+ \([0-9A-F-]+\.1\)$/)
      const bounces = sink.messages.slice(count)
      assert.deepEqual(
        bounces.map((message) => [message.from, ...ourHeaders(message.data)]),
        code === 250 ? [['', 'X-MessageIsInfected: false']] : [],
      )
    }
  })

  await haraka.stop()
  const senders = sink.messages.map(({ from }) => from)
  assert.equal(new Set(senders).size, senders.length, 'something arrived twice')
})

/** The headers of a message that went out through the site, with the mark that the bounce plugin knows it by. */
async function sentHeaders(site: Site): Promise<string> {
  const lines = [
    'From: sender@example.com',
    `Date: ${new Date().toUTCString()}`,
    `Message-ID: <${randomUUID()}@example.com>`,
  ]
  const count = site.sink.messages.length
  const { told } = await post(site.haraka, Buffer.from(`${lines.join('\r\n')}\r\n\r\nHello.\r\n`), {
    role: 'relaying',
    proxyLine: proxyLine(publicAddress),
  })
  await site.sink.waitFor(count + 1)
  const sent = arrived(site, told.from)[0]?.data.toString('latin1') ?? ''
  const [mark] = /^X-Haraka-Bounce-Validation: \S+\r\n/m.exec(sent) ?? []
  assert.ok(mark, sent)
  return `${lines.join('\r\n')}\r\n${mark}X-End: x\r\n`
}

test('a real site without a clamd: everything is deferred, and nothing arrives', async (t) => {
  const site = await startSite(t, `127.0.0.1:${await freePort()}`)
  for (const { who, role, proxyLine } of everybody) {
    for (const kind of ['plain', 'denier']) {
      await t.test(`${who}, ${kind}`, async () => {
        const { reply, told } = await post(site.haraka, mails.clean(), { kind, role, proxyLine })
        if (kind === 'plain') assert.match(`${reply.code} ${reply.text}`, /^45[01] 4\.3\.0 /)
        else assert.ok(reply.code >= 400, reply.text)
        assert.deepEqual(arrived(site, told.from), [])
      })
    }
  }
  assert.deepEqual(site.sink.messages, [])
})
