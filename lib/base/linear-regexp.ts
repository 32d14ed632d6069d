/*
 * Regular expressions against untrusted text, in time linear in its length, by re2js: no look-around and no back reference.
 * Loaded with the first one.
 */

import { createRequire } from 'node:module'
import { Invalid } from './invalid'

const load = createRequire(__filename)

/** @returns whether the expression fits anywhere in a text, whatever the case; Invalid: why it cannot be used */
export function linearRegExp(source: string): ((text: string) => boolean) | Invalid {
  const { RE2JS } = load('re2js') as typeof import('re2js')
  try {
    const expression = RE2JS.compile(source, RE2JS.CASE_INSENSITIVE)
    return (text) => expression.matcher(text).find()
  } catch (error) {
    return new Invalid((error as Error).message)
  }
}
