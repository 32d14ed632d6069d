/*
 * Metrics and page in Haraka: on its HTTP server in every process that has one, and in the master of a cluster the
 * exchange between the workers. Without `listen` in http.ini none of it begins. Outside the path of a message.
 */

import { readFileSync } from 'node:fs'
import path from 'node:path'
import type { Cluster, Plugin, Server } from '../haraka'
import { currentOf } from '../live'
import { quarantinePlugin } from '../neighbours'
import { alone, Master, Worker, type Channel, type Gather, type SnapshotKind } from './crew'
import { Quarantine } from './kept'
import { remains, type MetricsSnapshot } from './metrics'
import { loadProm, recordWith, Recorder, type PageSnapshot } from './recorder'
import { Handler, type HandlerRequest } from './handler'
import { remainsOfPages } from './view'

const sites = new WeakMap<Plugin, Handler>()

/** For init_http: begins to record, and puts the site where Haraka's own files and its 404 come after it. */
export function serve(plugin: Plugin, { cluster, http }: Server): void {
  const app = http?.app
  if (!app) return
  const { warn, settings } = { warn: (text: string) => plugin.logwarn(text), settings: settingsOf(plugin) }
  const recorder = new Recorder({
    settings,
    states: () => currentOf(plugin).hosts.states(),
    version: versionOf(plugin),
    warn,
  })
  const answer = (part: SnapshotKind) => recorder.snapshot(part)
  const quarantine = new Quarantine(() => quarantineFolder(plugin), Date.now)
  const gather = cluster && !cluster.isMaster ? inCluster(answer) : alone(answer)
  const site = new Handler({ settings, gather, prom: loadProm, quarantine, warn })
  app.use('/clamav-stream', (request: HandlerRequest, response, next) => site.handle(request, response, next))
  recordWith(plugin, recorder)
  sites.set(plugin, site)
}

/** For init_master of a cluster: the workers find each other through here. */
export function introduce(plugin: Plugin, { cluster, http }: Server): void {
  if (!cluster?.isMaster || !http?.cfg?.listen) return
  const master = new Master(() => workersOf(cluster), foldOf)
  // What is thrown in a listener would end the server.
  const guarded = (work: () => void) => {
    try {
      work()
    } catch (error) {
      plugin.logwarn(`metrics and page miss a worker: ${String(error)}`)
    }
  }
  cluster.on('message', (worker, message) => guarded(() => master.hear(worker.id, message)))
  // Not "exit": Haraka takes all listeners off that for a restart.
  cluster.on('disconnect', (worker) => guarded(() => master.lost(worker.id)))
}

/** Ends what browsers keep open. */
export function stopServing(plugin: Plugin): void {
  sites.get(plugin)?.end()
}

function settingsOf(plugin: Plugin) {
  return () => currentOf(plugin).settings.http
}

function inCluster(answer: (part: SnapshotKind) => Promise<unknown>): Gather {
  const master: Channel = {
    isConnected: () => process.connected,
    send: (message) => void process.send?.(message, () => undefined),
  }
  const worker = new Worker(master, answer)
  process.on('message', (message: unknown) => worker.hear(message))
  return worker.gather
}

function workersOf({ workers = {} }: Cluster): Map<number, Channel> {
  const channels = Object.values(workers).flatMap((worker) => (worker ? [worker] : []))
  return new Map(
    channels.map((worker) => [
      worker.id,
      {
        isConnected: () => worker.isConnected(),
        send: (message) => void worker.send(message, () => undefined),
      },
    ]),
  )
}

async function foldOf(part: SnapshotKind): Promise<(answers: readonly unknown[]) => unknown> {
  if (part === 'page') return (answers) => remainsOfPages(answers as readonly PageSnapshot[])
  const prom = await loadProm()
  return (answers) => remains(prom, answers as readonly MetricsSnapshot[])
}

function quarantineFolder(plugin: Plugin): string | null {
  const base = quarantinePlugin(plugin)?.get_base_dir?.()
  return base === undefined ? null : path.join(base, currentOf(plugin).settings.quarantineFolder)
}

/** Of this package, from its package.json, which is what Haraka has loaded. */
function versionOf(plugin: Plugin): string {
  try {
    const { version } = JSON.parse(readFileSync(plugin.plugin_path ?? '', 'utf8')) as { version?: unknown }
    return typeof version === 'string' ? version : 'unknown'
  } catch {
    return 'unknown'
  }
}
