/*
 * Reads the files of [tls] for `tls://` hosts. They are read again whenever the settings are.
 */

import { createPrivateKey, type KeyObject, X509Certificate } from 'node:crypto'
import { readFileSync } from 'node:fs'
import path from 'node:path'
import { ConfigError } from '../base/config-error'
import { Invalid } from '../base/invalid'
import type { Connect } from '../clamd/connection'
import { connectWith, type TlsCredentials } from '../clamd/tls'
import { fileNames, schema } from './schema'
import type { Settings } from './settings'
import { refusal } from './value-types'

type FileKey = 'ca' | 'cert' | 'key'

/** Settings, and how a clamd is dialled under them. */
export interface TlsConnect {
  readonly connect: Connect
  /** null: no host is `tls://`. */
  readonly credentials: TlsCredentials | null
}

/**
 * @param directory of relative paths: Haraka's config folder
 * @throws ConfigError that names each wrong file
 */
export function tlsConnect({ tls }: Pick<Settings, 'tls'>, directory: string): TlsConnect {
  if (tls === null) return { connect: connectWith(null), credentials: null }
  const problems: string[] = []
  const read = <T>(name: FileKey, valueOf: (text: string) => T): { text: string; value: T } | null => {
    const file = tls[name]
    if (file === null) return null
    try {
      const text = readFileSync(path.resolve(directory, file), 'utf8')
      return { text, value: valueOf(text) }
    } catch (error) {
      const why = new Invalid((error as Error).message)
      problems.push(`${fileNames.ini}: ${refusal(`[tls] ${name} = ${file}`, why, schema.tls[name].type)}`)
      return null
    }
  }
  const ca = read('ca', certificatesIn)
  const cert = read('cert', certificatesIn)
  const key = read('key', (text) => keyIn(text, cert?.value[0]))
  const credentials: TlsCredentials = {
    ca: ca?.text ?? null,
    cert: cert?.text ?? null,
    key: key?.text ?? null,
    servername: tls.servername,
  }
  if (problems.length > 0) throw new ConfigError(problems)
  try {
    return { connect: connectWith(credentials), credentials }
  } catch (error) {
    throw new ConfigError([`${fileNames.ini}: [tls] OpenSSL refuses the files: ${(error as Error).message}`])
  }
}

/** At least one. @throws Error */
function certificatesIn(text: string): X509Certificate[] {
  const blocks = text.match(/-----BEGIN CERTIFICATE-----[^-]*-----END CERTIFICATE-----/g)
  if (blocks === null) throw new Error('has no certificate')
  return blocks.map((block, index) => {
    try {
      return new X509Certificate(block)
    } catch {
      throw new Error(`certificate ${index + 1} is broken`)
    }
  })
}

/** @param certificate of which it must be the key. @throws Error, which never has the content */
function keyIn(text: string, certificate: X509Certificate | undefined): KeyObject {
  if (/-----BEGIN ENCRYPTED |^Proc-Type: .*ENCRYPTED/m.test(text)) throw new Error('has a passphrase')
  let key: KeyObject
  try {
    key = createPrivateKey(text)
  } catch {
    throw new Error('has no key')
  }
  if (certificate?.checkPrivateKey(key) === false) throw new Error('does not fit cert')
  return key
}
