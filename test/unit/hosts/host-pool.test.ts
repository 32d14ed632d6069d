// Whose turn it is, who rests, who has room, and what names stand for. The clock and the resolver are ours.
import assert from 'node:assert/strict'
import { test } from 'node:test'
import type { Address, Host } from '../../../lib/clamd/address'
import { HostPool, type HostSettings } from '../../../lib/hosts/host-pool'
import { Lease } from '../../../lib/hosts/lease'
import type { SelfTestResult } from '../../../lib/hosts/test-results'

const never = new AbortController().signal

function setUp(hosts: readonly Host[], settings: Partial<HostSettings> = {}, start = 0, proofMs = 0) {
  const system = {
    time: 0,
    resolver: {} as Record<string, readonly string[] | Error>,
    lookups: [] as string[],
    warnings: [] as string[],
    news: [] as string[],
  }
  const list = new HostPool(
    { hosts, restMs: 30_000, resolveMs: 60_000, connectMs: 5000, maxConcurrent: 0, ...settings },
    {
      lookup: (name) => {
        system.lookups.push(name)
        const found = system.resolver[name] ?? new Error('ENOTFOUND')
        return found instanceof Error ? Promise.reject(found) : Promise.resolve(found)
      },
      now: () => system.time,
      random: () => start / 2 ** 31,
      warn: (text) => system.warnings.push(text),
    },
    proofMs,
    (address, news) => system.news.push(`${'host' in address ? address.host : address.path} ${news}`),
  )
  const take = async (tried: readonly string[] = []): Promise<Lease> => {
    const lease = await list.take(new Set(tried), never)
    assert.ok(lease, 'an address was expected')
    return lease
  }
  /** Takes an address for one message and says how that went. */
  const use = async (outcome: Parameters<Lease['done']>[0] = 'worked'): Promise<string> => {
    const lease = await take()
    lease.done(outcome)
    return lease.text.replace(/:3310$/, '')
  }
  return { list, system, take, use }
}

const three: Host[] = ['10.0.0.1', '10.0.0.2', '10.0.0.3'].map((host) => ({ host, port: 3310 }))
const settled = () => new Promise((resolve) => setImmediate(resolve))

test('each message gets the next address, all in turn', async () => {
  const { use } = setUp(three)
  const order = []
  for (let i = 0; i < 6; i++) order.push(await use())
  assert.deepEqual(order, ['10.0.0.1', '10.0.0.2', '10.0.0.3', '10.0.0.1', '10.0.0.2', '10.0.0.3'])
})

test('the first address of a process is a random one', async () => {
  assert.equal(await setUp(three, {}, 1).use(), '10.0.0.2')
  assert.equal(await setUp(three, {}, 2).use(), '10.0.0.3')
})

test('a message is given each address once, then none', async () => {
  const { list, take } = setUp(three)
  const tried: string[] = []
  for (let i = 0; i < 3; i++) {
    const lease = await take(tried)
    assert.ok(!tried.includes(lease.text))
    tried.push(lease.text)
    lease.done('failed')
  }
  assert.equal(await list.take(new Set(tried), never), null)
})

test('a failed address is asked last until its rest is over', async () => {
  const { use, take, system } = setUp(three)
  assert.equal(await use('failed'), '10.0.0.1')
  const others = [await use(), await use(), await use(), await use()]
  assert.deepEqual(others.sort(), ['10.0.0.2', '10.0.0.2', '10.0.0.3', '10.0.0.3'])
  const last = await take(['10.0.0.2:3310', '10.0.0.3:3310'])
  assert.equal(last.text, '10.0.0.1:3310', 'it is still asked when nobody else is left')
  last.done('failed')
  system.time += 30_000
  const back = new Set([await use(), await use(), await use()])
  assert.ok(back.has('10.0.0.1'))
})

test('after the rest one message tries the address; the others wait for what it finds', async () => {
  const { use, take, system } = setUp(three.slice(0, 2))
  assert.equal(await use('failed'), '10.0.0.1')
  system.time += 30_000
  const leases = [await take(), await take(), await take(), await take()]
  assert.equal(leases.filter(({ text }) => text === '10.0.0.1:3310').length, 1)
  leases.find(({ text }) => text === '10.0.0.1:3310')?.done('worked')
  const now = [await use(), await use()]
  assert.ok(now.includes('10.0.0.1'), 'it worked, so it is back at once')
})

test('a message that is dropped while it tries an address leaves that to the next one', async () => {
  const { use, take, system } = setUp(three.slice(0, 2))
  assert.equal(await use('failed'), '10.0.0.1')
  system.time += 30_000
  const before = [await take(), await take()]
  for (const lease of before) lease.done('neither')
  const after = [await take(), await take()]
  assert.ok(after.some(({ text }) => text === '10.0.0.1:3310'))
})

test('a message that is dropped says nothing of a failure that came meanwhile', async () => {
  const { use, take } = setUp(three.slice(0, 2))
  const dropped = await take()
  const failing = await take(['10.0.0.2:3310'])
  failing.done('failed')
  dropped.done('neither')
  assert.deepEqual([await use(), await use()], ['10.0.0.2', '10.0.0.2'])
})

test('when all rest, all are tried, the one that has rested longest first', async () => {
  const { use, take, system } = setUp(three)
  for (let i = 0; i < 3; i++) {
    await use('failed')
    system.time += 1000
  }
  const first = await take()
  assert.equal(first.text, '10.0.0.1:3310')
  first.done('neither')
})

test('host_rest 0 means no rest', async () => {
  const { use } = setUp(three, { restMs: 0 })
  const order = [await use('failed'), await use('failed'), await use('failed'), await use('failed')]
  assert.deepEqual(order, ['10.0.0.1', '10.0.0.2', '10.0.0.3', '10.0.0.1'])
})

test('an end that says nothing about the address leaves it as it was', async () => {
  const { use } = setUp(three)
  const order = [await use('neither'), await use(), await use(), await use()]
  assert.equal(order[3], '10.0.0.1')
})

test('while none has been reached yet, one message tries each, and the next ones see what comes of it', async () => {
  const { take } = setUp(three)
  const [, second, third] = [await take(), await take(), await take()]
  const later = [take(), take()]
  await settled()
  third.reached()
  second.reached()
  // In turn would be the first one, which does not answer.
  assert.deepEqual(
    (await Promise.all(later)).map(({ text }) => text),
    ['10.0.0.2:3310', '10.0.0.3:3310'],
  )
})

test('when it has taken a moment, it is not waited for any longer', async () => {
  const { take, system } = setUp(three)
  for (let n = 0; n < 3; n++) await take()
  const later = take()
  await settled()
  system.time += 101
  assert.equal((await later).text, '10.0.0.1:3310')
})

test('addresses that have been reached are not waited for', async () => {
  const { take } = setUp(three)
  for (let n = 0; n < 3; n++) (await take()).done('worked')
  const texts = []
  for (let n = 0; n < 4; n++) texts.push((await take()).text)
  assert.deepEqual(texts, ['10.0.0.1:3310', '10.0.0.2:3310', '10.0.0.3:3310', '10.0.0.1:3310'])
})

test('a message that is dropped while it connects does not say that its address can be reached', async () => {
  const { take, use } = setUp(three)
  ;(await take()).done('neither')
  assert.deepEqual([await use(), await use()], ['10.0.0.2', '10.0.0.3'])
  for (let n = 0; n < 3; n++) await take()
  assert.equal((await take()).text, '10.0.0.2:3310')
})

test('a single address is not waited for', async () => {
  const { take } = setUp(three.slice(0, 1))
  const leases = [await take(), await take()]
  assert.deepEqual(
    leases.map(({ text }) => text),
    ['10.0.0.1:3310', '10.0.0.1:3310'],
  )
})

test('a scan that was too long in coming counts against an address that finished none meanwhile', async () => {
  const { take, use } = setUp(three.slice(0, 2))
  const [silent, busy, quick] = [await take(), await take(), await take(['10.0.0.1:3310'])]
  quick.done('worked')
  busy.done('late')
  silent.done('late')
  assert.deepEqual([await use(), await use()], ['10.0.0.2', '10.0.0.2'])
})

test('where a connection is still being made, others go elsewhere if they can', async () => {
  const { take, system } = setUp(three)
  const next = async () => {
    system.time += 60
    const lease = await take()
    return { lease, host: lease.text.replace(/:3310$/, '') }
  }
  const first = await next()
  assert.equal(first.host, '10.0.0.1')
  for (const host of ['10.0.0.2', '10.0.0.3', '10.0.0.2', '10.0.0.3']) {
    const { lease, host: taken } = await next()
    assert.equal(taken, host)
    lease.reached()
  }
  const second = await next()
  const third = await next()
  assert.deepEqual([second.host, third.host], ['10.0.0.2', '10.0.0.3'])
  assert.equal((await next()).host, '10.0.0.3', 'the one that may still come')

  first.lease.reached()
  first.lease.done('worked')
  assert.equal((await next()).host, '10.0.0.1')
})

test('an address that has scans and finishes none is spared others for as long as there are better ones', async () => {
  const { take, use, system } = setUp(three)
  const others = ['10.0.0.2:3310', '10.0.0.3:3310']
  const stuck = [await take(), await take(others)]
  for (const lease of stuck) {
    assert.equal(lease.text, '10.0.0.1:3310')
    lease.reached()
  }
  system.time += 1999
  const busy = [await use(), await use(), await use()]
  assert.deepEqual(busy.sort(), ['10.0.0.1', '10.0.0.2', '10.0.0.3'])
  system.time += 1999
  const stillBusy = await take(others)
  assert.equal(stillBusy.text, '10.0.0.1:3310', 'it has finished one 1999 ms ago')
  stillBusy.reached()
  system.time += 1
  const order = [await use(), await use(), await use(), await use()]
  assert.deepEqual(order.sort(), ['10.0.0.2', '10.0.0.2', '10.0.0.3', '10.0.0.3'])
  const last = await take(others)
  assert.equal(last.text, '10.0.0.1:3310', 'it is still asked when nobody else is left')
  last.reached()
  stuck[0]?.done('worked')
  const again = [await use(), await use(), await use()]
  assert.ok(again.includes('10.0.0.1'), 'it moves, so it is back at once')
})

test('one slow scan and a lull: the address gets another message, and two seconds to show that it moves', async () => {
  const { take, use, system } = setUp(three.slice(0, 2))
  const slow = await take()
  slow.reached()
  system.time += 5000
  const next = await take(['10.0.0.2:3310'])
  next.reached()
  system.time += 1999
  assert.ok([await use(), await use()].includes('10.0.0.1'))
  slow.done('worked')
  next.done('worked')
})

test('an address whose scans were given up by their clients is not taken to move', async () => {
  const { take, use, system } = setUp(three.slice(0, 2))
  const leases = [await take(), await take(['10.0.0.2:3310']), await take(['10.0.0.2:3310'])]
  for (const lease of leases) lease.reached()
  system.time += 2000
  leases.pop()?.done('neither')
  assert.deepEqual([await use(), await use()], ['10.0.0.2', '10.0.0.2'])
  for (const lease of leases) lease.done('neither')
  const idle = [await use(), await use()]
  assert.ok(idle.includes('10.0.0.1'), 'without a scan there is nothing it could finish')
})

test('what the self test came about by is spoken first, also after a failure', async () => {
  const { list, take } = setUp(three.slice(0, 1))
  const [address] = three as [Address]
  list.report(address, 'worked', 'stream')
  list.learn(address, { type: 'selfTested', selfTest: proofOf(null), protocol: 'instream' })
  const lease = await take()
  assert.equal(lease.protocol, 'instream')
  lease.done('failed')
  assert.equal((await take()).protocol, 'instream')
  list.report(address, 'worked', 'stream')
  assert.equal((await take()).protocol, 'instream')
  list.learn(address, { type: 'selfTested', selfTest: proofOf(null), protocol: null })
  list.report(address, 'worked', 'stream')
  assert.equal((await take()).protocol, 'stream')
})

test('who waits for a proof looks again when somebody else finds that there is nobody', async () => {
  const { list, system } = setUp(three.slice(0, 2), {}, 0, 10_000)
  system.time = 1
  const waiting = list.take(new Set(), never)
  await settled()
  for (const address of three.slice(0, 2) as Address[]) list.report(address, 'failed', null)
  assert.ok(await waiting, 'all rest, so all are tried')
})

test('max_concurrent: the next address with room, else wait for room', async () => {
  const { list, take } = setUp(three.slice(0, 2), { maxConcurrent: 1 })
  const a = await take()
  const b = await take()
  assert.notEqual(a.text, b.text)
  const order: string[] = []
  const waiting = ['third', 'fourth'].map(async (name) => {
    const lease = await list.take(new Set(), never)
    order.push(name)
    return lease
  })
  await settled()
  assert.deepEqual(order, [])
  a.done('worked')
  a.done('worked')
  await settled()
  assert.deepEqual(order, ['third'], 'one place got free, whoever waited longest has it')
  b.done('worked')
  const [third, fourth] = await Promise.all(waiting)
  assert.equal(third?.text, a.text)
  assert.equal(fourth?.text, b.text)
})

test('who waits for room gets an address whose rest is over meanwhile', async () => {
  const { list, system, take } = setUp(three.slice(0, 2), { maxConcurrent: 1, restMs: 20 })
  await list.addresses(never)
  list.report({ host: '10.0.0.1', port: 3310 }, 'failed', null)
  assert.equal((await take()).text, '10.0.0.2:3310', 'and there it stays')
  const waiting = list.take(new Set(), AbortSignal.timeout(5000))
  await settled()
  system.time = 20
  assert.equal((await waiting)?.text, '10.0.0.1:3310')
})

test('waiting for room ends with the budget, and the place goes to the next in line', async () => {
  const { list, take } = setUp(three.slice(0, 1), { maxConcurrent: 1 })
  const held = await take()
  const budget = new AbortController()
  const impatient = list.take(new Set(), budget.signal)
  const patient = list.take(new Set(), never)
  budget.abort(new Error('budget over'))
  await assert.rejects(impatient, /budget over/)
  held.done('worked')
  assert.ok(await patient)
})

test('a waiting message is not given an address that it has tried', async () => {
  const { list, take } = setUp(three.slice(0, 2), { maxConcurrent: 1 })
  const a = await take()
  const b = await take()
  const waiting = list.take(new Set([a.text]), never)
  a.done('worked')
  await settled()
  b.done('worked')
  assert.equal((await waiting)?.text, b.text)
})

test('a name stands for every address it resolves to, each address once', async () => {
  const name: Host = { name: 'clamd.test', port: 3310 }
  const { list, system } = setUp([
    name,
    { host: '10.0.0.1', port: 3310 },
    { host: '10.0.0.1', port: 3311 },
    { path: '/s' },
  ])
  system.resolver['clamd.test'] = ['10.0.0.1', '::1']
  assert.deepEqual(await list.addresses(never), [
    { host: '10.0.0.1', port: 3310 },
    { host: '::1', port: 3310 },
    { host: '10.0.0.1', port: 3311 },
    { path: '/s' },
  ])
})

test('names are looked up again after resolve_interval; addresses come and go', async () => {
  const { use, system } = setUp([{ name: 'clamd.test', port: 3310 }])
  system.resolver['clamd.test'] = ['10.0.0.1']
  assert.equal(await use(), '10.0.0.1')
  system.resolver['clamd.test'] = ['10.0.0.2', '10.0.0.3']
  assert.equal(await use(), '10.0.0.1')
  assert.equal(system.lookups.length, 1)
  system.time += 60_000
  await use()
  await settled()
  assert.deepEqual([await use(), await use()].sort(), ['10.0.0.2', '10.0.0.3'])
})

test('after a failure names are looked up at once, and a new address gets the message', async () => {
  const { list, take, system } = setUp([{ name: 'clamd.test', port: 3310 }])
  system.resolver['clamd.test'] = ['10.0.0.1']
  const old = await take()
  system.resolver['clamd.test'] = ['10.0.0.2']
  system.time += 1000
  old.done('failed')
  assert.equal((await list.take(new Set([old.text]), never))?.text, '10.0.0.2:3310')
})

test('a name that cannot be looked up keeps its addresses, and the log says so', async () => {
  const { use, system } = setUp([{ name: 'clamd.test', port: 3310 }])
  system.resolver['clamd.test'] = ['10.0.0.1']
  await use()
  system.resolver['clamd.test'] = new Error('SERVFAIL')
  system.time += 60_000
  await use()
  await settled()
  assert.equal(await use(), '10.0.0.1')
  assert.match(system.warnings.join(), /clamd\.test.*SERVFAIL/)
})

test('no address at all is null, and the next message looks again', async () => {
  const { list, use, system } = setUp([{ name: 'clamd.test', port: 3310 }])
  assert.equal(await list.take(new Set(), never), null)
  system.resolver['clamd.test'] = ['10.0.0.1']
  assert.equal(await use(), '10.0.0.1')
})

test('what was learnt of an address is kept while it works and forgotten when it fails', async () => {
  const { list, take } = setUp(three.slice(0, 1))
  const lease = await take()
  lease.protocol = 'instream'
  lease.done('worked')
  const again = await take()
  assert.equal(again.protocol, 'instream')
  again.done('failed')
  assert.equal((await take()).protocol, null)
  list.report({ host: '10.0.0.1', port: 3310 }, 'worked', 'stream')
  assert.equal((await take()).protocol, 'stream')
})

function proofOf(maxScannableBytes: number | null, findsTestFile = true): SelfTestResult {
  return {
    findsTestFile,
    maxScannableBytes,
    coversMaxSize: false,
    missed: null,
    alarm: null,
    reportsLimits: null,
    probes: 1,
    sentBytes: 1,
    ms: 1,
  }
}
const [first, second, third] = three as [Address, Address, Address]
const found = { findsTestFile: true, bytes: 1000 }
const missed = { findsTestFile: false, bytes: 1000 }

test('an untrusted address gets no mail, not even when it is the last; trusted again, it does', async () => {
  const { list, use } = setUp(three.slice(0, 2))
  // What is learnt before the list is made counts as well.
  list.learn(first, { type: 'selfTested', selfTest: proofOf(null, false) })
  assert.deepEqual([await use(), await use()], ['10.0.0.2', '10.0.0.2'])
  assert.equal(list.states()[0]?.state, 'untrusted')
  assert.equal(await list.take(new Set(['10.0.0.2:3310']), never), null)
  assert.deepEqual(list.passedOver(1), { untrusted: ['10.0.0.1:3310'], tooSmall: [] })
  // Answering is not enough, and failing changes nothing.
  list.report(first, 'worked', null)
  list.learn(first, { type: 'selfTestFailed' })
  assert.equal(list.states()[0]?.state, 'untrusted')
  list.learn(first, { type: 'selfTested', selfTest: proofOf(null) })
  assert.deepEqual([await use(), await use()].sort(), ['10.0.0.1', '10.0.0.2'])
})

test('a message goes where it is proven to be scanned, or where nothing is known', async () => {
  const { list } = setUp(three)
  list.learn(first, { type: 'selfTested', selfTest: proofOf(1000) })
  list.learn(second, { type: 'selfTested', selfTest: proofOf(2000) })
  const takers = async (bytes: number) => {
    const tried = new Set<string>()
    for (
      let lease = await list.take(tried, never, bytes);
      lease;
      lease = await list.take(tried, never, bytes)
    ) {
      tried.add(lease.text)
      lease.done('worked')
    }
    return [...tried].map((text) => text.replace(/:3310$/, '')).sort()
  }
  assert.deepEqual(await takers(1000), ['10.0.0.1', '10.0.0.2', '10.0.0.3'])
  assert.equal(list.minScannableBytes, 1000)
  assert.deepEqual(await takers(1001), ['10.0.0.2', '10.0.0.3'])
  assert.deepEqual(await takers(2001), ['10.0.0.3'])
  list.learn(third, { type: 'selfTested', selfTest: proofOf(500) })
  assert.deepEqual(await takers(2001), [])
  assert.equal(list.passedOver(2001).tooSmall.length, 3)
})

test('what was proven of an address lasts while a name server leaves it out', async () => {
  const { list, system } = setUp([{ name: 'clamd.example', port: 3310 }], { resolveMs: 1000 })
  const resolveTo = async (...addresses: string[]) => {
    system.resolver['clamd.example'] = addresses
    system.time += 1000
    await list.take(new Set(), never)
    await settled()
  }
  await resolveTo('10.0.0.1', '10.0.0.2', '10.0.0.3')
  list.learn(first, { type: 'selfTested', selfTest: proofOf(1000) })
  list.learn(second, { type: 'selfTested', selfTest: proofOf(null, false) })
  await resolveTo('10.0.0.3')
  // Another process still sees it.
  list.learn(first, { type: 'capabilities', version: 'ClamAV 1.4.6', commands: null })
  await resolveTo('10.0.0.1', '10.0.0.2')
  assert.equal(await list.take(new Set(), never, 1001), null)
  assert.deepEqual(
    list.states().map(({ state, engine, maxScannableBytes }) => [state, engine?.release, maxScannableBytes]),
    [
      ['up', 'ClamAV 1.4.6', 1000],
      ['untrusted', undefined, null],
    ],
  )
})

test('max_concurrent counts scans at an address that a name server left out for a moment', async () => {
  const { list, system, take } = setUp([{ name: 'clamd.example', port: 3310 }], {
    maxConcurrent: 1,
    resolveMs: 1000,
  })
  system.resolver['clamd.example'] = ['10.0.0.1']
  const scan = await take()
  for (const addresses of [['10.0.0.2'], ['10.0.0.1']]) {
    system.resolver['clamd.example'] = addresses
    system.time += 1000
    await list.take(new Set(['10.0.0.1:3310', '10.0.0.2:3310']), never)
    await settled()
  }
  let isTaken = false
  const waiting = take().finally(() => (isTaken = true))
  await settled()
  assert.ok(!isTaken)
  scan.done('worked')
  ;(await waiting).done('worked')
  assert.equal(list.states()[0]?.inFlight, 0)
})

test('in the first moments a message waits for a proof, and no longer than that', async () => {
  const { list } = setUp(three.slice(0, 2), {}, 0, 10_000)
  const taken = list.take(new Set(), never)
  await settled()
  list.learn(second, { type: 'selfTested', selfTest: proofOf(null) })
  assert.equal((await taken)?.text, '10.0.0.2:3310', 'not the first in turn, but the first that is proven')
  list.learn(first, { type: 'selfTestFailed' })
  assert.equal(
    (await list.take(new Set(), never))?.text,
    '10.0.0.1:3310',
    'given up, so it is not waited for',
  )
})

test('a message that waits for a proof obeys its budget, and is sent when the time for proofs is over', async () => {
  const budget = new AbortController()
  const { list } = setUp(three.slice(0, 1), {}, 0, 60_000)
  const impatient = list.take(new Set(), budget.signal)
  budget.abort(new Error('budget over'))
  await assert.rejects(impatient, /budget over/)

  const late = setUp(three.slice(0, 1), {}, 0, 10_000)
  late.system.time = 10_000
  assert.equal((await late.list.take(new Set(), never))?.text, '10.0.0.1:3310')
})

test('an address that failed is not waited for', async () => {
  const { list } = setUp(three.slice(0, 1), {}, 0, 60_000)
  await list.addresses(never)
  list.report(first, 'failed', null)
  assert.equal((await list.take(new Set(), never))?.text, '10.0.0.1:3310')
})

test('who asks is told of an address that fails, and of one that is back, once', async () => {
  const { use, take, system } = setUp(three.slice(0, 1))
  await use('failed')
  await use('failed')
  // Each time, for another process may have seen it work in between.
  assert.deepEqual(system.news, ['10.0.0.1 failed', '10.0.0.1 failed'])
  await use()
  await use()
  assert.deepEqual(system.news.slice(2), ['10.0.0.1 back'])
  const lease = await take()
  lease.recordCheck(missed, lease.failureEpoch)
  lease.done('failed')
  assert.equal(system.news.at(-1), '10.0.0.1 untrusted')
})

test('an address that failed is doubted until it finds the test file, whatever it finishes meanwhile', async () => {
  const { list, take, use } = setUp(three.slice(0, 1))
  list.learn(first, { type: 'selfTested', selfTest: proofOf(null) })
  const before = await take()
  assert.ok(before.isVerified)
  await use('failed')
  before.done('worked')
  const after = await take()
  assert.equal(after.isVerified, false, 'the scan that came to its end was that of the daemon before')
  const { failureEpoch } = after
  await use('failed')
  after.recordCheck(found, failureEpoch)
  assert.equal(after.isVerified, false, 'it has failed since the test file was sent')
  after.recordCheck(found, after.failureEpoch)
  assert.ok(after.isVerified)
  after.done('worked')
  list.learn(first, { type: 'doubted' })
  assert.equal((await take()).isVerified, false, 'another process has seen it fail')
})

test('a test file that was sent before an address was found blind does not make it trusted', async () => {
  const { list, take } = setUp(three.slice(0, 1))
  list.learn(first, { type: 'selfTested', selfTest: proofOf(null) })
  list.learn(first, { type: 'doubted' })
  const [early, later] = [await take(), await take()]
  const { failureEpoch } = early
  list.learn(first, { type: 'selfTested', selfTest: { ...proofOf(null), findsTestFile: false } })
  early.recordCheck(found, failureEpoch)
  assert.equal(list.states()[0]?.state, 'untrusted')
  later.recordCheck(missed, failureEpoch)
  early.recordCheck(found, failureEpoch)
  assert.equal(list.states()[0]?.state, 'untrusted')
  list.learn(first, { type: 'seesAgain' })
  assert.equal(list.states()[0]?.state, 'up')
  assert.equal((await take()).isVerified, false)
})

test('a size counts as proven until there is a doubt, and then from the first test file on anew', async () => {
  const { list, take } = setUp(three.slice(0, 1))
  const M = 1024 * 1024
  const lease = await take()
  assert.deepEqual([lease.isProvenFor(1), lease.testBytes(1, 25 * M)], [false, 64 * 1024])
  lease.recordCheck(found, lease.failureEpoch)
  assert.deepEqual([lease.isProvenFor(1000), lease.isProvenFor(1001)], [true, false])
  assert.deepEqual([lease.testBytes(3 * M, 25 * M), lease.testBytes(20 * M, 25 * M)], [4 * M, 25 * M])
  lease.recordCheck({ findsTestFile: true, bytes: 4 * M }, lease.failureEpoch)
  lease.recordCheck(found, lease.failureEpoch)
  assert.ok(lease.isProvenFor(4 * M), 'a smaller one takes nothing away')
  const { failureEpoch } = lease
  list.learn(first, { type: 'doubted' })
  assert.equal(lease.isProvenFor(1), false)
  lease.recordCheck(found, lease.failureEpoch)
  assert.deepEqual([lease.isProvenFor(1000), lease.isProvenFor(4 * M)], [true, false])
  lease.recordCheck({ findsTestFile: true, bytes: 4 * M }, failureEpoch)
  assert.equal(lease.isProvenFor(4 * M), false, 'that was the daemon before')
  list.learn(first, { type: 'doubted' })
  list.learn(first, { type: 'selfTested', selfTest: proofOf(2 * M) })
  lease.recordCheck(found, lease.failureEpoch)
  assert.ok(lease.isProvenFor(2 * M), 'proven since that doubt')
  lease.recordCheck({ findsTestFile: true, bytes: null }, lease.failureEpoch)
  assert.ok(lease.isProvenFor(2 * M))
})

test('what one message finds an address not to scan, larger ones believe for a minute, and then try again', async () => {
  const { list, take, system } = setUp(three.slice(0, 1))
  const lease = await take()
  lease.recordCheck(found, lease.failureEpoch)
  lease.missedTestFileAt(5000)
  assert.equal(lease.testBytes(2000, 9000), 2999, 'half-way between what is proven and what is not')
  assert.equal(lease.testBytes(4500, 9000), 4500)
  assert.equal(await list.take(new Set(), never, 5000), null)
  assert.deepEqual(list.passedOver(5000).tooSmall, [{ text: '10.0.0.1:3310', maxScannableBytes: 4999 }])
  assert.deepEqual([list.minScannableBytes, list.passedOver(4999).tooSmall], [4999, []])
  system.time += 60_000
  assert.ok(await list.take(new Set(), never, 5000))
  lease.missedTestFileAt(5000)
  lease.recordCheck({ findsTestFile: true, bytes: 8000 }, lease.failureEpoch)
  assert.equal(list.minScannableBytes, Infinity)
})

test('who asks is told of a doubt', async () => {
  const { take, system } = setUp(three.slice(0, 1))
  const lease = await take()
  lease.doubt()
  assert.deepEqual([lease.isVerified, lease.failureEpoch, system.news], [false, 1, ['10.0.0.1 doubted']])
})

test('a lease says whether there is a better address left', async () => {
  const { list, take } = setUp(three.slice(0, 2))
  list.learn(three[1] as Address, { type: 'doubted' })
  const leases = [await take(), await take(), await take(['10.0.0.1:3310'])]
  assert.deepEqual(
    leases.map(({ text, others }) => `${text} ${others}`),
    ['10.0.0.1:3310 doubtful', '10.0.0.2:3310 well', '10.0.0.2:3310 none'],
  )
})

test('what was proven is taken over for other settings, and shown once more before there is mail', async () => {
  const old = setUp(three.slice(0, 2))
  old.list.learn(first, { type: 'selfTested', selfTest: proofOf(1000) })
  await old.use()
  old.list.learn(second, { type: 'selfTested', selfTest: proofOf(null, false) })
  const { list, take } = setUp(three.slice(0, 2), {}, 0, 10_000)
  list.inherit(old.list)
  const lease = await take()
  assert.equal(
    lease.text,
    '10.0.0.1:3310',
    'nobody waits for a proof, and the other one is still not trusted',
  )
  assert.equal(lease.isVerified, false)
  assert.equal(list.minScannableBytes, 1000)
})

test('when no more proofs will come nobody waits for them', async () => {
  const { list } = setUp(three, {}, 0, 10_000)
  const waiting = list.take(new Set(), never)
  await settled()
  list.stopWaitingForChecks()
  assert.equal((await waiting)?.text, '10.0.0.1:3310')
})

test('names are looked up again when there is no address left that gets mail', async () => {
  const { list, system } = setUp([{ name: 'clamd', port: 3310 }])
  system.resolver.clamd = ['10.0.0.1']
  await list.addresses(never)
  list.learn(first, { type: 'selfTested', selfTest: proofOf(null, false) })
  system.resolver.clamd = ['10.0.0.2']
  assert.equal(await list.take(new Set(), never), null, 'looked up less than a second ago')
  system.time += 1000
  assert.equal((await list.take(new Set(), never))?.text, '10.0.0.2:3310')
})

test('the states of all addresses', async () => {
  const { list, take } = setUp(three.slice(0, 2))
  await list.addresses(never)
  list.learn(first, { type: 'capabilities', version: 'ClamAV 1.4.6', commands: null })
  list.learn(first, { type: 'selfTested', selfTest: proofOf(4000) })
  list.report(second, 'failed', null)
  const lease = await take()
  lease.protocol = 'instream'
  assert.equal(lease.engine?.release, 'ClamAV 1.4.6')
  assert.deepEqual(list.states(), [
    {
      text: '10.0.0.1:3310',
      role: 'host',
      state: 'up',
      inFlight: 1,
      protocol: 'instream',
      engine: { release: 'ClamAV 1.4.6', signatures: null, line: 'ClamAV 1.4.6' },
      maxScannableBytes: 4000,
    },
    {
      text: '10.0.0.2:3310',
      role: 'host',
      state: 'resting',
      inFlight: 0,
      protocol: null,
      engine: null,
      maxScannableBytes: null,
    },
  ])
})

test('a name server that falls silent holds up nobody who has addresses, and its other names nobody', async () => {
  const answers: Record<string, readonly string[] | null> = { 'a.test': ['10.0.0.1'], 'b.test': null }
  let time = 0
  const hosts = [
    { name: 'a.test', port: 3310 },
    { name: 'b.test', port: 3310 },
  ]
  const list = new HostPool(
    { hosts, restMs: 1000, resolveMs: 60_000, connectMs: 60_000, maxConcurrent: 0 },
    {
      lookup: (name) => {
        const found = answers[name]
        return found ? Promise.resolve(found) : new Promise(() => undefined)
      },
      now: () => time,
      random: () => 0,
      warn: () => undefined,
    },
  )
  const soon = async (what: Promise<Lease | null>) => {
    const late = new Promise<string>((resolve) => setImmediate(() => setImmediate(() => resolve('late'))))
    return Promise.race([what, late])
  }
  assert.ok((await soon(list.take(new Set(), never))) instanceof Lease, 'b.test is silent')
  time = 61_000
  answers['a.test'] = null
  assert.ok((await soon(list.take(new Set(), never))) instanceof Lease, 'both are silent')
})

test('who goes while a name is looked up waits no longer', async () => {
  const list = new HostPool(
    { hosts: [{ name: 'a.test', port: 1 }], restMs: 1, resolveMs: 1, connectMs: 60_000, maxConcurrent: 0 },
    {
      lookup: () => new Promise(() => undefined),
      now: () => 0,
      random: () => 0,
      warn: () => undefined,
    },
  )
  const abort = new AbortController()
  const lease = list.take(new Set(), abort.signal)
  abort.abort(new Error('gone'))
  await assert.rejects(lease, /gone/)
})

test('a message that has met one that failed is spared others that may', async () => {
  const { list, use, system } = setUp(three)
  for (const outcome of ['failed', 'failed', 'worked'] as const) await use(outcome)
  system.time = 30_001
  const first = await list.take(new Set(), never)
  first?.done('failed')
  const next = await list.take(new Set([first?.text ?? '']), never)
  assert.deepEqual([first?.text, next?.text], ['10.0.0.1:3310', '10.0.0.3:3310'])
})

test('backup: asked when every host rests, is blind, is too small, or has failed the message', async () => {
  const { list, take, use } = setUp(three.slice(0, 1), { backups: three.slice(1, 2) })
  assert.deepEqual([await use(), await use()], ['10.0.0.1', '10.0.0.1'])
  const failing = await take()
  assert.equal((await take([failing.text])).text, '10.0.0.2:3310')
  list.learn(first, { type: 'selfTested', selfTest: proofOf(1000) })
  assert.equal((await list.take(new Set(), never, 1001))?.text, '10.0.0.2:3310')
  assert.equal((await list.take(new Set(), never, 1000))?.text, '10.0.0.1:3310')
  failing.done('failed')
  assert.equal(await use(), '10.0.0.2')
  list.report(first, 'worked', null)
  assert.equal(await use(), '10.0.0.1')
  list.learn(first, { type: 'selfTested', selfTest: proofOf(null, false) })
  assert.equal(await use(), '10.0.0.2')
  assert.deepEqual(
    list.states().map(({ text, role }) => [text, role]),
    [
      ['10.0.0.1:3310', 'host'],
      ['10.0.0.2:3310', 'backup'],
    ],
  )
  assert.deepEqual(await list.addresses(never), three.slice(0, 2))
})

test('backup: at start a message waits for the name of the host; the backup has it if there is none', async () => {
  const { list, system, use } = setUp([{ name: 'clamd.test', port: 3310 }], { backups: three.slice(1, 2) })
  system.resolver['clamd.test'] = ['10.0.0.1']
  assert.equal(await use(), '10.0.0.1')
  const unresolved = setUp([{ name: 'clamd.test', port: 3310 }], { backups: three.slice(1, 2) })
  assert.equal(await unresolved.use(), '10.0.0.2')
  assert.ok(list.areAllKnown && !unresolved.list.areAllKnown)
})

test('an address that is host and backup is a host', async () => {
  const { list } = setUp(three.slice(0, 2), { backups: three.slice(1) })
  await list.addresses(never)
  assert.deepEqual(
    list.states().map(({ role }) => role),
    ['host', 'host', 'backup'],
  )
})
