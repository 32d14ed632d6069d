/*
 * The addresses of clamd, each as all processes see it.
 */

import type { AddressState } from '../../hosts/host-pool'

export interface AddressView {
  readonly text: string
  readonly role: AddressState['role']
  /** Number of processes for which the address is up. */
  readonly up: number
  readonly resting: number
  readonly untrusted: number
  readonly inFlight: number
  readonly protocol: string | null
  readonly engine: string | null
  readonly signatures: { readonly number: number; readonly builtMs: number } | null
  readonly maxScannableBytes: number | null
}

/** In the order of the ini, as in each process. */
export function addressViews(states: readonly AddressState[]): AddressView[] {
  return [...new Set(states.map(({ text }) => text))].map((text) => {
    const seen = states.filter((state) => state.text === text)
    const count = (wanted: AddressState['state']) => seen.filter(({ state }) => state === wanted).length
    const engine = seen.find((state) => state.engine)?.engine ?? null
    return {
      text,
      role: seen[0]?.role ?? 'host',
      up: count('up'),
      resting: count('resting'),
      untrusted: count('untrusted'),
      inFlight: seen.reduce((sum, { inFlight }) => sum + inFlight, 0),
      protocol: seen.find(({ protocol }) => protocol)?.protocol ?? null,
      engine: engine?.release ?? null,
      signatures: engine?.signatures ?? null,
      maxScannableBytes:
        seen.find(({ maxScannableBytes }) => maxScannableBytes !== null)?.maxScannableBytes ?? null,
    }
  })
}
