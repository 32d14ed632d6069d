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
