/*
 * Metrics and page in Haraka: on its HTTP server in every process that has one, and in the master of a cluster the
 * exchange between the workers. Without `listen` in http.ini none of it begins. Outside the path of a message.
 */

import { readFileSync } from 'node:fs'
import path from 'node:path'
import { ToMaster, ToWorkers, type Failed } from '../base/cluster-channel'
import type { Plugin, Server } from '../haraka/types'
import { currentOf } from '../plugin/runtime'
import { quarantinePlugin } from '../haraka/environment'
import {
  alone,
  Master,
  Worker,
  type Fold,
  type Gather,
  type SnapshotKind,
  type TakeSnapshot,
} from './cluster-collect'
import { Quarantine } from './dashboard/quarantine-summary'
import { remains, type MetricsSnapshot } from './metrics'
import { loadProm, recordWith, Recorder, type PageSnapshot } from './recorder'
import { Handler, type HandlerRequest } from './http-handler'
import { remainsOfPages } from './dashboard/view'

/** What ends the plugin's part in this process. */
const ends = new WeakMap<Plugin, () => void>()

/** For init_http: begins to record, and puts the site where Haraka's own files and its 404 come after it. */
export function serve(plugin: Plugin, { cluster, http }: Server): void {
  const app = http?.app
  if (!app) return
  const settings = () => currentOf(plugin).settings.http
  const warn = (text: string) => plugin.logwarn(text)
  const recorder = new Recorder({
    settings,
    states: () => currentOf(plugin).hosts.states(),
    version: versionOf(plugin),
    warn,
  })
  const answer = (part: SnapshotKind) => recorder.snapshot(part)
  const isWorker = cluster !== undefined && !cluster.isMaster
  const { gather, stop } = isWorker
    ? follow(plugin, answer)
    : { gather: alone(answer), stop: () => undefined }
  const quarantine = new Quarantine(() => quarantineFolder(plugin), Date.now)
  const site = new Handler({ settings, gather, prom: loadProm, quarantine, warn })
  app.use('/clamav-stream', (request: HandlerRequest, response, next) => site.handle(request, response, next))
  recordWith(plugin, recorder)
  ends.set(plugin, () => {
    stop()
    site.end()
  })
}

/** For init_master of a cluster: the workers find each other through here. */
export function introduce(plugin: Plugin, { cluster, http }: Server): void {
  if (!cluster?.isMaster || !http?.cfg?.listen) return
  const workers = new ToWorkers(topicOf(plugin), failedIn(plugin))
  const master = new Master(workers, foldOf)
  const stop = workers.listen(
    (words, from) => master.hear(words, from),
    (worker) => master.lost(worker),
  )
  ends.set(plugin, stop)
}

/** Ends what browsers keep open, and the talk between the processes. */
export function stopServing(plugin: Plugin): void {
  ends.get(plugin)?.()
}

function follow(
  plugin: Plugin,
  answer: TakeSnapshot,
): { readonly gather: Gather; readonly stop: () => void } {
  const master = new ToMaster(topicOf(plugin), failedIn(plugin))
  const worker = new Worker(master, answer)
  return { gather: worker.gather, stop: master.listen((words) => worker.hear(words)) }
}

const topicOf = (plugin: Plugin) => `http ${plugin.name}`

function failedIn(plugin: Plugin): Failed {
  return (error) => plugin.logwarn(`metrics and page miss a process: ${String(error)}`)
}

async function foldOf(part: SnapshotKind): Promise<Fold> {
  if (part === 'page') return (answers) => remainsOfPages(answers as readonly PageSnapshot[], Date.now())
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
