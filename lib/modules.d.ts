/* The functions of untyped Haraka packages that are called here, and no more. */

declare module 'haraka-dsn' {
  /** Haraka takes code and text of an answer from an object of this class, and knows it by the class's name. */
  export default class DSN {
    static create(code: number, text: string, subject: number, detail: number): DSN
    readonly code: number
    readonly reply: string
  }
}

declare module 'haraka-constants' {
  const constants: {
    readonly cont: number
    readonly stop: number
    readonly deny: number
    readonly denysoft: number
    readonly ok: number
  }
  export default constants
}

declare module 'haraka-net-utils/lib/endpoint' {
  /** Does not throw: what it cannot read is an Error. Nothing is checked but the form. */
  export function endpoint(
    address: string,
    defaultPort: number,
  ): { readonly host: string; readonly port: number } | { readonly path: string } | Error
}

declare module 'haraka-utils' {
  /** Of the package in that directory; with the commit behind it where the directory is a clone. */
  export function getVersion(directory: string): string
}

/** As far as lib/attachments/archives/library-worker.ts uses it; the types of Node 20 have none. */
declare namespace WebAssembly {
  interface Module {
    readonly __module: unique symbol
  }
  interface Instance {
    readonly __instance: unique symbol
  }
  type Imports = Record<string, unknown>
  function compile(bytes: Uint8Array): Promise<Module>
  function instantiate(module: Module, imports: Imports): Promise<Instance>
}
