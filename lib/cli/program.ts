/*
 * The commands, their options and their help, which is their documentation: docs/reference/commands.md is made of it.
 * What a command does is in a file of its own.
 */

import { Command, type Option } from 'commander'
import { check, type CheckOptions } from './check/command'
import { migrate, type MigrateOptions } from './migrate/command'
import { configOption, type Done, jobsOption, jsonOption, paragraph } from './options'
import { version } from './package'
import { addQuarantine } from './quarantine/program'
import { scan, type ScanOptions } from './scan/command'

export function program(done: Done): Command {
  const root = new Command('clamav-stream')
    .description(
      'Checks clamd and the settings, scans files, and manages the quarantine of haraka-plugin-clamav-stream.',
    )
    .version(version(), '-V, --version', 'show the version')
    .helpOption('-h, --help', 'show this help')
    .helpCommand('help [command]', 'show the help of a command')
    .showHelpAfterError('(see --help)')
    .configureHelp({ helpWidth: 100, optionDescription })
    .exitOverride()
  addCheck(root, done)
  addScan(root, done)
  addQuarantine(root, done)
  addMigrate(root, done)
  return root
}

/** Commander says of every switch that it is off. */
function optionDescription({ description, defaultValue }: Option): string {
  const isWorthSaying = defaultValue !== undefined && typeof defaultValue !== 'boolean'
  return isWorthSaying ? `${description} (default: ${String(defaultValue)})` : description
}

function addCheck(root: Command, done: Done): void {
  root
    .command('check')
    .summary('check that every message is scanned completely')
    .description(
      paragraph(`Tests each clamd of this site: connection, version, age of the signatures, protocols, the EICAR test file, the largest
message that is scanned completely, and how far archives are opened. Then checks Haraka's limits, the exemptions, the
quarantine, and plugins that might bypass the scan.`),
    )
    .addOption(configOption())
    .option('--host <hosts>', 'test these instead, written as [main] host')
    .option(
      '--quick',
      'skip archives, and the largest size, which takes up to eleven messages of max_size',
      false,
    )
    .addOption(jsonOption('one JSON object'))
    .option('--nagios', 'one line with performance data, for Nagios and the like', false)
    .addHelpText(
      'after',
      `
Each line is ok, note, WARN or FAIL, with what to do behind ->; the last line is the summary.
Exit codes:
  0  no warnings
  1  warnings: mail is scanned, but something should be corrected
  2  mail would not be scanned, no copy could be kept, or the settings are wrong
  3  with --nagios: the check cannot run

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
      paragraph(`Scans files with the clamd and the settings of this site, as the plugin scans mail. A message is sent as SMTP
carries it, any other file as an attachment. Folders are searched recursively; links in them are not followed. First
each clamd must pass the self test for messages as large as these, and for archives where there are large ones.`),
    )
    .argument('<path...>', 'messages, folders, Maildirs, mboxes or other files; - is standard input')
    .addOption(configOption())
    .option('--host <hosts>', 'use this clamd instead, written as [main] host; needs no Haraka folder')
    .addOption(jobsOption())
    .option('-i, --infected', 'show only infected and failed files', false)
    .option('--no-summary', 'no summary at the end')
    .addOption(jsonOption('one JSON object a line, the summary last'))
    .option('-v, --verbose', 'log each step to standard error', false)
    .addHelpText(
      'after',
      `
Output and exit codes are those of clamdscan:
  PATH: OK                    PATH#3 is the third message of an mbox
  PATH: NAME FOUND
  PATH: REASON ERROR          not scanned: too_large, limits, encrypted, timeout, error, or unreadable
  0  no virus found
  1  virus found
  2  an error, and no virus found; also if the output was closed early

Examples:
  clamav-stream scan /var/mail/ann
  clamav-stream scan --infected --jobs 8 /srv/vmail
  clamav-stream scan --host 127.0.0.1:3310 - < message.eml`,
    )
    .action(async (paths: string[], options: ScanOptions) => {
      done(await scan(paths, options))
    })
}

function addMigrate(root: Command, done: Done): void {
  root
    .command('migrate')
    .summary('settings of this plugin from those of others')
    .description(
      paragraph(`Reads the settings of haraka-plugin-clamd and haraka-plugin-attachment, and prints a clamav-stream.ini. Comments say
where each setting comes from and, at the end, what was not carried over, and why. Rules for clamav-stream.signatures
follow as comments.`),
    )
    .addOption(configOption())
    .option('--write <dir>', 'write the two files there instead; none is overwritten')
    .addHelpText('after', '\nExample:\n  clamav-stream migrate --config /etc/haraka')
    .action((options: MigrateOptions) => done(migrate(options)))
}
