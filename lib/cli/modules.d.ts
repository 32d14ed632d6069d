/* Types for the parts of haraka-config that the commands use; the package has none. */

declare module 'haraka-config' {
  interface Config {
    /** The site's own directory; its files win over those in `root_path`. */
    overrides_path?: string
    readonly root_path: string
    get(name: string, type: 'list', changed?: () => void): string[]
    get(name: string, type: 'value', changed?: () => void): unknown
    get(
      name: string,
      changed?: (() => void) | { booleans: readonly string[] },
    ): Record<string, Record<string, unknown>>
    /** Defaults from `directory`/config. */
    module_config(directory: string): Config
  }
  const config: Config
  export default config
}

declare module 'haraka-config/lib/reader' {
  const reader: { watch_files: boolean }
  export default reader
}

/** Exists on POSIX systems; missing in @types/node. */
declare namespace NodeJS {
  interface Process {
    initgroups?(user: string | number, extraGroup: string | number): void
  }
}
