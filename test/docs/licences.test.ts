// The licences of what is installed along with the package.
import assert from 'node:assert/strict'
import { readFileSync } from 'node:fs'
import { test } from 'node:test'
import { allowed, licencesPage, page, runtimePackages } from '../../scripts/licences'

test('every package that comes along has a licence that is allowed', () => {
  const packages = runtimePackages()
  assert.ok(packages.length > 10)
  for (const { name, licence } of packages) assert.ok(allowed.includes(licence), `${name}: ${licence}`)
})

test('docs/reports/licences.md is what npm run licences writes', () => {
  assert.equal(readFileSync(page, 'utf8'), licencesPage(runtimePackages()))
})
