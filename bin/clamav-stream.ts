#!/usr/bin/env node
/*
 * The command `clamav-stream`: runs the subcommand and exits with its code, or with 2 if it could not run.
 */

import { CommanderError } from 'commander'
import { ConfigError } from '../lib/base/config-error'
import { watchOutput } from '../lib/cli/output'
import { program } from '../lib/cli/program'
import { UserError } from '../lib/cli/user-error'

watchOutput()
process.on('uncaughtException', (error) => {
  failed(error)
  process.exit()
})

async function main(): Promise<void> {
  try {
    await program((code) => (process.exitCode = code)).parseAsync()
  } catch (error) {
    failed(error)
  }
}

/** Node's own code for an error is 1, which is "virus found". */
function failed(error: unknown): void {
  process.exitCode = error instanceof CommanderError && error.exitCode === 0 ? 0 : 2
  // Commander has printed its own message.
  if (error instanceof CommanderError) return
  const isExpected = error instanceof UserError || error instanceof ConfigError
  const text =
    error instanceof Error ? (isExpected ? error.message : (error.stack ?? error.message)) : String(error)
  process.stderr.write(`clamav-stream: ${text}\n`)
}

void main()
