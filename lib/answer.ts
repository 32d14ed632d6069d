/*
 * The SMTP answer of a rejected or deferred message: code, enhanced code (RFC 3463) and one line of text.
 * Says nothing about hosts or software; the log does.
 */

import type { Verdict } from './verdict'

export interface Answer {
  readonly code: 451 | 550 | 552
  /** Enhanced status code: subject and detail; the class follows from `code`. */
  readonly subject: number
  readonly detail: number
  readonly text: string
}

/** @param message text for an infected message, `{virus}` stands for the name */
export function answerTo(verdict: Verdict, action: 'reject' | 'defer', message: string): Answer {
  const code = action === 'reject' ? 550 : 451
  if (verdict.outcome === 'infected') {
    return { code, subject: 7, detail: 1, text: message.replaceAll('{virus}', () => verdict.virus) }
  }
  if (verdict.outcome === 'clean') return { code, subject: 7, detail: 1, text: 'Message refused' }
  if (verdict.reason === 'too_large' && action === 'reject') {
    return { code: 552, subject: 3, detail: 4, text: 'Message is too large to be scanned for viruses' }
  }
  return {
    code,
    subject: 3,
    detail: verdict.reason === 'too_large' ? 4 : 0,
    text:
      verdict.reason === 'limits'
        ? 'Message could not be scanned completely for viruses'
        : `Message could not be scanned for viruses${action === 'defer' ? ', try again later' : ''}`,
  }
}
