/*
 * Archives that are opened with a library (7-Zip), outside the main thread. One that takes long gives way to others that wait,
 * and begins again in a second thread, where it delays only other slow archives.
 */

import type { CancelSignal } from '../../base/cancellation'
import type { LibraryAnswer, LibraryRequest } from './library-messages'
import { LibraryThread } from './library-thread'

/** Milliseconds after which an archive gives way: nearly all take less. */
const quickMs = 500

export class Library {
  readonly #quick = new LibraryThread()
  readonly #slow = new LibraryThread()

  /**
   * Rejects with the signal's reason alone.
   * @param request its archive may be handed over, and be empty afterwards
   * @param limitMs from the beginning of the work, waiting left out
   * @param started called when the work begins, again if it begins again in the second thread
   */
  async open(
    request: LibraryRequest,
    limitMs: number,
    signal: CancelSignal,
    started: () => void = () => undefined,
  ): Promise<LibraryAnswer> {
    const answer = await this.#quick.open(request, { limitMs, signal, started, giveWayMs: quickMs })
    return answer ?? this.#slow.open(request, { limitMs, signal, started })
  }
}

export const library = new Library()
