/* A map that forgets its oldest entry when it is full. */

/** A new entry makes the one go that was added first; an entry that is set again keeps its place. */
export class BoundedMap<V> extends Map<string, V> {
  constructor(private readonly maxEntries: number) {
    super()
  }

  override set(key: string, value: V): this {
    if (this.size >= this.maxEntries && !this.has(key)) {
      const { value: oldest } = this.keys().next()
      if (oldest !== undefined) this.delete(oldest)
    }
    return super.set(key, value)
  }
}
