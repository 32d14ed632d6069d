/* Where this package lies, and its version. */

import { existsSync, readFileSync } from 'node:fs'
import path from 'node:path'

/** Its directory, whether built (dist/bin) or not (bin). */
export function ownPackage(): string {
  let directory = __dirname
  while (!existsSync(path.join(directory, 'package.json'))) directory = path.dirname(directory)
  return directory
}

export function version(): string {
  const text = readFileSync(path.join(ownPackage(), 'package.json'), 'utf8')
  return (JSON.parse(text) as { version: string }).version
}
