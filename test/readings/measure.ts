// How many odd mails with a virus clamd calls clean, and in how many of these a mail reader opens it:
//   node --import tsx test/readings/measure.ts --seed 1 --count 600 [--single] [--only FORM] [--readers] [--save DIR]
// `--only` leaves out the mails in which no form's name contains FORM.
// `--single` measures each form alone instead of mixes by chance; `--readers` asks the programs of programs.ts as well;
// `--save` keeps the mails that clamd called clean and some reader opened.
import { mkdirSync, writeFileSync } from 'node:fs'
import path from 'node:path'
import { parseArgs } from 'node:util'
import { receivedLine } from '../../lib/clamd/protocol'
import { type RealClamd, startClamd } from '../support/clamd/clamd'
import { eicar } from '../support/eicar'
import { judge } from '../support/smtp/judges'
import { type OddMail, oddMails, singleForms } from '../support/smtp/odd-mails'
import { installedPrograms, judgeByPrograms } from './programs'

const payload = Buffer.from(eicar())

interface Measured {
  readonly odd: OddMail
  readonly reply: string
  /** Of the mails that clamd called clean: the readers that open the payload. */
  readonly openedBy: readonly string[]
}

async function measured(odd: OddMail, clamd: RealClamd, programs: readonly string[]): Promise<Measured> {
  const mail = odd.carrying(payload)
  // As the plugin sends it.
  const reply = await clamd.scan(Buffer.concat([receivedLine, mail]))
  const openedBy =
    reply === 'stream: OK'
      ? [...(await judge(mail, payload)), ...(await judgeByPrograms(programs, mail, payload))]
      : []
  return { odd, reply, openedBy }
}

function share(part: number, whole: number): string {
  return `${part} of ${whole} (${whole === 0 ? 0 : Math.round((100 * part) / whole)} %)`
}

function reportSums(all: readonly Measured[]): void {
  const ok = all.filter(({ reply }) => reply === 'stream: OK')
  const others = all.filter(({ reply }) => reply !== 'stream: OK' && !reply.endsWith('FOUND'))
  console.log(`clamd says stream: OK        ${share(ok.length, all.length)}`)
  for (const readers of [1, 2, 3, 5, 7]) {
    const opened = ok.filter(({ openedBy }) => openedBy.length >= readers)
    console.log(`opened by ${readers} reader(s) or more ${share(opened.length, ok.length)}`)
  }
  for (const { reply, odd } of others)
    console.log(`another reply: ${reply || '(none)'}: ${odd.forms.join(', ')}`)
  const names = new Set(ok.flatMap(({ openedBy }) => openedBy))
  for (const name of [...names].sort()) {
    console.log(`  ${name.padEnd(14)} ${ok.filter(({ openedBy }) => openedBy.includes(name)).length}`)
  }
}

/** Each form: in how many mails it is, how many of these clamd calls clean, how many of those are opened. */
function reportForms(all: readonly Measured[]): void {
  const forms = new Map<string, { mails: number; ok: number; opened: number }>()
  for (const { odd, reply, openedBy } of all) {
    for (const form of odd.forms) {
      const counts = forms.get(form) ?? { mails: 0, ok: 0, opened: 0 }
      counts.mails++
      if (reply === 'stream: OK') counts.ok++
      if (openedBy.length > 0) counts.opened++
      forms.set(form, counts)
    }
  }
  const rows = [...forms].sort(([, a], [, b]) => b.opened / b.mails - a.opened / a.mails || b.ok - a.ok)
  console.log('\nmails   OK  opened  form')
  for (const [form, { mails, ok, opened }] of rows) {
    const columns = [String(mails).padStart(5), String(ok).padStart(4), String(opened).padStart(7)]
    console.log(`${columns.join(' ')}  ${form}`)
  }
}

function reportSingle(all: readonly Measured[]): void {
  for (const { odd, reply, openedBy } of all) {
    if (reply !== 'stream: OK') continue
    const kind = odd.spec.root.kind
    console.log(`${odd.forms.join(', ')} [${kind}]: ${openedBy.join(' ') || '-'}`)
  }
}

function save(all: readonly Measured[], folder: string): void {
  mkdirSync(folder, { recursive: true })
  for (const [index, { odd, openedBy }] of all.entries()) {
    if (openedBy.length === 0) continue
    const name = path.join(folder, String(index).padStart(5, '0'))
    writeFileSync(`${name}.eml`, odd.carrying(payload))
    writeFileSync(`${name}.txt`, `${openedBy.join(' ')}\n${odd.toString()}\n`)
  }
}

async function main(): Promise<void> {
  const { values } = parseArgs({
    options: {
      seed: { type: 'string', default: '1' },
      count: { type: 'string', default: '600' },
      single: { type: 'boolean', default: false },
      only: { type: 'string', default: '' },
      readers: { type: 'boolean', default: false },
      save: { type: 'string' },
    },
  })
  const programs = values.readers ? await installedPrograms() : []
  const made = values.single ? singleForms() : oddMails(Number(values.seed), Number(values.count))
  const mails = made.filter(
    ({ forms }) => values.only === '' || forms.some((form) => form.includes(values.only)),
  )
  const clamd = await startClamd()
  const all: Measured[] = []
  try {
    for (const odd of mails) all.push(await measured(odd, clamd, programs))
  } finally {
    await clamd.stop()
  }
  console.log(
    `${all.length} odd mails, seed ${values.seed}; readers: ${['mailparser', 'postal-mime', ...programs].join(', ')}`,
  )
  reportSums(all)
  if (values.single) reportSingle(all)
  else reportForms(all)
  if (values.save !== undefined) save(all, values.save)
}

void main()
