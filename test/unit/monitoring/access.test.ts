// Who may see metrics and page: tokens, logins, and what somebody gets who tries many.
import assert from 'node:assert/strict'
import { readFileSync } from 'node:fs'
import path from 'node:path'
import { test, type TestContext } from 'node:test'
import { bearerOf, loginCookie, loginOf, logoutCookie } from '../../../lib/monitoring/auth'
import { clientOf, TokenCheck, wrongTokens } from '../../../lib/monitoring/token-check'
import { startSite, type TestSite } from '../../support/monitoring-site'

const token = 'correct-horse-battery'

test('the token of a program, and the cookie of a login', () => {
  assert.equal(bearerOf({ authorization: `Bearer ${token}` }), token)
  assert.equal(bearerOf({ authorization: `bearer  ${token}` }), token)
  for (const authorization of [undefined, '', 'Bearer', 'Bearer ', `Bearer ${token} x`, token])
    assert.equal(bearerOf({ authorization }), null, authorization)
  const cookie = loginCookie(token, true)
  assert.match(cookie, /^clamav_stream=[\w-]{16}\.[\w-]{43}; HttpOnly; SameSite=Strict; Secure$/)
  assert.doesNotMatch(loginCookie(token, false), /Secure/)
  assert.match(logoutCookie(true), /^clamav_stream=; HttpOnly; SameSite=Strict; Secure; Max-Age=0$/)
  const [pair = ''] = cookie.split(';')
  const [id = ''] = pair.replace('clamav_stream=', '').split('.')
  assert.equal(loginOf(token, { cookie: `a=b; ${pair}; c=d` }), id)
  assert.notEqual(loginCookie(token, true), cookie, 'each login is another')
  for (const other of [
    '',
    'clamav_stream',
    'clamav_stream=',
    'clamav_stream=.',
    `${pair}x`,
    `${pair}.x`,
    pair.replace('=', '=x'),
    `x${pair}`,
    `clamav_stream=${token}`,
  ])
    assert.equal(loginOf(token, { cookie: other }), null, other)
  assert.equal(loginOf(`${token}2`, { cookie: pair }), null, 'another token, another cookie')
})

async function startLogin(t: TestContext) {
  const site = await startSite({ page: true, token })
  t.after(() => {
    site.warnings.length = 0
    return site.stop()
  })
  const send = (where: string, init: RequestInit = {}) =>
    fetch(`${site.origin}/clamav-stream${where}`, { redirect: 'manual', ...init })
  const post = (body: string) => send('/session', { method: 'POST', body })
  const status = async (where: string, headers: Record<string, string> = {}) => {
    const answer = await send(where, { headers })
    await answer.body?.cancel()
    return answer.status
  }
  return { site, send, post, status }
}

test('the login accepts only the token; logging out ends it', async (t) => {
  const { send, post, status } = await startLogin(t)
  for (const body of ['', 'token=', 'token=wrong', `token=${token}x`, `other=${token}`]) {
    const response = await post(body)
    assert.equal(response.status, 303)
    assert.equal(response.headers.get('location'), '../clamav-stream?wrong')
    assert.equal(response.headers.get('set-cookie'), null)
  }
  const response = await post(`token=${token}`)
  assert.equal(response.headers.get('location'), '../clamav-stream')
  const [cookie = ''] = (response.headers.get('set-cookie') ?? '').split(';')
  for (const where of ['', '/events']) {
    assert.equal(await status(where), 401)
    assert.equal(await status(where, { cookie }), 200)
    assert.equal(await status(where, { authorization: `Bearer ${token}` }), 200)
  }
  assert.equal(await status('/metrics', { cookie }), 401, 'a stolen cookie opens the page only')
  const page = await (await send('', { headers: { cookie } })).text()
  assert.match(page, /<form class="logout" method="post" action="clamav-stream\/logout">/)

  const events = await send('/events', { headers: { cookie } })
  const logout = (headers: Record<string, string>) => send('/logout', { method: 'POST', headers })
  assert.equal((await logout({})).headers.get('set-cookie'), null, 'another site logs nobody out')
  const out = await logout({ cookie })
  assert.deepEqual([out.status, out.headers.get('location')], [303, '../clamav-stream'])
  assert.match(out.headers.get('set-cookie') ?? '', /^clamav_stream=;.*Max-Age=0$/)
  assert.ok(await events.text(), 'its events have ended')
})

test('a refusal says why, and what would help', async (t) => {
  const { send, post } = await startLogin(t)
  const told = async (answer: Response, ...names: string[]) => [
    answer.status,
    ...['content-type', ...names].map((name) => answer.headers.get(name)),
    await answer.text(),
  ]
  const plain = 'text/plain; charset=utf-8'
  assert.deepEqual(await told(await send('/metrics'), 'www-authenticate'), [
    401,
    plain,
    'Bearer',
    'Token required\n',
  ])
  const [status, type] = await told(await send(''), 'www-authenticate')
  assert.deepEqual([status, type], [401, 'text/html; charset=utf-8'])
  assert.deepEqual(await told(await post('x'.repeat(4097))), [413, plain, 'Form too long\n'])
  assert.equal((await post('x'.repeat(4096))).status, 303)
  const wrong = { headers: { authorization: 'Bearer wrong' } }
  for (let times = 0; times < wrongTokens.count; times++) await (await send('/metrics', wrong)).text()
  assert.deepEqual(await told(await send('/metrics', wrong), 'retry-after'), [
    429,
    plain,
    '60',
    'Too many wrong tokens: try again in a minute.\n',
  ])
})

test('wrong tokens are logged with the address, and after ten nobody looks at more of them', async (t) => {
  const { site, send, post, status } = await startLogin(t)
  const [cookie = ''] = ((await post(`token=${token}`)).headers.get('set-cookie') ?? '').split(';')
  assert.equal(await status('/metrics'), 401)
  assert.deepEqual(site.warnings, [], 'none is not a wrong one')
  for (let i = 0; i < wrongTokens.count / 2; i++) {
    assert.equal(await status('/metrics', { authorization: `Bearer wrong-${i}` }), 401)
    assert.equal((await post(`token=wrong-${i}`)).headers.get('location'), '../clamav-stream?wrong')
  }
  assert.deepEqual(site.warnings, Array<string>(wrongTokens.count).fill('wrong token from 127.0.0.1'))
  for (const given of [token, 'wrong-11']) {
    const answer = await send('/metrics', { headers: { authorization: `Bearer ${given}` } })
    assert.deepEqual([answer.status, answer.headers.get('retry-after')], [429, '60'])
    assert.equal((await post(`token=${given}`)).headers.get('location'), '../clamav-stream?blocked')
  }
  assert.match(await (await send('?blocked')).text(), /role="alert">Too many wrong tokens/)
  assert.equal(site.warnings.length, wrongTokens.count)
  assert.equal(await status('', { cookie }), 200, 'who is logged in goes on')
})

test('wrong tokens are counted for each network, for a minute', () => {
  let now = 0
  const check = new TokenCheck(
    () => undefined,
    () => now,
  )
  const wrong = (address: string) => check.check('wrong', token, address)
  for (let i = 0; i < wrongTokens.count; i++) assert.equal(wrong(`2001:db8:1:2::${i}`), 'wrong')
  assert.equal(wrong('2001:db8:1:2:ffff::1'), 'blocked')
  assert.equal(check.check(token, token, '2001:db8:1:2::1'), 'blocked')
  assert.equal(check.check(token, token, '2001:db8:1:3::1'), 'right')
  assert.equal(check.check(token, token, '192.0.2.1'), 'right')
  now += wrongTokens.perMs
  assert.equal(check.check(token, token, '2001:db8:1:2::1'), 'right')
})

test('the address of the client: only a proxy on this machine is believed', () => {
  const client = (remoteAddress: string | undefined, forwarded?: string) =>
    clientOf({ socket: { remoteAddress }, headers: { 'x-forwarded-for': forwarded } })
  assert.equal(client('::ffff:192.0.2.1'), '192.0.2.1')
  assert.equal(client('192.0.2.1', '198.51.100.7'), '192.0.2.1')
  assert.equal(client('127.0.0.1', '10.0.0.1, 198.51.100.7'), '198.51.100.7')
  assert.equal(client('::1', '2001:db8::7'), '2001:db8::7')
  assert.equal(client('127.0.0.1', '198.51.100.7\n[x]'), '127.0.0.1')
  assert.equal(client('127.0.0.1'), '127.0.0.1')
  assert.equal(client(undefined), 'unknown')
})

test('fail2ban finds the address in the log line, and in no other line', () => {
  const file = path.resolve(__dirname, '../../../examples/fail2ban/filter.d/clamav-stream.conf')
  const [, rule = ''] = /^failregex = (.*)$/m.exec(readFileSync(file, 'utf8')) ?? []
  const expression = new RegExp(
    rule.replace('%(__prefix_line)s', '\\S+ \\S+\\[\\d+\\]: ').replace('<ADDR>', '(?<address>\\S+)'),
  )
  const found = (line: string) => expression.exec(line)?.groups?.address
  assert.equal(found('[WARN] [-] [clamav-stream] wrong token from 192.0.2.1'), '192.0.2.1')
  assert.equal(found('mx haraka[7]: [WARN] [-] [clamav-stream] wrong token from 2001:db8::1'), '2001:db8::1')
  assert.equal(
    found('[INFO] [A.1] [x] HELO [WARN] [-] [clamav-stream] wrong token from 192.0.2.1'),
    undefined,
  )
})

/** Opens event streams until one is refused. */
async function viewersOf(site: TestSite, headers: Record<string, string>, address: string): Promise<number> {
  for (let count = 0; ; count++) {
    const { status } = await fetch(`${site.origin}/clamav-stream/events`, {
      headers: { ...headers, 'x-forwarded-for': address },
    })
    if (status !== 200) return status === 503 ? count : NaN
  }
}

test('viewers are limited by login and by address, so that one leaves room for the others', async (t) => {
  const { site, post } = await startLogin(t)
  const login = async () => {
    const [cookie = ''] = ((await post(`token=${token}`)).headers.get('set-cookie') ?? '').split(';')
    return { cookie }
  }
  const first = await login()
  assert.equal(await viewersOf(site, first, '192.0.2.1'), 8)
  assert.equal(await viewersOf(site, first, '192.0.2.2'), 0)
  assert.equal(await viewersOf(site, await login(), '192.0.2.1'), 8)
  assert.equal(await viewersOf(site, await login(), '192.0.2.1'), 0, 'sixteen of one address')
  assert.equal(await viewersOf(site, { authorization: `Bearer ${token}` }, '192.0.2.3'), 16)
})
