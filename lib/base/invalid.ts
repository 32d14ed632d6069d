/*
 * What a parser answers in place of a value when it can make none of what an administrator wrote.
 */

export class Invalid {
  /** @param why in words; empty where saying what is allowed says it all */
  constructor(readonly why = '') {}
}
