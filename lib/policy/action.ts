/*
 * What can be done with a message: the words of the ini, of clamav-stream.signatures and of the note, and
 * what they come down to. Which action a message gets is decided in rules.ts.
 */

import type { ActionText } from './note'

/** How the message ends for its sender and its recipients. `accept` and `tag` both deliver it. */
const endings = ['accept', 'tag', 'reject', 'defer', 'discard'] as const
export type Ending = (typeof endings)[number]

export interface Action {
  /** The words in their usual order, as in `quarantine reject`. */
  readonly text: ActionText
  readonly ending: Ending
  /** A copy is kept. */
  readonly quarantine: boolean
  /** A report goes to the sender. */
  readonly bounce: boolean
}

/**
 * Parses one or more action words in any order. `quarantine` and `bounce` combine with each other and with
 * `reject`, `discard` and `defer`; without one of those the client is told 250 and nothing is delivered.
 * @returns null if that is no action
 */
export function parseAction(text: unknown): Action | null {
  const words =
    typeof text === 'string'
      ? text
          .toLowerCase()
          .split(/[\s,]+/)
          .filter(Boolean)
      : []
  const ends = endings.filter((ending) => words.includes(ending))
  const quarantine = words.includes('quarantine')
  const bounce = words.includes('bounce')
  const isKnown = words.length === ends.length + Number(quarantine) + Number(bounce)
  const [ending] = ends
  if (words.length === 0 || !isKnown || ends.length > 1) return null
  const action = actionOf(ending, quarantine, bounce)
  return delivers(action) && words.length > 1 ? null : action
}

export function delivers({ ending }: Pick<Action, 'ending'>): boolean {
  return ending === 'accept' || ending === 'tag'
}

/** @param ending undefined: none of its own, so 250 and no delivery */
export function actionOf(ending: Ending | undefined, quarantine = false, bounce = false): Action {
  const words = [
    ...(quarantine ? ['quarantine'] : []),
    ...(bounce ? ['bounce'] : []),
    ...(ending ? [ending] : []),
  ]
  // By those who ask: `accept` and `tag` stand alone.
  return { text: words.join(' ') as ActionText, ending: ending ?? 'discard', quarantine, bounce }
}

/** For a sender who cannot be sent a report: `bounce` becomes `reject`; who is told to try again is told enough. */
export function withoutReport({ ending, quarantine }: Action): Action {
  return actionOf(ending === 'defer' ? 'defer' : 'reject', quarantine)
}
