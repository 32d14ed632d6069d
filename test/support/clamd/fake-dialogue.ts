// One command connection of fake-clamd.ts from accept to close: what clamd does, strictly, and at each moment the
// script's chance to do something else (fake-runner.ts).
import type { Socket } from 'node:net'
import { openBlackHole } from './black-hole'
import { freePort } from './clamd'
import { type Observations, type Protocol, Scan } from './clamd-observations'
import { type Act, isAct, type Script } from './clamd-script'
import { DataPort } from './data-port'
import { FakeClamdRunner } from './fake-clamd-runner'
import { type Command, FakeConnection, readCommand } from './fake-connection'
import { FrameReader } from './frames'

/** The daemon behind a dialogue, as far as the dialogue needs it. */
export interface Daemon extends Observations {
  readonly protocols: readonly Protocol[]
  /** Whether it has IDSESSION. */
  readonly sessions: boolean
  /** 0: unlimited. */
  readonly streamMaxLength: number
  readonly acceptMs: number
  readonly dataHost: string | undefined
  readonly stopped: AbortSignal
  /** The reply to a message, without its terminator. */
  judge(message: Buffer): Promise<string>
  /** What is done about a command that is no scan; undefined: UNKNOWN COMMAND. */
  otherCommand(command: Command): readonly Act[] | undefined
  /** The script of the next scan. It stays the next one until it is taken. */
  upcomingScript(): Script
  takeScript(): Script
}

export async function converse(daemon: Daemon, socket: Socket): Promise<void> {
  const connection = daemon.track(new FakeConnection(socket))
  const runner = new FakeClamdRunner(connection, daemon, daemon.stopped, (message) => daemon.judge(message))
  const isEarly = daemon.upcomingScript().some((step) => step.at === 'accept')
  if (isEarly) runner.script = daemon.takeScript()
  if (!(await runner.reach('accept'))) return
  const command = await readCommand(connection)
  if (!command) {
    if (!connection.ended) daemon.violations.push('a command line without end')
    connection.close()
    return
  }
  runner.end = command.end
  daemon.commands.push(command.name)
  daemon.note(command.name)
  const protocol = scanProtocol(daemon, command)
  if (command.name === 'IDSESSION' && command.prefix !== '' && daemon.sessions) {
    await converseInSession(daemon, connection, isEarly ? runner.script : undefined)
  } else if (protocol) {
    if (!isEarly) runner.script = daemon.takeScript()
    await new ScanDialogue(daemon, runner, protocol).run()
  } else {
    await answerOther(daemon, runner, command)
  }
}

/** One numbered command after the other, until one side ends it. STREAM and unknown ones end it. */
async function converseInSession(
  daemon: Daemon,
  connection: FakeConnection,
  early: Script | undefined,
): Promise<void> {
  for (let number = 1; connection.isOpen; number++) {
    const command = await readCommand(connection)
    if (!command || command.name === 'END') {
      connection.close()
      return
    }
    const runner = new FakeClamdRunner(connection, daemon, daemon.stopped, (message) => daemon.judge(message))
    runner.end = command.end
    runner.number = number
    daemon.commands.push(command.name)
    daemon.note(command.name)
    if (scanProtocol(daemon, command) === 'INSTREAM') {
      runner.script = number === 1 && early ? early : daemon.takeScript()
      await new ScanDialogue(daemon, runner, 'INSTREAM').run()
      continue
    }
    if (command.name !== 'PING' && command.name !== 'VERSION')
      daemon.violations.push(`${command.name} in a session`)
    const acts = daemon.otherCommand(command) ?? [
      { do: 'answer', text: 'Command invalid inside IDSESSION. ERROR' },
    ]
    for (const act of acts) if (!(await runner.perform(act, 'reply'))) return
  }
}

function scanProtocol(daemon: Daemon, { name, prefix }: Command): Protocol | undefined {
  if (name !== 'STREAM' && name !== 'INSTREAM') return undefined
  if (name === 'INSTREAM' && prefix === '') {
    daemon.violations.push('INSTREAM without a prefix')
    return undefined
  }
  return daemon.protocols.includes(name) ? name : undefined
}

async function answerOther(daemon: Daemon, runner: FakeClamdRunner, command: Command): Promise<void> {
  // A client sends its chunks without asking whether INSTREAM is known.
  if (command.name !== 'INSTREAM') watchCommand(daemon, runner, `after ${command.name}`)
  for (const act of daemon.otherCommand(command) ?? [{ do: 'say', text: 'UNKNOWN COMMAND' }]) {
    if (!(await runner.perform(act, 'reply'))) return
  }
  await runner.hangUp()
}

/** Anything the client sends from now on is a breach. */
function watchCommand(daemon: Daemon, runner: FakeClamdRunner, when: string): void {
  const watch = async () => {
    for (;;) {
      const piece = await runner.command.next()
      if (typeof piece === 'string') return
      daemon.violations.push(`${piece.length} bytes on the command connection ${when}`)
    }
  }
  void watch()
}

class ScanDialogue {
  readonly #scan: Scan

  constructor(
    private readonly daemon: Daemon,
    private readonly runner: FakeClamdRunner,
    private readonly protocol: Protocol,
  ) {
    this.#scan = new Scan(daemon.scans.length, protocol)
    this.#scan.inSession = runner.number
    runner.scan = this.#scan
    daemon.scans.push(this.#scan)
  }

  async run(): Promise<void> {
    const { runner } = this
    try {
      if (!(await runner.reach('command'))) return
      if (!(await (this.protocol === 'STREAM' ? this.#receiveStream() : this.#receiveInstream()))) return
      if (!(await runner.reach('terminator')) || !(await runner.reach('reply'))) return
      if (!runner.spoke) await runner.sayLine(await runner.verdict())
      if ((await runner.reach('close')) && runner.number === null) await runner.hangUp()
    } finally {
      this.daemon.noteFinished(this.#scan)
    }
  }

  /** True when the message has ended and its connection is closed. */
  async #receiveStream(): Promise<boolean> {
    const data = await this.#acceptData()
    if (!data) return false
    this.runner.data = data
    if (!(await this.runner.reach('dataConnect'))) return false
    const limit = this.daemon.streamMaxLength || Infinity
    while (data.isOpen && this.#scan.size < limit) {
      const piece = await data.next()
      if (typeof piece === 'string') {
        this.#scan.end = data.wasReset ? 'reset' : 'fin'
        break
      }
      if (!(await this.#take(piece.subarray(0, limit - this.#scan.size)))) return false
    }
    if (!(await this.runner.reach('last'))) return false
    data.close()
    await data.closed
    return true
  }

  /** Undefined when there is no data connection, and then the dialogue is over. */
  async #acceptData(): Promise<FakeConnection | undefined> {
    const { runner, daemon } = this
    const deadEnd = runner.script.find((step) => !isAct(step))?.do
    const host = daemon.dataHost ?? ipv4Of(runner.command.socket)
    const door = deadEnd ? undefined : await DataPort.open(host)
    const hole = deadEnd === 'blackHole' ? await openBlackHole(host) : undefined
    try {
      runner.dataPort = door?.port ?? hole?.port ?? (await freePort(host))
      if (!(await runner.reach('port'))) return undefined
      if (!runner.spoke) await runner.sayLine(`PORT ${runner.dataPort}`)
      watchCommand(daemon, runner, 'during STREAM')
      const socket = await this.#awaitData(door)
      if (typeof socket !== 'string') {
        daemon.dataConnections++
        return daemon.track(new FakeConnection(socket))
      }
      if (socket === 'late') await runner.sayLine('Accept timeout. ERROR')
      runner.command.close()
      return undefined
    } finally {
      door?.close()
      await hole?.close()
    }
  }

  async #awaitData(door: DataPort | undefined): Promise<Socket | 'late' | 'cancelled'> {
    const { over } = this.runner.command
    if (door) return door.connection(this.daemon.acceptMs, over)
    return (await this.runner.waitFor(this.daemon.acceptMs, over)) ? 'late' : 'cancelled'
  }

  /** True when the terminator has come. */
  async #receiveInstream(): Promise<boolean> {
    const { runner, daemon } = this
    const frames = new FrameReader(daemon.streamMaxLength)
    this.#scan.frames = frames.lengths
    while (frames.state === 'open') {
      const piece = await runner.command.next()
      if (typeof piece === 'string') {
        // clamd says nothing to a client that ends before the terminator.
        runner.command.close()
        return false
      }
      for (const content of frames.push(piece)) if (!(await this.#take(content))) return false
    }
    if (frames.state === 'tooLong') {
      if (daemon.streamMaxLength === 0) daemon.violations.push('an impossible chunk length')
      await runner.sayLine('INSTREAM size limit exceeded. ERROR')
      runner.command.close()
      return false
    }
    this.#scan.end = 'terminator'
    runner.command.putBack(frames.rest)
    if (runner.number === null) watchCommand(daemon, runner, 'after the terminator')
    else if (frames.rest.length > 0) daemon.violations.push('bytes before the reply, in a session')
    return runner.reach('last')
  }

  async #take(bytes: Buffer): Promise<boolean> {
    const isFirst = this.#scan.size === 0
    this.#scan.add(bytes)
    if (isFirst && !(await this.runner.reach('first'))) return false
    return this.runner.reachSize(this.#scan.size)
  }
}

/** Where STREAM's data port listens: IPv4, whatever the command came over. */
function ipv4Of({ localAddress = '' }: Socket): string {
  return /^\d+\.\d+\.\d+\.\d+$/.test(localAddress) ? localAddress : '127.0.0.1'
}
