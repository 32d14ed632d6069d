/* Requests and answers of the HTTP handler. */

import type { IncomingMessage, ServerResponse } from 'node:http'

/** From express: `url` is relative to the mount point, `originalUrl` is the whole. */
export type HandlerRequest = IncomingMessage & { readonly originalUrl?: string }

export type Reply = (request: HandlerRequest, response: ServerResponse) => void | Promise<void>

const maxFormBytes = 4096

/** Node omits the body in answers to HEAD. */
export function answer(response: ServerResponse, code: number, type: string, text: string): void {
  response.writeHead(code, { 'Content-Type': type.includes('charset') ? type : `${type}; charset=utf-8` })
  response.end(text)
}

export function redirect(response: ServerResponse, to: string): void {
  response.setHeader('Location', to)
  answer(response, 303, 'text/plain', '')
}

/** @returns null if the body is longer than maxFormBytes */
export async function bodyOf(request: IncomingMessage): Promise<string | null> {
  const chunks: Buffer[] = []
  let bytes = 0
  for await (const chunk of request as AsyncIterable<Buffer>) {
    bytes += chunk.length
    if (bytes > maxFormBytes) return null
    chunks.push(chunk)
  }
  return Buffer.concat(chunks).toString('utf8')
}
