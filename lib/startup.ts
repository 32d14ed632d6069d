/*
 * The start-up check: every address by itself, in the background, until it answers PING or the tries are
 * used up. Tells the hosts what it found and the log one line an address; never holds up the server.
 */

import pRetry from 'p-retry'
import { addressText, type Address } from './address'
import { CommandConnection } from './clamd/connection'
import type { Connect } from './clamd/exchange'
import { Failure } from './clamd/failure'
import { command, parseOffer, parseReply, printable, type Offer } from './clamd/protocol'
import type { Hosts } from './hosts'
import type { Protocol } from './verdict'

export interface StartupSettings {
  /** Tries per address; 0: no check. */
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

/** Resolves when every address has answered or been given up, or the signal ended it; never rejects. */
export async function checkAtStart(
  settings: StartupSettings,
  hosts: Hosts,
  connect: Connect,
  log: StartupLog,
  signal: AbortSignal,
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
      onFailedAttempt: ({ error, attemptNumber }) =>
        log.trace(`${what}, try ${attemptNumber} of ${settings.maxPings}: ${reasonOf(error)}`),
    })
  const giveUp = (what: string, error: unknown) => {
    if (!signal.aborted) log.error(`${what} after ${settings.maxPings} tries: ${reasonOf(error)}`)
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
        } catch (error) {
          giveUp(`${name} does not answer`, error)
        }
      }),
    )
  } catch (error) {
    giveUp('no address of a clamd is known', error)
  }
}

async function known(hosts: Hosts, signal: AbortSignal): Promise<readonly Address[]> {
  const addresses = await hosts.addresses(signal)
  if (addresses.length === 0) throw new Failure('resolve', 'no host resolves to an address')
  return addresses
}

/** PING, then what the daemon offers. Rejects with a Failure. */
async function ask(
  address: Address,
  settings: StartupSettings,
  hosts: Hosts,
  connect: Connect,
  log: StartupLog,
  signal: AbortSignal,
): Promise<Offer> {
  const one = async (words: Buffer): Promise<string> => {
    const limit = new AbortController()
    const end = () => limit.abort(new Failure('reply', `no reply within ${settings.connectMs} ms`))
    const timer = setTimeout(end, settings.connectMs)
    signal.addEventListener('abort', end)
    try {
      const line = await CommandConnection.open({
        connect,
        address,
        connectMs: settings.connectMs,
        signal: limit.signal,
      })
      try {
        const reply = await line.ask(words, 'reply')
        log.trace(`${addressText(address)} says ${printable(reply)}`)
        return reply
      } finally {
        line.close()
      }
    } finally {
      clearTimeout(timer)
      signal.removeEventListener('abort', end)
    }
  }
  try {
    const pong = await one(command.ping)
    if (parseReply(pong).kind !== 'pong') throw new Failure('reply', `not PONG but ${printable(pong)}`)
    // Daemons before 0.95 refuse VERSIONCOMMANDS, or hang up on it.
    const askedFor = async (words: Buffer): Promise<Offer> => {
      const reply = await one(words).catch(() => '')
      signal.throwIfAborted()
      return parseOffer(reply)
    }
    const told = await askedFor(command.versionCommands)
    const offer = told.version === null ? { ...told, ...(await askedFor(command.version)) } : told
    hosts.note(address, 'worked', protocolOf(offer))
    return offer
  } catch (error) {
    hosts.note(address, 'failed', null)
    throw error
  }
}

/** What `auto` will speak; null: the daemon does not say, so the first message will show. */
function protocolOf({ commands }: Offer): Protocol | null {
  if (commands === null) return null
  if (commands.includes('STREAM')) return 'stream'
  return commands.includes('INSTREAM') ? 'instream' : null
}

function describe(offer: Offer, configured: Protocol | 'auto', isMissing: boolean): string {
  const version = offer.version ?? 'version unknown'
  if (isMissing) return `${version}, but it does not have ${configured.toUpperCase()}: set protocol=auto`
  const protocol = configured === 'auto' ? protocolOf(offer) : configured
  return `${version}, protocol ${protocol ?? 'not told, the first message will show'}`
}

function reasonOf(error: unknown): string {
  return error instanceof Failure ? `${error.step}: ${error.text}` : String(error)
}
