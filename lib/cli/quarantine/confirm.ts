/*
 * Before a permanent change: a choice of messages is required, they are listed, and the user confirms.
 */

import { whyKept } from '../../actions/quarantine-record'
import { confirm, escaped, table, widthOf, write } from '../terminal'
import { UserError } from '../user-error'
import type { CommonOptions } from './context'
import { hasFilters, type KeptMessage } from './store'

export interface ChangeOptions extends CommonOptions {
  readonly all: boolean
  readonly yes: boolean
}

/** @throws UserError without ids, filters or --all: a permanent change needs an explicit choice */
export function requireChoice(ids: readonly string[], options: ChangeOptions): void {
  if (ids.length === 0 && !hasFilters(options) && !options.all)
    throw new UserError('no messages chosen: give ids, filters or --all')
}

export async function requireConfirmation(question: string, { yes }: ChangeOptions): Promise<void> {
  if (yes) return
  if (!process.stdin.isTTY) throw new UserError('not a terminal: use --yes to skip the confirmation')
  if (!(await confirm(question))) throw new UserError('not confirmed: nothing was changed')
}

export function describe(messages: readonly KeptMessage[]): void {
  const rows = messages.map((one) => [
    one.id,
    escaped(whyKept(one.record)),
    escaped(one.record.envelope.mail_from) || '<>',
    one.record.envelope.rcpt_to.map(escaped).join(' '),
  ])
  process.stderr.write(table(rows, widthOf(process.stderr)))
}

export function say({ json }: CommonOptions, one: KeptMessage | null, text: string): void {
  if (json) process.stderr.write(`${one ? `${one.id} ` : ''}${escaped(text)}\n`)
  else write(`${one ? `${one.id} ` : ''}${escaped(text)}\n`)
}

export function counted(count: number, what: string): string {
  return `${count} ${what}${count === 1 ? '' : 's'}`
}
