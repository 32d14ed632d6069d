// Whether a next hop leads back into this Haraka, by the listeners in its smtp.ini.
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { parseHop, requireOtherServer, routingOf } from '../../../lib/cli/quarantine/next-hop'
import type { Site } from '../../../lib/cli/site'

function siteWith(main: Record<string, unknown>): Site {
  const haraka = { get: () => ({ main }) } as unknown as Site['haraka']
  return { configDirectory: '', directory: '', plugins: [], own: haraka, haraka, harakaPackage: null }
}

const cases: [main: Record<string, unknown>, own: readonly string[], away: readonly string[]][] = [
  [{}, ['127.0.0.1', '[::1]:25', 'localhost'], ['127.0.0.1:2525', '192.0.2.1']],
  [{ listen: 2525 }, ['127.0.0.1:2525'], ['127.0.0.1']],
  [
    { listen: '127.0.0.1:2599 , [::1]:2598' },
    ['127.0.0.1:2599', '[::1]:2598'],
    ['127.0.0.1:2598', '127.0.0.1'],
  ],
  [{ listen: '127.0.0.1' }, ['127.0.0.1:25', '[::ffff:127.0.0.1]:25'], ['127.0.0.2:25']],
  // An IPv6 address without brackets, with a port and without one.
  [{ listen: '::1:2525' }, ['[::1]:2525'], ['[::1]:1', '127.0.0.1:2525']],
  [{ listen: '::1' }, ['[::1]:25'], ['[::1]:1']],
  [{ listen: '[0:0:0:0:0:0:0:0]:2525' }, ['[::1]:2525', '127.0.0.1:2525'], ['127.0.0.1:25']],
  [{ listen: '[0:0:0:0:0:0:0:1]:2525' }, ['[::1]:2525'], ['127.0.0.1:2525']],
  [{ listen: 'localhost:2525' }, ['localhost:2525', '127.0.0.1:2525'], ['127.0.0.1:25']],
  [{ port: 2525 }, ['127.0.0.1:2525'], ['127.0.0.1:25']],
  [{ port: 2525, listen_host: '127.0.0.1' }, ['127.0.0.1:2525'], ['[::1]:2525']],
  [{ port: 2525, listen: '127.0.0.1:2526' }, ['127.0.0.1:2525', '127.0.0.1:2526'], ['127.0.0.1:25']],
  // Haraka passes over these as well.
  [{ listen: '/run/haraka.sock,not a host' }, [], ['127.0.0.1', '[::1]:25']],
]
for (const [main, own, away] of cases) {
  test(`a Haraka with ${JSON.stringify(main)}`, async () => {
    for (const hop of own)
      await assert.rejects(
        requireOtherServer(routingOf(siteWith(main)), parseHop(hop)),
        /is this Haraka itself/,
        hop,
      )
    for (const hop of away) await requireOtherServer(routingOf(siteWith(main)), parseHop(hop))
  })
}
