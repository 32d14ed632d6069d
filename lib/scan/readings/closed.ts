/*
 * Whether an antivirus could look into all of a content: what is encrypted, or is packed so that clamd passes over it in
 * silence, is not clean just because nothing was found. Measured with clamd 1.4.
 */

import { startsAsZip } from '../../attachments/archives/zip-headers'
import type { SilentLimits } from '../../hosts/test-results'
import { type Budget, OverBudget } from '../../mime/budget'
import { isEncryptedRar, startsAsSevenZip } from './closed-formats'
import { isEncryptedOle, startsAsOle } from './closed-ole'
import { isEncryptedPdf } from './closed-pdf'
import { findClosedInSevenZip } from './closed-seven-zip'
import { findClosedInZip, mayBeZip, type Search } from './closed-zip'

/** In a few words for the log; null: nothing. */
export interface Closed {
  readonly encrypted: string | null
  readonly limits: string | null
}

/**
 * clamd's defaults, as far as the test file is found in an archive in a mail: MaxFileSize as Debian sets it, MaxRecursion 17
 * without the mail and the file itself, MaxFiles 10,000 with room for the parts of the mail.
 */
const defaults = { memberBytes: 25 * 1024 * 1024, depth: 15, files: 9900 }

/**
 * Never throws for any bytes, only with the budget's signal.
 * @param limits of the clamd that found nothing in it; its defaults hold for what is not known
 */
export async function closedIn(
  content: Buffer,
  limits: SilentLimits | null,
  budget: Budget,
): Promise<Closed> {
  const search: Search = {
    encrypted: null,
    limits: null,
    files: 0,
    countedBytes: 0,
    upTo: {
      memberBytes: limits?.memberBytes ?? defaults.memberBytes,
      depth: limits?.depth ?? defaults.depth,
      files: limits?.files ?? defaults.files,
    },
    budget,
  }
  try {
    await look(content, 0, search)
  } catch (error) {
    if (!(error instanceof OverBudget)) throw error
    search.limits ??= error.message
  }
  return { encrypted: search.encrypted, limits: search.limits }
}

/** @param depth archives around it */
async function look(content: Buffer, depth: number, search: Search): Promise<void> {
  await search.budget.breathe()
  if (startsAsOle(content)) {
    if (await isEncryptedOle(content, search.budget)) search.encrypted ??= 'encrypted Office document'
  } else if (isEncryptedPdf(content)) search.encrypted ??= 'encrypted PDF'
  else if (startsAsSevenZip(content)) await findClosedInSevenZip(content, search)
  else if (await isEncryptedRar(content, search.budget)) search.encrypted ??= 'encrypted RAR archive'
  else if (mayBeZip(content)) await lookIntoZip(content, depth + 1, search)
}

async function lookIntoZip(zip: Buffer, depth: number, search: Search): Promise<void> {
  const most = Math.min(search.upTo.depth, search.budget.limits.depth)
  if (depth <= most) await findClosedInZip(zip, search, (member) => look(member, depth, search))
  // What merely has the mark of one in it need not be one.
  else if (startsAsZip(zip)) search.limits ??= `archives nested more than ${most} deep`
}
