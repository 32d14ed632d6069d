/*
 * The commands, their options and their help, which is their documentation: docs/commands.md is made of it.
 * What a command does is in a file of its own.
 */

import { Command, InvalidArgumentError, Option } from 'commander'
import { Invalid } from '../base/invalid'
import { duration } from '../config/value-types'
import { check, type CheckOptions } from './check/command'
import { version } from './package'
import type { ChangeOptions } from './quarantine/confirm'
import type { CommonOptions } from './quarantine/context'
import { remove } from './quarantine/delete'
import { list, show } from './quarantine/look'
import { release, type ReleaseOptions } from './quarantine/release'
import { rescan, type RescanOptions } from './quarantine/rescan'
import { scan, type ScanOptions } from './scan/command'

/** Told the exit code of the command that ran. */
export type Done = (code: number) => void

const configOption = () =>
  new Option('-c, --config <dir>', 'Haraka folder, or its config directory (default: where you are)')
const jsonOption = (what: string) => new Option('--json', what).default(false, '')

export function program(done: Done): Command {
  const root = new Command('clamav-stream')
    .description(
      'For those who run haraka-plugin-clamav-stream: check the way to clamd, scan files, look after the quarantine.',
    )
    .version(version(), '-V, --version', 'show the version')
    .helpOption('-h, --help', 'show this help')
    .helpCommand('help [command]', 'show the help of a command')
    .showHelpAfterError('(--help shows what there is)')
    .configureHelp({ helpWidth: 100, optionDescription })
    .exitOverride()
  addCheck(root, done)
  addScan(root, done)
  addQuarantine(root, done)
  return root
}

/** One paragraph, which commander wraps. */
function paragraph(text: string): string {
  return text.replace(/\n/g, ' ')
}

/** Commander says of every switch that it is off. */
function optionDescription({ description, defaultValue }: Option): string {
  const isWorthSaying = defaultValue !== undefined && typeof defaultValue !== 'boolean'
  return isWorthSaying ? `${description} (default: ${String(defaultValue)})` : description
}

function addCheck(root: Command, done: Done): void {
  root
    .command('check')
    .summary('is every message scanned, and to its end?')
    .description(
      paragraph(`Asks each clamd of this site what the plugin depends on: connection, PING, version, number and age of the signatures,
protocols, the STREAM data port, the EICAR test file in an attachment, and the largest message that is scanned to its
end. Then looks at the site: limits of Haraka that have to fit, the quarantine, plugins that might bypass the scan.`),
    )
    .addOption(configOption())
    .option('--host <hosts>', 'ask these instead: as [main] host')
    .option(
      '--quick',
      'do not look for the largest size, which sends up to eleven messages of max_size',
      false,
    )
    .addOption(jsonOption('one JSON object'))
    .option('--nagios', 'one line, for Nagios and its like', false)
    .addHelpText(
      'after',
      `
Each line is ok, note, WARN or FAIL; the last one sums up.
  0  all is well
  1  warnings: mail is scanned, but not as it should be
  2  mail would not be scanned, or the settings are wrong

Examples:
  clamav-stream check
  clamav-stream check --config /etc/haraka --quick --nagios`,
    )
    .action(async (options: CheckOptions) => done(await check(options)))
}

function addScan(root: Command, done: Done): void {
  root
    .command('scan')
    .summary('scan messages, folders, Maildirs and mboxes')
    .description(
      paragraph(`Scans files through the clamd of this site, with its settings, as the plugin would scan them.
A message is sent as SMTP would carry it. A file that is no message is sent as an attachment of one.
Folders are searched to the bottom; links in them are not followed. First each clamd is tried as the plugin tries it
(self_test), with a message as large as the ones to be scanned: clamd says OK to what lies beyond its limits.`),
    )
    .argument('<path...>', 'messages, folders, Maildirs, mboxes or any files; - for standard input')
    .addOption(configOption())
    .option('--host <hosts>', 'ask this clamd instead: as [main] host; needs no Haraka folder')
    .addOption(jobsOption())
    .option('-i, --infected', 'show what is infected and what failed only', false)
    .option('--no-summary', 'no summary at the end')
    .addOption(jsonOption('a JSON object a line, the summary as the last one'))
    .option('-v, --verbose', 'tell each step on standard error', false)
    .addHelpText(
      'after',
      `
Output and exit codes are those of clamdscan:
  PATH: OK                    PATH#3 is the third message of an mbox
  PATH: NAME FOUND
  PATH: REASON ERROR          not scanned: too_large, limits, timeout, error, or not to be read
  0  no virus found
  1  virus found
  2  some error occurred, and no virus was found

Examples:
  clamav-stream scan /var/mail/ann
  clamav-stream scan --infected --jobs 8 /srv/vmail
  clamav-stream scan --host 127.0.0.1:3310 - < message.eml`,
    )
    .action(async (paths: string[], options: ScanOptions) => {
      done(await scan(paths, options))
    })
}

function addQuarantine(root: Command, done: Done): void {
  const quarantine = root
    .command('quarantine')
    .summary('look after the messages that were kept')
    .description(
      paragraph(`Looks after the messages that the action "quarantine" has kept: below quarantine_path of quarantine.ini, in the
folder of [quarantine] folder. Be root, or the user that Haraka runs as.`),
    )
    .addHelpText(
      'after',
      `
A message is named by its id, by the beginning of its UUID, which also is in Haraka's log, or by its
file. Instead of ids, release, rescan and delete take filters. Those of text find any part, or with
* and ? the whole.

Every release and deletion is written to releases.log beside the messages: who, when, what, to whom,
one JSON object a line.`,
    )

  withFilters(quarantine.command('list'))
    .summary('what is kept')
    .description('Shows what is kept, oldest first: id, time, state, why, envelope sender and recipients.')
    .addOption(jsonOption('a JSON object a line'))
    .addHelpText(
      'after',
      `
States: kept, released, released to 1 of 2, in doubt (a release broke off and may have arrived), no
message (the file is gone).

Examples:
  clamav-stream quarantine list --newer-than 1d
  clamav-stream quarantine list --virus 'Heuristics.*' --recipient @example.com`,
    )
    .action(async (options: CommonOptions) => done(await list(options)))

  withPlace(quarantine.command('show'))
    .summary('one message: envelope, verdict, headers')
    .description(
      'Shows one message: envelope, verdict, what was released to whom, and its headers. Control characters are written out.',
    )
    .argument('<id>')
    .option('--raw', 'the message itself, byte for byte as it is kept; not to a terminal', false)
    .addOption(jsonOption('one JSON object'))
    .action(async (id: string, options: CommonOptions & { raw: boolean }) => done(await show(id, options)))

  withFilters(quarantine.command('rescan'))
    .summary('scan again, with the signatures of today')
    .description(
      paragraph(`Scans what is kept once more, with the signatures of today, as clamav-stream scan does. Without ids and filters, all
of it. Changes nothing.`),
    )
    .argument('[id...]')
    .option('--host <hosts>', 'ask this clamd instead: as [main] host')
    .addOption(jobsOption())
    .addOption(jsonOption('a JSON object a line'))
    .option('-v, --verbose', 'tell each step on standard error', false)
    .addHelpText(
      'after',
      '\nExit codes: 0 all clean, 1 a virus was found, 2 some error occurred, and no virus was found',
    )
    .action(async (ids: string[], options: RescanOptions) => done(await rescan(ids, options)))

  withConsent(quarantine.command('release'))
    .summary('send on to the original recipients')
    .description(
      paragraph(`Sends messages on, as they are kept, from the original sender to those of the original recipients who do not have
them yet. Without --to to the next hop of this site: that of queue/smtp_forward or queue/smtp_proxy. The server must be
one behind this Haraka; Haraka itself would scan the message and keep it again, and is refused.
What is released stays in the quarantine until it is deleted.`),
    )
    .argument('[id...]')
    .option('--to <host:port>', 'SMTP server to hand it to')
    .option('--again', 'also to those who have it, or may have it', false)
    .addHelpText(
      'after',
      `
A release that breaks off can be repeated: it goes to those who do not have the message. Where the
connection broke in the very moment in which the server may have taken it, the recipient is "in
doubt" and is left out, unless --again.

Exit codes: 0 all recipients have it, 1 some do not, 2 nothing was done

Examples:
  clamav-stream quarantine release 6F1A2B3C.1
  clamav-stream quarantine release --to 192.0.2.7:25 --virus 'Heuristics.*' --newer-than 1d`,
    )
    .action(async (ids: string[], options: ReleaseOptions) => done(await release(ids, options)))

  withConsent(quarantine.command('delete'))
    .summary('remove for good')
    .description(
      'Removes messages for good, with their records. What was done with them stays in releases.log.',
    )
    .argument('[id...]')
    .addHelpText('after', '\nExample:\n  clamav-stream quarantine delete --older-than 30d --yes')
    .action(async (ids: string[], options: ChangeOptions) => done(await remove(ids, options)))
}

function withPlace(command: Command): Command {
  return command
    .addOption(configOption())
    .option(
      '--dir <dir>',
      "the quarantine, where it is not the site's: the folder that holds one for each day",
    )
}

function withFilters(command: Command): Command {
  return withPlace(command)
    .addOption(new Option('--older-than <time>', 'kept for at least so long: 30m, 12h, 7d').argParser(age))
    .addOption(new Option('--newer-than <time>', 'kept for less').argParser(age))
    .option('--virus <pattern>', 'why it is kept: virus, attachment mask or reason', pattern)
    .option('--sender <pattern>', 'envelope sender', pattern)
    .option('--recipient <pattern>', 'one of the envelope recipients', pattern)
}

function withConsent(command: Command): Command {
  return withFilters(command)
    .option('--all', 'everything that is kept', false)
    .option('-y, --yes', 'do not ask', false)
    .addOption(jsonOption('a JSON object a line'))
}

function jobsOption(): Option {
  return new Option('-j, --jobs <n>', 'so many at a time').argParser(wholeNumber(1, 64)).default(4)
}

const agesOfMail = duration(0, 3650 * 24 * 60 * 60 * 1000)

/** Milliseconds. */
function age(text: string): number {
  // In the settings a bare number is seconds, of which nobody thinks who deletes mail that is older than 30.
  const ms = /[a-z]$/i.test(text) ? agesOfMail.parse(text) : new Invalid()
  if (ms instanceof Invalid) throw new InvalidArgumentError(`It has to be ${agesOfMail.allowed}.`)
  return ms
}

/** Nothing at all would fit everything, and in a script it is a variable that was not set. */
function pattern(text: string): string {
  if (text.trim() === '') throw new InvalidArgumentError('It has to be a pattern.')
  return text
}

function wholeNumber(minBytes: number, maxBytes: number): (text: string) => number {
  return (text) => {
    const value = /^\d+$/.test(text) ? Number(text) : NaN
    if (value >= minBytes && value <= maxBytes) return value
    throw new InvalidArgumentError(`It has to be a whole number from ${minBytes} to ${maxBytes}.`)
  }
}
