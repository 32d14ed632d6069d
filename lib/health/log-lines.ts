/*
 * What the log is told of a proof: what is not as it was, what that means for mail, and what to do about it.
 */

import { type Failure, failureText } from '../clamd/errors'
import { sizeText } from '../haraka/limits'
import type { Proof } from '../hosts/host-state'
import { type Judgement, type Kind, oddities, sightOf } from './diagnosis'

/** To be put behind the address. */
export interface News {
  readonly level: 'info' | 'warn' | 'error'
  readonly text: string
}

const levels: Record<Kind, News['level']> = {
  blind: 'error',
  finds: 'info',
  whole: 'info',
  partly: 'warn',
  alarmed: 'error',
  mute: 'error',
  silent: 'warn',
}

/**
 * @param streamFailure why mail goes by INSTREAM though there is STREAM; null: it does not
 * @param before what was proven the last time; null: nothing
 * @param maxBytes the size to prove
 */
export function newsOf(
  proof: Proof,
  streamFailure: Failure | null,
  before: Proof | null,
  maxBytes: number,
): News[] {
  const news: News[] = []
  const tell = (one: Judgement) =>
    void news.push({ level: levels[one.kind], text: wordsFor(one, proof, maxBytes) })
  if (proof.findsTestFile !== before?.findsTestFile || proof.provenBytes !== before.provenBytes)
    tell(sightOf(proof, maxBytes))
  if (streamFailure && !before)
    news.push({
      level: 'info',
      text: `gets mail by INSTREAM, STREAM came to nothing: ${failureText(streamFailure)}`,
    })
  const known = before ? oddities(before).map(({ text }) => text) : []
  for (const one of oddities(proof)) if (!known.includes(one.text)) tell(one)
  return news
}

function wordsFor({ kind, text, remedy }: Judgement, proof: Proof, maxBytes: number): string {
  const { missed, provenBytes, probes, sentBytes, ms } = proof
  const cost = `${probes} probe${probes === 1 ? '' : 's'}, ${sizeText(sentBytes)}, ${ms} ms`
  const advice = `${remedy?.charAt(0).toUpperCase() ?? ''}${remedy?.slice(1) ?? ''}`
  switch (kind) {
    case 'blind':
      return (
        `gets no mail: it ${text} (${missed ?? ''}). ${advice}. It is tried again; ` +
        'self_test=off lets mail go there all the same'
      )
    case 'finds':
      return `${text} (${cost})`
    case 'whole':
      return `scans to the end: EICAR found in ${sizeText(maxBytes)} (${cost})`
    case 'partly':
      return (
        `scans messages of up to ${provenBytes ?? 0} bytes to the end: it ${text}, and gets no larger ones. ` +
        `${advice} (${missed ?? ''}; ${cost})`
      )
    case 'alarmed':
      return `${text}. All mail that goes there may be taken for infected. ${advice}`
    case 'mute':
      return `${text}. All mail that goes there may be left unscanned. ${advice}`
    case 'silent':
      return `${text}: such mail counts as clean. ${advice}`
  }
}
