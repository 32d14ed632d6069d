/** A mistake of the person at the keyboard, or of the site: shown as it is, without a stack. Exit code 2. */
export class UserError extends Error {
  override readonly name = 'UserError'
}
