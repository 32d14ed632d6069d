/*
 * A rolling window of time in buckets of equal width, so that it needs the same room whatever happens. Buckets are
 * numbered from the epoch, and those of several processes fit together.
 */

/** A bucket's number (time / width) and what is in it. */
export type Bucket<T> = readonly [index: number, content: T]

export class Ring<T> {
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

  /** Those inside the window that ends now. A clock that was set back leaves some in the future: not those. */
  buckets(nowMs: number): Bucket<T>[] {
    const last = Math.floor(nowMs / this.widthMs)
    return this.#slots.filter(
      (slot) => slot !== undefined && slot[0] <= last && slot[0] > last - this.count,
    ) as [number, T][]
  }
}

/** The same buckets of several processes as one. */
export function joinBuckets<T>(lists: readonly (readonly Bucket<T>[])[], join: (all: T[]) => T): Bucket<T>[] {
  const byIndex = new Map<number, T[]>()
  for (const [index, content] of lists.flat()) byIndex.set(index, [...(byIndex.get(index) ?? []), content])
  return [...byIndex].map(([index, all]): Bucket<T> => [index, join(all)])
}
