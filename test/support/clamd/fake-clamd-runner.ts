// Carries out the steps of a script on the one or two connections of a dialogue of fake-clamd.ts.
// fake-dialogue.ts decides when each moment comes.
import type { Observations, Scan } from './clamd-observations'
import { type Act, garbage, isAct, type Moment, pieces, type Script, type Which } from './clamd-script'
import type { FakeConnection } from './fake-connection'

export class FakeClamdRunner {
  script: Script = []
  scan: Scan | undefined
  data: FakeConnection | undefined
  /** How the command was ended, and so a reply by default. */
  end: '\0' | '\n' = '\n'
  dataPort = 0
  /** Of the command, in a session; null outside of one. */
  number: number | null = null
  /** Whether the script said something at the latest moment. */
  spoke = false
  readonly #performed = new Set<Act>()
  #verdict: Promise<string> | undefined

  constructor(
    readonly command: FakeConnection,
    private readonly observations: Observations,
    private readonly stopped: AbortSignal,
    private readonly judge: (message: Buffer) => Promise<string>,
  ) {}

  get goesOn(): boolean {
    return this.command.isOpen || this.data?.isOpen === true
  }

  /** Does what the script wants at this moment; false when the dialogue is over. */
  async reach(moment: Exclude<Moment, 'middle'>): Promise<boolean> {
    if (!this.goesOn) return false
    this.spoke = false
    this.observations.note(moment)
    for (const step of this.script) {
      if (step.at === moment && isAct(step) && !(await this.perform(step, moment))) return false
    }
    return this.goesOn
  }

  /** The moments of a message of which that number of bytes has come. */
  async reachSize(size: number): Promise<boolean> {
    for (const step of this.script) {
      if (step.at !== 'middle' || step.after > size || this.#performed.has(step)) continue
      this.#performed.add(step)
      this.observations.note('middle')
      if (!(await this.perform(step, 'middle'))) return false
    }
    return this.goesOn
  }

  async perform(act: Act, moment: Moment): Promise<boolean> {
    switch (act.do) {
      case 'say':
      case 'answer': {
        this.spoke = true
        const line = this.#numbered(await this.#fillIn(act.text), act.number) + (act.end ?? this.end)
        await this.say(Buffer.from(line, 'latin1'), act.split, act.everyMs)
        if (act.do === 'answer') for (const connection of this.#connections('both')) connection.close()
        return this.goesOn
      }
      case 'garbage':
        this.spoke = true
        await this.say(garbage(act), act.split, act.everyMs)
        return this.goesOn
      case 'reset':
        for (const connection of this.#connections(act.on ?? this.#where(moment))) connection.reset()
        return this.goesOn
      case 'close':
        for (const connection of this.#connections(act.on ?? this.#where(moment))) connection.close()
        return this.goesOn
      case 'halfClose':
        for (const connection of this.#connections(act.on ?? this.#where(moment))) connection.halfClose()
        return this.goesOn
      case 'wait':
        return this.waitFor(
          act.ms,
          Promise.all(this.#connections('both').map((connection) => connection.closed)),
        )
      case 'stall':
      case 'freeze':
        for (const connection of this.#connections('both')) {
          if (act.do === 'stall') connection.swallow()
          else connection.freeze()
        }
        await Promise.all(this.#connections('both').map((connection) => connection.over))
        return false
    }
  }

  /** Writes on the command connection. */
  async say(bytes: Buffer, split?: number | 'bytes', everyMs = 1): Promise<void> {
    for (const [index, piece] of pieces(bytes, split).entries()) {
      if (index > 0 && !(await this.waitFor(everyMs, this.command.closed))) return
      if (this.scan) this.scan.reply = Buffer.concat([this.scan.reply, piece])
      await this.command.write(piece)
    }
    // Without a pause, this write and the next one travel as one.
    await this.waitFor(1, this.command.closed)
  }

  async sayLine(text: string): Promise<void> {
    await this.say(Buffer.from(this.#numbered(text) + this.end, 'latin1'))
  }

  async hangUp(): Promise<void> {
    // A script that half-closed it wants to see what the client makes of that.
    if (this.command.halfClosed) await this.command.over
    this.command.close()
  }

  /** Of the message as far as it has come when this is first asked. */
  verdict(): Promise<string> {
    this.#verdict ??= this.judge(this.scan?.bytes ?? Buffer.alloc(0))
    return this.#verdict
  }

  /** False if `until` came first, or the daemon was stopped. */
  async waitFor(ms: number, until: Promise<unknown>): Promise<boolean> {
    if (this.stopped.aborted) return false
    let finish: (elapsed: boolean) => void = () => undefined
    const finished = new Promise<boolean>((resolve) => (finish = resolve))
    const timer = setTimeout(() => finish(true), ms)
    const giveUp = () => finish(false)
    this.stopped.addEventListener('abort', giveUp)
    void until.then(giveUp)
    const elapsed = await finished
    clearTimeout(timer)
    this.stopped.removeEventListener('abort', giveUp)
    return elapsed
  }

  #connections(which: Which): FakeConnection[] {
    const tracked = [which === 'data' ? undefined : this.command, which === 'command' ? undefined : this.data]
    return tracked.filter((connection) => connection !== undefined)
  }

  #where(moment: Moment): Which {
    const ofMessage: Moment[] = ['dataConnect', 'first', 'middle', 'last']
    return this.data && ofMessage.includes(moment) ? 'data' : 'command'
  }

  #numbered(text: string, number = this.number): string {
    return this.number === null || number === null ? text : `${number}: ${text}`
  }

  async #fillIn(text: string): Promise<string> {
    const verdict = text.includes('{verdict}') ? await this.verdict() : ''
    return text.replaceAll('{port}', String(this.dataPort)).replaceAll('{verdict}', () => verdict)
  }
}
