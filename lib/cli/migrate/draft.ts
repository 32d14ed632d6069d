/*
 * A clamav-stream.ini and a clamav-stream.signatures in the making. What the plugin would refuse at start does not become
 * a setting: it is listed as not carried over.
 */

import { Invalid } from '../../base/invalid'
import { entryIn } from '../../config/ini'
import { fileNames, type Key, schema, type Section } from '../../config/schema'
import { parseSignatureRule } from '../../config/signature-rules'
import { refusal } from '../../config/value-types'
import { escaped } from '../terminal'

export class Draft {
  readonly #lines = new Map<Section, string[]>()
  readonly #rules: string[] = []
  readonly #left: string[] = []

  /** @param from the setting that it is made of, and what changes with it */
  set(section: Section, key: string, value: string, from: string): void {
    const type = typeOf(section, key)
    const parsed = type.parse(value)
    if (parsed instanceof Invalid) this.leave(`${from}: ${refusal(value, parsed, type)}`)
    else this.#add(section, [comment(from), `${key}=${value}`])
  }

  /** A setting in a comment, for the administrator to decide. */
  suggest(section: Section, key: string, value: string, why: string): void {
    this.#add(section, [comment(why), `;${key}=${value}`])
  }

  /** A line of clamav-stream.signatures. The first that matches a name wins. */
  rule(pattern: string, action: 'reject' | 'tag', from: string): void {
    const line = `${pattern} ${action}`
    const rule = parseSignatureRule(entryIn(line))
    if (rule instanceof Invalid) this.leave(`${from}: ${rule.why}`)
    else if (rule.text !== pattern || rule.action === 'ignore' || rule.action.text !== action)
      this.leave(`${from}: cannot be written as a rule`)
    else this.#rules.push(`# ${escaped(from)}`, line)
  }

  leave(what: string): void {
    this.#left.push(what)
  }

  /** True if the package's own rules do not do. */
  get hasRules(): boolean {
    return this.#rules.length > 0
  }

  /** @param heading lines of the first comment */
  ini(heading: readonly string[]): string {
    const sections = [...this.#lines].map(([section, lines]) => `[${section}]\n${lines.join('\n\n')}\n`)
    const left = this.#left.length > 0 ? this.#left : ['nothing']
    const end = ['Not carried over:', ...left.map((what) => `- ${what}`)]
    return [heading.map(comment).join('\n') + '\n', ...sections, end.map(comment).join('\n') + '\n'].join(
      '\n',
    )
  }

  /** The content of clamav-stream.signatures. */
  get signatures(): string {
    return `${this.#rules.join('\n')}\n`
  }

  #add(section: Section, lines: readonly string[]): void {
    this.#lines.set(section, [...(this.#lines.get(section) ?? []), lines.join('\n')])
  }
}

function typeOf(section: Section, key: string): Key<unknown>['type'] {
  const keys: Readonly<Record<string, Key<unknown> | undefined>> = schema[section]
  const found = keys[key]
  if (!found) throw new Error(`${fileNames.ini} has no [${section}] ${key}`)
  return found.type
}

function comment(text: string): string {
  return `; ${escaped(text)}`.trimEnd()
}
