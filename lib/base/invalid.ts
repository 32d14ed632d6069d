/*
 * What a parser returns for a setting that it cannot parse.
 */

export class Invalid {
  /** @param why for the administrator; empty when the list of allowed values is enough */
  constructor(readonly why = '') {}
}
