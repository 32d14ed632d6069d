/* The functions of untyped Haraka packages that are called here, and no more. */

declare module 'haraka-dsn' {
  /** Haraka takes code and text of an answer from an object of this class, and knows it by the class's name. */
  export default class DSN {
    static create(code: number, text: string, subject: number, detail: number): DSN
    readonly code: number
    readonly reply: string
  }
}

declare module 'haraka-constants' {
  const constants: {
    readonly cont: number
    readonly stop: number
    readonly deny: number
    readonly denysoft: number
    readonly ok: number
  }
  export default constants
}
