// One command connection of fake-clamd.ts from accept to close: what clamd does, strictly, and at each moment the
// script's chance to do something else (fake-stage.ts).
import type { Socket } from 'node:net'
import { openBlackHole } from './black-hole'
import { freePort } from './clamd'
import { type Observations, type Protocol, Scan } from './clamd-observations'
import { type Act, isAct, type Script } from './clamd-script'
import { DataPort } from './data-port'
import { Stage } from './fake-clamd-runner'
import { type Command, Peer, readCommand } from './fake-connection'
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
  const peer = daemon.track(new Peer(socket))
  const stage = new Stage(peer, daemon, daemon.stopped, (message) => daemon.judge(message))
  const isEarly = daemon.upcomingScript().some((step) => step.at === 'accept')
  if (isEarly) stage.script = daemon.takeScript()
  if (!(await stage.reach('accept'))) return
  const command = await readCommand(peer)
  if (!command) {
    if (!peer.ended) daemon.violations.push('a command line without end')
    peer.close()
    return
  }
  stage.end = command.end
  daemon.commands.push(command.name)
  daemon.note(command.name)
  const protocol = scanProtocol(daemon, command)
  if (command.name === 'IDSESSION' && command.prefix !== '' && daemon.sessions) {
    await converseInSession(daemon, peer, isEarly ? stage.script : undefined)
  } else if (protocol) {
    if (!isEarly) stage.script = daemon.takeScript()
    await new ScanDialogue(daemon, stage, protocol).run()
  } else {
    await answerOther(daemon, stage, command)
  }
}

/** One numbered command after the other, until somebody has had enough. STREAM and unknown ones end it. */
async function converseInSession(daemon: Daemon, peer: Peer, early: Script | undefined): Promise<void> {
  for (let number = 1; peer.isOpen; number++) {
    const command = await readCommand(peer)
    if (!command || command.name === 'END') {
      peer.close()
      return
    }
    const stage = new Stage(peer, daemon, daemon.stopped, (message) => daemon.judge(message))
    stage.end = command.end
    stage.number = number
    daemon.commands.push(command.name)
    daemon.note(command.name)
    if (scanProtocol(daemon, command) === 'INSTREAM') {
      stage.script = number === 1 && early ? early : daemon.takeScript()
      await new ScanDialogue(daemon, stage, 'INSTREAM').run()
      continue
    }
    if (command.name !== 'PING' && command.name !== 'VERSION')
      daemon.violations.push(`${command.name} in a session`)
    const acts = daemon.otherCommand(command) ?? [
      { do: 'answer', text: 'Command invalid inside IDSESSION. ERROR' },
    ]
    for (const act of acts) if (!(await stage.perform(act, 'reply'))) return
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

async function answerOther(daemon: Daemon, stage: Stage, command: Command): Promise<void> {
  // A client sends its chunks without asking whether INSTREAM is known.
  if (command.name !== 'INSTREAM') watchCommand(daemon, stage, `after ${command.name}`)
  for (const act of daemon.otherCommand(command) ?? [{ do: 'say', text: 'UNKNOWN COMMAND' }]) {
    if (!(await stage.perform(act, 'reply'))) return
  }
  await stage.hangUp()
}

/** Anything the client sends from now on is a breach. */
function watchCommand(daemon: Daemon, stage: Stage, when: string): void {
  const watch = async () => {
    for (;;) {
      const piece = await stage.command.next()
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
    private readonly stage: Stage,
    private readonly protocol: Protocol,
  ) {
    this.#scan = new Scan(daemon.scans.length, protocol)
    this.#scan.inSession = stage.number
    stage.scan = this.#scan
    daemon.scans.push(this.#scan)
  }

  async run(): Promise<void> {
    const { stage } = this
    try {
      if (!(await stage.reach('command'))) return
      if (!(await (this.protocol === 'STREAM' ? this.#receiveStream() : this.#receiveInstream()))) return
      if (!(await stage.reach('terminator')) || !(await stage.reach('reply'))) return
      if (!stage.spoke) await stage.sayLine(await stage.verdict())
      if ((await stage.reach('close')) && stage.number === null) await stage.hangUp()
    } finally {
      this.daemon.noteFinished(this.#scan)
    }
  }

  /** True when the message has ended and its connection is closed. */
  async #receiveStream(): Promise<boolean> {
    const data = await this.#acceptData()
    if (!data) return false
    this.stage.data = data
    if (!(await this.stage.reach('dataConnect'))) return false
    const limit = this.daemon.streamMaxLength || Infinity
    while (data.isOpen && this.#scan.size < limit) {
      const piece = await data.next()
      if (typeof piece === 'string') {
        this.#scan.end = data.wasReset ? 'reset' : 'fin'
        break
      }
      if (!(await this.#take(piece.subarray(0, limit - this.#scan.size)))) return false
    }
    if (!(await this.stage.reach('last'))) return false
    data.close()
    await data.closed
    return true
  }

  /** Undefined when there is no data connection, and then the dialogue is over. */
  async #acceptData(): Promise<Peer | undefined> {
    const { stage, daemon } = this
    const deadEnd = stage.script.find((step) => !isAct(step))?.do
    const host = daemon.dataHost ?? ipv4Of(stage.command.socket)
    const door = deadEnd ? undefined : await DataPort.open(host)
    const hole = deadEnd === 'blackHole' ? await openBlackHole(host) : undefined
    try {
      stage.dataPort = door?.port ?? hole?.port ?? (await freePort(host))
      if (!(await stage.reach('port'))) return undefined
      if (!stage.spoke) await stage.sayLine(`PORT ${stage.dataPort}`)
      watchCommand(daemon, stage, 'during STREAM')
      const socket = await this.#awaitData(door)
      if (typeof socket !== 'string') {
        daemon.dataConnections++
        return daemon.track(new Peer(socket))
      }
      if (socket === 'late') await stage.sayLine('Accept timeout. ERROR')
      stage.command.close()
      return undefined
    } finally {
      door?.close()
      await hole?.close()
    }
  }

  async #awaitData(door: DataPort | undefined): Promise<Socket | 'late' | 'cancelled'> {
    const { over } = this.stage.command
    if (door) return door.connection(this.daemon.acceptMs, over)
    return (await this.stage.waitFor(this.daemon.acceptMs, over)) ? 'late' : 'cancelled'
  }

  /** True when the terminator has come. */
  async #receiveInstream(): Promise<boolean> {
    const { stage, daemon } = this
    const frames = new FrameReader(daemon.streamMaxLength)
    this.#scan.frames = frames.lengths
    while (frames.state === 'open') {
      const piece = await stage.command.next()
      if (typeof piece === 'string') {
        // clamd says nothing to a client that ends before the terminator.
        stage.command.close()
        return false
      }
      for (const content of frames.push(piece)) if (!(await this.#take(content))) return false
    }
    if (frames.state === 'tooLong') {
      if (daemon.streamMaxLength === 0) daemon.violations.push('an impossible chunk length')
      await stage.sayLine('INSTREAM size limit exceeded. ERROR')
      stage.command.close()
      return false
    }
    this.#scan.end = 'terminator'
    stage.command.putBack(frames.rest)
    if (stage.number === null) watchCommand(daemon, stage, 'after the terminator')
    else if (frames.rest.length > 0) daemon.violations.push('bytes before the reply, in a session')
    return stage.reach('last')
  }

  async #take(bytes: Buffer): Promise<boolean> {
    const isFirst = this.#scan.size === 0
    this.#scan.add(bytes)
    if (isFirst && !(await this.stage.reach('first'))) return false
    return this.stage.reachSize(this.#scan.size)
  }
}

/** Where STREAM's data port listens: IPv4, whatever the command came over. */
function ipv4Of({ localAddress = '' }: Socket): string {
  return /^\d+\.\d+\.\d+\.\d+$/.test(localAddress) ? localAddress : '127.0.0.1'
}
