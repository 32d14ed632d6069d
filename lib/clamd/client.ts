/*
 * Scans messages at clamds. Decides alone whether a connection is used for several messages (IDSESSION): what each daemon
 * offers and refuses is remembered here, and what failed in a session is sent again on a connection of its own.
 */

import { BoundedMap } from '../base/bounded-map'
import type { MessageSource } from '../base/message-source'
import { type Address, addressText } from './address'
import type { Connect } from './connection'
import { ClamdError, isLocalShortage, isSessionError } from './errors'
import type { DialogueResult, Exchange } from './exchange'
import { instream } from './instream'
import { type Capabilities, hasSessions, isVerdict, type Protocol } from './protocol'
import { inSession } from './session'
import { defaultSessionTimes, SessionPool } from './session-pool'
import { stream } from './stream'

/** Each on connections of its own. */
export const dialogue = { stream, instream }

export interface ClientExchange extends Omit<Exchange, 'connect'> {
  /**
   * Called before the message is sent again: the daemon may have been replaced and has to be checked first. False: it is
   * not fit. Rejects when the scan is over.
   */
  readonly recheck: () => Promise<boolean>
}

/** What is known of the daemon at one address. */
interface Offer {
  readonly version: string | null
  readonly hasSessions: boolean
  /** Lists IDSESSION, but scans only without a session. Holds until the version is another one. */
  readonly refusesSessions: boolean
}

/** Maximum number of remembered addresses: a name may resolve to new ones for ever. */
const maxOffers = 1000

export class ClamdClient {
  readonly #offers = new BoundedMap<Offer>(maxOffers)
  readonly #sessions: SessionPool

  constructor(
    readonly connect: Connect,
    times = defaultSessionTimes,
  ) {
    this.#sessions = new SessionPool(times)
  }

  /** Takes note of what a daemon says of itself. Until then it gets a connection for each message. */
  learn(address: Address, capabilities: Capabilities): void {
    if (capabilities.isLate) return
    const { version } = capabilities
    const known = this.#offers.get(addressText(address))
    const refusesSessions = known?.refusesSessions === true && known.version === version
    this.#set(address, { version, hasSessions: hasSessions(capabilities), refusesSessions })
  }

  /** Resolves with clamd's reply, `clean` only after a completely sent message. Rejects with a ClamdError or TooLarge. */
  async scan(protocol: Protocol, exchange: ClientExchange, message: MessageSource): Promise<DialogueResult> {
    const how = { ...exchange, connect: this.connect }
    // A failure of STREAM says nothing about sessions: INSTREAM may be next.
    if (protocol === 'stream') return dialogue.stream(how, message)
    const offer = this.#offers.get(addressText(how.address))
    const isSession = offer?.hasSessions === true && !offer.refusesSessions
    try {
      const result = await (isSession ? this.#scanInSession(how, message) : dialogue.instream(how, message))
      // An error in a session is an answer to this message, by the same daemon.
      if (!isVerdict(result.reply) && !isSession) this.#forget(how.address)
      return result
    } catch (error) {
      if (!how.signal.aborted && isOfDaemon(error)) this.#forget(how.address)
      throw error
    }
  }

  /** @param avoidsReuse true: not on a connection that has carried another message */
  async #scanInSession(
    how: ClientExchange & Exchange,
    message: MessageSource,
    avoidsReuse = false,
  ): Promise<DialogueResult> {
    const { address } = how
    try {
      return await inSession(how, message, this.#sessions, avoidsReuse)
    } catch (error) {
      if (how.signal.aborted || !isSessionError(error)) throw error
      how.at(error.step, `${error.text}; the message is sent again`)
      if (error.code === 'session_late') {
        this.#forget(address)
        return dialogue.instream(how, message)
      }
      if (!(await how.recheck())) throw error
      if (error.code === 'session_stale') return this.#scanInSession(how, message, true)
      this.#forget(address)
      const result = await dialogue.instream(how, message)
      if (isVerdict(result.reply)) this.#set(address, { refusesSessions: true })
      return result
    }
  }

  /** After a failure there may be another release: no sessions until it says what it has. */
  #forget(address: Address): void {
    this.#set(address, { hasSessions: false })
  }

  #set(address: Address, offer: Partial<Offer>): void {
    const text = addressText(address)
    const unknown: Offer = { version: null, hasSessions: false, refusesSessions: false }
    const known = this.#offers.get(text)
    if (known || offer.version !== undefined) this.#offers.set(text, { ...unknown, ...known, ...offer })
  }
}

function isOfDaemon(error: unknown): boolean {
  return error instanceof ClamdError && error.step !== 'read message' && !isLocalShortage(error.cause)
}
