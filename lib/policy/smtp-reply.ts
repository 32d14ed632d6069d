/*
 * The SMTP answer of a rejected or deferred message: code, enhanced code (RFC 3463) and one line of text.
 * Says nothing about hosts or software; the log does.
 */

import { printable } from '../base/text'
import type { Ending } from './action'
import type { AttachmentFinding, Reason, Verdict } from './verdict'

export interface Answer {
  readonly code: 451 | 550 | 552
  /** Enhanced status code: subject and detail; the class follows from `code`. */
  readonly subject: number
  readonly detail: number
  readonly text: string
}

/** How a message ends, and the answer that goes with `reject` and `defer`. */
export type Outcome =
  | { readonly ending: 'accept' | 'tag' | 'discard' }
  | { readonly ending: 'reject' | 'defer'; readonly answer: Answer }

/** Enhanced status code (RFC 3463): `5.7.1`. */
export function statusOf({ code, subject, detail }: Answer): string {
  return `${code < 500 ? 4 : 5}.${subject}.${detail}`
}

/** As an SMTP client sees it: `550 5.7.1 …`. */
export function replyLine(answer: Answer): string {
  return `${answer.code} ${statusOf(answer)} ${answer.text}`
}

/** The ending with its answer; the parameters are those of `answerTo`. */
export function outcomeOf(
  verdict: Verdict,
  finding: AttachmentFinding,
  ending: Ending,
  infectedText: string,
): Outcome {
  if (ending !== 'reject' && ending !== 'defer') return { ending }
  return { ending, answer: answerTo(verdict, finding, ending, infectedText) }
}

/**
 * @param finding what the attachments came to, if the action is on their account
 * @param infectedText for an infected message, `{virus}` stands for the name
 */
export function answerTo(
  verdict: Verdict,
  finding: AttachmentFinding,
  ending: 'reject' | 'defer',
  infectedText: string,
): Answer {
  const code = ending === 'reject' ? 550 : 451
  const refused = { code, subject: 7, detail: 1 } as const
  if (finding !== null) {
    return {
      ...refused,
      text:
        'denied' in finding
          ? `Attachments named ${printable(finding.denied)} are not accepted here`
          : 'Message has attachments that cannot be checked',
    }
  }
  if (verdict.outcome === 'infected') {
    return { ...refused, text: infectedText.replaceAll('{virus}', () => verdict.virus) }
  }
  // Another plugin has overruled the action.
  if (verdict.outcome === 'clean') return { ...refused, text: 'Message refused' }
  if (verdict.reason === 'too_large' && ending === 'reject') {
    return { code: 552, subject: 3, detail: 4, text: 'Message is too large to be scanned for viruses' }
  }
  return {
    code,
    subject: 3,
    detail: verdict.reason === 'too_large' ? 4 : 0,
    text: unscannedText(verdict.reason, ending),
  }
}

function unscannedText(reason: Reason, ending: 'reject' | 'defer'): string {
  if (reason === 'limits') return 'Message could not be scanned completely for viruses'
  if (reason === 'encrypted') return 'Message has encrypted parts, which cannot be scanned for viruses'
  return `Message could not be scanned for viruses${ending === 'defer' ? ', try again later' : ''}`
}

/** For a message that is to be kept and could not be. */
export const notKept: Answer = {
  code: 451,
  subject: 3,
  detail: 0,
  text: 'Message could not be processed, try again later',
}
