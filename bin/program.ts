/*
 * The commands, their options and their help, which is their documentation: docs/commands.md is made of it.
 * What a command does is in a file of its own.
 */

import { Command, InvalidArgumentError, Option } from 'commander'
import { version } from './package'
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
    .configureHelp({ helpWidth: 100, showGlobalOptions: false })
    .exitOverride()
  addScan(root, done)
  return root
}

function addScan(root: Command, done: Done): void {
  root
    .command('scan')
    .summary('scan messages, folders, Maildirs and mboxes')
    .description(
      `Scans files through the clamd of this site, with its settings, as the plugin would scan them.
A message is sent as SMTP would carry it. A file that is no message is sent as an attachment of one.
Folders are searched to the bottom; links in them are not followed.`,
    )
    .argument('<path...>', 'messages, folders, Maildirs, mboxes or any files; - for standard input')
    .addOption(configOption())
    .option('--host <hosts>', 'ask this clamd instead: as [main] host; needs no Haraka folder')
    .addOption(new Option('-j, --jobs <n>', 'so many at a time').argParser(wholeNumber(1, 64)).default(4))
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

function wholeNumber(least: number, most: number): (text: string) => number {
  return (text) => {
    const value = /^\d+$/.test(text) ? Number(text) : NaN
    if (value >= least && value <= most) return value
    throw new InvalidArgumentError(`It has to be a whole number from ${least} to ${most}.`)
  }
}
