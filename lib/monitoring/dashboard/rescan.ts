/*
 * Do today's signatures still find what was found in a copy of the quarantine? Only when a person asks, one copy at a time
 * in each process, with the scanner and the time budget of mail.
 */

import { Cancellation } from '../../base/cancellation'
import { FileMessage, through } from '../../base/file-message'
import { inFolder, reading } from '../../base/safe-files'
import { SmtpLines } from '../../base/smtp-lines'
import { displayText } from '../../base/text'
import { versionText } from '../../clamd/version'
import type { Verdict } from '../../policy/verdict'
import type { Scanner } from '../../scan/scanner'

export interface RescanResult {
  readonly outcome: Verdict['outcome']
  /** Signature name, or unscanned reason and cause. */
  readonly what: string
  readonly engine: string | null
  /** Milliseconds since the epoch. */
  readonly time: number
}

/** A name that the plugin gives to copies: also safe as a word of a command. */
const copyName = /^[0-9A-Fa-f-]{8,64}(\.\d{1,6}){0,4}$/

const silent = { trace: () => undefined, warn: () => undefined }

export class Rescan {
  #isBusy = false

  constructor(
    private readonly folder: () => string | null,
    private readonly scanner: () => Pick<Scanner, 'scan'>,
  ) {}

  /** `busy`: another one is under way. `missing`: there is no such copy. */
  async scan(day: string, uuid: string, signal: Cancellation): Promise<RescanResult | 'busy' | 'missing'> {
    const folder = this.folder()
    if (folder === null || !/^\d{8}$/.test(day) || !copyName.test(uuid)) return 'missing'
    if (this.#isBusy) return 'busy'
    this.#isBusy = true
    try {
      const copy = await inFolder(folder, day, (one) => one.ownFile(uuid)).catch(() => null)
      if (!copy) return 'missing'
      const openCopy = () => inFolder(folder, day, (one) => one.open(uuid))
      const read = () => through(reading(openCopy, 0, copy.size), new SmtpLines(false))
      const fail = (error: Error) => signal.abort(error)
      const verdict = await this.scanner().scan(
        new FileMessage(read, 0, 2 * copy.size + 2, fail),
        signal,
        silent,
      )
      return { ...resultOf(verdict), engine: versionText(verdict.engine), time: Date.now() }
    } finally {
      this.#isBusy = false
    }
  }
}

function resultOf(verdict: Verdict): Pick<RescanResult, 'outcome' | 'what'> {
  const { outcome } = verdict
  if (outcome === 'infected') return { outcome, what: displayText(verdict.virus, 128) }
  if (outcome === 'clean') return { outcome, what: '' }
  return { outcome, what: displayText(`${verdict.reason}: ${verdict.text}`, 300) }
}
