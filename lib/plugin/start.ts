/*
 * Starts what runs beside mail, by the role of the process: start-up check, health monitor, and the memory of failed messages
 * that a cluster shares.
 */

import { setMaxListeners } from 'node:events'
import { ToMaster, ToWorkers } from '../base/cluster-channel'
import type { Address } from '../clamd/address'
import type { Plugin, Server } from '../haraka/types'
import { followMaster, serveWorkers } from '../health/cluster-sync'
import { HealthMonitor } from '../health/monitor'
import { checkAtStart } from '../health/startup-check'
import type { AddressNews } from '../hosts/host-pool'
import type { HealthEvent } from '../hosts/host-state'
import { followFailures, keepFailures } from '../scan/failure-sync'
import { type Runtime, runtimeOf, topicOf } from './runtime'
import { warnOfQuarantine } from './start-warnings'

/** A process of a Haraka: the only one, or one of a cluster. The master takes no mail. */
type Role = 'alone' | 'master' | 'worker'

const roles = new WeakMap<Plugin, Role>()

/**
 * Starts the health check, at the first call. Hooks call it at Haraka's start, but a plugin before ours may stop them, with
 * OK or without an answer.
 */
export function begin(plugin: Plugin, { cluster }: Server): void {
  if (roles.has(plugin)) return
  const role = cluster ? (cluster.isMaster ? 'master' : 'worker') : 'alone'
  startHealthCheck(plugin, role)
  shareFailures(plugin, role)
  tryQuarantine(plugin)
}

/** Not before the start. The master keeps no copies, and is not yet the user that the workers are. */
export function tryQuarantine(plugin: Plugin): void {
  const role = roles.get(plugin)
  if (role === 'alone' || role === 'worker') warnOfQuarantine(plugin, runtimeOf(plugin).settings)
}

/**
 * Starts the start-up check and the health monitor, in the background. In a cluster each worker checks which addresses it
 * reaches; the monitor, with the self test, runs in the master, which tells the workers.
 */
function startHealthCheck(plugin: Plugin, role: Role): void {
  roles.set(plugin, role)
  const runtime = runtimeOf(plugin)
  const { startup, scan, health, debug } = runtime.settings
  const { connect } = runtime.dialling
  if (startup.maxPings === 0) return
  const { signal } = (runtime.healthCheck = new AbortController())
  // Every address adds listeners.
  setMaxListeners(0, signal)
  const log = {
    trace: (text: string) => plugin[debug ? 'loginfo' : 'logdebug'](text),
    info: (text: string) => plugin.loginfo(text),
    warn: (text: string) => plugin.logwarn(text),
    error: (text: string) => plugin.logerror(text),
  }
  // During a reload master and workers may have different settings.
  const topic = topicOf(plugin, runtime.settings)
  const failed = (error: unknown) => log.error(`cluster message ignored: ${String(error)}`)
  const learn = (address: Address, event: HealthEvent) => {
    if (event.type === 'capabilities') runtime.clamd.learn(address, event)
    runtime.hosts.learn(address, event)
  }
  const check = (answered: HealthMonitor['answered']) => {
    const settings = { ...startup, connectMs: scan.connectMs, protocol: scan.protocol }
    checkAtStart(settings, runtime.hosts, connect, log, signal, answered).catch((error: unknown) =>
      plugin.logerror(`start-up check failed: ${String(error)}`),
    )
  }
  if (role === 'worker') {
    runtime.onAddressNews = followMaster(new ToMaster(topic, failed), learn, signal)
    check((address, offer) => learn(address, { type: 'capabilities', ...offer }))
    return
  }
  let tell = learn
  const monitor = new HealthMonitor(
    { ...scan, ...health, pingIntervalMs: startup.pingIntervalMs },
    {
      connect,
      now: () => performance.now(),
      date: Date.now,
      log,
      addresses: (ends) => runtime.hosts.addresses(ends),
      tell: (address, event) => tell(address, event),
    },
    signal,
  )
  const onAddressNews = (runtime.onAddressNews = (address: Address, news: AddressNews) =>
    monitor.onAddressNews(address, news))
  if (role === 'master') {
    tell = serveWorkers(new ToWorkers(topic, failed), () => monitor.known(), onAddressNews, signal)
    monitor.run('at once')
  } else {
    monitor.run('after a pause')
    check((address, offer) => monitor.answered(address, offer))
  }
}

function shareFailures(plugin: Plugin, role: Role): void {
  const { failures } = runtimeOf(plugin)
  const failed = (error: unknown) => plugin.logerror(`cluster message ignored: ${String(error)}`)
  const topic = `${plugin.name} failures`
  if (role === 'master') keepFailures(failures, new ToWorkers(topic, failed))
  else if (role === 'worker') followFailures(failures, new ToMaster(topic, failed))
}

/** After a reload, if it was started before. @param old what was in force until then */
export function restart(plugin: Plugin, old: Runtime): void {
  const role = roles.get(plugin)
  if (!role) return
  old.healthCheck?.abort()
  startHealthCheck(plugin, role)
}
