/*
 * What stops Haraka at start: every mistake of an administrator in one message.
 */

/** All that is wrong with the settings, in one message. */
export class ConfigError extends Error {
  override readonly name = 'ConfigError'
  constructor(problems: readonly string[]) {
    super(
      problems.length === 1
        ? problems.join('')
        : `${problems.length} settings are wrong:${problems.map((problem) => `\n  ${problem}`).join('')}`,
    )
    // Haraka logs the stack of what stops it; an administrator's mistake has nothing to do with our lines.
    this.stack = `${this.name}: ${this.message}`
  }
}
