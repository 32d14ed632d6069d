// The demonstration behind `npm start`: a clamd and a Haraka with the plugin of this checkout, two messages, and the
// answers in words. start.mjs has checked the options and handed them over as JSON.
import { readdirSync } from 'node:fs'
import net from 'node:net'
import { type RealClamd, startClamd } from '../test/support/clamd/clamd'
import { checkoutHaraka, type Haraka, StartError, startHaraka } from '../test/support/haraka/haraka'
import { TemporaryDirectory } from '../test/support/process'
import { clean, eicarAttachment } from '../test/support/smtp/mails'
import { type Reply, sendMessage } from '../test/support/smtp/smtp'

interface Options {
  once: boolean
  port: number
  clamd?: string
}

const systemSignatures = '/var/lib/clamav'
const host = '127.0.0.1'

class Demonstration {
  readonly #options: Options
  #clamd: RealClamd | undefined
  #haraka: Haraka | undefined

  constructor(options: Options) {
    this.#options = options
  }

  /** Whether both answers were right. */
  async run(): Promise<boolean> {
    const { port } = this.#options
    await refuseBusyPort(port)
    const clamd = this.#options.clamd ?? (await this.#startClamd())
    this.#haraka = await startHaraka({ haraka: checkoutHaraka(), port, ini: `host=${clamd}\n` })
    say('Haraka', `${host}:${port}, with clamav-stream\n`)
    const right = await sendBoth(this.#haraka).catch((error: unknown) => {
      console.log(reasonOf(error, port))
      return false
    })
    if (!right) console.log(`\nNot as it should be. Haraka's log:\n${this.#haraka.log.join('\n')}`)
    return right
  }

  /** Until Haraka ends by itself. */
  async keepRunning(): Promise<void> {
    const { port } = this.#options
    console.log(`
As it should be. Both keep running until Ctrl-C. To try it:
  swaks --server ${host}:${port} --from you@example.com --to me@example.com --attach @FILE
  nc -C ${host} ${port}        and type SMTP
What is delivered is in ${this.#haraka?.site ?? ''}/delivered until then; nothing leaves this machine.
Haraka's log:`)
    this.#haraka?.onLog((line) => console.log(line))
    await this.#haraka?.exited
  }

  async stop(): Promise<void> {
    await Promise.all([this.#haraka?.stop(), this.#clamd?.stop()])
  }

  async #startClamd(): Promise<string> {
    const databaseDirectory = hasSignatures(systemSignatures) ? systemSignatures : undefined
    if (databaseDirectory)
      console.log(`Starting clamd with the signatures of ${databaseDirectory}, a minute's work`)
    this.#clamd = await startClamd({
      startMs: 300_000,
      config: { AlertExceedsMax: 'yes' },
      ...(databaseDirectory && { databaseDirectory }),
    })
    const signatures = databaseDirectory ?? `test signatures only, as ${systemSignatures} has none`
    say('clamd', `${host}:${this.#clamd.port} (${signatures})`)
    return `${host}:${this.#clamd.port}`
  }
}

function hasSignatures(directory: string): boolean {
  try {
    return readdirSync(directory).some((name) => /\.c[vl]d$/.test(name))
  } catch {
    return false
  }
}

async function refuseBusyPort(port: number): Promise<void> {
  const server = net.createServer()
  await new Promise<void>((resolve, reject) => server.once('error', reject).listen(port, host, resolve))
  await new Promise((resolve) => server.close(resolve))
}

async function sendBoth(haraka: Haraka): Promise<boolean> {
  const answerToClean = await sendMessage(haraka.port, { data: clean() })
  say('A clean message', shown(answerToClean))
  const delivered = haraka.delivered().map(({ message }) => message.toString())
  const verdicts = delivered.flatMap(
    (message) => message.match(/^X-MessageIsInfected:.*$/gim) ?? ['no verdict'],
  )
  say('', verdicts.length > 0 ? `delivered with ${verdicts.join(', ')}` : 'not delivered')

  const answerToEicar = await sendMessage(haraka.port, { data: eicarAttachment() })
  say('The EICAR test file', shown(answerToEicar))
  const passed = haraka.delivered().length - delivered.length
  say('', passed === 0 ? 'not delivered' : 'delivered!')

  const cleanIsRight = answerToClean.code === 250 && verdicts.join() === 'X-MessageIsInfected: false'
  const eicarIsRight = answerToEicar.code === 550 && answerToEicar.text.startsWith('5.7.1') && passed === 0
  return cleanIsRight && eicarIsRight
}

function shown({ lines }: Reply): string {
  return lines.join(' ')
}

function say(what: string, text: string): void {
  console.log(`${what.padEnd(20)} ${text}`)
}

function reasonOf(error: unknown, port: number): string {
  const text = error instanceof StartError ? error.log : String(error)
  if (text.includes('EADDRINUSE'))
    return `Port ${port} of ${host} is in use; npm start -- --port N takes another`
  if (text.includes('EACCES'))
    return `Port ${port} of ${host} may not be used by this user; take one above 1023`
  return error instanceof Error ? error.message : text
}

async function main(): Promise<void> {
  const options = JSON.parse(process.argv[2] ?? '{}') as Options
  // Everything private, also what the two servers write, is in one directory that goes at the end.
  process.env.TMPDIR = new TemporaryDirectory('clamav-stream').path
  const demonstration = new Demonstration(options)
  let stopping = false
  const stop = (code: number) => {
    if (!stopping) void demonstration.stop().finally(() => process.exit(code))
    stopping = true
  }
  process.once('disconnect', () => stop(1))
  for (const signal of ['SIGINT', 'SIGTERM'] as const) process.on(signal, () => stop(0))
  try {
    const right = await demonstration.run()
    if (right && !options.once) await demonstration.keepRunning()
    stop(right && options.once ? 0 : 1)
  } catch (error) {
    console.error(reasonOf(error, options.port))
    stop(1)
  }
}

void main()
