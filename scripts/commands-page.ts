// docs/commands.md, made of the help of every command: `npm run docs` writes it, and a test holds the two together.
import { writeFileSync } from 'node:fs'
import path from 'node:path'
import type { Command } from 'commander'
import { program } from '../lib/cli/program'

const head = `# Commands

The package brings a command, \`clamav-stream\`, for those who run it. It stays outside the path of a message: nothing
of it is loaded by Haraka. In the folder of Haraka, where the plugin is installed:

\`\`\`sh
npx clamav-stream check
\`\`\`

or \`npx haraka-plugin-clamav-stream check\`, which also works where the package is not installed. What follows is what
\`--help\` says (\`npm run docs\` writes this page).
`

const foot = `
## What to know about a release

- The message is sent as it is kept, with \`X-MessageIsInfected: true\` if it was found infected. What sorts mail by
  that header at your users will sort this one, too.
- Lines get CRLF, as SMTP wants it; a single CR inside a line becomes a line end. Nothing else is changed.
- The copy stays. Delete it when nobody needs it any more.
- \`releases.log\` is the memory of who has what. It lies beside the folders of the days, so that the usual
  housekeeping ([operations.md](operations.md#the-quarantine)) leaves it alone. Keep it for as long as there are
  messages.
`

/** The help of a command as it is printed. */
function helpOf(command: Command): string {
  let text = ''
  command.configureOutput({ writeOut: (piece) => (text += piece), getOutHelpWidth: () => 100 })
  command.outputHelp()
  return text.trimEnd()
}

function sections(command: Command, names: readonly string[]): string[] {
  const inner = command.commands.filter((one) => one.name() !== 'help')
  const own = `\n## ${names.join(' ')}\n\n\`\`\`text\n${helpOf(command)}\n\`\`\`\n`
  return [own, ...inner.flatMap((one) => sections(one, [...names, one.name()]))]
}

export function commandsPage(): string {
  return `${head}${sections(
    program(() => undefined),
    ['clamav-stream'],
  ).join('')}${foot}`
}

if (require.main === module) {
  writeFileSync(path.resolve(__dirname, '..', 'docs', 'commands.md'), commandsPage())
}
