/*
 * A sliding time window in a fixed number of buckets of equal width. Buckets are numbered from the epoch, so that those of
 * several processes can be merged.
 */

/** A bucket's number (time / width) and its content. */
export type Bucket<T> = readonly [index: number, content: T]

/** Number and width of the buckets. */
export interface Window {
  readonly widthMs: number
  readonly count: number
}

export class TimeWindow<T> implements Window {
  readonly #slots: ([number, T] | undefined)[]

  constructor(
    readonly widthMs: number,
    readonly count: number,
    private readonly make: () => T,
  ) {
    this.#slots = new Array<undefined>(count).fill(undefined)
  }

  /** The bucket at that time. */
  at(nowMs: number): T {
    const index = Math.floor(nowMs / this.widthMs)
    const slot = this.#slots[index % this.count]
    if (slot?.[0] === index) return slot[1]
    const content = this.make()
    this.#slots[index % this.count] = [index, content]
    return content
  }

  /** The buckets inside the window that ends at `nowMs`. */
  buckets(nowMs: number): Bucket<T>[] {
    return inWindow(
      this.#slots.flatMap((slot) => (slot ? [slot] : [])),
      this,
      nowMs,
    )
  }
}

/** Excludes buckets in the future, which exist after a clock was set back. */
function inWindow<T>(buckets: readonly Bucket<T>[], { widthMs, count }: Window, nowMs: number): Bucket<T>[] {
  const last = Math.floor(nowMs / widthMs)
  return buckets.filter(([index]) => index <= last && index > last - count)
}

/** Merges the buckets of several processes, inside the window that ends at `nowMs`. */
export function mergeBuckets<T>(
  lists: readonly (readonly Bucket<T>[])[],
  window: Window,
  nowMs: number,
  join: (all: T[]) => T,
): Bucket<T>[] {
  const byIndex = new Map<number, T[]>()
  for (const [index, content] of inWindow(lists.flat(), window, nowMs))
    byIndex.set(index, [...(byIndex.get(index) ?? []), content])
  return [...byIndex].map(([index, all]): Bucket<T> => [index, join(all)])
}
