/*
 * config/clamav-stream.signatures: actions by signature name, one rule a line.
 */

import { Invalid } from '../base/invalid'
import { asciiLower } from '../base/text'
import { matcherOf } from '../base/wildcards'
import type { SignatureRule } from '../policy/rules'
import { actionWords } from './value-types'

/** Parses `PATTERN ACTION…`: wildcards `*` and `?`, or a regular expression between slashes; not case-sensitive. */
export function parseSignatureRule(rule: string): SignatureRule | Invalid {
  const match = /^(?:\/(?<regexp>.*)\/|(?<wildcards>\S+))\s+(?<words>\S.*)$/.exec(rule)?.groups
  if (!match) return new Invalid(`${rule}: a rule is PATTERN ACTION`)
  const { regexp = '', wildcards, words = '' } = match
  const action = /^ignore$/i.test(words) ? 'ignore' : actionWords.parse(words)
  if (action instanceof Invalid) return new Invalid(`${rule}: ${words} is not ignore, ${actionWords.allowed}`)
  if (wildcards?.startsWith('/'))
    return new Invalid(`${rule}: a regular expression ends in / without flags; case is ignored anyway`)
  if (wildcards !== undefined) {
    if (/[^\x21-\x7e]/.test(wildcards))
      return new Invalid(`${rule}: signature names are ASCII, so this pattern matches none`)
    const matches = matcherOf(asciiLower(wildcards))
    return { text: wildcards, pattern: { test: (name) => matches(asciiLower(name)) }, action }
  }
  try {
    return { text: `/${regexp}/`, pattern: new RegExp(regexp, 'i'), action }
  } catch (error) {
    return new Invalid(`${rule}: ${(error as Error).message}`)
  }
}
