/* So many at a time, of as many as come. */

/** Does `work` for each of `all`, `count` of them at a time; stops taking new ones when the signal says so. */
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
