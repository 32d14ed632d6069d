/* The figures of `check --nagios`. */

import { type Examined, works } from './addresses'

/** For graphs, in the form of the Nagios plugin guidelines: the worst value of all addresses. */
export function performanceData(all: readonly Examined[], maxAgeMs: number): string {
  const worst = (values: readonly (number | null)[], of: (...known: number[]) => number) => {
    const known = values.filter((value) => value !== null)
    return known.length === 0 ? null : of(...known)
  }
  const connectMs = worst(
    all.map((one) => one.connectMs),
    Math.max,
  )
  const ageHours = worst(
    all.map((one) => one.signatureAgeHours),
    Math.max,
  )
  const bytes = worst(
    all.map((one) => one.maxScannableBytes),
    Math.min,
  )
  const warnAge = maxAgeMs === 0 ? '' : String(maxAgeMs / 1000)
  return [
    `usable=${all.filter(works).length};;1:;0;${all.length}`,
    ...(connectMs === null ? [] : [`connect=${connectMs}ms;;;0`]),
    ...(ageHours === null ? [] : [`signature_age=${ageHours * 3600}s;${warnAge};;0`]),
    ...(bytes === null ? [] : [`scannable=${bytes}B;;;0`]),
  ].join(' ')
}
