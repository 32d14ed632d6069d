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

/** Plain JSON, since it goes from one process of a cluster to the others. */
export interface ArchiveLimit {
  /** The test file was found behind so much; null: not looked for, or not to the end. */
  readonly upTo: number | null
  /** What became of more than that, at its worst. `unknown`: not tried, or there was no verdict. */
  readonly beyond: 'silent' | 'reported' | 'unknown'
}

export interface ArchiveLimits {
  /** Size of a member of a zip archive (MaxFileSize, MaxScanSize). */
  readonly memberBytes: ArchiveLimit
  /** Archives in one another (MaxRecursion). */
  readonly depth: ArchiveLimit
  /** Files in an archive (MaxFiles). */
  readonly files: ArchiveLimit
}

/** What came of a test file. */
export interface EicarCheckResult {
  readonly findsTestFile: boolean
  /** At the end of so many bytes, our Received line included; null: sizes are not to be proven. */
  readonly bytes: number | null
  /** What was said in place of that it was found. */
  readonly missed: string | null
  readonly protocol: Protocol
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
  /** How far it looks into archives; null: that is not known. */
  readonly archives?: ArchiveLimits | null
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
  /** Largest message that it was proven to scan; null where `trust` is `proven`: of any size. */
  maxScannableBytes: number | null
  /** How often it had been doubted when that was found out. */
  provenAt: number
  limit: SizeLimit | null
  archives: ArchiveLimits | null
}

/** An address was found not to scan larger messages. */
export interface SizeLimit {
  readonly bytes: number
  /** By `World.now`: what one message has found is tried again. */
  readonly untilMs: number
}

/** Milliseconds for which messages go elsewhere that are larger than what mail has found an address to scan. */
const limitMs = 60_000

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
    provenAt: -1,
    limit: null,
    archives: null,
  }
}

/** Takes in what somebody found out. */
export function apply(
  host: HostState,
  {
    hasFailedElsewhere,
    engine,
    hasSessions,
    selfTest,
    archives,
    isDetecting,
    verifiedProtocol,
  }: AddressFacts,
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
  if (archives !== undefined) host.archives = archives
  if (selfTest) {
    const { maxScannableBytes, coversMaxSize } = selfTest
    host.maxScannableBytes = maxScannableBytes
    host.provenAt = host.failureEpoch
    host.limit =
      maxScannableBytes === null || coversMaxSize ? null : { bytes: maxScannableBytes, untilMs: Infinity }
    if (selfTest.findsTestFile) host.trust = 'proven'
    else markBlind(host)
  } else if (isDetecting && host.trust === 'untrusted') {
    host.trust = 'unproven'
  } else if (selfTest === null && host.trust === 'awaited') {
    host.trust = 'unproven'
  }
}

/**
 * It has found a test file at the end of so many bytes, sent when it had been doubted so often. What was found since counts
 * for more; what was proven before that doubt may have been another daemon's.
 * @param bytes null: the size makes no difference
 */
export function trust(host: HostState, failureEpoch: number, bytes: number | null): void {
  if (host.trust === 'untrusted' && failureEpoch < host.failureEpoch) return
  host.trust = 'proven'
  host.verifiedEpoch = Math.max(host.verifiedEpoch, failureEpoch)
  if (failureEpoch < host.provenAt) return
  if (failureEpoch > host.provenAt) host.maxScannableBytes = bytes
  else if (bytes !== null) host.maxScannableBytes = Math.max(host.maxScannableBytes ?? 0, bytes)
  host.provenAt = failureEpoch
  if (host.limit && bytes !== null && bytes > host.limit.bytes) host.limit = null
}

/** It finds the test file, but not at the end of so many bytes. */
export function limit(host: HostState, bytes: number, nowMs: number): void {
  const most = bytes - 1
  host.limit = { bytes: most, untilMs: nowMs + limitMs }
  host.maxScannableBytes = Math.min(host.maxScannableBytes ?? most, most)
}

/** It does not find the test file. Those that are under way were sent before that was known. */
export function markBlind(host: HostState): void {
  host.trust = 'untrusted'
  host.failureEpoch++
}

/** Most bytes that it may be sent, as far as that has been found out; what is not proven yet is tried first. */
export function limitOf({ limit }: HostState, nowMs: number): number {
  return limit && nowMs < limit.untilMs ? limit.bytes : Infinity
}

/**
 * What an OK of the address holds for: beyond that it may have passed over in silence what it has not looked into.
 * Infinity: it reports where it stops. null: that is not known.
 */
export type SilentLimits = Readonly<Record<keyof ArchiveLimits, number | null>>

/** null: nothing has been found out. */
export function silentLimits({ archives }: HostState): SilentLimits | null {
  const silent = ({ upTo, beyond }: ArchiveLimit) => (beyond === 'reported' ? Infinity : upTo)
  return (
    archives && {
      memberBytes: silent(archives.memberBytes),
      depth: silent(archives.depth),
      files: silent(archives.files),
    }
  )
}

/**
 * What is carried over to other settings, under which the proof still holds: as it was found to be. It has to find the
 * test file once more.
 */
export function inherited(host: HostState): HostState {
  const {
    address,
    engine,
    hasSessions,
    trust,
    maxScannableBytes,
    limit,
    archives,
    protocol,
    verifiedProtocol,
  } = host
  const found = { engine, hasSessions, trust, maxScannableBytes, limit, archives, protocol, verifiedProtocol }
  const provenAt = host.provenAt < host.failureEpoch ? 0 : 1
  return { ...newHostState(address), ...found, failureEpoch: 1, provenAt }
}
