/*
 * Why metrics or page are not served, or are open to more people than intended: for the log at start and for `check`.
 */

import { openMode, secretFile } from './secrets'
import type { Settings } from './settings'

/** Haraka's HTTP server. */
export interface HttpServer {
  /** `listen` in http.ini. */
  readonly listens: boolean
  /** express is installed beside Haraka; null: unknown. */
  readonly hasExpress: boolean | null
}

export interface HttpProblem {
  readonly text: string
  readonly remedy: string
}

/** @param ini path of clamav-stream.ini; null: there is none */
export function httpProblems(
  { http, tokenFile }: Settings,
  { listens, hasExpress }: HttpServer,
  ini: string | null,
): HttpProblem[] {
  const { metrics, page, token } = http
  const found: HttpProblem[] = []
  const isServed = listens && (metrics || page)
  if (page && !listens)
    found.push({
      text: "[http] page=true, but Haraka's HTTP server is off: there is no page",
      remedy: 'http.ini: listen=127.0.0.1:8080, and restart Haraka',
    })
  if ((isServed || page) && hasExpress === false)
    found.push({
      text: 'express is not installed beside Haraka: there are neither metrics nor a page',
      remedy: 'npm install express where Haraka is installed, and restart it',
    })
  if (page && token === '' && tokenFile === null)
    found.push({
      text: '[http] page=true without a token: everybody who reaches the port sees senders, recipients and subjects',
      remedy: '[http] token=, or token_file=',
    })
  const secret = tokenFile === null ? (token === '' ? null : ini) : secretFile(tokenFile)
  const mode = secret === null ? null : openMode(secret)
  if (secret !== null && mode !== null)
    found.push({
      text: `all users of this machine may read the token in ${secret} (mode ${mode})`,
      remedy: `chmod o= ${secret}, and let Haraka's user read it`,
    })
  return found
}
