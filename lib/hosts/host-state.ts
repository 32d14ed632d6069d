/*
 * One address with what is known of it: how it did, what it speaks, what it was proven to scan. Kept by hosts.ts.
 */

import { type Address, addressText } from '../clamd/address'
import type { Protocol } from '../clamd/protocol'
import type { ClamdVersion } from '../clamd/version'

export interface Alarm {
  /** `found`: something was found in it. `failed`: there was no verdict. */
  readonly kind: 'found' | 'failed'
  readonly text: string
}

/** Plain JSON, since it goes from one process of a cluster to the others. */
export interface SelfTestResult {
  /** The test file was found. False: no signatures, or attachments are not decoded. */
  readonly findsTestFile: boolean
  /** Largest message in bytes that was found scanned to its end, our Received line included; null: not looked for. */
  readonly maxScannableBytes: number | null
  /** The limit is all that was asked for. */
  readonly coversMaxSize: boolean
  /** What clamd said to the smallest probe in which it missed the test file; null: it missed none. */
  readonly missed: string | null
  /** What came of a harmless mail in place of OK; null: it was OK. */
  readonly alarm: Alarm | null
  /** AlertExceedsMax is set: what was not scanned to the end is not said to be OK. null: that did not show. */
  readonly reportsLimits: boolean | null
  readonly probes: number
  /** Sent with all of them together. */
  readonly sentBytes: number
  readonly ms: number
}

/** What is found out about an address besides its answers to mail; a part left out stays as it is. */
export interface AddressFacts {
  /** It has failed, here or in another process: it has to find the test file before it gets mail. */
  readonly hasFailedElsewhere?: true
  readonly engine?: ClamdVersion | null
  /** It takes several messages on one connection (IDSESSION). */
  readonly hasSessions?: boolean
  /** null: it could not be proven, for now. */
  readonly selfTest?: SelfTestResult | null
  /** It finds the test file, whatever else there is to be proven. */
  readonly isDetecting?: true
  /** By which the proof came about, where it is not what `auto` would take. */
  readonly verifiedProtocol?: Protocol | null
}

/** An address with what is known of it. */
export interface HostState {
  readonly address: Address
  readonly text: string
  failed: boolean
  /** How often it has failed, here or in another process: there may be another daemon by now. */
  failureEpoch: number
  /** So many of them came before the test file that it has found. */
  verifiedEpoch: number
  restsUntil: number
  /** Scans. */
  inFlight: number
  /** Of these, those whose connection is still being made. */
  dialling: number
  /** When the first of them began, by `World.now`. */
  diallingSince: number
  /** When it last finished a scan, or was given one while it had none in flight, by `World.now`. */
  quietSince: number
  /** A connection has come about since it last failed. */
  wasReached: boolean
  /** Scans that came to their end there. */
  finished: number
  /** That was last seen to work. */
  protocol: Protocol | null
  /** See AddressFacts. */
  verifiedProtocol: Protocol | null
  hasSessions: boolean
  /** It says that it has sessions, and messages come through without one only; until it is another release. */
  refusesSessions: boolean
  engine: ClamdVersion | null
  /** `awaited`: nobody has tried to prove it yet. */
  trust: 'awaited' | 'unproven' | 'proven' | 'untrusted'
  maxScannableBytes: number | null
}

/** Of which nothing is known yet. */
export function newHostState(address: Address): HostState {
  return {
    address,
    text: addressText(address),
    failed: false,
    failureEpoch: 0,
    verifiedEpoch: 0,
    restsUntil: 0,
    inFlight: 0,
    dialling: 0,
    diallingSince: 0,
    quietSince: 0,
    wasReached: false,
    finished: 0,
    protocol: null,
    verifiedProtocol: null,
    hasSessions: false,
    refusesSessions: false,
    engine: null,
    trust: 'awaited',
    maxScannableBytes: null,
  }
}

/** Takes in what somebody found out. */
export function apply(
  host: HostState,
  { hasFailedElsewhere, engine, hasSessions, selfTest, isDetecting, verifiedProtocol }: AddressFacts,
): void {
  if (hasFailedElsewhere) host.failureEpoch++
  if (engine !== undefined) {
    if (engine?.line !== host.engine?.line) host.refusesSessions = false
    host.engine = engine
  }
  if (hasSessions !== undefined) host.hasSessions = hasSessions && !host.refusesSessions
  if (verifiedProtocol !== undefined) {
    if (verifiedProtocol !== host.verifiedProtocol) host.protocol = verifiedProtocol
    host.verifiedProtocol = verifiedProtocol
  }
  if (selfTest) {
    host.maxScannableBytes = selfTest.maxScannableBytes
    if (selfTest.findsTestFile) host.trust = 'proven'
    else markBlind(host)
  } else if (isDetecting && host.trust === 'untrusted') {
    host.trust = 'unproven'
  } else if (selfTest === null && host.trust === 'awaited') {
    host.trust = 'unproven'
  }
}

/** It has found a test file, sent when it had been doubted so often. What was found since counts for more. */
export function trust(host: HostState, failureEpoch: number): void {
  if (host.trust === 'untrusted' && failureEpoch < host.failureEpoch) return
  host.trust = 'proven'
  host.verifiedEpoch = Math.max(host.verifiedEpoch, failureEpoch)
}

/** It does not find the test file. Those that are under way were sent before that was known. */
export function markBlind(host: HostState): void {
  host.trust = 'untrusted'
  host.failureEpoch++
}

/** Whether it may be sent so many bytes. */
export function fits({ maxScannableBytes }: HostState, bytes: number): boolean {
  return maxScannableBytes === null || bytes <= maxScannableBytes
}

/**
 * What is carried over to other settings, under which the proof still holds: as it was found to be. It has to find the
 * test file once more.
 */
export function inherited(host: HostState): HostState {
  const { address, engine, hasSessions, trust, maxScannableBytes, protocol, verifiedProtocol } = host
  const found = { engine, hasSessions, trust, maxScannableBytes, protocol, verifiedProtocol }
  return { ...newHostState(address), ...found, failureEpoch: 1 }
}
