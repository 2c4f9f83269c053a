/** What every answer of the running product carries and does not carry, whatever the route and whatever went wrong (G2, G6, G7, E10, A33, A35, A42). */
import { request } from 'node:http';
import { describe, expect, it } from 'vitest';
import { runningApp } from '../helpers/app.ts';
import { createVisitor } from '../login/visitor.ts';
import { attackerOf, basic, freshPhone, website } from './attacker.ts';

const app = await runningApp();
const attacker = attackerOf(app.config);
const base = app.config.publicUrl;

type Call = [path: string, status: number, init?: RequestInit];
const html = { headers: { accept: 'text/html' } };
const post = (headers: Record<string, string> = {}, body = ''): RequestInit => ({ method: 'POST', headers, body });
const form = { 'content-type': 'application/x-www-form-urlencoded' };
const json = { 'content-type': 'application/json' };
const signIn = new URL(attacker.authorize().url);

const calls: Call[] = [
  ['/', 200, html],
  ['/privacy', 200, html],
  ['/healthz', 200],
  ['/readyz', 200],
  ['/jwks', 200],
  ['/.well-known/openid-configuration', 200],
  ['/api/openapi.json', 200],
  [signIn.pathname + signIn.search, 303, html],
  ['/authorize?client_id=nobody', 400, html],
  ['/authorize?client_id=nobody', 400],
  ['/authorize/abcdefghijklmnopqrstu', 400, html],
  ['/admin', 303, html],
  ['/admin/setup/nothing', 404, html],
  ['/login/abcdefghijklmnopqrstu', 400, html],
  ['/login/short', 404, html],
  ['/logout', 303, html],
  ['/logout/success', 200, html],
  ['/nothing', 404],
  ['/nothing', 404, html],
  ['/static/nothing.css', 404],
  ['/%', 404],
  ['/token', 405],
  ['/v1/track', 405],
  ['/privacy', 405, { method: 'DELETE' }],
  ['/authorize', 405, post()],
  ['/token', 400, post(form)],
  ['/token', 401, post({ ...form, ...basic(website.id, 'wrong') }, 'grant_type=client_credentials')],
  ['/userinfo', 401, { headers: { authorization: 'Bearer nothing' } }],
  ['/introspect', 401, post({ ...form, ...basic(website.id, 'wrong') }, 'token=x')],
  ['/par', 401, post({ ...form, ...basic(website.id, 'wrong') }, 'scope=openid')],
  ['/otp', 400, post(json, '{}')],
  ['/v1/batch', 401, post(json, '{"batch":[]}')],
  ['/v1/batch', 400, post({ ...basic('demo-client-key', '') }, '{')],
  [
    '/v1/batch',
    413,
    post({ ...basic('demo-client-key', '') }, JSON.stringify({ batch: [{ a: 'x'.repeat(600_000) }] })),
  ],
  ['/v1/batch', 415, post({ ...basic('demo-client-key', ''), 'content-encoding': 'br' }, '{}')],
  ['/v1/track', 204, { method: 'OPTIONS', headers: { origin: 'https://evil.example' } }],
  ['/api/v1/subjects/lookup', 401, post(json, '{}')],
  ['/api/v1/nothing', 404],
];

describe('every answer', () => {
  it.each(calls)('%s (%i)', async (path, status, init = {}) => {
    const answer = await fetch(base + path, { redirect: 'manual', ...init });
    const text = await answer.text();
    expect(answer.status).toBe(status);
    const header = (name: string) => answer.headers.get(name) ?? '';
    const csp = header('content-security-policy');
    expect(csp).toContain("default-src 'none'");
    expect(csp).toContain("frame-ancestors 'none'");
    expect(csp).not.toMatch(/unsafe-|\*|https:/);
    expect(header('x-content-type-options')).toBe('nosniff');
    expect(header('x-frame-options')).toBe('DENY');
    expect(header('referrer-policy')).toBe('no-referrer');
    expect(header('cross-origin-opener-policy')).toBe('same-origin');
    expect(header('x-request-id')).toMatch(/^[\da-f-]{36}$/);
    // Nobody is told what we are made of (G2).
    expect([header('x-powered-by'), header('server')]).toEqual(['', '']);
    expect(text).not.toMatch(/node_modules|\bat \S+ \(|\.ts:\d|oidc-provider|\bkoa\b/i);
    expect(header('access-control-allow-credentials')).toBe('');
    if (status >= 400) expect(header('cache-control')).toBe('no-store');
    if (text.includes('<html'))
      expect(text).not.toMatch(/<script(?![^>]*\bsrc=")|\son\w+=|(?:src|action)="https?:\/\/(?!localhost)/);
  });

  it('about a person or a token is kept by no cache (E10)', async () => {
    const signed = await attacker.signIn('sms', freshPhone());
    for (const page of signed.pages) expect(page.headers.get('cache-control')).toContain('no-store');
    const tokens = await attacker.redeem(signed);
    const authorization = `Bearer ${tokens.body.access_token}`;
    const person = await attacker.say(`${base}/userinfo`, { headers: { authorization } });
    const token = new URLSearchParams({ token: String(tokens.body.refresh_token) });
    const introspected = await attacker.say(`${base}/introspect`, {
      method: 'POST',
      headers: basic(website.id, website.secret),
      body: token,
    });
    for (const { status, headers } of [tokens, person, introspected])
      expect([status, headers.get('cache-control')]).toEqual([200, expect.stringContaining('no-store')]);
  });
});

/** fetch() sets Host itself. */
function ask(path: string, headers: Record<string, string>): Promise<{ status: number; all: string; host: string }> {
  return new Promise((resolve, reject) => {
    const sent = request({ host: '127.0.0.1', port: app.config.port, path, headers }, (answer) => {
      let text = '';
      answer.on('data', (chunk) => {
        text += chunk;
      });
      answer.on('end', () =>
        resolve({
          status: answer.statusCode ?? 0,
          all: JSON.stringify(answer.headers) + text,
          host: String(answer.headers.location ?? ''),
        }),
      );
    });
    sent.on('error', reject);
    sent.end();
  });
}

describe('a forged address (A42)', () => {
  const forged = {
    host: 'evil.example',
    'x-forwarded-host': 'evil.example',
    'x-forwarded-proto': 'https',
    'x-forwarded-port': '444',
    'x-forwarded-prefix': '/evil.example',
    'x-original-url': '/evil.example',
    'x-rewrite-url': '/evil.example',
    forwarded: 'host=evil.example;proto=https',
    accept: 'text/html',
  };
  it.each([
    ...['/', '/privacy', '/admin', '/logout', '/nothing', '/login/abcdefghijklmnopqrstu', '/api/openapi.json', '/jwks'],
    ...['/.well-known/openid-configuration', '/authorize?client_id=nobody', signIn.pathname + signIn.search],
    ...['/v1/projects/demo-client-key/settings', '/userinfo', '/admin/callback', '/logout/success'],
  ])('is not repeated by %s', async (path) => {
    const { all } = await ask(path, forged);
    expect(all).not.toContain('evil.example');
    expect(all).not.toContain(':444');
  });
  it('does not change where the sign-in goes or what its cookies allow', async () => {
    const honest = await ask(signIn.pathname + signIn.search, { accept: 'text/html' });
    const lied = await ask(signIn.pathname + signIn.search, forged);
    const shape = ({ status, host }: typeof honest) => [status, host.replace(/[\w-]{20,}$/, '')];
    expect(shape(lied)).toEqual(shape(honest));
  });
  it('does not become the address that a person signed in from', async () => {
    const visitor = createVisitor({ headers: { 'x-forwarded-for': '6.6.6.6', 'x-real-ip': '6.6.6.6' } });
    await attacker.signIn('sms', freshPhone(), { visitor });
    const { rows } = await app.db.raw(
      "select host(ip::inet) as ip from audit_entries where action = 'subject.signed_in'",
    );
    expect(new Set(rows.map(({ ip }: { ip: string }) => ip))).toEqual(new Set(['127.0.0.1']));
  });
});

describe('cookies (G6)', () => {
  it('are HttpOnly, SameSite and small on every path of a sign-in', async () => {
    const lines: string[] = [];
    const visitor = createVisitor();
    const get = visitor.get;
    const keep = async (answer: Awaited<ReturnType<typeof get>>) => {
      lines.push(...answer.headers.getSetCookie());
      return answer;
    };
    const watched = {
      ...visitor,
      get: async (url: string) => keep(await get(url)),
      submit: async (...given: Parameters<typeof visitor.submit>) => keep(await visitor.submit(...given)),
      async follow(answer: Awaited<ReturnType<typeof get>>) {
        let at = answer;
        while (at.location?.startsWith(base)) at = await watched.get(at.location);
        return at;
      },
    };
    await attacker.signIn('sms', freshPhone(), { visitor: watched });
    await watched.get(`${base}/admin`);
    await watched.get(`${base}/?lang=en`);
    expect(new Set(lines.map((line) => line.split('=')[0])).size).toBeGreaterThan(4);
    for (const line of lines) {
      expect(line).toMatch(/; ?httponly/i);
      expect(line).toMatch(/; ?samesite=(lax|strict)/i);
      expect(line).not.toMatch(/; ?domain=/i);
      expect(line.length).toBeLessThan(4_096);
    }
  });
});
