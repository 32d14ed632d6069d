// Three real clamds, of which one at a time is killed, stopped, restarted or made to reload its signatures.
import { setTimeout as delay } from 'node:timers/promises'
import { type RealClamd, startClamd } from '../support/clamd/clamd'
import type { Random } from '../support/random'

const misfortunes = ['killed', 'stopped', 'restarted', 'reloaded'] as const
export type Misfortune = (typeof misfortunes)[number]

export class Daemons {
  readonly befell: Record<Misfortune, number> = { killed: 0, stopped: 0, restarted: 0, reloaded: 0 }

  private constructor(private readonly clamds: readonly RealClamd[]) {}

  static async start(): Promise<Daemons> {
    return new Daemons(await Promise.all([startClamd(), startClamd(), startClamd()]))
  }

  /** As the key `host` takes them: the second one through its unix socket. */
  get hosts(): string {
    return this.clamds
      .map(({ host, port, socketPath }, i) => (i === 1 ? socketPath : `${host}:${port}`))
      .join(' ')
  }

  /** One misfortune after the other, each healed before the next, until the signal. */
  async trouble(random: Random, everyMs: number, signal: AbortSignal): Promise<void> {
    while (!signal.aborted) {
      const clamd = this.clamds[random(this.clamds.length)]
      const misfortune = misfortunes[random(misfortunes.length)]
      if (!clamd || !misfortune) continue
      this.befell[misfortune]++
      if (misfortune === 'killed') await clamd.kill()
      else if (misfortune === 'stopped') clamd.pause()
      else if (misfortune === 'reloaded') await clamd.ask('zRELOAD\0')
      else await clamd.restart()
      await delay(everyMs / 2 + random(everyMs), undefined, { signal }).catch(() => undefined)
      if (misfortune === 'killed') await clamd.restart()
      if (misfortune === 'stopped') clamd.resume()
    }
  }

  async stop(): Promise<void> {
    await Promise.all(this.clamds.map((clamd) => clamd.stop()))
  }
}
