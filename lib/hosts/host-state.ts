/*
 * What is known of one address: outcome of its scans, protocol, size that it is proven to scan. Kept by host-pool.ts.
 */

import { type Address, addressText } from '../clamd/address'
import type { Protocol } from '../clamd/protocol'
import type { ClamdVersion } from '../clamd/version'

export interface Alarm {
  /** `found`: clamd found something in a harmless mail. `failed`: no verdict on it. */
  readonly kind: 'found' | 'failed'
  readonly text: string
}

/** Plain JSON, because it is sent between the processes of a cluster. */
export interface SelfTestResult {
  /** The test file was found. False: no signatures, or attachments are not decoded. */
  readonly findsTestFile: boolean
  /** Size in bytes of the largest message scanned to its end, with our Received line; null: not tested. */
  readonly maxScannableBytes: number | null
  /** `maxScannableBytes` is at least max_size. */
  readonly coversMaxSize: boolean
  /** clamd's reply to the smallest probe in which it missed the test file; null: it missed none. */
  readonly missed: string | null
  /** The reply to a harmless mail, if it was not OK; null: OK. */
  readonly alarm: Alarm | null
  /** AlertExceedsMax is set: a mail that is not scanned to the end is not reported OK. null: unknown. */
  readonly reportsLimits: boolean | null
  readonly probes: number
  /** Sum of all probes. */
  readonly sentBytes: number
  readonly ms: number
}

/** Plain JSON, because it is sent between the processes of a cluster. */
export interface ArchiveLimit {
  /** Largest value with which the test file was found; null: not tested, or not to the end. */
  readonly upTo: number | null
  /** Worst reply above `upTo`. `silent`: OK. `reported`: a limit name. `unknown`: not tested, or no verdict. */
  readonly beyond: 'silent' | 'reported' | 'unknown'
}

export interface ArchiveLimits {
  /** Size of a member of a zip archive (MaxFileSize, MaxScanSize). */
  readonly memberBytes: ArchiveLimit
  /** Levels of nested archives (MaxRecursion). */
  readonly depth: ArchiveLimit
  /** Number of files in an archive (MaxFiles). */
  readonly files: ArchiveLimit
}

/** Result of sending one test file. */
export interface EicarCheckResult {
  readonly findsTestFile: boolean
  /** Size of the mail in bytes, with our Received line; null: sizes are not tested. */
  readonly bytes: number | null
  /** clamd's reply, if it did not find the test file. */
  readonly missed: string | null
  readonly protocol: Protocol
}

/** Facts about an address from other sources than its scans; a missing key leaves its value unchanged. */
export interface AddressFacts {
  /** Failed in another process: it has to find the test file before it gets mail. */
  readonly hasFailedElsewhere?: true
  readonly engine?: ClamdVersion | null
  /** Scans several messages on one connection (IDSESSION). */
  readonly hasSessions?: boolean
  /** null: the self test failed, and will be repeated. */
  readonly selfTest?: SelfTestResult | null
  /** null: unknown. */
  readonly archives?: ArchiveLimits | null
  /** Finds the test file; the rest of the self test is still running. */
  readonly isDetecting?: true
  /** Protocol of the self test, if it is not the one that `auto` starts with. */
  readonly verifiedProtocol?: Protocol | null
}

export interface HostState {
  readonly address: Address
  readonly text: string
  failed: boolean
  /** Number of failures here or in another process: after each, the daemon may have been replaced. */
  failureEpoch: number
  /** `failureEpoch` when the last found test file was sent. */
  verifiedEpoch: number
  restsUntil: number
  /** Number of scans. */
  inFlight: number
  /** Number of these scans whose connection is still being made. */
  dialling: number
  /** Start of the first of these, in ms of `System.now`. */
  diallingSince: number
  /** When it last finished a scan, or got one while idle, in ms of `System.now`. */
  quietSince: number
  /** Has accepted a connection since it last failed. */
  wasReached: boolean
  /** Number of finished scans. */
  finished: number
  /** Protocol of the last scan that worked. */
  protocol: Protocol | null
  /** See AddressFacts. */
  verifiedProtocol: Protocol | null
  hasSessions: boolean
  /** Lists IDSESSION, but scans only without a session. Reset with another release. */
  refusesSessions: boolean
  engine: ClamdVersion | null
  /** `awaited`: no self test yet. */
  trust: 'awaited' | 'unproven' | 'proven' | 'untrusted'
  /** Size in bytes of the largest message that it is proven to scan; null with `trust: 'proven'`: any size. */
  maxScannableBytes: number | null
  /** `failureEpoch` of `maxScannableBytes`. */
  provenAt: number
  limit: SizeLimit | null
  archives: ArchiveLimits | null
}

/** The address does not scan larger messages to the end. */
export interface SizeLimit {
  readonly bytes: number
  /** In ms of `System.now`; then larger messages are tried again. */
  readonly untilMs: number
}

/** Milliseconds for which a size limit holds that a message has found. */
const limitMs = 60_000

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
 * The address has found the test file. A later result counts for more; an earlier one may be that of another daemon.
 * @param failureEpoch as it was when the test file was sent
 * @param bytes size of the test mail; null: sizes are not tested
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

/** The address finds the test file, but not in a mail of `bytes`. */
export function limit(host: HostState, bytes: number, nowMs: number): void {
  const maxBytes = bytes - 1
  host.limit = { bytes: maxBytes, untilMs: nowMs + limitMs }
  host.maxScannableBytes = Math.min(host.maxScannableBytes ?? maxBytes, maxBytes)
}

/** The address does not find the test file; the new epoch makes running scans check it again. */
export function markBlind(host: HostState): void {
  host.trust = 'untrusted'
  host.failureEpoch++
}

/** Maximum message size in bytes for the address; Infinity: no limit is known. */
export function limitOf({ limit }: HostState, nowMs: number): number {
  return limit && nowMs < limit.untilMs ? limit.bytes : Infinity
}

/**
 * Largest values up to which an OK of the address can be relied on; above them it may have skipped content without a
 * report. Infinity: it reports its limits. null: unknown.
 */
export type SilentLimits = Readonly<Record<keyof ArchiveLimits, number | null>>

/** null: no limits were tested. */
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
 * The state for new settings under which the self test still holds. The address has to find the test file again before
 * its next message.
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
