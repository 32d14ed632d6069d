/* This package's directory and version. */

import { existsSync } from 'node:fs'
import path from 'node:path'
import { getVersion } from 'haraka-utils'

/** The directory of package.json, both from dist/ and from source. */
export function ownPackage(): string {
  let directory = __dirname
  while (!existsSync(path.join(directory, 'package.json'))) directory = path.dirname(directory)
  return directory
}

/** The version; in a clone of the repository with the commit: `1.0.0/1a2b3c4`. */
export function version(): string {
  return getVersion(ownPackage())
}
