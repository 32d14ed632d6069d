/*
 * The error that stops Haraka at start.
 */

/** Every mistake in the settings, in one message. */
export class ConfigError extends Error {
  override readonly name = 'ConfigError'
  constructor(problems: readonly string[]) {
    super(
      problems.length === 1
        ? problems.join('')
        : `${problems.length} settings are wrong:${problems.map((problem) => `\n  ${problem}`).join('')}`,
    )
    // Haraka logs the stack; for a mistake in the settings only the message is of use.
    this.stack = `${this.name}: ${this.message}`
  }
}
