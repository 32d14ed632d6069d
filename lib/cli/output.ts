/*
 * Output that cannot be written. A closed pipe (`| head`) ends the work quietly, with what was known; any other error of
 * standard output is code 2.
 */

/** Call it once, at the start: without a listener an error ends the process with code 1, which is "virus found". */
export function watchOutput(): void {
  let failure: NodeJS.ErrnoException | null = null
  process.stdout.on('error', (error: NodeJS.ErrnoException) => (failure ??= error))
  // A log that cannot be written changes no result.
  process.stderr.on('error', () => undefined)
  process.on('exit', () => {
    if (failure === null || failure.code === 'EPIPE') return
    process.stderr.write(`clamav-stream: cannot write to standard output: ${failure.message}\n`)
    process.exitCode = 2
  })
}
