/*
 * A Haraka site for the commands: its config directory, and its files as Haraka reads them, with haraka-config. The
 * callers interpret the files.
 */

import { closeSync, existsSync, openSync } from 'node:fs'
import { createRequire } from 'node:module'
import path from 'node:path'
import harakaConfig from 'haraka-config'
import reader from 'haraka-config/lib/reader'
import type { Connect } from '../clamd/connection'
import { readSettingsFiles } from '../config/files'
import { fileNames } from '../config/schema'
import { parseSettings, type Settings } from '../config/settings'
import { tlsConnect } from '../config/tls-files'
import { quarantineName } from '../haraka/environment'
import { ownPackage } from './package'
import { UserError } from './user-error'

// A watcher would log changes of the files into the output of a command.
reader.watch_files = false

type Config = typeof harakaConfig

export interface Site {
  readonly configDirectory: string
  /** The Haraka folder, which holds config/. */
  readonly directory: string
  /** config/plugins without comments, in its order. */
  readonly plugins: readonly string[]
  /** Files of config/, with this package's as defaults. */
  readonly own: Config
  /** Files of config/, with Haraka's as defaults if Haraka was found. */
  readonly haraka: Config
  /** The directory of the Haraka package; null: not found, so its defaults are not known. */
  readonly harakaPackage: string | null
}

/** Files that show that a directory is the config directory of a Haraka. */
const marks = ['plugins', 'smtp.ini', 'clamav-stream.ini', 'connection.ini']

/**
 * @param given a Haraka folder or its config directory; without it the current directory has to be one
 * @throws UserError when there is none, or when this user may not read its files
 */
export function openSite(given?: string): Site {
  const start = path.resolve(given ?? process.env.HARAKA ?? '.')
  const candidates = [path.join(start, 'config'), start]
  const configDirectory = candidates.find((one) => marks.some((mark) => existsSync(path.join(one, mark))))
  if (configDirectory === undefined) {
    throw new UserError(
      given === undefined
        ? `${start} is not a Haraka folder: change to the folder that has config/plugins, or use --config DIR`
        : `${given} has no Haraka configuration`,
    )
  }
  for (const name of new Set([...marks, ...Object.values(fileNames)]))
    mustBeReadable(path.join(configDirectory, name))
  const directory = path.dirname(configDirectory)
  const harakaPackage = findHaraka(directory)
  const haraka = configOf(harakaPackage ?? configDirectory, configDirectory)
  return {
    configDirectory,
    directory,
    plugins: haraka.get('plugins', 'list'),
    own: configOf(ownPackage(), configDirectory),
    haraka,
    harakaPackage,
  }
}

/** Says nothing about Haraka, which may read it. @throws UserError */
function mustBeReadable(file: string): void {
  try {
    closeSync(openSync(file, 'r'))
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'EACCES')
      throw new UserError(`${file} cannot be read: run it as Haraka's user`)
  }
}

/**
 * The plugin's settings at this site.
 * @param host takes the place of `[main] host`
 * @throws ConfigError
 */
export function settingsOf(site: Site, host?: string): Settings {
  return parseSettings(readSettingsFiles(site.own), site.plugins.includes(quarantineName), host)
}

/**
 * How a clamd is dialled under these settings.
 * @param site null: the settings are not of one
 * @throws ConfigError for a file of [tls]
 */
export function connectOf(site: Site | null, settings: Settings): Connect {
  return tlsConnect(settings, site?.configDirectory ?? '.').connect
}

/**
 * The plugin's default settings, without a site.
 * @param host takes the place of `[main] host`
 * @throws ConfigError for that host
 */
export function defaultSettings(host?: string): Settings {
  return parseSettings(readSettingsFiles(configOf(ownPackage(), null)), false, host)
}

/** Files of config/ with the defaults of another plugin's package, if it is installed at the site or beside Haraka. */
export function configWith({ configDirectory, directory, harakaPackage }: Site, packageName: string): Config {
  const places = [directory, ...(harakaPackage === null ? [] : [harakaPackage])]
  return configOf(findPackage(packageName, places) ?? configDirectory, configDirectory)
}

/** A package's config files, overridden by those of the site. */
function configOf(packageDirectory: string, configDirectory: string | null): Config {
  const config = harakaConfig.module_config(packageDirectory)
  if (configDirectory !== null) config.overrides_path = configDirectory
  return config
}

/** Searches for Haraka in the site, beside this package, and in PATH. */
function findHaraka(site: string): string | null {
  const folders = (process.env.PATH ?? '').split(path.delimiter).filter(Boolean)
  return findPackage('Haraka', [
    site,
    ownPackage(),
    ...folders.map((folder) => path.join(folder, '..', 'lib')),
  ])
}

/** The directory of a package; null: none of the places has it. */
function findPackage(name: string, places: readonly string[]): string | null {
  for (const place of places) {
    try {
      return path.dirname(createRequire(path.join(place, 'x.js')).resolve(`${name}/package.json`))
    } catch {
      // Not there: try the next place.
    }
  }
  return null
}
