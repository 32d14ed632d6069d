/*
 * Types for the parts of Haraka 3.3 that the plugin uses.
 */

import type { EventEmitter } from 'node:events'
import type { IncomingMessage, ServerResponse } from 'node:http'

export type Next = (code?: number, message?: unknown) => void

export interface Plugin {
  readonly name: string
  /** Path of the package's package.json. */
  readonly plugin_path?: string
  /** Hook timeout in seconds; 0: none. */
  timeout: number
  readonly config: {
    /** The site's config directory; its files override those of the package in root_path. */
    readonly overrides_path?: string
    readonly root_path?: string
    get(name: string, type: 'list', changed?: () => void): string[]
    get(name: string, changed?: () => void): Record<string, Record<string, unknown>>
    get(name: string, type: 'value'): unknown
  }
  register_hook(hook: string, method: string, priority?: number): void
  /** Returns one of Haraka's modules; test fixtures have other ones. */
  haraka_require(name: string): unknown
  logdebug(text: string): void
  loginfo(text: string): void
  lognotice(text: string): void
  logwarn(text: string): void
  logerror(text: string): void
}

/** Argument of init_master, init_child and init_http. */
export interface Server {
  /** Node's cluster module; undefined with `nodes=0` in smtp.ini. */
  readonly cluster?: { readonly isMaster: boolean }
  readonly http?: {
    /** The [main] section of http.ini. */
    readonly cfg?: { readonly listen?: string }
    /** An express application, by the time of init_http. */
    readonly app?: {
      use(
        at: string,
        handler: (request: IncomingMessage, response: ServerResponse, next: () => void) => void,
      ): void
    }
  }
}

export interface Connection {
  transaction: Transaction | null
  readonly relaying: boolean
  /** `auth_user` is the authenticated user. Notes last as long as the connection. */
  readonly notes: Record<string, unknown>
  readonly remote: {
    readonly ip: string
    readonly host: string | null
    readonly is_private: boolean
    readonly is_local: boolean
  }
  readonly hello: { readonly host: string | null }
  logdebug(plugin: Plugin, text: string): void
  loginfo(plugin: Plugin, text: string): void
  lognotice(plugin: Plugin, text: string): void
  logwarn(plugin: Plugin, text: string): void
  logerror(plugin: Plugin, text: string): void
}

export interface MailAddress {
  /** `user@domain`; empty for the null sender. */
  readonly address: string
  /** The local part as received, with quotes; empty for the null sender. */
  readonly user: string
  /** The domain in lower-case ASCII; empty for the null sender and the bare `postmaster`. */
  readonly host: string
  /** The domain as received; left out if there is none. */
  readonly original_host?: string | null
}

export interface Transaction {
  readonly uuid: string
  readonly mail_from: MailAddress
  readonly rcpt_to: readonly MailAddress[]
  readonly notes: Record<string, unknown> & { set(path: string, value: unknown): void }
  readonly results: {
    add(plugin: Plugin, result: object): void
    /** What was added, by kind. */
    get(plugin: Plugin): { readonly err: string[] } | undefined
  }
  /** Raw header lines, each with its line end; the message stream holds this very array. */
  readonly header: {
    readonly header_list: string[]
    /** Raw values with line ends, all headers of that name concatenated; empty: none. */
    get(name: string): string
    get_decoded(name: string): string
  }
  /** Lines of the header section as received, each with its line end; Haraka and its plugins add nothing here. */
  readonly header_lines: readonly string[]
  readonly message_stream: MessageStream
  add_header(name: string, value: string): void
  add_leading_header(name: string, value: string): void
  remove_header(name: string): void
  reset_headers(): void
}

/** Haraka's outbound queue. */
export interface Outbound {
  send_email(from: string, to: string, contents: string, done: (code: number, text?: string) => void): void
}

export interface MessageStream {
  /** Headers that replace the received ones; empty: the message is sent as received. */
  readonly headers: readonly string[]
  /** Bytes received, including headers and dot-stuffing. */
  readonly bytes_read: number
  readonly idx: { readonly body?: { readonly start: number } }
  /** Writes line by line. Throws while another reading is open. @param options.dot_stuffed replace two leading dots by one */
  pipe(destination: EventEmitter, options?: { line_endings?: string; dot_stuffed?: boolean }): void
  /** From haraka-message-stream 2.0.4 on. */
  unpipe?(): void
}

/** The used part of queue/quarantine, or of a site's own plugin of that name. */
export interface QuarantinePlugin {
  quarantine(next: Next, connection: Connection): void
  get_base_dir?(): string
}
