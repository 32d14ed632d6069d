/*
 * Tests one clamd: does it find the EICAR test file, up to which message size, is a harmless mail clean, and does it report
 * its limits. monitor.ts decides when, lib/hosts what follows.
 */

import { type CancelSignal, Deadline } from '../base/cancellation'
import type { Address } from '../clamd/address'
import { dialogue } from '../clamd/client'
import type { Connect } from '../clamd/connection'
import { ClamdError, errorText, type Step } from '../clamd/errors'
import { isLimitName, type Protocol, protocolAt, type Reply } from '../clamd/protocol'
import type { Alarm, SelfTestResult } from '../hosts/test-results'
import type { EicarCheck } from '../scan/host-check'
import type { Probe } from './padded-mail'
import { harmlessMail, minProbeBytes, nestedMail, testFileMail } from './test-mails'

export interface SelfTestSettings {
  /** The setting `self_test`, or `test file`: only the test file, without the other small mails. */
  readonly depth: 'full' | 'eicar' | 'test file'
  /** Size of the first mail with the test file; by default the minimum. */
  readonly testBytes?: number
  readonly protocol: Protocol
  /** max_size, with our Received line. */
  readonly maxBytes: number
  readonly bufferBytes: number
  readonly connectMs: number
  /** Milliseconds for each probe. */
  readonly scanMs: number
  /** A limit found before, in bytes: tried first when maxBytes fails. */
  readonly provenBefore?: number | null
  /** Called when the test file is found, before the rest of the test. */
  readonly onSeeing?: () => void
}

/** Maximum number of probes of the bisection. */
const maxBisections = 10

/** Steps at which STREAM fails before clamd has the message. */
const beforeReading: readonly Step[] = ['command', 'port', 'data connect', 'send']

/** Steps at which a daemon closes the connection after reading enough. */
const afterSending: readonly Step[] = ['send', 'reply']

/**
 * Rejects with a ClamdError when the daemon is not reached, fails or takes too long: the test has no result then. Sends at
 * most two probes of maxBytes and thirteen smaller ones, each at most twice, and three of a few kilobytes.
 */
export async function runSelfTest(
  address: Address,
  settings: SelfTestSettings,
  connect: Connect,
  signal: CancelSignal,
  trace: (text: string) => void = () => undefined,
): Promise<SelfTestResult> {
  const prober = new Prober(address, settings, connect, signal, trace)
  if (!(await prober.findsFirst(settings.testBytes ?? minProbeBytes))) return prober.selfTest(false, null)
  settings.onSeeing?.()
  if (settings.depth === 'test file') return prober.selfTest(true, null)
  await prober.tryOthers()
  if (settings.depth === 'eicar') return prober.selfTest(true, null)
  return prober.selfTest(true, await largestFound(prober, settings.maxBytes, settings.provenBefore))
}

/** Continues the text of an error. */
const testFileIsCut =
  'to the EICAR test file, while a harmless mail is scanned: a firewall or intrusion prevention system on the way ' +
  'probably stops the test file; let it pass to clamd, or set self_test=off. Mail that goes there is deferred until then'

/** The self test of one address: sends the probes and collects the results. */
class Prober {
  /** Number of sizes for which the daemon closed the connection twice. */
  breaks = 0
  readonly #started = performance.now()
  #probes = 0
  #sentBytes = 0
  #missed: string | null = null
  #alarm: Alarm | null = null
  #reportsLimits: boolean | null = null

  constructor(
    private readonly address: Address,
    private readonly settings: SelfTestSettings,
    private readonly connect: Connect,
    private readonly signal: CancelSignal,
    private readonly trace: (text: string) => void,
  ) {}

  /** True if clamd finds the test file in a mail of `bytes`. */
  async finds(bytes: number): Promise<boolean> {
    const sendTestFile = () => this.#send(`test file at the end of ${bytes} bytes`, testFileMail(bytes))
    const reply = await sendTestFile().catch((error: unknown) => {
      // Some daemons close where they stop reading, and the reply is lost. A second try excludes a chance failure.
      if (bytes === minProbeBytes || !isBreak(error)) throw error
      return sendTestFile().catch((again: unknown): Reply => {
        if (!isBreak(again)) throw again
        this.breaks++
        return { kind: 'limit', text: again.text }
      })
    })
    if (reply.kind === 'found' && /eicar/i.test(reply.name)) return true
    if (reply.kind === 'found' && isLimitName(reply.name) && bytes === minProbeBytes)
      throw new ClamdError('reply', said(reply), { code: 'inconclusive' })
    this.#missed = said(reply)
    return false
  }

  /** The same for the first test file: if that breaks off, a harmless mail shows whether all mail does. */
  async findsFirst(bytes: number): Promise<boolean> {
    try {
      return await this.finds(bytes)
    } catch (error) {
      if (!endsUnanswered(error) || this.settings.depth === 'test file' || this.signal.aborted) throw error
      const harmless = await this.#eicarCheck('a harmless mail', harmlessMail())
      if (harmless.kind !== 'clean') throw error
      const { step, code, text } = error
      throw new ClamdError(step, `${text} ${testFileIsCut}`, { code, cause: error.cause })
    }
  }

  /** Sends a harmless mail, and one that exceeds a limit of every clamd. */
  async tryOthers(): Promise<void> {
    const harmless = await this.#eicarCheck('a harmless mail', harmlessMail())
    if (harmless.kind !== 'clean')
      this.#alarm = { kind: harmless.kind === 'found' ? 'found' : 'failed', text: said(harmless) }
    const nested = await this.#eicarCheck('a mail with nested archives', nestedMail())
    if (nested.kind === 'clean') this.#reportsLimits = false
    if (nested.kind === 'found' && isLimitName(nested.name)) this.#reportsLimits = true
  }

  selfTest(findsTestFile: boolean, maxScannableBytes: number | null): SelfTestResult {
    return {
      findsTestFile,
      maxScannableBytes,
      coversMaxSize:
        findsTestFile && maxScannableBytes !== null && maxScannableBytes >= this.settings.maxBytes,
      missed: this.#missed,
      alarm: this.#alarm,
      reportsLimits: this.#reportsLimits,
      probes: this.#probes,
      sentBytes: this.#sentBytes,
      ms: Math.round(performance.now() - this.#started),
    }
  }

  async #send(what: string, mail: Probe): Promise<Reply> {
    const { address, settings, connect, signal } = this
    this.#probes++
    this.#sentBytes += mail.bytes
    const { reply, step } = await sendProbe(address, mail, settings, connect, signal)
    this.trace(`${settings.protocol}: ${what}: ${said(reply)}`)
    if (reply.kind === 'unknown_command') throw new ClamdError('command', reply.text)
    if (reply.kind === 'error') throw new ClamdError(step, reply.text, { code: 'inconclusive' })
    return reply
  }

  /** Errors become a reply, because they say nothing about what the daemon finds. */
  async #eicarCheck(what: string, mail: Probe): Promise<Reply> {
    try {
      return await this.#send(what, mail)
    } catch (error) {
      if (this.signal.aborted || !(error instanceof ClamdError)) throw error
      this.trace(`${this.settings.protocol}: ${what}: ${errorText(error)}`)
      return { kind: 'error', text: errorText(error) }
    }
  }
}

/** Size in bytes of the largest tested message in which the test file is found. */
async function largestFound(
  prober: Pick<Prober, 'finds' | 'breaks'>,
  maxBytes: number,
  provenBefore: number | null = null,
): Promise<number> {
  if (maxBytes <= minProbeBytes || (await prober.finds(maxBytes))) return maxBytes
  let [proven, notVerified] = [minProbeBytes, maxBytes]
  if (provenBefore !== null && provenBefore < notVerified) {
    if (await prober.finds(provenBefore)) return provenBefore
    notVerified = provenBefore
  }
  for (let i = 0; i < maxBisections && notVerified - proven > 1; i++) {
    const middle = Math.floor((proven + notVerified) / 2)
    if (await prober.finds(middle)) proven = middle
    else notVerified = middle
  }
  // A daemon that was down for a while behind a proxy looks like one with a limit: test both sizes again.
  if (prober.breaks > 0 && (!(await prober.finds(proven)) || (await prober.finds(notVerified))))
    throw new ClamdError(
      'reply',
      `the test file is found in ${proven} bytes at one time and not at another`,
      { code: 'inconclusive' },
    )
  return proven
}

export interface MailTest {
  readonly selfTest: SelfTestResult
  readonly protocol: Protocol
  /** Why STREAM failed; null: it works, or was not tried. */
  readonly streamFailure: ClamdError | null
}

/**
 * Tests with the protocol that mail uses. With `auto` that is INSTREAM if STREAM is missing, its ports are closed, it gives
 * no verdict in time, or a harmless mail is clean by INSTREAM only. Rejects as `runSelfTest` does.
 * @param offered protocol that the daemon lists; null: it lists no commands
 */
export async function selfTestAsMail(
  address: Address,
  settings: Omit<SelfTestSettings, 'protocol'> & { readonly protocol: Protocol | 'auto' },
  offered: Protocol | null,
  ...rest: [connect: Connect, signal: CancelSignal, trace?: (text: string) => void]
): Promise<MailTest> {
  const configured = protocolAt(address, settings.protocol)
  const usual = configured === 'auto' ? (offered ?? 'stream') : configured
  const by = async (protocol: Protocol, streamFailure: ClamdError | null): Promise<MailTest> => ({
    selfTest: await runSelfTest(address, { ...settings, protocol }, ...rest),
    protocol,
    streamFailure,
  })
  const hasChoice = configured === 'auto' && usual === 'stream'
  let proven: MailTest
  try {
    proven = await by(usual, null)
  } catch (error) {
    if (configured !== 'auto' || !(error instanceof ClamdError)) throw error
    const isInVain = beforeReading.includes(error.step) || error.code === 'reply_timeout'
    if (usual === 'stream' && isInVain)
      return by('instream', error).catch((other: unknown) => {
        // It has only STREAM, so the error of STREAM counts.
        throw other instanceof ClamdError && other.step === 'command' ? error : other
      })
    if (usual === 'instream' && error.step === 'command') return by('stream', null)
    throw error
  }
  const { alarm } = proven.selfTest
  if (!hasChoice || alarm?.kind !== 'failed') return proven
  const other = await by(
    'instream',
    new ClamdError('reply', `reply to a harmless mail: ${alarm.text}`),
  ).catch(() => null)
  return other?.selfTest.alarm === null ? other : proven
}

/**
 * For the scanner: sends the test file to an address before a message.
 * @param depth the setting `self_test`; `eicar`: the message size does not matter
 */
export function eicarCheckWith(
  settings: Omit<Parameters<typeof selfTestAsMail>[1], 'depth' | 'scanMs' | 'testBytes'>,
  depth: 'full' | 'eicar',
  connect: Connect,
): EicarCheck {
  return async (address, known, bytes, limitMs, signal) => {
    const testBytes = Math.max(bytes, minProbeBytes)
    const alone = { ...settings, depth: 'test file', testBytes, scanMs: limitMs } as const
    const limit = limited(signal, limitMs)
    try {
      const { selfTest, protocol } = await selfTestAsMail(address, alone, known, connect, limit)
      const { findsTestFile, missed } = selfTest
      return { findsTestFile, missed, protocol, bytes: depth === 'full' ? testBytes : null }
    } finally {
      limit.end()
    }
  }
}

/** Rejects with a ClamdError. */
export async function sendProbe(
  address: Address,
  mail: Probe,
  settings: Omit<SelfTestSettings, 'depth'>,
  connect: Connect,
  signal: CancelSignal,
) {
  const { scanMs, bufferBytes, connectMs } = settings
  const budget = limited(signal, scanMs)
  try {
    return await dialogue[settings.protocol](
      {
        connect,
        address,
        connectMs,
        bufferBytes,
        maxBytes: mail.bytes,
        signal: budget,
        at: () => undefined,
      },
      mail,
    )
  } finally {
    budget.end()
  }
}

function limited(signal: CancelSignal, limitMs: number): Deadline {
  return new Deadline(
    signal,
    limitMs,
    () => new ClamdError('reply', `no verdict within ${limitMs} ms`, { code: 'reply_timeout' }),
  )
}

/** True if the connection ended or fell silent after the command. */
function endsUnanswered(error: unknown): error is ClamdError {
  return isBreak(error) || (error instanceof ClamdError && error.code === 'reply_timeout')
}

/** A daemon that is slow or inconsistent says nothing about a size. */
function isBreak(error: unknown): error is ClamdError {
  if (!(error instanceof ClamdError) || !afterSending.includes(error.step)) return false
  return error.code !== 'inconclusive' && error.code !== 'reply_timeout'
}

export function said(reply: Reply): string {
  if (reply.kind === 'clean') return 'stream: OK'
  return reply.kind === 'found' ? `${reply.name} FOUND` : 'text' in reply ? reply.text : reply.kind
}
