// What each file of fault tests saw, kept for results.json when FAULTS_RECORD names a directory.
import { mkdirSync, writeFileSync } from 'node:fs'
import path from 'node:path'
import type { Content } from './fault-table'

/** One message that met a fault. */
export interface Cell {
  row: string
  protocol: 'stream' | 'instream' | 'auto'
  addresses: 1 | 3
  content: Content
  /** The answer to the client; 250 is delivered, and clean. */
  code: number
  ms: number
  budgetMs: number
}

/** All of one test file, at its end. */
export function keepRecord(name: string, seen: unknown): void {
  const directory = process.env.FAULTS_RECORD
  if (directory === undefined) return
  mkdirSync(directory, { recursive: true })
  writeFileSync(path.join(directory, `${name}.json`), JSON.stringify(seen))
}
