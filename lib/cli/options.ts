/*
 * Options and arguments that several commands have.
 */

import { InvalidArgumentError, Option } from 'commander'

/** Told the exit code of the command that ran. */
export type Done = (code: number) => void

export const configOption = () =>
  new Option('-c, --config <dir>', 'Haraka folder, or its config folder (default: $HARAKA, or .)')
export const jsonOption = (what: string) => new Option('--json', what).default(false, '')

/** One paragraph, which commander wraps. */
export function paragraph(text: string): string {
  return text.replace(/\n/g, ' ')
}

export function jobsOption(): Option {
  return new Option('-j, --jobs <n>', 'scans at the same time').argParser(wholeNumber(1, 64)).default(4)
}

function wholeNumber(min: number, max: number): (text: string) => number {
  return (text) => {
    const value = /^\d+$/.test(text) ? Number(text) : NaN
    if (value >= min && value <= max) return value
    throw new InvalidArgumentError(`It has to be a whole number from ${min} to ${max}.`)
  }
}
