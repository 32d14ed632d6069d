/*
 * Each address of clamd: how fast, which one, what it finds, and how large a message may be. Asked with what
 * the plugin itself asks with at start (lib/clamd/capabilities.ts, lib/health/self-test.ts), and judged as in its log
 * (lib/health/diagnosis.ts).
 */

import { type Address, addressText } from '../../clamd/address'
import { queryCapabilities } from '../../clamd/capabilities'
import { dial } from '../../clamd/connection'
import { ClamdError, errorText } from '../../clamd/errors'
import { type Protocol, protocolOf } from '../../clamd/protocol'
import { ageMs, ageText, type ClamdVersion, parseVersion, staleSignatures } from '../../clamd/version'
import type { Settings } from '../../config/settings'
import { findArchiveLimits } from '../../health/archive-limits'
import { archivesOf, detectionOf, type Diagnosis, type Kind, warnings } from '../../health/diagnosis'
import { selfTestAsMail } from '../../health/self-test'
import { HostPool } from '../../hosts/host-pool'
import type { ArchiveLimits } from '../../hosts/host-state'
import type { SelfTestResult } from '../../hosts/host-state'
import { system } from '../../hosts/system'
import type { AsHaraka } from './as-haraka'
import type { Finding, Level } from './results'

/** What was found out about one address; null: not known, or not asked. */
export interface Examined {
  readonly address: string
  readonly connectMs: number | null
  readonly engine: ClamdVersion | null
  readonly signatureAgeHours: number | null
  /** Of STREAM and INSTREAM, what the daemon says it has. */
  readonly protocols: readonly string[] | null
  /** What the plugin speaks there. */
  readonly protocol: Protocol | null
  /** The STREAM data port could be reached; null: not needed. */
  readonly dataPort: boolean | null
  /** Why mail does not go by STREAM, which the daemon says it has; null: it does, or need not. */
  readonly streamFailure: string | null
  readonly findsTestFile: boolean | null
  readonly maxScannableBytes: number | null
  /** What came of a harmless mail in place of OK; null: it was OK, or was not sent. */
  readonly alarm: string | null
  /** AlertExceedsMax is set: clamd says where it stops, with archives in archives at least. */
  readonly reportsLimits: boolean | null
  /** How far it looks into archives; null: not looked for. */
  readonly archives: ArchiveLimits | null
  readonly error: string | null
}

/** An address, and by what it is judged; null: it was not proven. */
interface Look {
  readonly examined: Examined
  readonly selfTest: SelfTestResult | null
}

/** @param isQuick leave out the search for the largest size, which sends some times max_size, and for limits of archives */
export async function examineAll(
  settings: Settings,
  isQuick: boolean,
  dialler: AsHaraka,
  signal: AbortSignal,
): Promise<{ examined: Examined[]; findings: Finding[] }> {
  const findings: Finding[] = []
  const warn = (text: string) => void findings.push({ level: 'warning', about: 'host', text })
  const hosts = new HostPool(settings.hosts, system(warn))
  const addresses = await hosts.addresses(signal)
  const looks = await Promise.all(
    addresses.map((address) => evaluate(address, settings, isQuick, dialler, signal)),
  )
  const examined = looks.map((check) => check.examined)
  if (addresses.length === 0)
    findings.push({ level: 'failure', about: 'host', text: 'no host resolves to an address' })
  // While one works, another one that does not is no reason to fear for mail.
  const isLost = !examined.some(works)
  for (const check of looks) findings.push(...findingsOf(check, settings, isLost))
  return { examined, findings }
}

function works({ error, findsTestFile }: Examined): boolean {
  return error === null && findsTestFile === true
}

async function evaluate(
  address: Address,
  settings: Settings,
  isQuick: boolean,
  { connect, user }: AsHaraka,
  signal: AbortSignal,
): Promise<Look> {
  const { scan } = settings
  const nothing: Examined = {
    address: addressText(address),
    connectMs: null,
    engine: null,
    signatureAgeHours: null,
    protocols: null,
    protocol: null,
    dataPort: null,
    streamFailure: null,
    findsTestFile: null,
    maxScannableBytes: null,
    alarm: null,
    reportsLimits: null,
    archives: null,
    error: null,
  }
  let known = nothing
  try {
    const began = performance.now()
    const socket = await dial({ connect, connectMs: scan.connectMs, signal }, address, 'connect')
    socket.destroy()
    known = { ...known, connectMs: Math.round((performance.now() - began) * 10) / 10 }
    const offer = await queryCapabilities(address, { connect, connectMs: scan.connectMs, signal })
    const engine = parseVersion(offer.version)
    const age = ageMs(engine, Date.now())
    const spoken = scan.protocol === 'auto' ? (protocolOf(offer) ?? 'stream') : scan.protocol
    known = {
      ...known,
      engine,
      signatureAgeHours: age === null ? null : Math.floor(age / 3_600_000),
      protocols: offer.commands?.filter((command) => /^(IN)?STREAM$/.test(command)) ?? null,
      protocol: spoken,
    }
    const depth = isQuick ? 'eicar' : 'full'
    const proven = await selfTestAsMail(address, { ...scan, depth }, protocolOf(offer), connect, signal)
    const { selfTest, protocol, streamFailure } = proven
    const archives =
      !isQuick && selfTest.findsTestFile
        ? await findArchiveLimits(address, { ...scan, protocol }, connect, signal)
        : null
    const examined: Examined = {
      ...known,
      archives,
      protocol,
      dataPort: protocol === 'stream' ? true : streamFailure?.step === 'data connect' ? false : null,
      streamFailure: offer.commands?.includes('STREAM') && streamFailure ? errorText(streamFailure) : null,
      findsTestFile: selfTest.findsTestFile,
      maxScannableBytes: selfTest.maxScannableBytes,
      alarm: selfTest.alarm?.text ?? null,
      reportsLimits: selfTest.reportsLimits,
    }
    return { examined, selfTest }
  } catch (error) {
    const isClosed = error instanceof ClamdError && error.step === 'data connect'
    const asWhom =
      user !== null && 'path' in address ? `, as ${user}, whom Haraka becomes (user in smtp.ini)` : ''
    const text = `${errorText(error)}${asWhom}`
    return { examined: { ...known, ...(isClosed && { dataPort: false }), error: text }, selfTest: null }
  }
}

/** For a socket that Haraka may not write to. */
const socketRemedy =
  "clamd.conf: LocalSocketGroup and LocalSocketMode that let Haraka in; with `user` in smtp.ini, `group` there, for Haraka has none of that user's other groups"

function findingsOf({ examined, selfTest }: Look, settings: Settings, isLost: boolean): Finding[] {
  const { address: about, error, connectMs, engine } = examined
  const bad = isLost ? 'failure' : 'warning'
  const facts = factsOf(examined)
  if (error !== null)
    return [
      {
        level: bad,
        about,
        text: connectMs === null ? error : `${facts}: ${error}`,
        ...(error.includes('(EACCES)') && { remedy: socketRemedy }),
      },
    ]
  const old = staleSignatures(engine, Date.now(), settings.health.maxSignatureAgeMs)
  return [
    { level: 'ok', about, text: facts },
    ...(selfTest ? judged(selfTest, examined.archives, settings.scan.maxBytes) : []).map((one) => ({
      level: levels[one.kind] ?? bad,
      about,
      text: one.text,
      ...(one.remedy !== null && { remedy: one.remedy }),
    })),
    ...(old === null
      ? []
      : [
          {
            level: 'warning' as const,
            about,
            text: `${old} (max_signature_age)`,
            remedy: 'look after freshclam',
          },
        ]),
    ...ofStream(examined),
  ]
}

function judged(
  selfTest: SelfTestResult,
  archives: ArchiveLimits | null,
  maxBytes: number,
): readonly Diagnosis[] {
  return [detectionOf(selfTest, maxBytes), ...warnings(selfTest), ...archivesOf(selfTest, archives, maxBytes)]
}

/** null: as bad as it is where no other address works either, or one does. */
const levels: Record<Kind, Level | null> = {
  blind: null,
  finds: 'ok',
  whole: 'ok',
  partly: 'warning',
  alarmed: null,
  mute: null,
  silent: 'warning',
  opened: 'ok',
}

function factsOf({ engine, signatureAgeHours: age, connectMs, protocols, protocol }: Examined): string {
  const signatures = engine?.signatures
  return [
    engine?.release ?? 'version not told',
    signatures && age !== null
      ? `signatures ${signatures.number}, ${ageText(age * 3_600_000)} old`
      : 'signatures without number or date',
    ...(connectMs === null ? [] : [`connects in ${connectMs} ms`]),
    ...(protocols ? [`has ${protocols.join(' and ') || 'neither STREAM nor INSTREAM'}`] : []),
    ...(protocol ? [`spoken to in ${protocol.toUpperCase()}`] : []),
  ].join(', ')
}

function ofStream({ address: about, dataPort, streamFailure }: Examined): Finding[] {
  if (dataPort === true) return [{ level: 'ok', about, text: 'the STREAM data port can be reached' }]
  if (dataPort === false)
    return [
      {
        level: 'warning',
        about,
        text: 'the STREAM data port cannot be reached; INSTREAM is used instead',
        remedy: 'open StreamMinPort to StreamMaxPort, or set protocol=instream',
      },
    ]
  if (streamFailure === null) return []
  return [
    {
      level: 'warning',
      about,
      text: `STREAM comes to nothing (${streamFailure}); INSTREAM is used instead`,
      remedy: "check into clamd's log, or set protocol=instream",
    },
  ]
}
