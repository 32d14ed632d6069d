// The contenders: mail servers, their scanners, and the processes whose CPU time belongs to each.
import type { RealClamd } from '../test/support/clamd/clamd'
import { FrontProcess } from './front'
import type { Target } from './load'
import type { Kind } from './messages'
import { clamavMilter, rspamd, type StartMilter } from './milters'
import { Postfix } from './postfix'
import {
  type Site,
  startSite,
  withClamavStream,
  withHarakaPluginClamd,
  withLeastScan,
  withNullSink,
  withoutScanning,
} from './sites'

export const contenderNames = [
  'none',
  'null',
  'least',
  'clamd',
  'instream',
  'message',
  'odd',
  'all',
  'parts',
  'stream',
  'postfix',
  'milter',
  'milter-unix',
  'rspamd',
  'bare',
  'bare-stream',
] as const
export type ContenderName = (typeof contenderNames)[number]

export const titles: Record<ContenderName, string> = {
  none: 'Haraka without scanning',
  null: 'Haraka, null sink',
  least: 'Haraka, a plugin that only sends',
  clamd: 'Haraka, haraka-plugin-clamd',
  instream: 'Haraka, this plugin, INSTREAM',
  message: 'Haraka, this plugin, scan=message',
  odd: 'Haraka, this plugin, odd mail',
  all: 'Haraka, this plugin, scan=all',
  parts: 'Haraka, this plugin, scan=parts',
  stream: 'Haraka, this plugin, STREAM',
  postfix: 'Postfix without scanning',
  milter: 'Postfix, clamav-milter over TCP (INSTREAM)',
  'milter-unix': 'Postfix, clamav-milter over a unix socket (FILDES)',
  rspamd: 'Postfix, rspamd with its antivirus module alone',
  bare: 'bare client, INSTREAM',
  'bare-stream': 'bare client, STREAM',
}

/** The same server without scanning. The bare clients have no server, and add all they cost. */
export const baselines: Partial<Record<ContenderName, ContenderName>> = {
  null: 'none',
  least: 'none',
  clamd: 'none',
  instream: 'none',
  message: 'none',
  odd: 'none',
  all: 'none',
  parts: 'none',
  stream: 'none',
  milter: 'postfix',
  'milter-unix': 'postfix',
  rspamd: 'postfix',
}

export interface Contender<Name extends string = ContenderName> {
  name: Name
  target: Target
  /** What it is sent in place of what the others get. */
  kind?: Kind
  /** Roots of the mail server's processes. */
  serverPids: number[]
  /** The test front's, which is neither the server's nor clamd's. */
  frontPids: number[]
  /** Resolves when nothing of what was sent is still being worked on. */
  settled(): Promise<void>
  stop(): Promise<void>
}

/** Rejects with the reason in words where a program is not there. */
export async function startContender(name: ContenderName, clamd: RealClamd): Promise<Contender> {
  const address = `${clamd.host}:${clamd.port}`
  switch (name) {
    case 'none':
      return harakaContender(name, withoutScanning())
    case 'null':
      return harakaContender(name, withNullSink())
    case 'least':
      return harakaContender(name, withLeastScan(clamd.port))
    case 'clamd':
      return harakaContender(name, withHarakaPluginClamd([address]))
    case 'instream':
      return harakaContender(name, withClamavStream([address]))
    case 'message':
    case 'all':
    case 'parts':
      return harakaContender(name, withClamavStream([address], `scan=${name}`))
    case 'odd':
      return { ...(await harakaContender(name, withClamavStream([address]))), kind: 'odd' }
    case 'stream': {
      const front = await FrontProcess.start(clamd.port)
      const site = withClamavStream([`127.0.0.1:${front.port}`], 'protocol=stream')
      return withFront(await harakaContender(name, site), front)
    }
    case 'postfix':
      return postfixContender(name)
    case 'milter':
      return postfixContender(name, clamavMilter(clamd, 'tcp'))
    case 'milter-unix':
      return postfixContender(name, clamavMilter(clamd, 'unix'))
    case 'rspamd':
      return postfixContender(name, rspamd(clamd))
    case 'bare':
      return bareContender(name, { instream: clamd.port })
    case 'bare-stream': {
      const front = await FrontProcess.start(clamd.port)
      return withFront(bareContender(name, { stream: front.port }), front)
    }
  }
}

export async function harakaContender<Name extends string>(name: Name, site: Site): Promise<Contender<Name>> {
  const server = await startSite(site)
  return {
    name,
    target: { smtp: server.port },
    serverPids: [server.pid],
    frontPids: [],
    settled: () => Promise.resolve(),
    stop: async () => {
      await server.stop()
    },
  }
}

async function postfixContender(name: ContenderName, milter?: StartMilter): Promise<Contender> {
  const server = await Postfix.start(milter)
  return {
    name,
    target: { smtp: server.port },
    serverPids: server.pids,
    frontPids: [],
    settled: () => server.idle(),
    stop: () => server.stop(),
  }
}

function bareContender(name: ContenderName, target: Target): Contender {
  const nothing = () => Promise.resolve()
  return { name, target, serverPids: [], frontPids: [], settled: nothing, stop: nothing }
}

function withFront(contender: Contender, front: FrontProcess): Contender {
  return {
    ...contender,
    frontPids: [front.pid],
    stop: async () => {
      await contender.stop()
      await front.stop()
    },
  }
}
