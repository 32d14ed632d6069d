/*
 * Checks each clamd address: connection time, version, protocols, self test, largest size. The checks are those of the
 * plugin's own start (clamd/capabilities.ts, health/self-test.ts), and so are the diagnoses (health/diagnosis.ts).
 */

import { type Address, addressText } from '../../clamd/address'
import { queryCapabilities } from '../../clamd/capabilities'
import { dial } from '../../clamd/connection'
import { ClamdError, errorText } from '../../clamd/errors'
import { type Protocol, protocolAt, protocolOf } from '../../clamd/protocol'
import {
  ageMs,
  ageText,
  type ClamdVersion,
  parseVersion,
  staleSignatures,
  unwatchedAge,
} from '../../clamd/version'
import type { Settings } from '../../config/settings'
import { findArchiveLimits } from '../../health/archive-limits'
import { archivesOf, detectionOf, type Diagnosis, type Kind, warnings } from '../../health/diagnosis'
import { selfTestAsMail } from '../../health/self-test'
import { type AddressState, HostPool } from '../../hosts/host-pool'
import { system } from '../../hosts/system'
import type { ArchiveLimits, SelfTestResult } from '../../hosts/test-results'
import { adviceFor, nameAdvice } from './advice'
import type { AsHaraka } from './as-haraka'
import type { Finding, Level } from './results'

/** Facts about one address; null: unknown, or not checked. */
export interface Examined {
  readonly address: string
  /** The key of [main] that lists it. */
  readonly role: AddressState['role']
  readonly connectMs: number | null
  readonly engine: ClamdVersion | null
  readonly signatureAgeHours: number | null
  /** STREAM and INSTREAM, as far as the reply to VERSIONCOMMANDS lists them. */
  readonly protocols: readonly string[] | null
  /** The protocol that the plugin uses there. */
  readonly protocol: Protocol | null
  /** Whether the STREAM data port could be reached; null: not needed. */
  readonly dataPort: boolean | null
  /** Why STREAM, which the daemon lists, failed; null: it did not fail, or is not used. */
  readonly streamFailure: string | null
  readonly findsTestFile: boolean | null
  readonly maxScannableBytes: number | null
  /** clamd's reply to a harmless mail, if it was not OK; null: it was OK, or the mail was not sent. */
  readonly alarm: string | null
  /** AlertExceedsMax is set: clamd reports a limit that it reached, at least for nested archives. */
  readonly reportsLimits: boolean | null
  /** How deep clamd opens archives; null: not checked. */
  readonly archives: ArchiveLimits | null
  readonly error: string | null
}

/** Facts about one address, and its self test; null: the test could not run. */
interface AddressCheck {
  readonly examined: Examined
  readonly selfTest: SelfTestResult | null
  /** For `examined.error`. */
  readonly advice?: string
}

/** @param isQuick skip the search for the largest size, which sends several times max_size, and for archive limits */
export async function examineAll(
  settings: Settings,
  isQuick: boolean,
  dialler: AsHaraka,
  signal: AbortSignal,
): Promise<{ examined: Examined[]; findings: Finding[] }> {
  const findings: Finding[] = []
  const warn = (text: string) => {
    const [, name = 'NAME'] = /^cannot look up (\S+):/.exec(text) ?? []
    findings.push({ level: 'warning', about: 'host', text, remedy: nameAdvice(name) })
  }
  const hosts = new HostPool(settings.hosts, system(warn))
  const addresses = await hosts.addresses(signal)
  const roles = new Map(hosts.states().map(({ text, role }) => [text, role]))
  const checks = await Promise.all(
    addresses.map((address) => {
      const role = roles.get(addressText(address)) ?? 'host'
      return checkAddress(address, role, settings, isQuick, dialler, signal)
    }),
  )
  const examined = checks.map((check) => check.examined)
  if (addresses.length === 0)
    findings.push({
      level: 'failure',
      about: 'host',
      text: 'no host resolves to an address',
      remedy: nameAdvice('NAME'),
    })
  // While one address works, mail is scanned: the failure of another one is a warning.
  const isNoneUsable = !examined.some(works)
  for (const check of checks) findings.push(...findingsOf(check, settings, isNoneUsable))
  return { examined, findings }
}

export function works({ error, findsTestFile }: Examined): boolean {
  return error === null && findsTestFile === true
}

async function checkAddress(
  address: Address,
  role: AddressState['role'],
  settings: Settings,
  isQuick: boolean,
  { connect, user }: AsHaraka,
  signal: AbortSignal,
): Promise<AddressCheck> {
  const { scan } = settings
  const unknown: Examined = {
    address: addressText(address),
    role,
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
  let known = unknown
  try {
    const began = performance.now()
    const socket = await dial({ connect, connectMs: scan.connectMs, signal }, address, 'connect')
    socket.destroy()
    known = { ...known, connectMs: Math.round((performance.now() - began) * 10) / 10 }
    const capabilities = await queryCapabilities(address, { connect, connectMs: scan.connectMs, signal })
    const engine = parseVersion(capabilities.version)
    const age = ageMs(engine, Date.now())
    const configured = protocolAt(address, scan.protocol)
    const expected = configured === 'auto' ? (protocolOf(capabilities) ?? 'stream') : configured
    known = {
      ...known,
      engine,
      signatureAgeHours: age === null ? null : Math.floor(age / 3_600_000),
      protocols: capabilities.commands?.filter((command) => /^(IN)?STREAM$/.test(command)) ?? null,
      protocol: expected,
    }
    const depth = isQuick ? 'eicar' : 'full'
    const tested = await selfTestAsMail(
      address,
      { ...scan, depth },
      protocolOf(capabilities),
      connect,
      signal,
    )
    const { selfTest, protocol, streamFailure } = tested
    const archives =
      !isQuick && selfTest.findsTestFile
        ? await findArchiveLimits(address, { ...scan, protocol }, connect, signal)
        : null
    const examined: Examined = {
      ...known,
      archives,
      protocol,
      dataPort: protocol === 'stream' ? true : streamFailure?.step === 'data connect' ? false : null,
      streamFailure:
        capabilities.commands?.includes('STREAM') && streamFailure ? errorText(streamFailure) : null,
      findsTestFile: selfTest.findsTestFile,
      maxScannableBytes: selfTest.maxScannableBytes,
      alarm: selfTest.alarm?.text ?? null,
      reportsLimits: selfTest.reportsLimits,
    }
    return { examined, selfTest }
  } catch (error) {
    const isClosed = error instanceof ClamdError && error.step === 'data connect'
    const asUser = user !== null && 'path' in address ? `, as user ${user} (user in smtp.ini)` : ''
    const text = `${errorText(error)}${asUser}`
    return {
      examined: { ...known, ...(isClosed && { dataPort: false }), error: text },
      selfTest: null,
      advice: adviceFor(error, address),
    }
  }
}

function findingsOf(
  { examined, selfTest, advice }: AddressCheck,
  settings: Settings,
  isNoneUsable: boolean,
): Finding[] {
  const { address: about, role, error, connectMs, engine } = examined
  const bad = isNoneUsable ? 'failure' : 'warning'
  const facts = factsOf(examined)
  if (error !== null)
    return [
      {
        level: bad,
        about,
        text: connectMs === null ? `${role === 'backup' ? 'backup: ' : ''}${error}` : `${facts}: ${error}`,
        ...(advice !== undefined && { remedy: advice }),
      },
    ]
  const old = staleSignatures(engine, Date.now(), settings.health.maxSignatureAgeMs)
  return [
    { level: 'ok', about, text: facts },
    ...(selfTest ? diagnosesOf(selfTest, examined.archives, settings.scan.maxBytes) : []).map((one) => ({
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
            remedy: 'check that freshclam runs',
          },
        ]),
    ...(engine === null && settings.health.maxSignatureAgeMs > 0
      ? [
          {
            level: 'note' as const,
            about,
            text: unwatchedAge,
            remedy: 'set EnableVersionCommand yes in clamd.conf',
          },
        ]
      : []),
    ...streamFindings(examined),
  ]
}

function diagnosesOf(
  selfTest: SelfTestResult,
  archives: ArchiveLimits | null,
  maxBytes: number,
): readonly Diagnosis[] {
  return [detectionOf(selfTest, maxBytes), ...warnings(selfTest), ...archivesOf(selfTest, archives, maxBytes)]
}

/** null: a failure if no address works, a warning otherwise. */
const levels: Record<Kind, Level | null> = {
  untrusted: null,
  finds: 'ok',
  whole: 'ok',
  partly: 'warning',
  alarmed: null,
  mute: null,
  silent: 'warning',
  opened: 'ok',
}

function factsOf({ role, engine, signatureAgeHours: age, connectMs, protocols, protocol }: Examined): string {
  const signatures = engine?.signatures
  return [
    ...(role === 'backup' ? ['backup'] : []),
    engine?.release ?? 'version unknown',
    ...(engine === null
      ? []
      : [
          signatures && age !== null
            ? `signatures ${signatures.number}, ${ageText(age * 3_600_000)} old`
            : 'signatures without number or date',
        ]),
    ...(connectMs === null ? [] : [`connects in ${connectMs} ms`]),
    ...(protocols ? [`has ${protocols.join(' and ') || 'neither STREAM nor INSTREAM'}`] : []),
    ...(protocol ? [`uses ${protocol.toUpperCase()}`] : []),
  ].join(', ')
}

function streamFindings({ address: about, dataPort, streamFailure }: Examined): Finding[] {
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
      text: `STREAM failed (${streamFailure}); INSTREAM is used instead`,
      remedy: "read clamd's log, or set protocol=instream",
    },
  ]
}
