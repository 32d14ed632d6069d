/*
 * One address with what is known of it: how it did, what it speaks, what it was proven to scan. Kept by hosts.ts.
 */

import { type Address, addressText } from '../clamd/address'
import type { Protocol } from '../clamd/protocol'
import type { Engine } from '../clamd/version'

export interface Alarm {
  /** `found`: something was found in it. `failed`: there was no verdict. */
  readonly kind: 'found' | 'failed'
  readonly text: string
}

/** Plain JSON, since it goes from one process of a cluster to the others. */
export interface Proof {
  /** The test file was found. False: no signatures, or attachments are not decoded. */
  readonly findsTestFile: boolean
  /** Largest message in bytes that was found scanned to its end, our Received line included; null: not looked for. */
  readonly provenBytes: number | null
  /** The limit is all that was asked for. */
  readonly provesMaxBytes: boolean
  /** What clamd said to the smallest probe in which it missed the test file; null: it missed none. */
  readonly missed: string | null
  /** What came of a harmless mail in place of OK; null: it was OK. */
  readonly alarm: Alarm | null
  /** AlertExceedsMax is set: what was not scanned to the end is not said to be OK. null: that did not show. */
  readonly tellsLimits: boolean | null
  readonly probes: number
  /** Sent with all of them together. */
  readonly sentBytes: number
  readonly ms: number
}

/** What is found out about an address besides its answers to mail; a part left out stays as it is. */
export interface AddressFacts {
  /** It has failed, here or in another process: it has to find the test file before it gets mail. */
  readonly isDoubted?: true
  readonly engine?: Engine | null
  /** It takes several messages on one connection (IDSESSION). */
  readonly hasSessions?: boolean
  /** null: it could not be proven, for now. */
  readonly proof?: Proof | null
  /** It finds the test file, whatever else there is to be proven. */
  readonly isSeeing?: true
  /** By which the proof came about, where it is not what `auto` would take. */
  readonly provenProtocol?: Protocol | null
}

/** An address with what is known of it. */
export interface KnownAddress {
  readonly address: Address
  readonly text: string
  failed: boolean
  /** How often it has failed, here or in another process: there may be another daemon by now. */
  doubts: number
  /** So many of them came before the test file that it has found. */
  dispelled: number
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
  provenProtocol: Protocol | null
  hasSessions: boolean
  /** It says that it has sessions, and messages come through without one only; until it is another release. */
  refusesSessions: boolean
  engine: Engine | null
  /** `awaited`: nobody has tried to prove it yet. */
  trust: 'awaited' | 'unproven' | 'proven' | 'untrusted'
  provenBytes: number | null
}

/** Of which nothing is known yet. */
export function unknownAddress(address: Address): KnownAddress {
  return {
    address,
    text: addressText(address),
    failed: false,
    doubts: 0,
    dispelled: 0,
    restsUntil: 0,
    inFlight: 0,
    dialling: 0,
    diallingSince: 0,
    quietSince: 0,
    wasReached: false,
    finished: 0,
    protocol: null,
    provenProtocol: null,
    hasSessions: false,
    refusesSessions: false,
    engine: null,
    trust: 'awaited',
    provenBytes: null,
  }
}

/** Takes in what somebody found out. */
export function apply(
  known: KnownAddress,
  { isDoubted, engine, hasSessions, proof, isSeeing, provenProtocol }: AddressFacts,
): void {
  if (isDoubted) known.doubts++
  if (engine !== undefined) {
    if (engine?.line !== known.engine?.line) known.refusesSessions = false
    known.engine = engine
  }
  if (hasSessions !== undefined) known.hasSessions = hasSessions && !known.refusesSessions
  if (provenProtocol !== undefined) {
    if (provenProtocol !== known.provenProtocol) known.protocol = provenProtocol
    known.provenProtocol = provenProtocol
  }
  if (proof) {
    known.provenBytes = proof.provenBytes
    if (proof.findsTestFile) known.trust = 'proven'
    else distrust(known)
  } else if (isSeeing && known.trust === 'untrusted') {
    known.trust = 'unproven'
  } else if (proof === null && known.trust === 'awaited') {
    known.trust = 'unproven'
  }
}

/** It has found a test file, sent when it had been doubted so often. What was found since counts for more. */
export function trust(known: KnownAddress, doubts: number): void {
  if (known.trust === 'untrusted' && doubts < known.doubts) return
  known.trust = 'proven'
  known.dispelled = Math.max(known.dispelled, doubts)
}

/** It does not find the test file. Those that are under way were sent before that was known. */
export function distrust(known: KnownAddress): void {
  known.trust = 'untrusted'
  known.doubts++
}

/** Whether it may be sent so many bytes. */
export function fits({ provenBytes }: KnownAddress, bytes: number): boolean {
  return provenBytes === null || bytes <= provenBytes
}

/**
 * What is carried over to other settings, under which the proof still holds: as it was found to be. It has to find the
 * test file once more.
 */
export function inherited(known: KnownAddress): KnownAddress {
  const { address, engine, hasSessions, trust, provenBytes, protocol, provenProtocol } = known
  const found = { engine, hasSessions, trust, provenBytes, protocol, provenProtocol }
  return { ...unknownAddress(address), ...found, doubts: 1 }
}
