/*
 * Whether an antivirus could look into all of a content: what is encrypted, or is packed so that clamd passes over it in
 * silence, is not clean just because nothing was found. Where we can open what clamd cannot, the files in it are handed over.
 * Measured with clamd 1.4.
 */

import { startsAsZip } from '../../attachments/archives/zip-headers'
import type { SilentLimits } from '../../hosts/test-results'
import { type Budget, OverBudget } from '../../mime/budget'
import {
  archiveOf,
  checkSizes,
  findClosedInArchive,
  findPackages,
  hasPackage,
  type Look,
  rarBehind,
} from './closed-archives'
import { isEncryptedRar } from './closed-formats'
import { isEncryptedOle, startsAsOle } from './closed-ole'
import { isEncryptedPdf } from './closed-pdf'
import { findClosedInZip, mayBeZip, type PackedFile, type Search } from './closed-zip'
import { ScanTotal } from './scan-total'

/** `encrypted`, `limits`: what is closed, in a few words for the log; null: nothing. */
export interface Closed {
  readonly encrypted: string | null
  readonly limits: string | null
  /** Files that clamd has not seen: it passes over the archive around them. */
  readonly members: readonly PackedFile[]
}

/**
 * clamd's defaults, as far as the test file is found in an archive in a mail: MaxFileSize and MaxScanSize (100M) as Debian
 * sets them, MaxRecursion 17 without the mail and the file itself, MaxFiles 10,000 with room for the parts of the mail.
 */
const defaults = {
  memberBytes: 25 * 1024 * 1024,
  totalBytes: 90 * 1024 * 1024,
  depth: 15,
  files: 9900,
  opensRar: false,
}

/** For what clamd scans in one go. @param limits its own; its defaults hold for what is not known */
export function scanTotal(limits: SilentLimits | null): ScanTotal {
  return new ScanTotal(limits?.totalBytes ?? defaults.totalBytes)
}

/**
 * Never throws for any bytes, only with the budget's signal.
 * @param limits of the clamd that found nothing in it; its defaults hold for what is not known
 * @param whole of the scan that the content is a part of; null: it is scanned by itself
 */
export async function closedIn(
  content: Buffer,
  limits: SilentLimits | null,
  budget: Budget,
  whole: ScanTotal | null = null,
): Promise<Closed> {
  const total = scanTotal(limits)
  total.add(content.length)
  const search: Search = {
    encrypted: null,
    limits: null,
    files: 0,
    countedBytes: 0,
    total,
    upTo: {
      memberBytes: limits?.memberBytes ?? defaults.memberBytes,
      totalBytes: total.maxBytes,
      depth: limits?.depth ?? defaults.depth,
      files: limits?.files ?? defaults.files,
      opensRar: limits?.opensRar ?? defaults.opensRar,
    },
    members: [],
    budget,
  }
  try {
    await look(content, 0, search)
    whole?.addAll(total)
    search.limits ??= await (whole ?? total).excess(budget)
  } catch (error) {
    if (!(error instanceof OverBudget)) throw error
    search.limits ??= error.message
  }
  const { encrypted, limits: reason, members } = search
  return { encrypted, limits: reason, members }
}

/** @param depth archives around it */
async function look(content: Buffer, depth: number, search: Search): Promise<void> {
  const { budget, upTo } = search
  await budget.breathe()
  const within = (member: Buffer) => look(member, depth + 1, search)
  const maxDepth = Math.min(upTo.depth, budget.limits.depth)
  if (startsAsOle(content)) await lookIntoDocument(content, search, within)
  else if (await isEncryptedPdf(content, budget)) search.encrypted ??= 'encrypted PDF'
  else if (await isEncryptedRar(content, budget)) search.encrypted ??= 'encrypted RAR archive'
  else await lookIntoArchive(content, depth, maxDepth, search, within)

  const rar = upTo.opensRar || depth >= maxDepth ? null : rarBehind(content)
  if (rar !== null) await findClosedInArchive(rar, search, within)
}

async function lookIntoDocument(content: Buffer, search: Search, within: Look): Promise<void> {
  const { budget } = search
  // clamd takes its streams out as files.
  search.total.addUnpacked(content.length)
  if (await isEncryptedOle(content, budget)) search.encrypted ??= 'encrypted Office document'
  else if (await hasPackage(content, budget)) await findPackages(content, search, within)
}

async function lookIntoArchive(
  content: Buffer,
  depth: number,
  maxDepth: number,
  search: Search,
  within: Look,
): Promise<void> {
  const archive = archiveOf(content, search.upTo.opensRar)
  const isZip = mayBeZip(content)
  if (archive === null && !isZip) return
  if (depth >= maxDepth) {
    // What merely has the mark of one in it need not be one.
    const isCertain = archive === null ? startsAsZip(content) : !archive.isUncertain
    if (isCertain) search.limits ??= `archives nested more than ${maxDepth} deep`
    return
  }
  const isSeen = archive !== null && (await findClosedInArchive(archive, search, within))
  const unknown = !isSeen && isZip ? await findClosedInZip(content, search, within) : null
  if (unknown !== null && search.limits === null) await checkSizes(unknown, search)
}
