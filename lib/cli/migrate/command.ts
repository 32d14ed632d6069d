/*
 * `clamav-stream migrate`: makes settings of this plugin from those of haraka-plugin-clamd and haraka-plugin-attachment.
 */

import { existsSync, writeFileSync } from 'node:fs'
import path from 'node:path'
import { fileNames } from '../../config/schema'
import { configWith, openSite, type Site } from '../site'
import { write } from '../terminal'
import { UserError } from '../user-error'
import { migrateAttachment, regexFiles } from './attachment'
import { migrateClamd, textsOf } from './clamd'
import { Draft } from './draft'

export interface MigrateOptions {
  readonly config?: string
  readonly write?: string
}

/** @returns the exit code */
export function migrate(options: MigrateOptions): number {
  const site = openSite(options.config)
  const { ini, signatures } = migrated(site)
  if (options.write === undefined) {
    write(signatures === null ? ini : `${ini}\n${asComment(signatures)}`)
    return 0
  }
  const files = [
    [fileNames.ini, ini] as const,
    ...(signatures === null ? [] : [[fileNames.signatures, signatures] as const]),
  ]
  const paths = files.map(([name, text]) => [path.join(options.write ?? '', name), text] as const)
  const taken = paths.find(([file]) => existsSync(file))
  if (taken) throw new UserError(`${taken[0]} exists, and is not overwritten`)
  for (const [file, text] of paths) {
    try {
      writeFileSync(file, text, { flag: 'wx' })
    } catch (error) {
      throw new UserError(`cannot write ${file}: ${(error as Error).message}`)
    }
    write(`${file}\n`)
  }
  return 0
}

/** The files' content; null: the package's own signatures file does. @throws UserError if there is nothing to migrate */
export function migrated(site: Site): { ini: string; signatures: string | null } {
  const draft = new Draft()
  const sources: string[] = []
  const use = (plugin: string, files: readonly string[]) => {
    const isListed = [plugin, `haraka-plugin-${plugin}`].some((name) => site.plugins.includes(name))
    if (!isListed && !files.some((file) => existsSync(path.join(site.configDirectory, file)))) return false
    sources.push(plugin)
    if (!isListed) draft.leave(`config/plugins: ${plugin} is not listed: its files were not in force`)
    return true
  }
  if (use('clamd', ['clamd.ini', 'clamd.excludes']))
    migrateClamd(draft, textsOf(site.haraka.get('clamd.ini')), site.haraka.get('clamd.excludes', 'list'))
  if (use('attachment', ['attachment.ini', ...Object.values(regexFiles)])) {
    const own = configWith(site, 'haraka-plugin-attachment')
    const lines = (name: string) => own.get(name, 'list')
    migrateAttachment(draft, {
      ini: textsOf(own.get('attachment.ini')),
      names: lines(regexFiles.names),
      namesInArchives: lines(regexFiles.namesInArchives),
      types: lines(regexFiles.types),
    })
  }
  if (sources.length === 0)
    throw new UserError(
      `no settings of haraka-plugin-clamd or haraka-plugin-attachment in ${site.configDirectory}`,
    )
  return {
    ini: draft.ini(heading(sources, draft.hasRules)),
    signatures: draft.hasRules ? draft.signatures : null,
  }
}

function heading(sources: readonly string[], hasRules: boolean): string[] {
  const names = sources.join(' and ')
  return [
    `Settings of clamav-stream, made from those of ${names}.`,
    ...(hasRules
      ? [`The rules at the end belong into ${fileNames.signatures}; --write DIR writes both files.`]
      : []),
    `Then, in config/plugins, remove ${names} and put clamav-stream into the first line, restart Haraka, and run`,
    'npx clamav-stream check',
  ]
}

/** In the ini, so that the output as a whole is one. */
function asComment(signatures: string): string {
  const lines = [
    `${fileNames.signatures}, each line without the semicolon:`,
    ...signatures.trimEnd().split('\n'),
  ]
  return lines.map((line) => `; ${line}\n`).join('')
}
