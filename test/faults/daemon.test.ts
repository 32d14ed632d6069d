// What can happen to a real clamd as a whole, against the packed plugin in a real Haraka: killed, stopped, restarted,
// without room for temporary files, busy. Alone and with two good ones; and as soon as it is back, it is asked again.
import assert from 'node:assert/strict'
import { spawnSync } from 'node:child_process'
import { mkdirSync, renameSync, rmSync, writeFileSync } from 'node:fs'
import { connect, type Socket } from 'node:net'
import path from 'node:path'
import { after, before, describe, test, type TestContext } from 'node:test'
import { addressText } from '../../lib/clamd/address'
import { type RealClamd, skipWithoutClamd, startClamd } from '../support/clamd/clamd'
import { until } from '../support/clamd/scanning'
import { startStreamFront, type StreamFront } from '../support/clamd/stream-front'
import { testSignatures } from '../support/eicar'
import { type Cell, keepRecord } from '../support/faults/fault-record'
import { type Fate, FaultSite } from '../support/faults/fault-site'
import { type Content, usual } from '../support/faults/fault-table'
import { onProcessEnd, TemporaryDirectory } from '../support/process'

type End = 'verdict' | 'error' | 'timeout'

const protocols = ['stream', 'instream'] as const
const contents: readonly Content[] = ['clean', 'infected']
/** A loaded machine takes seconds for what takes milliseconds. */
const scanMs = 5000
const seen: Cell[] = []

/** A Haraka with one clamd that things happen to, and perhaps two that are well. */
class Lab {
  readonly #directory = new TemporaryDirectory('faults')
  readonly temporary = path.join(this.#directory.path, 'tmp')
  readonly signatures = path.join(this.#directory.path, 'signatures')
  readonly fronts: StreamFront[] = []
  readonly #clamds: RealClamd[] = []
  #site: FaultSite | undefined
  #canMount = false

  constructor(
    readonly protocol: (typeof protocols)[number],
    readonly addresses: 1 | 3,
  ) {}

  async start(): Promise<void> {
    for (const directory of [this.temporary, this.signatures]) mkdirSync(directory)
    testSignatures(this.signatures)
    const config = {
      MaxThreads: 2,
      MaxQueue: 4,
      TemporaryDirectory: this.temporary,
      ConcurrentDatabaseReload: 'no',
    }
    this.#clamds.push(await startClamd({ config, databaseDirectory: this.signatures }))
    if (this.addresses === 3) this.#clamds.push(await startClamd())
    const [faulty, good = faulty] = this.#clamds
    for (const clamd of [faulty, good, good].slice(0, this.addresses)) {
      assert.ok(clamd)
      // STREAM has no modern daemon; INSTREAM goes through as it is.
      const ways = { stream: this.protocol === 'stream', instream: this.protocol === 'instream' }
      this.fronts.push(await startStreamFront({ clamd: { host: clamd.host, port: clamd.port }, ...ways }))
    }
    const host = this.fronts.map(({ address }) => addressText(address)).join(' ')
    this.#site = await FaultSite.start({ host, protocol: this.protocol, scanMs, connectMs: 1000 })
  }

  get clamd(): RealClamd {
    const [clamd] = this.#clamds
    assert.ok(clamd)
    return clamd
  }

  get front(): StreamFront {
    const [front] = this.fronts
    assert.ok(front)
    return front
  }

  get site(): FaultSite {
    assert.ok(this.#site)
    return this.#site
  }

  /** A message of each kind, each until the clamd in question is the first to be asked. */
  meet(): Promise<Fate[]> {
    return Promise.all(contents.map((content) => this.#meetWith(content)))
  }

  /** One after the other, for a clamd that has failed: while the first finds out, the second is spared it. */
  async meetInTurn(): Promise<Fate[]> {
    const fates: Fate[] = []
    for (const content of contents) fates.push(await this.#meetWith(content))
    return fates
  }

  async #meetWith(content: (typeof contents)[number]): Promise<Fate> {
    const first = addressText(this.front.address)
    for (let tries = 1; ; tries++) {
      const fate = await this.site.send(content, usual)
      if (fate.addresses[0] === first) return fate
      assert.equal(fate.seen.note?.outcome, content)
      assert.ok(tries < 20, 'it is never asked')
    }
  }

  /** What it is asked from now on has come to it. */
  async reached(): Promise<void> {
    const { commands } = this.front
    const before = commands.length
    await until(() => commands.length >= before + contents.length)
  }

  /** A file system with room for nothing, in place of its temporary directory; false where that is not permitted. */
  fill(): boolean {
    const options = ['-t', 'tmpfs', '-o', 'size=16k', 'tmpfs', this.temporary]
    this.#canMount = spawnSync('mount', options).status === 0
    if (this.#canMount) onProcessEnd(() => this.unfill())
    return this.#canMount
  }

  unfill(): void {
    if (this.#canMount) spawnSync('umount', [this.temporary])
    this.#canMount = false
  }

  async stop(): Promise<void> {
    this.unfill()
    await this.#site?.stop()
    await Promise.all(this.fronts.map((front) => front.stop()))
    await Promise.all(this.#clamds.map((clamd) => clamd.stop()))
    this.#directory.remove()
  }
}

interface Happening {
  readonly name: string
  /** With one address; with three another address has the verdict. */
  readonly ends: readonly End[]
  /** Lets it happen around the messages that `meet` sends. */
  readonly run: (lab: Lab, t: TestContext) => Promise<Fate[]>
  /** Makes it good again. */
  readonly mend?: (lab: Lab) => Promise<unknown> | undefined
}

const happenings: readonly Happening[] = [
  {
    name: 'clamd killed before the message',
    ends: ['error'],
    run: async (lab) => {
      await lab.clamd.kill()
      return lab.meet()
    },
    mend: (lab) => lab.clamd.restart(),
  },
  {
    name: 'clamd killed with the message in its hands',
    ends: ['error'],
    run: async (lab) => {
      lab.clamd.pause()
      const reached = lab.reached()
      const met = lab.meet()
      await reached
      await lab.clamd.kill()
      return met
    },
    mend: (lab) => lab.clamd.restart(),
  },
  {
    name: 'clamd stopped (SIGSTOP)',
    ends: ['timeout'],
    run: (lab) => {
      lab.clamd.pause()
      return lab.meet()
    },
    mend: (lab) => {
      lab.clamd.resume()
      return undefined
    },
  },
  {
    name: 'clamd stopped, and resumed in time',
    ends: ['verdict'],
    run: async (lab) => {
      lab.clamd.pause()
      const reached = lab.reached()
      const met = lab.meet()
      await reached
      lab.clamd.resume()
      return met
    },
  },
  {
    name: 'clamd restarted during the scan',
    ends: ['verdict', 'error'],
    run: async (lab) => {
      const restarted = lab.clamd.restart()
      const fates = [...(await lab.meet()), ...(await lab.meet())]
      await restarted
      return fates
    },
  },
  {
    name: 'clamd reloading its signatures, not concurrently',
    // How long it takes depends on the machine.
    ends: ['verdict', 'timeout'],
    run: async (lab) => {
      const many = Array.from({ length: 2000 }, (_, i) => {
        const number = i.toString(16).padStart(8, '0')
        return `Test.${number}:0:*:${Buffer.from(`never seen ${number}`).toString('hex')}\n`
      })
      writeFileSync(path.join(lab.signatures, 'more.ndb'), many.join(''))
      assert.equal(await lab.clamd.ask('nRELOAD\n'), 'RELOADING')
      return [...(await lab.meet()), ...(await lab.meetInTurn())]
    },
    mend: (lab) => {
      rmSync(path.join(lab.signatures, 'more.ndb'))
      return lab.clamd.restart()
    },
  },
  {
    name: 'temporary directory full',
    ends: ['error'],
    run: (lab, t) => {
      if (lab.fill()) return lab.meet()
      t.skip('mounting a small file system is not permitted here')
      return Promise.resolve([])
    },
    mend: (lab) => {
      lab.unfill()
      return undefined
    },
  },
  {
    name: 'temporary directory missing',
    ends: ['error'],
    run: (lab) => {
      renameSync(lab.temporary, `${lab.temporary}.away`)
      return lab.meet()
    },
    mend: (lab) => {
      renameSync(`${lab.temporary}.away`, lab.temporary)
      return undefined
    },
  },
  {
    name: 'every thread busy and MaxQueue full',
    ends: ['timeout', 'error'],
    run: async (lab) => {
      const crowd = await occupy(lab.clamd)
      try {
        return await lab.meet()
      } finally {
        for (const socket of crowd) socket.destroy()
      }
    },
    // It would go on with what it was asked for a while.
    mend: (lab) => lab.clamd.restart(),
  },
]

/** More long jobs than it has threads and queue. Resolves when they are on their way and PING is not answered. */
async function occupy(clamd: RealClamd): Promise<Socket[]> {
  const crowd: Socket[] = []
  for (let i = 0; i < 12; i++) {
    const socket = connect({ host: clamd.host, port: clamd.port })
    socket.on('error', () => undefined).resume()
    await new Promise((resolve) => socket.once('connect', resolve).once('close', resolve))
    socket.write('nCONTSCAN /usr\n')
    crowd.push(socket)
  }
  return crowd
}

describe('a real clamd in trouble', { concurrency: 4, skip: skipWithoutClamd() }, () => {
  after(() => keepRecord('daemon', seen))
  for (const protocol of protocols) {
    for (const addresses of [1, 3] as const) {
      describe(`${protocol}, ${addresses === 1 ? 'one address' : 'three'}`, { concurrency: 1 }, () => {
        const lab = new Lab(protocol, addresses)
        before(() => lab.start())
        after(() => lab.stop())

        test('no fault', async () => {
          for (const { content, seen } of await lab.meet()) assert.equal(seen.note?.outcome, content)
          await lab.site.settle()
        })

        for (const { name, ends, run, mend } of happenings) {
          test(name, async (t) => {
            const fates = await run(lab, t)
            await mend?.(lab)
            // At once: host_rest is 0 here, and nothing else may keep it away.
            const next = await lab.meet()
            for (const fate of fates) {
              const { note, log } = fate.seen
              const got = note?.outcome === fate.content ? 'verdict' : (note?.reason ?? 'no note')
              const possible: readonly End[] = addresses === 3 ? ['verdict'] : ends
              assert.ok(
                possible.some((end) => end === got),
                `${got}, not ${possible.join()}:\n${log.join('\n')}`,
              )
              const { content, reply, ms } = fate
              seen.push({ row: name, protocol, addresses, content, code: reply.code, ms, budgetMs: scanMs })
            }
            for (const { content, seen } of next)
              assert.equal(seen.note?.outcome, content, seen.log.join('\n'))
            await Promise.all(lab.fronts.map((front) => front.idle()))
            await lab.site.assertNothingLeft()
          })
        }
      })
    }
  }
})
