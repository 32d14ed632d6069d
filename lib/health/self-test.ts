/*
 * What one clamd is good for, found out by asking it: whether it finds the EICAR test file, and up to which size of
 * message it still does; whether a harmless mail is clean; whether it says so when it stops at a limit of its own. When
 * that is done, and what follows from it, is watch.ts' and hosts.ts' business.
 */

import { type CancelSignal, Deadline } from '../base/cancellation'
import type { Address } from '../clamd/address'
import type { Connect } from '../clamd/connection'
import { dialogue } from '../clamd/dialogue'
import { ClamdError, errorText, type Step } from '../clamd/errors'
import { isLimitName, type Protocol, type Reply } from '../clamd/protocol'
import type { Alarm, SelfTestResult } from '../hosts/host-state'
import type { EicarCheck } from '../scan/attempt'
import type { Probe } from './padded-mail'
import { harmlessMail, minProbeBytes, nestedMail, testFileMail } from './test-mails'

export interface SelfTestSettings {
  /** As `self_test` has it, and `test file`: that alone, without the other small mails. */
  readonly depth: 'full' | 'eicar' | 'test file'
  /** Of the first mail with the test file; without it the least. */
  readonly testBytes?: number
  readonly protocol: Protocol
  /** The size to prove, our Received line included. */
  readonly maxBytes: number
  readonly bufferBytes: number
  readonly connectMs: number
  /** Milliseconds for each probe. */
  readonly scanMs: number
  /** A limit found before: enough if it is still true, and maxBytes is still too much. */
  readonly provenBefore?: number | null
  /** Told when the test file was found, before anything else is tried. */
  readonly onSeeing?: () => void
}

/** Probes between the largest proven and the smallest unproven size; each halves what is between. */
const maxBisections = 10

/** Steps at which STREAM comes to nothing before clamd has the message; something else may take it on the way. */
const beforeReading: readonly Step[] = ['command', 'port', 'data connect', 'send']

/** Steps at which a daemon that has read enough breaks off. */
const afterSending: readonly Step[] = ['send', 'reply']

/**
 * Rejects with a ClamdError when the daemon cannot be asked, fails or takes too long: that proves nothing. Sends at most
 * two probes of maxBytes and thirteen smaller ones, each at most twice, and three of a few kilobytes.
 */
export async function runSelfTest(
  address: Address,
  settings: SelfTestSettings,
  connect: Connect,
  signal: CancelSignal,
  trace: (text: string) => void = () => undefined,
): Promise<SelfTestResult> {
  const prober = new Prober(address, settings, connect, signal, trace)
  if (!(await prober.finds(settings.testBytes ?? minProbeBytes))) return prober.selfTest(false, null)
  settings.onSeeing?.()
  if (settings.depth === 'test file') return prober.selfTest(true, null)
  await prober.tryOthers()
  if (settings.depth === 'eicar') return prober.selfTest(true, null)
  return prober.selfTest(true, await largestFound(prober, settings.maxBytes, settings.provenBefore))
}

/** One address while it is proven: the probes that were sent there, and what came of them. */
class Prober {
  /** Probes for whose size a daemon broke off, twice. */
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

  /** Whether the test file is found at the end of so many bytes. */
  async finds(bytes: number): Promise<boolean> {
    const sendTestFile = () => this.#send(`test file at the end of ${bytes} bytes`, testFileMail(bytes))
    const reply = await sendTestFile().catch((error: unknown) => {
      // Some break off where they stop reading, and the reply is lost. Once more tells it from an accident.
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

  /** A harmless mail, and one that goes over a limit of every clamd. */
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

  /** What goes wrong here says nothing about what it finds. */
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

/** Bytes of the largest message in which the test file is found, as far as it is looked for. */
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
  // Where it broke off it may have been gone for a while, and behind a proxy that looks the same.
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
  /** Why it is not STREAM, which the daemon may have; null: it is, or need not be. */
  readonly streamFailure: ClamdError | null
}

/**
 * As mail goes with `auto`: by INSTREAM where STREAM is not to be had, its ports are closed, it comes to no verdict in
 * time, or a harmless mail is clean by INSTREAM only. Rejects as `prove` does.
 * @param offered what the daemon says it has; null: it does not say
 */
export async function selfTestAsMail(
  address: Address,
  settings: Omit<SelfTestSettings, 'protocol'> & { readonly protocol: Protocol | 'auto' },
  offered: Protocol | null,
  ...rest: [connect: Connect, signal: CancelSignal, trace?: (text: string) => void]
): Promise<MailTest> {
  const usual = settings.protocol === 'auto' ? (offered ?? 'stream') : settings.protocol
  const by = async (protocol: Protocol, streamFailure: ClamdError | null): Promise<MailTest> => ({
    selfTest: await runSelfTest(address, { ...settings, protocol }, ...rest),
    protocol,
    streamFailure,
  })
  const hasChoice = settings.protocol === 'auto' && usual === 'stream'
  let proven: MailTest
  try {
    proven = await by(usual, null)
  } catch (error) {
    if (settings.protocol !== 'auto' || !(error instanceof ClamdError)) throw error
    const isInVain = beforeReading.includes(error.step) || error.code === 'reply_timeout'
    if (usual === 'stream' && isInVain)
      return by('instream', error).catch((other: unknown) => {
        // It has STREAM alone, and that is what there is to be told.
        throw other instanceof ClamdError && other.step === 'command' ? error : other
      })
    if (usual === 'instream' && error.step === 'command') return by('stream', null)
    throw error
  }
  const { alarm } = proven.selfTest
  if (!hasChoice || alarm?.kind !== 'failed') return proven
  const other = await by(
    'instream',
    new ClamdError('reply', `a harmless mail comes to: ${alarm.text}`),
  ).catch(() => null)
  return other?.selfTest.alarm === null ? other : proven
}

/**
 * For a scanner: the test file alone, when an address is to show that it finds it before it gets a message.
 * @param depth as `self_test` has it; `eicar`: whatever the size of a message
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
        sessions: null,
        mayBeKept: false,
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

/** A daemon that is slow or inconsistent says nothing about a size. */
function isBreak(error: unknown): error is ClamdError {
  if (!(error instanceof ClamdError) || !afterSending.includes(error.step)) return false
  return error.code !== 'inconclusive' && error.code !== 'reply_timeout'
}

export function said(reply: Reply): string {
  if (reply.kind === 'clean') return 'stream: OK'
  return reply.kind === 'found' ? `${reply.name} FOUND` : 'text' in reply ? reply.text : reply.kind
}
