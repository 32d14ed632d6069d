// Further readers of mail, where they are installed: Python's email, MIME-tools and Email::MIME (Debian:
// libmime-tools-perl, libemail-mime-perl), munpack (mpack) and ripmime. Slow, because each mail starts each program.
import { spawn } from 'node:child_process'
import { mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import path from 'node:path'

interface Program {
  /** Writes every decoded part to its standard output, or as files into `folder`, where it runs as well. */
  command(folder: string): readonly [file: string, ...args: string[]]
  /** Says by its exit status whether it can run at all. */
  readonly trial: readonly [file: string, ...args: string[]]
}

const python = `
import email, email.policy, sys
mail = sys.stdin.buffer.read()
for policy in (email.policy.default, email.policy.compat32):
    try:
        for part in email.message_from_bytes(mail, policy=policy).walk():
            if not part.is_multipart(): sys.stdout.buffer.write((part.get_payload(decode=True) or b'') + b'\\n--\\n')
    except Exception: pass
`
const mimeTools = `
use MIME::Parser; my $parser = MIME::Parser->new;
$parser->output_under(shift); $parser->extract_uuencode(1); eval { $parser->parse(\\*STDIN) };
`
const emailMime = `
use Email::MIME; local $/; my $mail = eval { Email::MIME->new(<STDIN>) } or exit;
$mail->walk_parts(sub { my $part = shift; return if $part->subparts; print eval { $part->body } // '', "\\n--\\n" });
`

const programs: Readonly<Record<string, Program>> = {
  python: { command: () => ['python3', '-c', python], trial: ['python3', '-c', 'import email'] },
  'MIME-tools': {
    command: (folder) => ['perl', '-e', mimeTools, folder],
    trial: ['perl', '-MMIME::Parser', '-e', '1'],
  },
  'Email::MIME': {
    command: () => ['perl', '-e', emailMime],
    trial: ['perl', '-MEmail::MIME', '-e', '1'],
  },
  munpack: { command: () => ['munpack', '-q', '-t'], trial: ['munpack', '-q'] },
  ripmime: { command: (folder) => ['ripmime', '-i', '-', '-d', folder], trial: ['ripmime', '-V'] },
}

/** Those that can run here. */
export async function installedPrograms(): Promise<string[]> {
  const runs = await Promise.all(
    Object.entries(programs).map(async ([name, { trial }]) => ({
      name,
      ran: await run(trial, '.', Buffer.alloc(0)),
    })),
  )
  return runs.flatMap(({ name, ran }) => (ran === null ? [] : [name]))
}

/** Those of the named programs that open the payload. */
export async function judgeByPrograms(
  names: readonly string[],
  mail: Buffer,
  payload: Buffer,
): Promise<string[]> {
  const opened = await Promise.all(
    names.map(async (name) => {
      const program = programs[name]
      return program !== undefined && (await opens(program, mail, payload))
    }),
  )
  return names.filter((_, at) => opened[at])
}

async function opens(program: Program, mail: Buffer, payload: Buffer): Promise<boolean> {
  const folder = mkdtempSync(path.join(tmpdir(), 'reader-'))
  try {
    const output = await run(program.command(folder), folder, mail)
    if (output?.includes(payload)) return true
    return readdirSync(folder, { recursive: true, withFileTypes: true })
      .filter((entry) => entry.isFile())
      .some((entry) => readFileSync(path.join(entry.parentPath, entry.name)).includes(payload))
  } finally {
    rmSync(folder, { recursive: true, force: true })
  }
}

/** What it writes; null if it cannot be started. It is killed after half a minute. */
function run(
  [file, ...args]: readonly [string, ...string[]],
  cwd: string,
  input: Buffer,
): Promise<Buffer | null> {
  return new Promise((resolve) => {
    const child = spawn(file, args, { cwd, stdio: ['pipe', 'pipe', 'ignore'], timeout: 30_000 })
    const output: Buffer[] = []
    child.on('error', () => resolve(null))
    child.stdout.on('data', (chunk: Buffer) => output.push(chunk))
    // It may end without having read everything.
    child.stdin.on('error', () => undefined)
    child.stdin.end(input)
    child.on('close', () => resolve(Buffer.concat(output)))
  })
}
