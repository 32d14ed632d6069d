#!/usr/bin/env node
/*
 * The command `clamav-stream`: runs the subcommand and exits with its code, or with 2 if it could not run.
 */

import { CommanderError } from 'commander'
import { ConfigError } from '../lib/base/config-error'
import { program } from '../lib/cli/program'
import { UserError } from '../lib/cli/user-error'

// `clamav-stream ... | head` closes the pipe early, which is no error.
process.stdout.on('error', (error: NodeJS.ErrnoException) => {
  if (error.code !== 'EPIPE') throw error
  process.exit(process.exitCode ?? 0)
})

async function main(): Promise<void> {
  try {
    await program((code) => (process.exitCode = code)).parseAsync()
  } catch (error) {
    process.exitCode = error instanceof CommanderError && error.exitCode === 0 ? 0 : 2
    // Commander has printed its own message.
    if (error instanceof CommanderError) return
    const isExpected = error instanceof UserError || error instanceof ConfigError
    const text =
      error instanceof Error ? (isExpected ? error.message : (error.stack ?? error.message)) : String(error)
    process.stderr.write(`clamav-stream: ${text}\n`)
  }
}

void main()
