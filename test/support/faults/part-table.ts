// The faults of fault-table.ts as they meet a part: the daemon has called the whole message OK, and fails over what
// is sent behind it.
import { noFreePort } from '../../../lib/clamd/protocol'
import type { Scope } from '../../../lib/scan/second-look'
import type { ConnectDeadEnd, Script, Step } from '../clamd/clamd-script'
import type { FakeClamd } from '../clamd/fake-clamd'
import { eicar } from '../eicar'
import { type Content, large, type Row, rows } from './fault-table'

/** Bytes of the part. From 48 kB on a message is taken apart. */
export const usualPart = 96 * 1024

/** Only in its words another row. */
const isWording = (name: string) =>
  /in two, after|instead of PORT$|as the reply$/.test(name) && !name.includes(noFreePort)

/**
 * At a part there is no choice of a protocol any more, and no daemon without the one that has worked. Very large ones add
 * nothing but time, nor do all of the lines that are no reply: every fifth.
 */
export const partRows: readonly Row[] = rows
  .filter(({ daemon, bytes = usualPart }) => daemon?.protocols === undefined && bytes <= large)
  .filter(({ name }, index) => !isWording(name) || index % 5 === 0)
  .map(({ ends: { stream, instream }, ...row }) => ({
    ...row,
    ends: { ...(stream && { stream }), ...(instream && { instream }) },
  }))
  .filter(({ ends }) => Object.keys(ends).length > 0)

/** Scopes in which the parts of a plain message are sent, by how it is written. */
export const isPlainIn = (scope: Scope) => scope === 'all' || scope === 'parts'

/** What is sent behind the whole: the first content of the message. The virus is at its end. */
export function part(content: Content, bytes: number): Buffer {
  // Not at a multiple of three: in base64 nobody takes it for EICAR.
  const end = content === 'infected' ? `-${eicar()}\r\n` : 'nothing to be found\r\n'
  const lines = 'y'
    .repeat(74)
    .concat('\r\n')
    .repeat(Math.ceil(bytes / 76))
  const padding = bytes - end.length - ((bytes - 69) % 3)
  return Buffer.from(lines.slice(0, padding) + 'z'.repeat(bytes - end.length - padding) + end, 'latin1')
}

/**
 * A message with that part. Not plain, it is one of which clamd decodes the first part alone, which is empty here. Plain, a
 * real clamd finds the virus in the whole.
 */
export function messageWith(content: Content, bytes: number, id: string, scope: Scope = 'auto'): Buffer {
  const type = isPlainIn(scope) ? 'mixed' : 'signed'
  const encoded = part(content, bytes).toString('base64').replace(/.{76}/g, '$&\r\n')
  return Buffer.from(
    [
      `Subject: ${id}`,
      'MIME-Version: 1.0',
      `Content-Type: multipart/${type}; boundary=b`,
      '',
      '--b',
      'Content-Type: text/plain',
      '',
      '',
      '--b',
      'Content-Type: application/octet-stream',
      'Content-Transfer-Encoding: base64',
      '',
      encoded,
      '--b--',
      '',
    ].join('\r\n'),
    'latin1',
  )
}

/** Has the daemon take the next message as it is, and do with every part what the script says. */
export async function playAtParts(
  faulty: FakeClamd,
  script: readonly (Step | ConnectDeadEnd)[],
): Promise<void> {
  if (!script.some(({ at }) => at === 'connect')) {
    await faulty.play((scan) => (scan === 0 ? [] : (script as Script)))
    return
  }
  await faulty.play([])
  const { judge } = faulty
  faulty.judge = async (message) => {
    faulty.judge = judge
    const verdict = await judge(message)
    await faulty.play(script)
    return verdict
  }
}
