/*
 * Tests how far a clamd looks into archives, and into which, and whether it reports where it stops. Without AlertExceedsMax
 * clamd skips what is above a limit without a report; it skips a zip member above MaxFileSize even with it.
 */

import type { CancelSignal } from '../base/cancellation'
import type { Address } from '../clamd/address'
import type { Connect } from '../clamd/connection'
import { ClamdError, errorText } from '../clamd/errors'
import type { Reply } from '../clamd/protocol'
import type { ArchiveLimit, ArchiveLimits } from '../hosts/test-results'
import { largeMember, manyBytes, manyFiles, nested, rar } from './archives'
import type { Probe } from './padded-mail'
import { said, type SelfTestSettings, sendProbe } from './self-test'
import { attachmentMail } from './test-mails'

/** Sizes of the test members in bytes: each is half of the one before. */
const maxMemberBytes = 100 * 1024 * 1024
const minMemberBytes = 1024 * 1024

/** Size in bytes of the largest test member: a file may deflate to a quarter; larger members would cost clamd too much. */
export function largestMember(maxBytes: number): number {
  return Math.max(maxBytes, Math.min(4 * maxBytes, maxMemberBytes))
}

/** MaxRecursion is 17 by default, the mail and the file itself included, and at most 100. */
const depths = [64, 32, ...Array.from({ length: 16 }, (_, index) => 16 - index)]

/** MaxFiles is 10,000 by default, which the mail and its parts count against. */
const fileCounts = [10_005, 9900, 5000, 2500, 1000, 250, 50]

/** MaxScanSize is 400M by default, and 100M in Debian's file. clamd's CPU for each 100 MB: half a second. */
const totals = [240, 90, 45, 20, 10, 5].map((size) => size * 1024 * 1024)
/** Bytes of each member of them at most: clamd scans one. */
const maxFillerBytes = 4 * 1024 * 1024

/**
 * Rejects only with the signal's reason. With clamd's and Debian's defaults it takes 3 to 5 s of clamd's CPU, 1 s of it for the
 * total, and sends a few hundred kilobytes. Stops after a mail without a verdict.
 */
export async function findArchiveLimits(
  address: Address,
  settings: Omit<SelfTestSettings, 'depth'>,
  connect: Connect,
  signal: CancelSignal,
  trace: (text: string) => void = () => undefined,
): Promise<ArchiveLimits> {
  let hasFailed = false
  const limit = async (what: string, sizes: readonly number[], mail: (size: number) => Probe) => {
    let beyond: ArchiveLimit['beyond'] = 'unknown'
    if (hasFailed) return { upTo: null, beyond }
    for (const size of sizes) {
      const reply = await send(mail(size))
      trace(`${settings.protocol}: test file in ${what}, ${size}: ${said(reply)}`)
      if (reply.kind === 'found' && /eicar/i.test(reply.name)) return { upTo: size, beyond }
      if (reply.kind === 'clean') beyond = 'silent'
      else if (reply.kind !== 'found') {
        hasFailed = true
        return { upTo: null, beyond }
      } else if (beyond !== 'silent') return { upTo: null, beyond: 'reported' as const }
    }
    return { upTo: 0, beyond }
  }
  const opensRar = async () => {
    const replies: Reply[] = []
    for (const archive of hasFailed ? [] : [rar(), rar('none')])
      replies.push(await send(attachmentMail('file.rar', archive)))
    const [inArchive, inBytes] = replies
    trace(`${settings.protocol}: test file in a RAR archive: ${inArchive ? said(inArchive) : 'not tested'}`)
    // Signatures that match anywhere would find it in either.
    const isKnown = inArchive && ['found', 'clean'].includes(inArchive.kind) && inBytes?.kind === 'clean'
    return isKnown ? inArchive.kind === 'found' : null
  }
  const send = async (mail: Probe): Promise<Reply> => {
    try {
      return (await sendProbe(address, mail, settings, connect, signal)).reply
    } catch (error) {
      if (signal.aborted || !(error instanceof ClamdError)) throw error
      return { kind: 'error', text: errorText(error) }
    }
  }
  const members: number[] = []
  for (let bytes = largestMember(settings.maxBytes); bytes >= minMemberBytes; bytes = Math.floor(bytes / 2))
    members.push(bytes)
  const memberBytes = await limit('a large member', members, (bytes) =>
    attachmentMail('large.zip', largeMember(bytes)),
  )
  const fillerBytes = Math.min(maxFillerBytes, Math.max(minMemberBytes, memberBytes.upTo ?? 0))
  return {
    memberBytes,
    totalBytes: await limit('many bytes', totals, (bytes) =>
      attachmentMail('total.zip', manyBytes(bytes, fillerBytes)),
    ),
    depth: await limit('nested archives', depths, (levels) => attachmentMail('nested.zip', nested(levels))),
    files: await limit('many files', fileCounts, (files) => attachmentMail('files.zip', manyFiles(files))),
    opensRar: await opensRar(),
  }
}
