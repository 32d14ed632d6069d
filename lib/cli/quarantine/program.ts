/*
 * The commands of the quarantine, their options and their help.
 */

import { type Command, InvalidArgumentError, Option } from 'commander'
import { Invalid } from '../../base/invalid'
import { duration, size } from '../../config/value-types'
import { configOption, type Done, jobsOption, jsonOption, paragraph } from '../options'
import type { ChangeOptions } from './confirm'
import type { CommonOptions } from './context'
import { remove } from './delete'
import { expire, type ExpireOptions } from './expire'
import { list } from './list'
import { release, type ReleaseOptions } from './release'
import { rescan, type RescanOptions } from './rescan'
import { show } from './show'

export function addQuarantine(root: Command, done: Done): void {
  const quarantine = root
    .command('quarantine')
    .summary('manage the messages that were kept')
    .description(
      paragraph(`Manages the messages that the action "quarantine" has kept. Run it as root or as Haraka's user; started by root, it
runs as the owner of the quarantine.`),
    )
    .addHelpText(
      'after',
      `
An id is that of the list, the beginning of the UUID in Haraka's log, or the message's file.
release, rescan and delete take filters instead of ids. A text filter matches any part; with * or ?
it must match the whole.

releases.log beside the messages records every release and deletion: who, time, message, recipients.`,
    )

  withFilters(quarantine.command('list'))
    .summary('list kept messages')
    .description('Lists kept messages, oldest first: id, time, state, reason, sender, recipients, subject.')
    .addOption(jsonOption('one JSON object a line'))
    .addHelpText(
      'after',
      `
States: kept, released, released to 1 of 2, in doubt (an interrupted release may have arrived), no
message (the file is gone).

Examples:
  clamav-stream quarantine list --newer-than 1d
  clamav-stream quarantine list --virus 'Heuristics.*' --recipient @example.com`,
    )
    .action(async (options: CommonOptions) => done(await list(options)))

  withPlace(quarantine.command('show'))
    .summary('one message: envelope, verdict, headers')
    .description('Shows one message: envelope, verdict, releases, headers. Control characters are escaped.')
    .argument('<id>')
    .option('--raw', 'the message as it is kept, byte for byte; not to a terminal', false)
    .addOption(jsonOption('one JSON object'))
    .action(async (id: string, options: CommonOptions & { raw: boolean }) => done(await show(id, options)))

  withFilters(quarantine.command('rescan'))
    .summary('scan again with the current signatures')
    .description(
      'Scans kept messages again with the current signatures. Without ids and filters, all. Changes nothing.',
    )
    .argument('[id...]')
    .option('--host <hosts>', 'use this clamd instead, written as [main] host')
    .addOption(jobsOption())
    .addOption(jsonOption('one JSON object a line'))
    .option('-v, --verbose', 'log each step to standard error', false)
    .addHelpText('after', '\nExit codes: 0 all clean, 1 virus found, 2 an error, and no virus found')
    .action(async (ids: string[], options: RescanOptions) => done(await rescan(ids, options)))

  withConsent(quarantine.command('release'))
    .summary('deliver to the original recipients')
    .description(
      paragraph(`Sends kept messages from the original sender to the original recipients that do not have them yet. Without --to, they
go to the next hop of queue/smtp_forward or queue/smtp_proxy. The server must not be this Haraka, which would keep the
message again. First the messages are scanned again, and a virus that is still found is told. Released messages stay in the
quarantine until they are deleted.`),
    )
    .argument('[id...]')
    .option('--to <host:port>', 'SMTP server that receives the messages')
    .option('--to-recipient <address...>', 'only to these of the original recipients')
    .option('--to-address <address...>', 'to these in place of the original recipients')
    .option('--again', 'also to recipients that have it, or may have it', false)
    .addHelpText(
      'after',
      `
An interrupted release can be repeated: it goes to the recipients that do not have the message. A
recipient whose server may have accepted it is "in doubt", and is left out unless --again.

Exit codes: 0 all recipients have it, 1 some do not, 2 nothing was done

Examples:
  clamav-stream quarantine release 6F1A2B3C.1
  clamav-stream quarantine release 6F1A2B3C.1 --to-recipient ann@example.com
  clamav-stream quarantine release --to 192.0.2.7:25 --virus 'Heuristics.*' --newer-than 1d`,
    )
    .action(async (ids: string[], options: ReleaseOptions) => done(await release(ids, options)))

  withConsent(quarantine.command('delete'))
    .summary('delete messages')
    .description('Deletes messages and their records.')
    .argument('[id...]')
    .addHelpText('after', '\nExample:\n  clamav-stream quarantine delete --older-than 30d --yes')
    .action(async (ids: string[], options: ChangeOptions) => done(await remove(ids, options)))

  addExpire(quarantine, done)
}

function addExpire(quarantine: Command, done: Done): void {
  withPlace(quarantine.command('expire'))
    .summary('delete the oldest messages, for a timer')
    .description(
      paragraph(`Deletes messages and their records without a question: first those that are too old, then the oldest until the rest
is small enough. examples/systemd has a timer.`),
    )
    .addOption(new Option('--older <time>', 'kept for longer: 12h, 30d').argParser(age))
    .addOption(new Option('--max <size>', 'size of the others together: 500M, 10G').argParser(bytes))
    .addOption(jsonOption('one JSON object a line'))
    .addHelpText('after', '\nExample:\n  clamav-stream quarantine expire --older 30d --max 10G')
    .action(async (options: ExpireOptions) => done(await expire(options)))
}

function withPlace(command: Command): Command {
  return command
    .addOption(configOption())
    .option('--dir <dir>', 'another quarantine: the folder with one folder a day')
}

function withFilters(command: Command): Command {
  return withPlace(command)
    .addOption(new Option('--older-than <time>', 'kept for at least: 30m, 12h, 7d').argParser(age))
    .addOption(new Option('--newer-than <time>', 'kept for less').argParser(age))
    .option('--virus <pattern>', 'virus, attachment mask, or reason of unscanned', pattern)
    .option('--sender <pattern>', 'envelope sender', pattern)
    .option('--recipient <pattern>', 'an envelope recipient', pattern)
}

function withConsent(command: Command): Command {
  return withFilters(command)
    .option('--all', 'all kept messages', false)
    .option('-y, --yes', 'skip the confirmation', false)
    .addOption(jsonOption('one JSON object a line'))
}

const agesOfMail = duration(0, 3650 * 24 * 60 * 60 * 1000)

/** Milliseconds. */
function age(text: string): number {
  // A bare number is seconds in the settings; "--older 30" here would delete nearly all mail.
  const ms = /[a-z]$/i.test(text) ? agesOfMail.parse(text) : new Invalid()
  if (ms instanceof Invalid) throw new InvalidArgumentError(`It has to be ${agesOfMail.allowed}.`)
  return ms
}

const sizesOfQuarantines = size(0, Number.MAX_SAFE_INTEGER)

function bytes(text: string): number {
  const parsed = sizesOfQuarantines.parse(text)
  if (parsed instanceof Invalid) throw new InvalidArgumentError('It has to be a size, such as 500M or 10G.')
  return parsed
}

/** Nothing at all would fit everything, and in a script it is a variable that was not set. */
function pattern(text: string): string {
  if (text.trim() === '') throw new InvalidArgumentError('It has to be a pattern.')
  return text
}
