/* Where this package lies, and its version. */

import { existsSync } from 'node:fs'
import path from 'node:path'
import { getVersion } from 'haraka-utils'

/** Its directory, whether built (dist/bin) or not (bin). */
export function ownPackage(): string {
  let directory = __dirname
  while (!existsSync(path.join(directory, 'package.json'))) directory = path.dirname(directory)
  return directory
}

/** In a clone of the repository with the commit behind it: `1.0.0/1a2b3c4`. */
export function version(): string {
  return getVersion(ownPackage())
}
