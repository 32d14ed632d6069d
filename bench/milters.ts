// Milters for Postfix that have clamd scan each message, from Debian's packages: each with its own configuration in a
// temporary directory, and with nothing on but the scan.
import { readdirSync, writeFileSync } from 'node:fs'
import net from 'node:net'
import path from 'node:path'
import { setTimeout as delay } from 'node:timers/promises'
import { freePort, type RealClamd } from '../test/support/clamd/clamd'
import { LoggedProcess } from '../test/support/process'
import { maxBytes } from './sites'

const startMs = 20_000

export interface Milter {
  process: LoggedProcess
  /** As Postfix' `smtpd_milters` takes it. */
  address: string
}

/** Makes a milter whose files are in `directory`, which every user may enter. Rejects with the reason in words. */
export type StartMilter = (directory: string) => Promise<Milter>

/**
 * @param way how it reaches clamd. Over TCP it sends the message (INSTREAM); over a unix socket it hands clamd the
 * descriptor of a temporary file (FILDES), so that clamd reads the message by itself.
 */
export function clamavMilter(clamd: RealClamd, way: 'tcp' | 'unix'): StartMilter {
  return async (directory) => {
    const socket = path.join(directory, 'milter.sock')
    const file = path.join(directory, 'clamav-milter.conf')
    writeConfig(
      file,
      {
        MilterSocket: `unix:${socket}`,
        MilterSocketMode: 666,
        ClamdSocket: way === 'tcp' ? `tcp:${clamd.host}:${clamd.port}` : `unix:${clamd.socketPath}`,
        Foreground: 'yes',
        MaxFileSize: '100M',
        OnFail: 'Defer',
        OnInfected: 'Reject',
        AddHeader: 'Replace',
        TemporaryDirectory: directory,
      },
      ' ',
    )
    const milter = new LoggedProcess('clamav-milter', ['--config-file', file])
    const listens = () => {
      if (milter.exit) throw new Error(`clamav-milter does not start: ${milter.log}`)
      return readdirSync(directory).includes(path.basename(socket))
    }
    await until(listens, startMs, 'clamav-milter does not listen')
    return { process: milter, address: `unix:${socket}` }
  }
}

/** rspamd with its antivirus module alone, and that with its defaults: each part is scanned, text and images are not. */
export function rspamd(clamd: RealClamd): StartMilter {
  return async (directory) => {
    const port = await freePort()
    const file = path.join(directory, 'rspamd.conf')
    writeFileSync(file, rspamdConfig(directory, port, clamd))
    // It compiles its list of top-level domains for a minute, and the scan needs none.
    writeFileSync(path.join(directory, 'tlds'), 'com\n')
    const process = new LoggedProcess('rspamd', ['--no-fork', '--insecure', '--config', file])
    const listens = () => {
      if (process.exit) throw new Error(`rspamd does not start: ${process.log}`)
      return isListening(port)
    }
    await until(listens, startMs, 'rspamd does not listen')
    return { process, address: `inet:127.0.0.1:${port}` }
  }
}

const rspamdConfig = (directory: string, port: number, clamd: RealClamd) => `
options {
  filters = "";
  url_tld = "${directory}/tlds";
  tempdir = "${directory}";
  cache_file = "${directory}/symbols.cache";
  hs_cache_dir = "${directory}";
  control_socket = "${directory}/control.sock mode=0600";
  max_message = ${maxBytes};
  task_timeout = 60s;
  dns { nameserver = ["127.0.0.1:9"]; }
}
logging { type = "console"; level = "notice"; }
modules { path = "/usr/share/rspamd/plugins/antivirus.lua"; }
worker "rspamd_proxy" {
  bind_socket = "127.0.0.1:${port}";
  milter = yes;
  timeout = 120s;
  max_retries = 1;
  count = 2;
  upstream "local" { default = yes; self_scan = yes; }
}
actions { reject = 15; }
antivirus {
  clamav {
    action = "reject";
    symbol = "CLAM_VIRUS";
    type = "clamav";
    servers = "${clamd.host}:${clamd.port}";
    max_size = ${maxBytes};
    timeout = 60.0;
    scan_mime_parts = true;
    scan_text_mime = false;
    scan_image_mime = false;
  }
}
`

export function writeConfig(file: string, lines: Record<string, string | number>, between: string): void {
  const text = Object.entries(lines).map(([key, value]) => `${key}${between}${value}\n`)
  writeFileSync(file, text.join(''))
}

function isListening(port: number): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = net.connect({ port, host: '127.0.0.1' })
    const end = (isOpen: boolean) => {
      socket.destroy()
      resolve(isOpen)
    }
    socket.once('connect', () => end(true)).once('error', () => end(false))
  })
}

/** For programs that tell neither when they are ready nor when they have done. */
export async function until(
  isSo: () => boolean | Promise<boolean>,
  maxMs: number,
  otherwise: string,
): Promise<void> {
  const end = Date.now() + maxMs
  while (!(await isSo())) {
    if (Date.now() > end) throw new Error(otherwise)
    await delay(10)
  }
}
