// What is compared: the same Haraka without scanning, with haraka-plugin-clamd, and with this plugin.
import type { RealClamd } from '../test/support/clamd'
import { checkoutHaraka, startHaraka, type Haraka } from '../test/support/haraka'

export const names = ['no scanning', 'haraka-plugin-clamd', 'clamav-stream'] as const
export type Name = (typeof names)[number]

/** Takes every message and keeps nothing, so that delivery costs the same nothing everywhere. */
const swallow = `
exports.register = function () {
  this.register_hook('queue', 'swallow')
}
exports.swallow = function (next) {
  next(OK)
}
`

export async function startContender(name: Name, clamd: RealClamd): Promise<Haraka> {
  const address = `${clamd.host}:${clamd.port}`
  const setUps = {
    'no scanning': { plugins: ['swallow'] },
    'haraka-plugin-clamd': {
      plugins: ['clamd', 'swallow'],
      files: { 'clamd.ini': `clamd_socket=${address}\nmax_size=104857600\n` },
    },
    'clamav-stream': {
      plugins: ['clamav-stream', 'swallow'],
      ini: `[main]\nhost=${address}\nmax_size=100M\n`,
    },
  }
  return startHaraka({
    ...setUps[name],
    sources: { swallow },
    deliver: false,
    haraka: checkoutHaraka(),
    loglevel: 'NOTICE',
    connection: { bytes: 0 },
  })
}
