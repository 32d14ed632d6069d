/*
 * An end by Ctrl-C, for commands: the first one calls the work off, the second one ends the process, as without us.
 */

/** Shell's code for a program that Ctrl-C has ended. */
const interruptedCode = 130

/** Resolves with the exit code of `work`, or with Ctrl-C's after it; `work` has to end soon once the signal says so. */
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
    // Some waits end like that when they are called off.
    if (controller.signal.aborted && (error as Error).name === 'AbortError') return interruptedCode
    throw error
  } finally {
    forget()
  }
}
