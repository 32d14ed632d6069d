// `npm run docs` writes docs/reference/commands.md from the help of every command; a test fails if they differ.
import { writeFileSync } from 'node:fs'
import path from 'node:path'
import type { Command } from 'commander'
import { program } from '../lib/cli/program'

const head = `# Commands

The package has a command, \`clamav-stream\`. Run it in Haraka's folder, where the plugin is installed:

\`\`\`sh
npx clamav-stream check
\`\`\`

\`npx haraka-plugin-clamav-stream check\` also works without an installed package. The rest of this page is what \`--help\`
says.
`

const foot = `
## Notes on releases

- The message is sent as it is kept, with \`X-MessageIsInfected: true\` if it is infected.
- Lines get CRLF, as SMTP requires; a lone CR in a line becomes a line end. Nothing else changes.
- \`releases.log\` records which recipient has which message, and \`expire\` does not delete it. Keep it as long as there
  are messages.
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
  writeFileSync(path.resolve(__dirname, '..', 'docs', 'reference', 'commands.md'), commandsPage())
}
