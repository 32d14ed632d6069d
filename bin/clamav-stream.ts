#!/usr/bin/env node
/*
 * The command: runs what was asked for and ends with its exit code; 2 for whatever went wrong before that.
 */

import { CommanderError } from 'commander'
import { ConfigError } from '../lib/base/config-error'
import { program } from '../lib/cli/program'
import { UserError } from '../lib/cli/user-error'

// Whoever reads us through head has seen enough.
process.stdout.on('error', (error: NodeJS.ErrnoException) => {
  if (error.code !== 'EPIPE') throw error
  process.exit(process.exitCode ?? 0)
})

async function main(): Promise<void> {
  try {
    await program((code) => (process.exitCode = code)).parseAsync()
  } catch (error) {
    process.exitCode = error instanceof CommanderError && error.exitCode === 0 ? 0 : 2
    // Commander has said what it had to say.
    if (error instanceof CommanderError) return
    const isExpected = error instanceof UserError || error instanceof ConfigError
    const text =
      error instanceof Error ? (isExpected ? error.message : (error.stack ?? error.message)) : String(error)
    process.stderr.write(`clamav-stream: ${text}\n`)
  }
}

void main()
