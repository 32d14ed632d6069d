/*
 * Mail of our own, from the null sender: reports (bounce.ts) and notices (notify.ts).
 */

import constants from 'haraka-constants'
import type MimeNode from 'nodemailer/lib/mime-node'
import type { Outbound } from '../haraka/types'

export interface NamedAddress {
  /** Display name without quotes; may be empty. */
  readonly name: string
  readonly address: string
}

/** With the server's name in place of `(me)`. */
export function named({ name, address }: NamedAddress, me: string): NamedAddress {
  const withMe = (text: string) => text.replaceAll('(me)', () => me)
  return { name: withMe(name), address: withMe(address) }
}

/** The outbound queue did not accept the message; the log has the reason in the lines of `outbound` above. */
export class QueueRefusal extends Error {}

/** Milliseconds to wait for the outbound queue. */
export const queueMs = 5000

/** The message with CRLF, as sendFromNull takes it. */
export async function textOf(root: MimeNode): Promise<string> {
  const text = (await root.build()).toString()
  // Haraka's outbound queue drops a last line without an end.
  return text.endsWith('\n') ? text : `${text}\r\n`
}

/** Passes a message to the outbound queue without hooks, so that it is not scanned again and no rule applies. */
export async function sendFromNull(outbound: Outbound, to: string, contents: string): Promise<void> {
  let timer: NodeJS.Timeout | undefined
  await new Promise<void>((resolve, reject) => {
    timer = setTimeout(
      () => reject(new QueueRefusal(`the outbound queue did not accept it within ${queueMs} ms`)),
      queueMs,
    )
    outbound.send_email('<>', `<${to}>`, contents, (code, text) => {
      if (code === constants.ok) resolve()
      else reject(new QueueRefusal(`the outbound queue did not accept it: ${text ?? code}`))
    })
  }).finally(() => clearTimeout(timer))
}
