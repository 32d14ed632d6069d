// A Haraka whose own HTTP server listens, and what a client of it needs: where it listens, and its events one by one.
import { type Haraka, type HarakaOptions, installHaraka, startHaraka } from './haraka/haraka'

export interface WebSite {
  haraka: Haraka
  /** `http://127.0.0.2:PORT` */
  origin: string
}

/** Not where SMTP listens: the log says both in the same words, and in a cluster in any order. */
const webHost = '127.0.0.2'

/** As `startHaraka`, with express and http.ini. */
export async function startWebHaraka(options: HarakaOptions = {}): Promise<WebSite> {
  const haraka = await startHaraka({
    ...options,
    haraka: options.haraka ?? (await installHaraka({ packages: ['express'] })),
    files: { 'http.ini': `listen=${webHost}:0\n`, ...options.files },
  })
  const listens = /Listening on 127\.0\.0\.2:(\d+)$/
  // Every worker of a cluster says so, about the same port.
  let line = ''
  for (let from = 0, seen = 0; seen < Math.max(options.nodes ?? 0, 1); seen++) {
    line = await haraka.waitForLog(listens, 30_000, from)
    from = haraka.log.indexOf(line, from) + 1
  }
  return { haraka, origin: `http://${webHost}:${listens.exec(line)?.[1] ?? ''}` }
}

/** What the page's events bring, parsed; ends with the stream. */
export async function* events(url: string, init: RequestInit = {}): AsyncGenerator {
  const response = await fetch(url, init)
  if (response.status !== 200 || !response.body) throw new Error(`${url}: ${response.status}`)
  let text = ''
  for await (const chunk of response.body.pipeThrough(new TextDecoderStream())) {
    text += chunk
    for (let end = text.indexOf('\n\n'); end >= 0; end = text.indexOf('\n\n')) {
      const event = text.slice(0, end)
      text = text.slice(end + 2)
      if (event.startsWith('data: ')) yield JSON.parse(event.slice('data: '.length))
    }
  }
}

/** The first event that is as wanted. */
export async function eventWhere<T>(
  url: string,
  isWanted: (view: T) => boolean,
  init: RequestInit = {},
): Promise<T> {
  const end = AbortSignal.timeout(30_000)
  for await (const view of events(url, { ...init, signal: end })) if (isWanted(view as T)) return view as T
  throw new Error(`${url} ended before the event came`)
}

/** The value of one series of a metrics text; labels in any order, all that are given have to match. */
export function metric(text: string, name: string, labels: Record<string, string> = {}): number {
  const lines = text.split('\n').filter((line) => line.startsWith(`${name}{`) || line.startsWith(`${name} `))
  const matching = lines.filter((line) =>
    Object.entries(labels).every(([label, value]) => line.includes(`${label}="${value}"`)),
  )
  return matching.reduce((sum, line) => sum + Number(line.slice(line.lastIndexOf(' ') + 1)), 0)
}
