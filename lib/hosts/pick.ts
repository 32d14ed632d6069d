/*
 * Which address gets the next message, or how long it waits for one. Pure: host-pool.ts has the list and the clock.
 */

import type { Address } from '../clamd/address'
import { breakerOf, type HostState, isSuspect, isUntrusted, limitOf } from './host-state'
import { type Load, slowMs } from './load'

/** An address of the list. */
export interface Candidate {
  readonly address: Address
  /** `host:port`, `[v6]:port` or the path of a socket. */
  readonly text: string
  /** The key of [main] that lists it. */
  readonly role: 'host' | 'backup'
  readonly state: HostState
  readonly load: Load
}

export interface Wanted {
  /** Size of the message in bytes. */
  readonly bytes: number
  /** The texts of the addresses that the message was sent to before. */
  readonly tried: ReadonlySet<string>
  /** Place in the list at which the round robin begins. */
  readonly turn: number
  readonly nowMs: number
  /** Until then messages wait for the first self test of an address. */
  readonly checksDueAtMs: number
  /** Scans in flight per address; 0: no limit. */
  readonly maxConcurrent: number
  /** The message has waited for a first connection. */
  readonly hasPaused: boolean
}

/**
 * The other addresses that the message may still go to. `well`: one of them has not failed, or has found the test file
 * since. `doubtful`: all have failed since. `none`: there are none.
 */
export type Others = 'well' | 'doubtful' | 'none'

export type Choice<Host> =
  | { readonly type: 'take'; readonly host: Host; readonly others: Others; readonly spare: readonly Host[] }
  /** For an address that is full, or not tested yet. ms null: until something changes. */
  | { readonly type: 'wait'; readonly ms: number | null }
  /** For the first connection to an address, once per message. */
  | { readonly type: 'pause'; readonly ms: number }
  /** No address is left that may get the message. */
  | { readonly type: 'none' }

export function pick<Host extends Candidate>(list: readonly Host[], wanted: Wanted): Choice<Host> {
  const { tried, bytes, nowMs, turn, hasPaused } = wanted
  const left = list.filter(
    ({ text, state }) => !tried.has(text) && !isUntrusted(state) && bytes <= limitOf(state, nowMs),
  )
  if (left.length === 0) return { type: 'none' }
  const candidates = tested(preferred(left, nowMs), wanted)
  const host = candidates && best(candidates, inTurn(list, turn), wanted)
  if (!host) return { type: 'wait', ms: nextChangeMs(left, wanted) }
  if (!hasPaused && host.load.isDialling && isFirstContactPending(candidates, nowMs))
    return { type: 'pause', ms: slowMs }
  const spare = left.filter((one) => one !== host)
  return { type: 'take', host, others: othersOf(spare), spare }
}

function isAwake({ state }: Candidate, nowMs: number): boolean {
  return breakerOf(state, nowMs) !== 'open'
}

/** The addresses of `host`; those of `backup` when none of them is left, or all rest. All when all rest. */
function preferred<Host extends Candidate>(left: readonly Host[], nowMs: number): readonly Host[] {
  const awake = left.filter((host) => isAwake(host, nowMs))
  const role = awake.some((host) => host.role === 'host') ? 'host' : 'backup'
  return awake.length === 0 ? left : left.filter((host) => host.role === role)
}

/**
 * The tested addresses; all addresses once the time for self tests is over.
 * @returns null: no address that does not rest has been tested, so the message waits
 */
function tested<Host extends Candidate>(
  left: readonly Host[],
  { nowMs, checksDueAtMs }: Wanted,
): readonly Host[] | null {
  if (nowMs >= checksDueAtMs) return left
  const awake = left.filter((host) => isAwake(host, nowMs))
  const known = awake.filter(({ state }) => state.eicar !== 'unknown')
  if (known.length > 0) return known
  return awake.length > 0 ? null : left
}

function inTurn<Host>(list: readonly Host[], turn: number): readonly Host[] {
  const first = turn % list.length
  return [...list.slice(first), ...list.slice(0, first)]
}

/** The next address in turn with a free place. Resting ones only when all rest, the one with the oldest rest first. */
function best<Host extends Candidate>(
  candidates: readonly Host[],
  order: readonly Host[],
  { tried, nowMs, maxConcurrent }: Wanted,
): Host | undefined {
  const hasRoom = ({ load }: Host) => maxConcurrent === 0 || load.inFlight < maxConcurrent
  const awake = candidates.filter((host) => isAwake(host, nowMs))
  if (awake.length === 0) return candidates.toSorted(byRest).find(hasRoom)

  const withRoom = order.filter((host) => awake.includes(host) && hasRoom(host))
  // A message that an address has failed goes where none has.
  const closed = tried.size > 0 ? withRoom.filter(({ state }) => state.restsUntilMs === null) : []
  const open = orAll(closed, withRoom)
  const moving = orAll(
    open.filter(({ load }) => !load.isStalled(nowMs)),
    open,
  )
  // A connection may never be made: one message waits for it, not every message.
  const inTime = moving.filter(({ load }) => !load.isSlow(nowMs))
  return (
    moving.find(({ load }) => !load.isDialling) ??
    inTime.find(({ load }) => load.wasReached) ??
    inTime[0] ??
    moving[0]
  )
}

function byRest(one: Candidate, other: Candidate): number {
  return (one.state.restsUntilMs ?? 0) - (other.state.restsUntilMs ?? 0)
}

function orAll<Host>(some: readonly Host[], all: readonly Host[]): readonly Host[] {
  return some.length > 0 ? some : all
}

/**
 * True while the first connection to one of them is being made. It is usually made at once; if not, one waiting message is
 * enough.
 */
function isFirstContactPending(list: readonly Candidate[], nowMs: number): boolean {
  if (list.length < 2) return false
  return list.some(
    ({ load, state }) =>
      load.isDialling && !load.wasReached && state.restsUntilMs === null && !load.isSlow(nowMs),
  )
}

/** Milliseconds until the next rest ends, or the time for self tests; null: neither is pending. */
function nextChangeMs(left: readonly Candidate[], { nowMs, checksDueAtMs }: Wanted): number | null {
  const times = [checksDueAtMs, ...left.map(({ state }) => state.restsUntilMs ?? 0)]
  const later = times.filter((time) => time > nowMs)
  return later.length === 0 ? null : Math.min(...later) - nowMs
}

function othersOf(spare: readonly Candidate[]): Others {
  if (spare.length === 0) return 'none'
  return spare.some(isWell) ? 'well' : 'doubtful'
}

/** True if it has not failed, or has found the test file since. */
export function isWell({ state }: Candidate): boolean {
  return state.restsUntilMs === null && !isSuspect(state) && !isUntrusted(state)
}
