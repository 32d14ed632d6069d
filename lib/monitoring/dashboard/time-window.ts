/*
 * A rolling window of time in buckets of equal width, so that it needs the same room whatever happens. Buckets are
 * numbered from the epoch, and those of several processes fit together.
 */

/** A bucket's number (time / width) and what is in it. */
export type Bucket<T> = readonly [index: number, content: T]

/** So many buckets of this width. */
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

  /** The bucket of this moment. */
  at(nowMs: number): T {
    const index = Math.floor(nowMs / this.widthMs)
    const slot = this.#slots[index % this.count]
    if (slot?.[0] === index) return slot[1]
    const content = this.make()
    this.#slots[index % this.count] = [index, content]
    return content
  }

  /** Those inside the window that ends now. */
  buckets(nowMs: number): Bucket<T>[] {
    return inWindow(
      this.#slots.flatMap((slot) => (slot ? [slot] : [])),
      this,
      nowMs,
    )
  }
}

/** A clock that was set back leaves some in the future: those are not inside either. */
function inWindow<T>(buckets: readonly Bucket<T>[], { widthMs, count }: Window, nowMs: number): Bucket<T>[] {
  const last = Math.floor(nowMs / widthMs)
  return buckets.filter(([index]) => index <= last && index > last - count)
}

/** The same buckets of several processes as one, of the window that ends now. */
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
