/** A mistake in the command line or in the site's configuration: printed without a stack. Exit code 2. */
export class UserError extends Error {
  override readonly name = 'UserError'
}
