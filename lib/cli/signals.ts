/*
 * Ctrl-C for commands: the first one aborts the work, the second one ends the process as usual.
 */

/** Exit code of the shell for a program that SIGINT ended: 128 + 2. */
const interruptedCode = 130

/** Resolves with the exit code of `work`, or with 130 after Ctrl-C; `work` must end soon after an abort. */
export async function withInterrupt(work: (signal: AbortSignal) => Promise<number>): Promise<number> {
  const controller = new AbortController()
  const signals = ['SIGINT', 'SIGTERM'] as const
  const stop = () => {
    forget()
    controller.abort()
  }
  const forget = () => {
    for (const signal of signals) process.off(signal, stop)
  }
  for (const signal of signals) process.on(signal, stop)
  try {
    const code = await work(controller.signal)
    return controller.signal.aborted ? interruptedCode : code
  } catch (error) {
    // An aborted wait rejects with AbortError.
    if (controller.signal.aborted && (error as Error).name === 'AbortError') return interruptedCode
    throw error
  } finally {
    forget()
  }
}
