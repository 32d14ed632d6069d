// The command line: which parts run, and of what.
import { parseArgs } from 'node:util'
import { contenderNames, type ContenderName } from './contenders'
import type { Size } from './cost'

export const usage = `Usage: npm run bench -- [options]

  --sizes 5k,1M          of ${'5k, 100k, 1M, 10M'}
  --contenders a,b       of ${contenderNames.join(', ')}
  --rounds N             rounds counted (default 5)
  --sessions N           SMTP sessions at the same time (default 4)
  --scale X              times as many messages each round (default 1)`

const sizes: Record<string, Size> = {
  '5k': { label: '5 kB', bytes: 5_000, count: 300 },
  '100k': { label: '100 kB', bytes: 100_000, count: 120 },
  '1M': { label: '1 MB', bytes: 1_000_000, count: 24 },
  '10M': { label: '10 MB', bytes: 10_000_000, count: 4 },
}

export interface Options {
  sizes: Size[]
  contenders: ContenderName[]
  rounds: number
  sessions: number
}

/** Throws an Error in words for a person. */
export function readOptions(args: readonly string[]): Options {
  const { values } = parseArgs({
    args: [...args],
    options: {
      sizes: { type: 'string', default: Object.keys(sizes).join(',') },
      contenders: { type: 'string', default: contenderNames.join(',') },
      rounds: { type: 'string', default: '5' },
      sessions: { type: 'string', default: '4' },
      scale: { type: 'string', default: '1' },
    },
  })
  const scale = positive('scale', values.scale)
  return {
    sizes: chosen('sizes', values.sizes, Object.keys(sizes)).flatMap((key) => {
      const size = sizes[key]
      return size ? [{ ...size, count: Math.max(1, Math.round(size.count * scale)) }] : []
    }),
    contenders: chosen('contenders', values.contenders, contenderNames),
    rounds: positive('rounds', values.rounds),
    sessions: positive('sessions', values.sessions),
  }
}

function positive(name: string, text: string): number {
  const value = Number(text)
  if (!(value > 0)) throw new Error(`--${name} ${text}: a number above 0 is needed`)
  return value
}

/** In the order of `allowed`, whatever the order asked for. */
function chosen<T extends string>(name: string, text: string, allowed: readonly T[]): T[] {
  const words = text.split(',').map((word) => word.trim())
  const unknown = words.find((word) => !allowed.some((each) => each === word))
  if (unknown !== undefined) throw new Error(`--${name} ${unknown}: allowed are ${allowed.join(', ')}`)
  return allowed.filter((each) => words.includes(each))
}
