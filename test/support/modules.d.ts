/* What is used of untyped packages in tests, and no more. */

declare module 'express' {
  import type { IncomingMessage, ServerResponse } from 'node:http'
  type Handler = (request: IncomingMessage, response: ServerResponse, next: () => void) => void
  const express: () => {
    use(at: string, handler: Handler): void
    (request: IncomingMessage, response: ServerResponse): void
  }
  export default express
}

declare module 'haraka-plugin-clamd' {
  const plugin: object
  export default plugin
}

declare module 'haraka-plugin-karma' {
  const plugin: {
    preparse_result_awards(): void
    check_result(connection: object, message: string): void
  }
  export default plugin
}
