// `npm run bench`: measures the cost of scanning (measure.ts), prints it, and writes the documents (documents.ts).
import { readResults, writeDocuments } from './documents'
import { measureAll } from './measure'
import { type Options, readOptions, usage } from './options'
import { terminalSections } from './report'
import type { Results } from './results'
import { asText } from './table'

async function main(): Promise<void> {
  const options = optionsOrExit()
  if (options.help) {
    console.log(usage)
    return
  }
  const results = options.render ? readResults() : await measureAll(options, (line) => console.error(line))
  print(results)
  if (options.render || options.complete)
    console.log(`Written: ${(await writeDocuments(results)).join(', ')}`)
}

function optionsOrExit(): Options {
  try {
    return readOptions(process.argv.slice(2))
  } catch (error) {
    console.error(`${(error as Error).message}\n\n${usage}`)
    process.exit(2)
  }
}

function print(results: Results): void {
  for (const { title, text, table } of terminalSections(results)) {
    console.log([title, ...text, ...(table ? [asText(table)] : []), ''].join('\n'))
  }
}

main().catch((error: unknown) => {
  console.error(error)
  process.exit(1)
})
