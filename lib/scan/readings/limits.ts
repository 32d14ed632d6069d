/*
 * What looking for the contents of one message may cost.
 */

import { defaultLimits, type Limits } from '../../mime/budget'

export interface ReadingLimits extends Limits {
  /** Contents that are handed over. */
  readonly readings: number
  /** Bytes of all contents that are handed over. */
  readonly contentBytes: number
  /** Messages and other things to look into, also the same one with other line ends. */
  readonly documents: number
}

/**
 * What clamd is asked for one message, the whole of it left out. Measured: ordinary mails need at most 21 contents and four
 * times their bytes; odd ones of 140 kB at most 128 contents and 15 MB.
 */
export const scanLimits = {
  contents: 512,
  /** Bytes that are sent at most, for each byte of the message and beyond. */
  bytesPerByte: 4,
  extraBytes: 16 * 1024 * 1024,
}

/** Far more than real mail has: 25 MB in all ways there are, a hundred attachments in a message in a message. */
export const defaultReadingLimits: ReadingLimits = {
  ...defaultLimits,
  depth: 24,
  readings: 4096,
  contentBytes: 256 * 1024 * 1024,
  documents: 256,
}
