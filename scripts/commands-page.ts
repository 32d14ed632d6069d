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
says; an option that was explained above is only named.
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

/** An option on one line: its flag, and what is said of it. */
const optionLine = /^ {2}(?:-\w, )?(?<flag>--[\w-]+)\b.* {2,}\S.*$/

/**
 * The help without options that were explained in the same words the last time; these are named at the end of the list.
 * @param explained by flag, how it was explained last
 */
function shortened(help: string, explained: Map<string, string>): string {
  const named: string[] = []
  const lines = help.split('\n').filter((line) => {
    const { flag } = optionLine.exec(line)?.groups ?? {}
    if (flag === undefined) return true
    const words = line.replaceAll(/ +/g, ' ')
    const isKnown = explained.get(flag) === words
    explained.set(flag, words)
    if (isKnown) named.push(flag)
    return !isKnown
  })
  if (named.length === 0) return lines.join('\n')
  const start = lines.indexOf('Options:')
  const end = lines.indexOf('', start)
  lines.splice(end < 0 ? lines.length : end, 0, `  as above: ${named.join(', ')}`)
  return lines.join('\n')
}

function sections(command: Command, names: readonly string[], explained: Map<string, string>): string[] {
  const inner = command.commands.filter((one) => one.name() !== 'help')
  const help = shortened(helpOf(command), explained)
  const own = `\n## ${names.join(' ')}\n\n\`\`\`text\n${help}\n\`\`\`\n`
  return [own, ...inner.flatMap((one) => sections(one, [...names, one.name()], explained))]
}

export function commandsPage(): string {
  const root = program(() => undefined)
  return `${head}${sections(root, ['clamav-stream'], new Map()).join('')}${foot}`
}

if (require.main === module) {
  writeFileSync(path.resolve(__dirname, '..', 'docs', 'reference', 'commands.md'), commandsPage())
}
