// A real Chromium for one test (Debian: the package chromium), driven by playwright-core, and what axe finds in a page.
import { accessSync, constants, readFileSync } from 'node:fs'
import path from 'node:path'
import type { TestContext } from 'node:test'
import { type Browser, type BrowserContextOptions, chromium, type Page } from 'playwright-core'

/** The Chromium of this machine, or undefined. */
export function findChromium(): string | undefined {
  const folders = (process.env.PATH ?? '').split(path.delimiter).filter(Boolean)
  const files = ['chromium', 'chromium-browser', 'google-chrome'].flatMap((name) =>
    folders.map((folder) => path.join(folder, name)),
  )
  return files.find((file) => {
    try {
      accessSync(file, constants.X_OK)
      return true
    } catch {
      return false
    }
  })
}

/**
 * A browser that is closed after the test. Without a Chromium the test is skipped, and the caller returns at once; in
 * CI it fails instead, because there a skipped test would go unnoticed.
 */
export async function chromiumOrSkip(t: TestContext): Promise<Browser | null> {
  const executablePath = findChromium()
  if (executablePath === undefined) {
    if (process.env.CI) throw new Error('chromium is not installed: CI must not skip the tests that need it')
    t.skip('chromium is not installed (Debian: apt-get install chromium)')
    return null
  }
  const browser = await launch(executablePath)
  t.after(() => browser.close())
  return browser
}

/** Root may not use Chromium's sandbox; all that is opened here is loopback. */
export function launch(executablePath: string): Promise<Browser> {
  return chromium.launch({
    executablePath,
    args: ['--disable-dev-shm-usage', '--disable-gpu', ...(process.getuid?.() === 0 ? ['--no-sandbox'] : [])],
  })
}

/** A page that remembers what it complained about and what it asked for elsewhere. */
export async function openPage(
  browser: Browser,
  origin: string,
  options: BrowserContextOptions = {},
): Promise<{ page: Page; complaints: string[] }> {
  const context = await browser.newContext({ locale: 'en-GB', timezoneId: 'UTC', ...options })
  const page = await context.newPage()
  const complaints: string[] = []
  page.on('console', (message) => {
    if (message.type() === 'error' || message.type() === 'warning') complaints.push(message.text())
  })
  page.on('pageerror', (error) => complaints.push(String(error)))
  page.on('dialog', (dialog) => {
    complaints.push(`dialog: ${dialog.message()}`)
    void dialog.dismiss()
  })
  page.on('request', (request) => {
    const url = request.url()
    if (!url.startsWith(`${origin}/`) && !url.startsWith('data:')) complaints.push(`asks for ${url}`)
  })
  return { page, complaints }
}

const axe = readFileSync(require.resolve('axe-core/axe.min.js'), 'utf8')

/** What axe finds wrong in the page as it is, one line each. */
export async function violations(page: Page): Promise<string[]> {
  // Evaluated from outside, so the page's own policy does not stand in the way.
  await page.evaluate(axe)
  return page.evaluate(async () => {
    const { violations: found } = await (
      globalThis as unknown as {
        axe: {
          run(): Promise<{ violations: { id: string; help: string; nodes: { html: string }[] }[] }>
        }
      }
    ).axe.run()
    return found.map(({ id, help, nodes }) => `${id}: ${help}: ${nodes.map(({ html }) => html).join(' ')}`)
  })
}
