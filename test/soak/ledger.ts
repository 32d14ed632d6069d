// The account of a soak: every message that was sent, the answer to it, and how often it arrived. Says what does not
// add up.
import type { Arrived, Kind, OutgoingMail } from './messages'

interface Entry {
  readonly kind: Kind
  /** SMTP code; null: none, the client hung up or the connection broke. */
  code: number | null
  text: string
  arrivals: Arrived[]
}

export type Fate = 'delivered' | 'refused' | 'deferred' | 'unanswered'

export class Ledger {
  readonly #entries = new Map<string, Entry>()
  readonly #strangers: string[] = []
  #missing = 0
  #wake: () => void = () => undefined

  get size(): number {
    return this.#entries.size
  }

  sent({ id, kind }: OutgoingMail): void {
    this.#entries.set(id, { kind, code: null, text: '', arrivals: [] })
  }

  answered({ id }: OutgoingMail, code: number, text: string): void {
    const entry = this.#entries.get(id)
    if (!entry) throw new Error(`${id} was not sent`)
    Object.assign(entry, { code, text })
    if (code === 250 && entry.arrivals.length === 0) this.#missing++
  }

  arrived(arrived: Arrived): void {
    const entry = this.#entries.get(arrived.id)
    if (!entry) {
      this.#strangers.push(arrived.id)
      return
    }
    entry.arrivals.push(arrived)
    if (entry.code !== 250 || entry.arrivals.length > 1) return
    this.#missing--
    this.#wake()
  }

  /** Resolves when everything that was answered 250 has arrived, or after so long without an arrival. */
  async settled(patienceMs: number): Promise<void> {
    while (this.#missing > 0) {
      const before = this.#missing
      let timer: NodeJS.Timeout | undefined
      await new Promise<void>((resolve) => {
        this.#wake = resolve
        timer = setTimeout(resolve, patienceMs)
      })
      clearTimeout(timer)
      if (this.#missing === before) return
    }
  }

  counts(): Map<Kind, Map<Fate, number>> {
    const counts = new Map<Kind, Map<Fate, number>>()
    for (const entry of this.#entries.values()) {
      const row = counts.get(entry.kind) ?? new Map<Fate, number>()
      counts.set(entry.kind, row.set(fateOf(entry), (row.get(fateOf(entry)) ?? 0) + 1))
    }
    return counts
  }

  /** In words; nothing, if every message is accounted for exactly once and as it should be. */
  discrepancies(): string[] {
    const all = this.#strangers.map((id) => `${id} arrived and was never sent`)
    for (const [id, entry] of this.#entries) all.push(...wrongs(entry).map((wrong) => `${id}: ${wrong}`))
    return all
  }
}

function fateOf({ code, arrivals }: Entry): Fate {
  if (arrivals.length > 0) return 'delivered'
  if (code === null) return 'unanswered'
  return code >= 500 ? 'refused' : 'deferred'
}

const isInfected = (kind: Kind) => kind === 'infected' || kind === 'large_infected'

function wrongs({ kind, code, text, arrivals }: Entry): string[] {
  const wrong: string[] = []
  const answer = code === null ? 'no answer' : `${code} ${text}`
  if (kind === 'abandoned' ? code !== null : code === null) wrong.push(`${kind}: ${answer}`)
  if (arrivals.length > 1) wrong.push(`${kind}: delivered ${arrivals.length} times`)
  if (code === 250 && arrivals.length === 0) wrong.push(`${kind}: lost, it was answered ${answer}`)
  if (code !== 250 && arrivals.length > 0) wrong.push(`${kind}: delivered, and answered ${answer}`)
  if (isInfected(kind) && arrivals.length > 0) wrong.push(`${kind}: DELIVERED`)
  if (code !== null && !isAllowed(kind, code)) wrong.push(`${kind}: answered ${answer}`)
  for (const { isWhole, verdicts } of arrivals) {
    if (!isWhole) wrong.push(`${kind}: delivered with another body`)
    if (verdicts.join() !== 'false') wrong.push(`${kind}: delivered with verdicts "${verdicts.join()}"`)
  }
  return wrong
}

/** Whoever cannot be scanned for want of a clamd is told to try again; a size is known without one. */
function isAllowed(kind: Kind, code: number): boolean {
  if (kind === 'oversized') return code === 552
  return code === (isInfected(kind) ? 550 : 250) || (code >= 400 && code < 500)
}
