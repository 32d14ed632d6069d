// What hostile mails cost Haraka: the longest turn of the event loop, in wall time and in CPU, and the CPU of all. Clamd
// is left out: it answers at once.
//   node --import tsx test/readings/turns.ts --mb 10 [--only FORMS] [--min 50]
// `--only` is a regular expression; `--min` leaves out the forms whose longest turn took fewer milliseconds of CPU.
import { parseArgs } from 'node:util'
import { costOf } from '../support/cost'
import { hostileMails } from '../support/smtp/hostile-mails'

async function main(): Promise<void> {
  const { values } = parseArgs({
    options: {
      mb: { type: 'string', default: '10' },
      only: { type: 'string', default: '' },
      min: { type: 'string', default: '0' },
    },
  })
  const bytes = Number(values.mb) * 1e6
  const only = new RegExp(values.only)
  const rows: (readonly [turnMs: number, cpuMs: number, form: string])[] = []
  console.log('turn ms  (wall)  CPU ms  contents  form')
  for (const [form, make] of Object.entries(hostileMails)) {
    if (!only.test(form)) continue
    const { turnMs, turnWallMs, cpuMs, contents, limits } = await costOf(make(bytes))
    if (turnMs < Number(values.min)) continue
    rows.push([turnMs, cpuMs, form])
    const columns = [String(turnMs).padStart(7), String(turnWallMs).padStart(7), String(cpuMs).padStart(7)]
    console.log(
      `${columns.join(' ')} ${String(contents).padStart(9)}  ${form}${limits === null ? '' : ` (${limits})`}`,
    )
  }
  const longest = Math.max(...rows.map(([turnMs]) => turnMs))
  const most = Math.max(...rows.map(([, cpuMs]) => cpuMs))
  console.log(`${rows.length} forms of ${values.mb} MB: longest turn ${longest} ms, most CPU ${most} ms`)
}

void main()
