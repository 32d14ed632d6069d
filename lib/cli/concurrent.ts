/* Work on the items of an iterable, at most n at the same time. */

/** Calls `work` for each item, at most `count` at the same time; takes no new ones after an abort. */
export async function concurrently<T>(
  all: AsyncIterable<T>,
  count: number,
  signal: AbortSignal,
  work: (one: T) => Promise<void>,
): Promise<void> {
  const rest = all[Symbol.asyncIterator]()
  const worker = async () => {
    while (!signal.aborted) {
      const next = await rest.next()
      if (next.done) return
      await work(next.value)
    }
  }
  await Promise.all(Array.from({ length: count }, worker)).finally(() => rest.return?.())
}
