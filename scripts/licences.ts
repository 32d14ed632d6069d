// `npm run licences`: writes docs/reports/licences.md, the licences of every package that comes along with this one, from
// package-lock.json. A test tells when the page is out of date, or when a licence is not among the allowed ones.
import { readFileSync, writeFileSync } from 'node:fs'
import path from 'node:path'

export interface Licensed {
  readonly name: string
  readonly licence: string
}

/** Of packages whose own package.json points to a file. */
const stated: Readonly<Record<string, string>> = {
  '7z-wasm': 'LGPL-2.1-or-later, unRAR restriction',
}

/** Permissive ones, which ask for no more than their text; and what is only loaded, as its own package. */
export const allowed = [
  'LGPL-2.1-or-later, unRAR restriction',
  'MIT',
  'MIT-0',
  'ISC',
  'BSD-2-Clause',
  'BSD-3-Clause',
  '0BSD',
  'Apache-2.0',
  'BlueOak-1.0.0',
]

const repository = path.resolve(__dirname, '..')
export const page = path.join(repository, 'docs', 'reports', 'licences.md')

/** Packages of which the build puts files into ours (scripts/copy-page.mjs). */
const copied = ['uplot']

interface Lockfile {
  packages: Record<string, { license?: string; dev?: boolean }>
}

/** What an administrator gets with the package, optional dependencies included, by name. */
export function runtimePackages(): Licensed[] {
  const { packages } = JSON.parse(
    readFileSync(path.join(repository, 'package-lock.json'), 'utf8'),
  ) as Lockfile
  const listed = Object.entries(packages)
    .filter(
      ([where, { dev }]) =>
        where !== '' && (dev !== true || copied.some((name) => where === `node_modules/${name}`)),
    )
    .map(([where, { license }]) => {
      const name = where.slice(where.lastIndexOf('node_modules/') + 'node_modules/'.length)
      return { name, licence: stated[name] ?? license ?? 'none stated' }
    })
  const byName = new Map(listed.map((one) => [`${one.name} ${one.licence}`, one]))
  return [...byName.values()].sort((one, other) => (one.name < other.name ? -1 : 1))
}

/** The licence of most packages comes first. */
export function licencesPage(packages: readonly Licensed[]): string {
  const byLicence = new Map<string, string[]>()
  for (const { name, licence } of packages)
    byLicence.set(licence, [...(byLicence.get(licence) ?? []), `\`${name}\``])
  const lines = [...byLicence]
    .sort(([, some], [, others]) => others.length - some.length)
    .map(([licence, names]) => `- **${licence}**: ${names.join(', ')}`)
  return [
    '# Licences of what comes along',
    '',
    'haraka-plugin-clamav-stream is under the [MIT licence](../../LICENSE). These packages are installed with it',
    'or, as `uplot`, copied into it, unless your Haraka has them already. The page is made by `npm run licences`.',
    '',
    ...lines,
    '',
  ].join('\n')
}

if (require.main === module) writeFileSync(page, licencesPage(runtimePackages()))
