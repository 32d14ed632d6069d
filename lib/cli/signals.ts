/*
 * Ctrl-C for commands: the first one aborts the work, the second one ends the process as usual. Output that cannot be
 * written aborts it too.
 */

/** Exit code of the shell for a program that SIGINT ended: 128 + 2. */
const interruptedCode = 130
const incompleteCode = 2

/**
 * Resolves with the exit code of `work`, or with 130 after Ctrl-C; `work` must end soon after an abort, and its code says what
 * was known then.
 */
export async function withInterrupt(work: (signal: AbortSignal) => Promise<number>): Promise<number> {
  const controller = new AbortController()
  const signals = ['SIGINT', 'SIGTERM'] as const
  const interrupt = new AbortController()
  const abort = () => controller.abort()
  const stop = () => {
    interrupt.abort()
    forget()
    abort()
  }
  const forget = () => {
    for (const signal of signals) process.off(signal, stop)
    process.stdout.off('error', abort)
  }
  for (const signal of signals) process.on(signal, stop)
  process.stdout.on('error', abort)
  try {
    const code = await work(controller.signal)
    return interrupt.signal.aborted ? interruptedCode : code
  } catch (error) {
    // An aborted wait rejects with AbortError.
    if (controller.signal.aborted && (error as Error).name === 'AbortError')
      return interrupt.signal.aborted ? interruptedCode : incompleteCode
    throw error
  } finally {
    forget()
  }
}
