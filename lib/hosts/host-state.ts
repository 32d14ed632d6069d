/*
 * One address with what is known of it: how it did, what it speaks, what it was proven to scan. Kept by hosts.ts.
 */

import { addressText, type Address } from '../clamd/address'
import type { Engine } from '../clamd/version'
import type { Protocol } from '../clamd/protocol'
import type { Proof } from '../health/self-test'

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
