/*
 * A rule of this site: the people of the virus laboratory get infected samples. Whoever else stands among the
 * recipients of a message, for that message the rules of clamav-stream.ini stay in force.
 */

import type { ActionText, Note } from 'haraka-plugin-clamav-stream'

const laboratory = ['virus-lab@example.com', 'abuse@example.com']

/** The part of Haraka that this rule needs. */
interface Plugin {
  register_hook(hook: string, method: string, priority: number): void
}
interface Connection {
  readonly transaction: {
    readonly notes: { readonly clamav_stream?: Note }
    readonly rcpt_to: readonly { readonly address: string }[]
  } | null
}

/** The scan has priority 0 and the rules have 50. What is written into the note in between stands. */
export function register(this: Plugin): void {
  this.register_hook('data_post', 'deliver_samples', 25)
}

export function deliver_samples(next: () => void, { transaction }: Connection): void {
  const note = transaction?.notes.clamav_stream
  if (note && transaction.rcpt_to.every(({ address }) => laboratory.includes(address.toLowerCase()))) {
    note.action = actionFor(note)
  }
  // Nothing but "go on": an answer here would end the hook for the plugins behind.
  next()
}

function actionFor({ outcome, reason, action }: Note): ActionText {
  switch (outcome) {
    case 'infected':
      return 'tag'
    case 'unscanned':
      // While no clamd answers, samples wait in the quarantine instead of at the sender's.
      return reason === 'error' || reason === 'timeout' ? 'quarantine' : action
    case 'clean':
      return action
  }
}
