/*
 * config/clamav-stream.signatures: what is done about which signature name, one rule a line.
 */

import type { SignatureRule } from './policy'
import { actionWords } from './values'
import { matcherOf } from './wildcards'
import { Wrong } from './wrong'

/**
 * Parses `PATTERN ACTION…`: wildcards `*` and `?`, or a regular expression between slashes; not case-sensitive.
 * `#` begins a comment, as `;` does in front of a line.
 * @returns the rule, null for a line without one, or what is wrong
 */
export function parseSignatureRule(line: string): SignatureRule | null | Wrong {
  const rule = line.replace(/(^|\s)#.*$|^\s*;.*$/, '').trim()
  if (rule === '') return null
  const match = /^(?:\/(?<regexp>.*)\/|(?<wildcards>\S+))\s+(?<words>\S.*)$/.exec(rule)?.groups
  if (!match) return new Wrong(`${rule}: a rule is PATTERN ACTION`)
  const action = actionWords.parse(match.words ?? '')
  if (action instanceof Wrong) return new Wrong(`${rule}: ${match.words ?? ''} is not ${actionWords.allowed}`)
  if (match.wildcards?.startsWith('/'))
    return new Wrong(
      `${rule}: a regular expression ends in /, with no flags behind it, for case never counts`,
    )
  if (match.wildcards !== undefined) {
    const matches = matcherOf(match.wildcards.toLowerCase())
    return { text: match.wildcards, pattern: { test: (name) => matches(name.toLowerCase()) }, action }
  }
  try {
    return { text: `/${match.regexp ?? ''}/`, pattern: new RegExp(match.regexp ?? '', 'i'), action }
  } catch (error) {
    return new Wrong(`${rule}: ${(error as Error).message}`)
  }
}
