/*
 * The scans of this process at one address: how many, how many still connect, and since when none has ended. Written by
 * lease.ts, read by pick.ts.
 */

/** Milliseconds after which an unfinished connection counts as slow, and other messages go elsewhere. */
export const slowMs = 100

/**
 * Milliseconds without a finished scan after which an address with several scans counts as stalled: a stopped daemon still
 * accepts connections, and each message would lose its whole budget to it.
 */
const stallMs = 2000

/** Times are in ms of `System.now`. */
export class Load {
  #inFlight = 0
  /** Number of scans whose connection is still being made. */
  #dialling = 0
  /** Start of the first of these. */
  #diallingSince = 0
  /** When the address last finished a scan, or got one while idle. */
  #quietSince = 0
  #finished = 0
  #wasReached = false

  get inFlight(): number {
    return this.#inFlight
  }

  get isDialling(): boolean {
    return this.#dialling > 0
  }

  /** Number of finished scans. */
  get finished(): number {
    return this.#finished
  }

  /** Has accepted a connection since it last failed. */
  get wasReached(): boolean {
    return this.#wasReached
  }

  begin(nowMs: number): void {
    // A single scan does not show a stalled daemon: restart the clock with the second one.
    const isSecond = this.#inFlight === 1 && nowMs - this.#quietSince >= stallMs
    if (this.#inFlight === 0 || isSecond) this.#quietSince = nowMs
    if (this.#dialling === 0) this.#diallingSince = nowMs
    this.#inFlight++
    this.#dialling++
  }

  /** Of one scan the connection is made, or given up. */
  endDialling(): void {
    this.#dialling--
  }

  reached(): void {
    this.#wasReached = true
  }

  end(): void {
    this.#inFlight--
  }

  answered(nowMs: number): void {
    this.#finished++
    this.#quietSince = nowMs
    this.#wasReached = true
  }

  failed(): void {
    this.#wasReached = false
  }

  isSlow(nowMs: number): boolean {
    return this.#dialling > 0 && nowMs - this.#diallingSince >= slowMs
  }

  isStalled(nowMs: number): boolean {
    return this.#inFlight > 1 && nowMs - this.#quietSince >= stallMs
  }
}
