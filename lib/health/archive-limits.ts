/*
 * How far a clamd looks into archives, found out by asking it, and whether it says so where it stops. What is beyond a limit
 * is passed over in silence without AlertExceedsMax, and a zip member above MaxFileSize with it as well.
 */

import type { CancelSignal } from '../base/cancellation'
import type { Address } from '../clamd/address'
import type { Connect } from '../clamd/connection'
import { ClamdError, errorText } from '../clamd/errors'
import type { Reply } from '../clamd/protocol'
import type { ArchiveLimit, ArchiveLimits } from '../hosts/host-state'
import { largeMember, manyFiles, nested } from './archives'
import type { Probe } from './padded-mail'
import { said, type SelfTestSettings, sendProbe } from './self-test'
import { attachmentMail } from './test-mails'

/** Bytes of members that are tried: each half of the one before. */
const maxMemberBytes = 100 * 1024 * 1024
const minMemberBytes = 1024 * 1024

/** Bytes of the largest member that is tried: mail is deflated to a quarter and less, and clamd's time has its price. */
export function largestMember(maxBytes: number): number {
  return Math.max(maxBytes, Math.min(4 * maxBytes, maxMemberBytes))
}

/** MaxRecursion is 17 by default, the mail and the file itself included, and at most 100. */
const depths = [64, 32, ...Array.from({ length: 16 }, (_, index) => 16 - index)]

/** MaxFiles is 10,000 by default, which the mail and its parts count against. */
const fileCounts = [10_005, 9900, 5000, 2500, 1000, 250, 50]

/**
 * Never rejects but with the signal's reason. At clamd's and at Debian's defaults it costs a clamd three or four seconds of
 * CPU, three times as much as the proof of 25 MB, and sends a few hundred kilobytes. After a mail that comes to no verdict
 * nothing more is sent.
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
  return {
    memberBytes: await limit('a large member', members, (bytes) =>
      attachmentMail('large.zip', largeMember(bytes)),
    ),
    depth: await limit('nested archives', depths, (levels) => attachmentMail('nested.zip', nested(levels))),
    files: await limit('many files', fileCounts, (files) => attachmentMail('files.zip', manyFiles(files))),
  }
}
