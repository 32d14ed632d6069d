// Mails made by chance from the oddities of MIME, each with a payload in it once. Mail programs do not agree on how to
// read them, and clamd reads some of them otherwise than all of them.
import * as fc from 'fast-check'
import { eachFormAlone, mailSpecs } from './odd-mails/generate'
import { formsOf, type MailSpec, write } from './odd-mails/spec'

export class OddMail {
  constructor(readonly spec: MailSpec) {}

  /** The names of its odd forms. */
  get forms(): string[] {
    return formsOf(this.spec)
  }

  /** The mail with this payload in it; what it is has no influence on the rest. */
  carrying(payload: Buffer): Buffer {
    return write(this.spec, payload)
  }

  toString(): string {
    return `${this.forms.join(', ')}\n${JSON.stringify(this.spec)}`
  }
}

/** For properties: a failing mail is made smaller. */
export const oddMail: fc.Arbitrary<OddMail> = mailSpecs.map((spec) => new OddMail(spec))

/** Always the same ones for a seed. */
export function oddMails(seed: number, count: number): OddMail[] {
  return fc.sample(oddMail, { seed, numRuns: count })
}

/** One mail for each form that there is, ordinary in all else. */
export function singleForms(): OddMail[] {
  return eachFormAlone().map((spec) => new OddMail(spec))
}
