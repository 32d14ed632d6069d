/*
 * What clamd cannot open in a 7z archive although 7-Zip can. The archive's own list tells, which is packed in nearly all of
 * them; the library for archives reads it, and unpacks nothing else.
 */

import { library } from '../../attachments/archives/library'
import type { Search } from './closed-zip'

/** Methods and filters that clamd undoes, measured with 1.4. Not so BZip2, Deflate, Delta, ARM64 and the others. */
const openMethods = /^(?:Copy|LZMA2?|PPMD|BCJ2?|ARM)(?::\S*)?$/

/** Rejects with the budget's signal. */
export async function findClosedInSevenZip(content: Buffer, search: Search): Promise<void> {
  const { budget, upTo } = search
  if (budget.libraryMs <= 0) {
    search.limits ??= '7z archive (nothing is left of the time for archives)'
    return
  }
  const request = { archive: new Uint8Array(content), maxEntries: budget.limits.entries, maxBytes: null }
  const { listing, trouble } = await budget.inLibrary((signal, started) =>
    library.open(request, budget.libraryMs, signal, started),
  )
  if (listing?.isEncrypted || trouble?.startsWith('encrypted')) search.encrypted ??= 'encrypted 7z archive'
  else if (trouble !== null) search.limits ??= `7z archive (${trouble})`
  if (listing === null) return
  const method = listing.methods.flatMap((all) => all.split(' ')).find((one) => !openMethods.test(one))
  if (method !== undefined && !listing.isEncrypted) search.limits ??= `7z archive with method ${method}`
  if (listing.maxBytes > upTo.memberBytes)
    search.limits ??= `file of more than ${upTo.memberBytes} bytes in a 7z archive`
  search.files += listing.entries
  if (search.files > upTo.files) search.limits ??= `more than ${upTo.files} files`
}
