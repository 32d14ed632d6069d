/*
 * Tells the postmaster, by mail, and a program of what happened: [notify]. In the background; no message waits for it. The
 * mail has no content of the message but its subject.
 */

import MimeNode from 'nodemailer/lib/mime-node'
import { type RateLimit, RateLimiter } from '../base/rate-limiter'
import { displayText } from '../base/text'
import type { Outbound, Plugin } from '../haraka/types'
import { statusHeader, type Verdict } from '../policy/verdict'
import { NotifyCommand } from './notify-command'
import { named, type NamedAddress, sendFromNull, textOf } from './own-mail'

export const notifyEvents = ['infected', 'unscanned', 'failed_copy'] as const
export type NotifyEvent = (typeof notifyEvents)[number]

export interface NotifySettings {
  /** Who gets a mail; `(me)` stands for the server's name. Null: no mail. */
  readonly to: NamedAddress | null
  readonly on: readonly NotifyEvent[]
  /** Mails in this process; the next one has the number of those that were left out. */
  readonly limit: RateLimit
  /** Path of a program that gets each event; null: none. */
  readonly command: string | null
}

/** The message of an event. Texts are as the client sent them. */
export interface Notified {
  /** The server's name. */
  readonly me: string
  readonly id: string
  readonly from: string
  readonly to: readonly string[]
  readonly subject: string
  readonly verdict: Verdict
  readonly action: string
}

/** Recipients that are named at most. */
const maxRecipients = 10

/** Characters of each text at most. */
const maxText = 200

/** Milliseconds between two log lines about failures. */
const complaintMs = 60_000

const notifiers = new WeakMap<Plugin, Notifier>()

/**
 * Returns at once, and never throws.
 * @param from From: of the mail
 * @param about null: no notice of this message is wanted
 */
export function notify(
  plugin: Plugin,
  settings: NotifySettings,
  from: NamedAddress,
  event: NotifyEvent,
  about: () => Notified | null,
): void {
  const { to, on, command } = settings
  if ((to === null && command === null) || !on.includes(event)) return
  const notifier = notifiers.get(plugin) ?? new Notifier(plugin)
  notifiers.set(plugin, notifier)
  notifier.notify(settings, from, event, about)
}

class Notifier {
  readonly #limiter = new RateLimiter()
  readonly #command = new NotifyCommand((text) => this.#complain(text))
  #leftOut = 0
  #complainedMs = -Infinity
  #unsaid = 0

  constructor(private readonly plugin: Plugin) {}

  notify(
    { to, limit, command }: NotifySettings,
    from: NamedAddress,
    event: NotifyEvent,
    about: () => Notified | null,
  ): void {
    try {
      const notified = about()
      if (notified === null) return
      if (command !== null) this.#command.run(command, asJson(event, notified))
      if (to === null) return
      if (!this.#limiter.allow('', limit, performance.now())) {
        this.#leftOut++
        return
      }
      const leftOut = this.#leftOut
      this.#leftOut = 0
      this.#send(to, from, event, notified, leftOut).catch((error: unknown) => {
        this.#leftOut += leftOut + 1
        this.#complain(`notice not sent: ${String(error)}`)
      })
    } catch (error) {
      this.#complain(`notice not sent: ${String(error)}`)
    }
  }

  async #send(
    to: NamedAddress,
    from: NamedAddress,
    event: NotifyEvent,
    notified: Notified,
    leftOut: number,
  ): Promise<void> {
    const { address } = named(to, notified.me)
    const contents = await composeNotice(to, from, event, notified, leftOut)
    await sendFromNull(this.plugin.haraka_require('outbound') as Outbound, address, contents)
    this.plugin.loginfo(`notice sent to ${address}: ${event}`)
  }

  /** Logs once a minute at most. */
  #complain(text: string): void {
    const now = performance.now()
    if (now - this.#complainedMs < complaintMs) {
      this.#unsaid++
      return
    }
    const more = this.#unsaid === 0 ? '' : ` (and ${this.#unsaid} failures of notices before it)`
    this.plugin.logerror(`${displayText(text, 500)}${more}`)
    this.#complainedMs = now
    this.#unsaid = 0
  }
}

/** @param leftOut events since the last mail that the limit kept back */
export async function composeNotice(
  to: NamedAddress,
  from: NamedAddress,
  event: NotifyEvent,
  { me, id, from: sender, to: recipients, subject, verdict, action }: Notified,
  leftOut: number,
): Promise<string> {
  const status = statusHeader(verdict)
  const why = verdict.outcome === 'unscanned' && verdict.text !== '' ? `: ${verdict.text}` : ''
  const more = recipients.length - maxRecipients
  const lines = [
    ['Server', me],
    ['Message', id],
    ['From', sender === '' ? '<>' : sender],
    ...recipients.slice(0, maxRecipients).map((recipient) => ['To', recipient] as const),
    ...(more > 0 ? [['To', `and ${more} more`] as const] : []),
    ['Subject', subject],
    ['Verdict', `${status}${why}`],
    ['Action', action],
  ] as const
  const texts = [
    ...lines.map(([name, value]) => `${`${name}:`.padEnd(9)}${displayText(value, maxText)}`),
    ...(leftOut === 0
      ? []
      : ['', `${leftOut} earlier events were left out: see [notify] limit, and the log.`]),
  ]
  const root = new MimeNode('text/plain; charset=utf-8', { hostname: me, newline: 'win' })
  root.setHeader({
    from: named(from, me),
    to: named(to, me),
    subject: `clamav-stream: ${event === 'failed_copy' ? 'no copy could be kept' : status}`,
    'Auto-Submitted': 'auto-generated',
  })
  root.setContent(`${texts.join('\r\n')}\r\n`)
  return textOf(root)
}

/** One line. */
function asJson(event: NotifyEvent, { me, id, from, to, subject, verdict, action }: Notified): string {
  const shown = (text: string) => displayText(text, maxText)
  return JSON.stringify({
    event,
    time: new Date().toISOString(),
    server: me,
    id,
    from: shown(from),
    to: to.slice(0, maxRecipients).map(shown),
    recipients: to.length,
    subject: shown(subject),
    outcome: verdict.outcome,
    virus: verdict.outcome === 'infected' ? verdict.virus : null,
    reason: verdict.outcome === 'unscanned' ? verdict.reason : null,
    action,
  })
}
