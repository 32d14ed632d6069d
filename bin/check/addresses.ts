/*
 * Each address of clamd: how fast, which one, what it finds, and how large a message may be. Asked with what
 * the plugin itself asks with at start (lib/clamd/inquiry.ts, lib/proof/prove.ts).
 */

import { addressText, type Address } from '../../lib/address'
import { dial } from '../../lib/clamd/connection'
import { ageMs, ageText, parseEngine, tooOld, type Engine } from '../../lib/clamd/engine'
import { Failure, failureText } from '../../lib/clamd/failure'
import { inquire } from '../../lib/clamd/inquiry'
import { protocolOf, type Protocol } from '../../lib/clamd/protocol'
import type { Settings } from '../../lib/config'
import { Hosts } from '../../lib/hosts'
import { sizeText } from '../../lib/limits'
import { world } from '../../lib/world'
import { proveAsMail } from '../../lib/proof/prove'
import type { AsHaraka } from './as-haraka'
import type { Finding } from './findings'

/** What was found out about one address; null: not known, or not asked. */
export interface Examined {
  readonly address: string
  readonly connectMs: number | null
  readonly engine: Engine | null
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
  readonly provenBytes: number | null
  /** What came of a harmless mail in place of OK; null: it was OK, or was not sent. */
  readonly alarm: string | null
  /** AlertExceedsMax is set. */
  readonly tellsLimits: boolean | null
  readonly error: string | null
}

/** @param isQuick leave out the search for the largest size, which sends some times max_size */
export async function examineAll(
  settings: Settings,
  isQuick: boolean,
  dialler: AsHaraka,
  signal: AbortSignal,
): Promise<{ examined: Examined[]; findings: Finding[] }> {
  const findings: Finding[] = []
  const warn = (text: string) => void findings.push({ level: 'warning', about: 'host', text })
  const hosts = new Hosts(settings.hosts, world(warn))
  const addresses = await hosts.addresses(signal)
  const examined = await Promise.all(
    addresses.map((address) => examine(address, settings, isQuick, dialler, signal)),
  )
  if (addresses.length === 0)
    findings.push({ level: 'failure', about: 'host', text: 'no host resolves to an address' })
  // While one works, another one that does not is no reason to fear for mail.
  const isLost = !examined.some(works)
  for (const one of examined) findings.push(...findingsOf(one, settings, isLost))
  return { examined, findings }
}

function works({ error, findsTestFile }: Examined): boolean {
  return error === null && findsTestFile === true
}

async function examine(
  address: Address,
  settings: Settings,
  isQuick: boolean,
  { connect, user }: AsHaraka,
  signal: AbortSignal,
): Promise<Examined> {
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
    provenBytes: null,
    alarm: null,
    tellsLimits: null,
    error: null,
  }
  let known = nothing
  try {
    const began = performance.now()
    const socket = await dial({ connect, connectMs: scan.connectMs, signal }, address, 'connect')
    socket.destroy()
    known = { ...known, connectMs: Math.round((performance.now() - began) * 10) / 10 }
    const offer = await inquire(address, { connect, connectMs: scan.connectMs, signal })
    const engine = parseEngine(offer.version)
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
    const proven = await proveAsMail(address, { ...scan, depth }, protocolOf(offer), connect, signal)
    const { proof, protocol, streamFailure } = proven
    return {
      ...known,
      protocol,
      dataPort: protocol === 'stream' ? true : streamFailure?.step === 'data connect' ? false : null,
      streamFailure: offer.commands?.includes('STREAM') && streamFailure ? failureText(streamFailure) : null,
      findsTestFile: proof.findsTestFile,
      provenBytes: proof.provenBytes,
      alarm: proof.alarm?.text ?? null,
      tellsLimits: proof.tellsLimits,
    }
  } catch (error) {
    const isClosed = error instanceof Failure && error.step === 'data connect'
    const asWhom =
      user !== null && 'path' in address ? `, as ${user}, whom Haraka becomes (user in smtp.ini)` : ''
    return { ...known, ...(isClosed && { dataPort: false }), error: `${failureText(error)}${asWhom}` }
  }
}

/** For a socket that Haraka may not write to. */
const socketRemedy =
  "clamd.conf: LocalSocketGroup and LocalSocketMode that let Haraka in; with `user` in smtp.ini, `group` there, for Haraka has none of that user's other groups"

function findingsOf(one: Examined, { scan, proof }: Settings, isLost: boolean): Finding[] {
  const about = one.address
  const bad = isLost ? 'failure' : 'warning'
  const engine = one.engine?.release ?? 'version not told'
  const age = one.signatureAgeHours
  const signatures = one.engine?.signatures
  const facts = [
    engine,
    signatures && age !== null
      ? `signatures ${signatures.number}, ${ageText(age * 3_600_000)} old`
      : 'signatures without number or date',
    ...(one.connectMs === null ? [] : [`connects in ${one.connectMs} ms`]),
    ...(one.protocols ? [`has ${one.protocols.join(' and ') || 'neither STREAM nor INSTREAM'}`] : []),
    ...(one.protocol ? [`spoken to in ${one.protocol.toUpperCase()}`] : []),
  ]
  if (one.error !== null)
    return [
      {
        level: bad,
        about,
        text: one.connectMs === null ? one.error : `${facts.join(', ')}: ${one.error}`,
        ...(one.error.includes('(EACCES)') && { remedy: socketRemedy }),
      },
    ]
  const found: Finding[] = [{ level: 'ok', about, text: facts.join(', ') }]
  if (one.findsTestFile === false)
    found.push({
      level: bad,
      about,
      text: 'does not find the EICAR test file in an attachment',
      remedy: 'look for signatures (freshclam) and ScanMail yes in clamd.conf',
    })
  if (one.findsTestFile === true)
    found.push({
      level: one.provenBytes !== null && one.provenBytes < scan.maxBytes ? 'warning' : 'ok',
      about,
      ...(one.provenBytes === null
        ? { text: 'finds the EICAR test file' }
        : one.provenBytes >= scan.maxBytes
          ? { text: `finds the EICAR test file, also at the end of ${sizeText(one.provenBytes)} (max_size)` }
          : {
              text: `finds the EICAR test file up to ${sizeText(one.provenBytes)} only, max_size is ${sizeText(scan.maxBytes)}`,
              remedy: `raise StreamMaxLength, MaxFileSize and MaxScanSize in clamd.conf, or lower max_size`,
            }),
    })
  if (one.alarm !== null)
    found.push({
      level: bad,
      about,
      text: `a harmless mail comes to: ${one.alarm}`,
      remedy: 'look for a signature of your own that matches everything, and for a proxy before clamd',
    })
  if (one.tellsLimits === false)
    found.push({
      level: 'note',
      about,
      text: 'says OK where it stops at a limit of its own, as with archives in archives',
      remedy: 'clamd.conf: AlertExceedsMax yes',
    })
  const old = tooOld(one.engine, Date.now(), proof.maxSignatureAgeMs)
  if (old !== null)
    found.push({
      level: 'warning',
      about,
      text: `${old} (max_signature_age)`,
      remedy: 'look after freshclam',
    })
  if (one.dataPort === true) found.push({ level: 'ok', about, text: 'the STREAM data port can be reached' })
  if (one.dataPort === false)
    found.push({
      level: 'warning',
      about,
      text: 'the STREAM data port cannot be reached; INSTREAM is used instead',
      remedy: 'open StreamMinPort to StreamMaxPort, or set protocol=instream',
    })
  else if (one.streamFailure !== null)
    found.push({
      level: 'warning',
      about,
      text: `STREAM comes to nothing (${one.streamFailure}); INSTREAM is used instead`,
      remedy: "look into clamd's log, or set protocol=instream",
    })
  return found
}
