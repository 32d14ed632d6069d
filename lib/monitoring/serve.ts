/*
 * Serves metrics and page on Haraka's HTTP server, in every process that has one; the master of a cluster collects from the
 * workers. Inactive without `listen` in http.ini. Not in the path of a message.
 */

import { readFileSync } from 'node:fs'
import path from 'node:path'
import { type Failed, ToMaster, ToWorkers } from '../base/cluster-channel'
import type { Settings } from '../config/settings'
import { quarantinePlugin } from '../haraka/environment'
import type { Plugin, Server } from '../haraka/types'
import type { HostPool } from '../hosts/host-pool'
import type { Scanner } from '../scan/scanner'
import {
  alone,
  type Collect,
  Master,
  type Merge,
  type SnapshotKind,
  type TakeSnapshot,
  Worker,
} from './cluster-collect'
import { logForWorkers, MessageLog, type MessageStore, RelayedLog } from './dashboard/message-log'
import { Quarantine } from './dashboard/quarantine-summary'
import { Rescan } from './dashboard/rescan'
import { mergeStats, type StatsSnapshot } from './dashboard/stats'
import { deadWorkersPage } from './dashboard/view'
import { Handler } from './http-handler'
import { deadWorkersSnapshot, type MetricsSnapshot } from './metrics'
import { loadProm, type PageSnapshot, Recorder, recordWith } from './recorder'
import type { HandlerRequest } from './responses'

/** Stops serving in this process. */
const ends = new WeakMap<Plugin, () => void>()

/** The current settings and hosts. */
export interface Running {
  readonly settings: Pick<Settings, 'health' | 'http' | 'quarantineFolder' | 'rules'>
  readonly hosts: Pick<HostPool, 'states'>
  readonly scanner: Pick<Scanner, 'scan'>
}

/**
 * For init_http: starts recording, and mounts the handler before Haraka's static files and its 404.
 * @param running called for each use, because a reload changes it
 */
export function serve(plugin: Plugin, { cluster, http }: Server, running: () => Running): void {
  const app = http?.app
  if (!app) return
  const settings = () => running().settings.http
  const warn = (text: string) => plugin.logwarn(text)
  const isWorker = cluster !== undefined && !cluster.isMaster
  const { messages, stop: stopMessages } = isWorker ? relay(plugin) : ownLog()
  const recorder = new Recorder({
    settings,
    states: () => running().hosts.states(),
    messages,
    version: versionOf(plugin),
    warn,
  })
  const answer = (part: SnapshotKind) => recorder.snapshot(part)
  const { collect, stop } = isWorker
    ? follow(plugin, answer)
    : { collect: alone(answer), stop: () => undefined }
  const folder = () => quarantineFolder(plugin, running().settings)
  const handler = new Handler({
    settings,
    collect,
    messages,
    prom: loadProm,
    quarantine: new Quarantine(folder, Date.now),
    rescan: new Rescan(folder, () => running().scanner),
    alerts: () => {
      const { rules, health } = running().settings
      return { onError: rules.unscanned.error, maxSignatureAgeMs: health.maxSignatureAgeMs }
    },
    warn,
  })
  app.use('/clamav-stream', (request: HandlerRequest, response, next) =>
    handler.handle(request, response, next),
  )
  recordWith(plugin, recorder)
  ends.set(plugin, () => {
    stop()
    stopMessages()
    handler.end()
  })
}

/** For the master of a cluster: connects the workers. Only the first call has an effect. */
export function connectWorkers(plugin: Plugin, { cluster, http }: Server): void {
  if (!cluster?.isMaster || !http?.cfg?.listen || ends.has(plugin)) return
  const workers = new ToWorkers(topicOf(plugin), failedIn(plugin))
  const master = new Master(workers, mergerFor)
  const stop = workers.listen(
    (payload, from) => master.receive(payload, from),
    (worker) => master.onExit(worker),
  )
  const logs = new ToWorkers(messagesTopicOf(plugin), failedIn(plugin))
  const stopMessages = logs.listen(logForWorkers(new MessageLog(Date.now), logs))
  ends.set(plugin, () => {
    stop()
    stopMessages()
  })
}

/** Closes open event streams and the cluster channel. */
export function stopServing(plugin: Plugin): void {
  ends.get(plugin)?.()
}

function follow(
  plugin: Plugin,
  answer: TakeSnapshot,
): { readonly collect: Collect; readonly stop: () => void } {
  const master = new ToMaster(topicOf(plugin), failedIn(plugin))
  const worker = new Worker(master, answer)
  return { collect: worker.collect, stop: master.listen((payload) => worker.receive(payload)) }
}

function ownLog(): { readonly messages: MessageStore; readonly stop: () => void } {
  return { messages: new MessageLog(Date.now), stop: () => undefined }
}

function relay(plugin: Plugin): { readonly messages: MessageStore; readonly stop: () => void } {
  const master = new ToMaster(messagesTopicOf(plugin), failedIn(plugin))
  const messages = new RelayedLog(master)
  return { messages, stop: master.listen((payload) => messages.receive(payload)) }
}

const topicOf = (plugin: Plugin) => `http ${plugin.name}`
const messagesTopicOf = (plugin: Plugin) => `messages ${plugin.name}`

function failedIn(plugin: Plugin): Failed {
  return (error) => plugin.logwarn(`metrics and page miss a process: ${String(error)}`)
}

async function mergerFor(part: SnapshotKind): Promise<Merge> {
  if (part === 'page') return (answers) => deadWorkersPage(answers as readonly PageSnapshot[], Date.now())
  if (part === 'figures')
    return (answers) =>
      mergeStats(
        (answers as readonly (StatsSnapshot | null)[]).flatMap((one) => one ?? []),
        Date.now(),
      )
  const prom = await loadProm()
  return (answers) => deadWorkersSnapshot(prom, answers as readonly MetricsSnapshot[])
}

function quarantineFolder(plugin: Plugin, settings: Running['settings']): string | null {
  const base = quarantinePlugin(plugin)?.get_base_dir?.()
  return base === undefined ? null : path.join(base, settings.quarantineFolder)
}

/** The version in this package's package.json. */
function versionOf(plugin: Plugin): string {
  try {
    const { version } = JSON.parse(readFileSync(plugin.plugin_path ?? '', 'utf8')) as { version?: unknown }
    return typeof version === 'string' ? version : 'unknown'
  } catch {
    return 'unknown'
  }
}
