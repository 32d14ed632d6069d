/*
 * The start-up check: sends PING to every address in the background until it answers or the tries are used up. Reports to
 * the host pool and logs one line per address; never delays the server.
 */

import ms from 'ms'
import pRetry from 'p-retry'
import { type Address, addressText } from '../clamd/address'
import { queryCapabilities } from '../clamd/capabilities'
import type { Connect } from '../clamd/connection'
import { ClamdError, errorText, isLocalShortage } from '../clamd/errors'
import { type Capabilities, type Protocol, protocolOf } from '../clamd/protocol'
import type { HostPool } from '../hosts/host-pool'

export interface StartupSettings {
  /** Maximum number of tries per address; 0: no check. */
  readonly maxPings: number
  readonly pingIntervalMs: number
  readonly connectMs: number
  readonly protocol: Protocol | 'auto'
}

export interface StartupLog {
  trace(text: string): void
  info(text: string): void
  warn(text: string): void
  error(text: string): void
}

/**
 * Resolves when every address has answered or used up its tries, or when the signal aborts; never rejects.
 * @param answered called for each address that answers
 */
export async function checkAtStart(
  settings: StartupSettings,
  hosts: HostPool,
  connect: Connect,
  log: StartupLog,
  signal: AbortSignal,
  answered: (address: Address, offer: Capabilities) => void = () => undefined,
): Promise<void> {
  if (settings.maxPings === 0) return
  const patiently = <T>(what: string, attempt: () => Promise<T>): Promise<T> =>
    pRetry(attempt, {
      retries: settings.maxPings - 1,
      minTimeout: settings.pingIntervalMs,
      factor: 1,
      unref: true,
      signal,
      shouldRetry: () => !signal.aborted,
      onFailedAttempt: ({ error, attemptNumber, retriesLeft }) => {
        const text = `${what}, try ${attemptNumber} of ${settings.maxPings}: ${errorText(error)}`
        // The last one is told below.
        if (attemptNumber === 1 && retriesLeft > 0 && !signal.aborted)
          log.warn(`${text}; next try in ${ms(settings.pingIntervalMs)}`)
        else log.trace(text)
      },
    })
  const giveUp = (what: string, error: unknown) => {
    if (!signal.aborted) log.error(`${what} after ${settings.maxPings} tries: ${errorText(error)}`)
  }

  try {
    const addresses = await patiently('host names', () => known(hosts, signal))
    await Promise.all(
      addresses.map(async (address) => {
        const name = `clamd ${addressText(address)}`
        try {
          const offer = await patiently(name, () => ask(address, settings, hosts, connect, log, signal))
          const isMissing =
            settings.protocol !== 'auto' &&
            offer.commands?.includes(settings.protocol.toUpperCase()) === false
          log[isMissing ? 'warn' : 'info'](
            `${name} answers: ${describe(offer, settings.protocol, isMissing)}`,
          )
          answered(address, offer)
        } catch (error) {
          giveUp(`${name} does not answer`, error)
        }
      }),
    )
  } catch (error) {
    giveUp('no address of a clamd is known', error)
  }
}

async function known(hosts: HostPool, signal: AbortSignal): Promise<readonly Address[]> {
  const addresses = await hosts.addresses(signal)
  if (addresses.length === 0) throw new ClamdError('resolve', 'no host resolves to an address')
  return addresses
}

/** Queries an address and reports the outcome to the host pool. Rejects with a ClamdError. */
async function ask(
  address: Address,
  settings: StartupSettings,
  hosts: HostPool,
  connect: Connect,
  log: StartupLog,
  signal: AbortSignal,
): Promise<Capabilities> {
  try {
    const trace = (text: string) => log.trace(`${addressText(address)} ${text}`)
    const offer = await queryCapabilities(address, { connect, connectMs: settings.connectMs, signal, trace })
    hosts.report(address, 'worked', protocolOf(offer))
    return offer
  } catch (error) {
    // Without a file descriptor no address was asked.
    const isOurs = error instanceof ClamdError && isLocalShortage(error.cause)
    if (!signal.aborted && !isOurs) hosts.report(address, 'failed', null)
    throw error
  }
}

function describe(offer: Capabilities, configured: Protocol | 'auto', isMissing: boolean): string {
  const version = offer.version ?? 'version unknown'
  if (isMissing) return `${version}, but it does not have ${configured.toUpperCase()}: set protocol=auto`
  const protocol = configured === 'auto' ? protocolOf(offer) : configured
  return `${version}, protocol ${protocol ?? 'not told, the first message will show'}`
}
