/*
 * What is learnt of a message while it is sent to one address: whether it is plain, which attachments it has, and its bytes
 * if they will be needed again.
 */

import { PlainCheck, type PlainResult } from '../mime/plain/plain-check'
import type { MessageScan } from './message-scan'
import { SentBytes } from './readings/sent-bytes'
import type { Scope } from './second-look'

export class SentMessage {
  #check: PlainCheck | null = null
  #plain: PlainResult | null = null
  #bytes: SentBytes | null = null

  constructor(
    private readonly scan: MessageScan,
    private readonly scope: Scope,
  ) {}

  /** What it is like; null: it was not checked. */
  get plain(): PlainResult | null {
    return this.#plain
  }

  /** Null: not all of it was sent, or kept. */
  get whole(): Buffer | null {
    return this.#bytes?.whole ?? null
  }

  begin(): void {
    this.drop()
    this.#check = new PlainCheck(this.scan.glance?.begin() ?? null)
    this.#bytes = new SentBytes(this.scan.message.maxBytes)
  }

  /** To be called for all that is sent, in its order. */
  see(piece: Buffer): void {
    this.#check?.write(piece)
    const isNeeded = this.scope === 'all' || this.#check?.needsSecondLook === true
    this.#bytes?.write(piece, isNeeded)
  }

  /** @param isWhole clamd has answered about all of it: another answer may come before its end */
  end(isWhole: boolean): void {
    this.#plain = this.#check?.end() ?? null
    if (isWhole) this.scan.glance?.end(this.#plain)
    else this.drop()
  }

  /** For a message that was checked before it was sent, or is not to be. */
  endUnseen(plain: PlainResult | null): void {
    this.#plain = plain
  }

  /** Gives the memory back. */
  drop(): void {
    this.#bytes?.drop()
    this.#bytes = null
  }
}
