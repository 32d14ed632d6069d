// That what is known of an address is kept true while daemons change.
import assert from 'node:assert/strict'
import { after, test } from 'node:test'
import { hasSessions } from '../../lib/clamd/protocol'
import { HostPool } from '../../lib/hosts/host-pool'
import { system } from '../../lib/hosts/system'
import { clamdOrSkip } from '../support/clamd/clamd'
import { runningTimers, settled, until } from '../support/clamd/scanning'
import {
  bounded,
  enginesIn,
  fake,
  front,
  harmlessSignatures,
  never,
  real,
  selfTestsIn,
  verdictOn,
  watching,
} from '../support/clamd/self-testing'
import { testSignatures } from '../support/eicar'
import { withStranger } from '../support/faults/fault-table'

const timersBefore = runningTimers()
after(() => assert.equal(runningTimers(), timersBefore, 'a timer was left running'))

test('an address without signatures is tried again until they come', bounded, async (t) => {
  if (!clamdOrSkip(t)) return
  const directory = harmlessSignatures(t)
  const { clamd, address } = await real(t, {}, directory.path)
  const { watch, told, lines } = watching(t, [address])
  watch.run('at once')
  await until(() => selfTestsIn(told).some(({ selfTest }) => !selfTest.findsTestFile))
  assert.match(lines.join(), /^error clamd 127\.0\.0\.1:\d+ gets no mail: .*EICAR.*self_test=off/)
  testSignatures(directory.path)
  await clamd.restart()
  await until(() => selfTestsIn(told).some(({ selfTest }) => selfTest.coversMaxSize), 30_000)
  assert.match(
    lines.join('\n'),
    /^info clamd 127\.0\.0\.1:\d+ scans to the end: EICAR found in 1MB \(4 probes/m,
  )
  assert.equal(lines.filter((line) => line.startsWith('error')).length, 1, 'said once')
  assert.equal(new Set(watch.known().map(([address]) => address)).size, 1)
})

test('a daemon that reports no version is tested in full once a day, which is told', bounded, async (t) => {
  const daemon = await fake(t, [], { protocols: ['INSTREAM'] })
  daemon.answers.VERSIONCOMMANDS = 'COMMAND UNAVAILABLE'
  daemon.answers.VERSION = 'COMMAND UNAVAILABLE'
  const { watch, told, lines, system } = watching(t, [daemon.address], { maxSignatureAgeMs: 86_400_000 }, 1)
  const fullTests = () => new Set(selfTestsIn(told).map(({ selfTest }) => selfTest)).size
  const asked = () => daemon.commands.filter((name) => name === 'VERSIONCOMMANDS').length
  watch.run('at once')
  await until(() => asked() >= 3)
  assert.equal(fullTests(), 1)
  system.dateMs += 86_400_000
  await until(() => fullTests() === 2)
  const warnings = lines.filter((line) => line.includes('reports no version'))
  assert.match(
    warnings[0] ?? '',
    /^warn clamd \S+ reports no version: .* not watched; the whole self test is repeated once a day$/,
  )
  assert.equal(warnings.length, 2, 'once a day')
})

test(
  'VERSION is read again and again; only another one is proven again; age is told once a day',
  bounded,
  async (t) => {
    if (!clamdOrSkip(t)) return
    const { address } = await real(t)
    const daemon = await front(t, { clamd: address, engine: '0.103.12/27500/Sun Nov 22 08:00:00 2020' })
    const { watch, told, lines, system } = watching(t, [daemon.address], { maxSignatureAgeMs: 86_400_000 }, 1)
    const warnings = () => lines.filter((line) => /^warn .*days old/.test(line))
    const asked = (count: number) =>
      until(() => daemon.commands.filter((name) => name === 'VERSIONCOMMANDS').length >= count)
    watch.run('at once')
    const proofs = () => new Set(selfTestsIn(told).map(({ selfTest }) => selfTest)).size
    await asked(3)
    await until(() => daemon.scans >= 4 + 2)
    assert.equal(proofs(), 1, 'the test file alone is sent again')
    assert.equal(enginesIn(told)[0]?.signatures?.number, 27500)
    assert.equal(warnings().length, 1)
    assert.match(warnings()[0] ?? '', /signatures 27500 are \d+ days old .*freshclam/)

    system.dateMs += 86_400_000
    await until(() => warnings().length === 2)
    daemon.become({ engine: '0.103.12/27501/Mon Nov 23 08:00:00 2020' })
    await until(() => enginesIn(told).some(({ signatures }) => signatures?.number === 27501))
    await until(() => proofs() === 2)
  },
)

test(
  'an address that is back is looked at before its hour; a daemon that cannot be asked is no reason to distrust',
  bounded,
  async (t) => {
    if (!clamdOrSkip(t)) return
    const { address } = await real(t)
    const daemon = await front(t, { clamd: address })
    const { watch, told } = watching(t, [daemon.address])
    watch.run('at once')
    await until(() => selfTestsIn(told).some(({ selfTest }) => selfTest.coversMaxSize))
    daemon.become({ engine: '0.103.13' })
    watch.onAddressNews(daemon.address, 'back')
    await until(() => daemon.scans === 8)

    const gone = watching(t, [{ host: '127.0.0.1', port: 1 }])
    gone.watch.run('at once')
    await until(() => gone.told.length > 0)
    assert.deepEqual(gone.told[0], { type: 'selfTestFailed' })
  },
)

test('a daemon that mail found blind is looked at at once, and every ping_interval while it cannot be asked', async (t) => {
  const daemon = await fake(t, [])
  const { watch, told, system } = watching(t, [daemon.address])
  watch.run('at once')
  await until(() => told.some(({ type }) => type === 'archivesTested'))
  await settled()
  const isDoubted = () => watch.known().some(([, { type }]) => type === 'doubted')
  assert.ok(!isDoubted())
  await daemon.play([{ at: 'connect', do: 'refuse' }])
  let time = performance.now()
  system.now = () => time
  let seen = system.sockets.length
  watch.onAddressNews(daemon.address, 'untrusted')
  for (let check = 0; check < 5; check++) {
    await until(() => system.sockets.length > seen)
    const [socket] = system.sockets.slice(seen)
    if (socket && !socket.closed) await new Promise((resolve) => socket.once('close', resolve))
    await settled()
    seen = system.sockets.length
    time += 1000
  }
  assert.ok(isDoubted(), 'who comes later is told')
})

test('what mail hears during a look has the address looked at again, before its hour', async (t) => {
  const daemon = await fake(t, [], { protocols: ['INSTREAM'] })
  const { watch, told } = watching(t, [daemon.address], { selfTest: 'eicar' })
  daemon.queue([{ at: 'reply', do: 'wait', ms: 200 }])
  watch.run('at once')
  await daemon.seen('INSTREAM')
  daemon.version = 'ClamAV 1.5.0/27501/Sun Nov 23 09:00:00 2025'
  watch.onAddressNews(daemon.address, 'back')
  await until(() => enginesIn(told).some(({ line }) => line.startsWith('ClamAV 1.5.0')))
})

for (const news of ['doubted', 'back'] as const) {
  test(`an address that is ${news} is looked at before its hour`, async (t) => {
    const daemon = await fake(t, [])
    const { watch, told } = watching(t, [daemon.address], { selfTest: 'eicar' })
    watch.run('at once')
    await until(() => selfTestsIn(told).some(({ selfTest }) => selfTest.findsTestFile))
    const before = told.length
    watch.onAddressNews(daemon.address, news)
    await until(() => told.length > before)
  })
}

test('an address that finds the test file again gets mail, though its size cannot be proven', async (t) => {
  let isBlind = true
  const daemon = await fake(t, [], {
    judge: (mail) => {
      if (mail.length > 100_000) return Promise.resolve("stream: Can't allocate memory ERROR")
      return Promise.resolve(isBlind ? 'stream: OK' : verdictOn(mail))
    },
  })
  const hosts = new HostPool(
    { hosts: [daemon.address], restMs: 1, resolveMs: 60_000, connectMs: 5000, maxConcurrent: 0 },
    system(() => undefined),
  )
  await hosts.addresses(never)
  const { watch, told } = watching(t, [daemon.address])
  const state = () => {
    for (const event of told.splice(0)) hosts.learn(daemon.address, event)
    return hosts.states()[0]?.state
  }
  watch.run('at once')
  await until(() => state() === 'untrusted')
  isBlind = false
  await until(() => state() === 'up')
})

test('what a daemon did not tell in time is not taken from it, and asked again', async (t) => {
  const daemon = await fake(t, [], { sessions: true })
  daemon.answers.VERSIONCOMMANDS = [{ do: 'stall' }]
  const { watch, told } = watching(t, [daemon.address], { selfTest: 'off', connectMs: 200 })
  watch.run('at once')
  await until(() => told.length > 0)
  delete daemon.answers.VERSIONCOMMANDS
  await until(() =>
    told.some((event) => event.type === 'capabilities' && !event.isLate && hasSessions(event)),
  )
  daemon.answers.VERSIONCOMMANDS = [{ do: 'stall' }]
  const before = told.length
  watch.onAddressNews(daemon.address, 'back')
  await until(() => told.length > before)
  const [, event] = watch.known()[0] ?? []
  assert.ok(event?.type === 'capabilities' && hasSessions(event), 'who comes later is told what it had')
  const late = told.slice(before).flatMap((one) => (one.type === 'capabilities' ? [one] : []))
  assert.ok(late.length > 0 && late.every(({ isLate }) => isLate))
})

test('STREAM with closed data ports is proven by INSTREAM, as mail is scanned', bounded, async (t) => {
  if (!clamdOrSkip(t)) return
  const { address } = await real(t)
  const daemon = await front(t, { clamd: address, instream: true, dataPort: 'refuse' })
  const { watch, told } = watching(t, [daemon.address])
  watch.run('at once')
  await until(() => selfTestsIn(told).some(({ selfTest }) => selfTest.coversMaxSize))
  assert.equal(selfTestsIn(told).at(-1)?.protocol, 'instream')
})

test('STREAM whose data port something else answers at is proven by INSTREAM', bounded, async (t) => {
  const daemon = await fake(t, [], { acceptMs: 10_000 })
  await withStranger(
    (socket) => socket.end(),
    async (port) => {
      await daemon.play([{ at: 'port', do: 'say', text: `PORT ${port}` }])
      const { watch, told } = watching(t, [daemon.address], { connectMs: 200 })
      watch.run('at once')
      await until(() => selfTestsIn(told).some(({ selfTest }) => selfTest.coversMaxSize))
      assert.equal(selfTestsIn(told).at(-1)?.protocol, 'instream')
    },
  )
})

test(
  'STREAM that never comes to a verdict is proven by INSTREAM, where there is that',
  bounded,
  async (t) => {
    const daemon = await fake(t, [], { protocols: ['STREAM', 'INSTREAM'] })
    const { watch, told } = watching(t, [daemon.address], { scanMs: 300, selfTest: 'eicar' })
    await daemon.play((scan) =>
      scan === 0
        ? [{ at: 'reply', do: 'stall' }]
        : [{ at: 'reply', do: 'answer', text: 'stream: Eicar FOUND' }],
    )
    watch.run('at once')
    await until(() => selfTestsIn(told).some(({ selfTest }) => selfTest.findsTestFile))
    assert.equal(selfTestsIn(told).at(-1)?.protocol, 'instream')
  },
)

test('an end in the middle of a probe leaves nothing behind', bounded, async (t) => {
  const daemon = await fake(t, [{ at: 'first', do: 'freeze' }])
  const { watch, stop, lines, told } = watching(t, [daemon.address])
  watch.run('at once')
  await until(() => daemon.scans.length === 1)
  stop.abort()
  await daemon.idle()
  assert.deepEqual(lines, [])
  assert.ok(told.every(({ type }) => type === 'capabilities'))
})
