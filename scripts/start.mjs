// `npm start`: sets up a fresh clone, then runs start.ts. Options are checked first, so that a wrong one does not cost an
// installation.
import { parseArgs } from 'node:util'
import { ensureBuild, ensureClamd, ensurePackages, handOver } from './setup.mjs'

const usage = `Usage: npm start -- [options]

Starts a clamd and a Haraka with this plugin on loopback, sends them a clean message and the EICAR test file,
shows the answers, and keeps running.

  --once               stop after the two messages; exit 0 if both answers were right
  --clamd ADDRESS      use this clamd instead of starting one: host:port or a socket's path
  --port N             port for Haraka on 127.0.0.1 (default 2525)
  --help               this text`

function readOptions() {
  const options = {
    once: { type: 'boolean', default: false },
    clamd: { type: 'string' },
    port: { type: 'string', default: '2525' },
    help: { type: 'boolean', short: 'h', default: false },
  }
  const { values } = parseArgs({ options })
  if (values.help) return values
  const port = Number(values.port)
  if (!/^\d+$/.test(values.port) || port < 1 || port > 65535) {
    throw new Error(`--port ${values.port}: a number from 1 to 65535 is needed`)
  }
  if (values.clamd !== undefined && !/^(\/.+|\[[\da-f:]+\]:\d+|[^\s:/]+:\d+)$/i.test(values.clamd)) {
    throw new Error(`--clamd ${values.clamd}: host:port, [IPv6]:port or a socket's path is needed`)
  }
  return { ...values, port }
}

function main() {
  let options
  try {
    options = readOptions()
  } catch (error) {
    console.error(
      `${error.message}\nAllowed: --once, --clamd with host:port or a socket's path, --port N, --help`,
    )
    return process.exit(2)
  }
  if (options.help) return console.log(usage)
  try {
    ensurePackages()
    if (options.clamd === undefined && !ensureClamd())
      throw new Error("There is no clamd; --clamd with host:port or a socket's path uses another")
    ensureBuild()
  } catch (error) {
    console.error(error.message)
    return process.exit(1)
  }
  // The channel tells start.ts when this process is gone, also after a SIGKILL.
  const stdio = ['inherit', 'inherit', 'inherit', 'ipc']
  handOver(['--import', 'tsx', 'scripts/start.ts', JSON.stringify(options)], stdio)
}

main()
