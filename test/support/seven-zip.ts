// Archives as 7-Zip makes them, by the program itself (7z-wasm).
import sevenZip from '7z-wasm'

/** @param args of the command `a`: `-t7z`, `-psecret` */
export async function sevenZipArchive(
  files: Readonly<Record<string, Buffer | string>>,
  ...args: readonly string[]
): Promise<Buffer> {
  const lines: string[] = []
  const print = (line: string) => void lines.push(line)
  const instance = await sevenZip({
    print,
    printErr: print,
    stdin: () => null as unknown as number,
    quit: (_code: number, status: unknown) => {
      throw status
    },
  })
  const { FS } = instance
  for (const [name, content] of Object.entries(files)) FS.writeFile(`/${name}`, content)
  try {
    instance.callMain(['a', '-y', ...args, '/made', ...Object.keys(files).map((name) => `/${name}`)])
  } catch {
    // It says below what it has done.
  }
  const made = FS.readdir('/').find((name) => name.startsWith('made'))
  if (made === undefined) throw new Error(lines.slice(-4).join('\n'))
  return Buffer.from(FS.readFile(`/${made}`))
}
