/** The demo website as a careful OIDC client: what it refuses, and what it does while Heyi is away. */
import { get } from 'node:http';
import { afterAll, describe, expect, test } from 'vitest';
import { systemClock } from '../../src/clock.ts';
import { createLogger } from '../../src/log.ts';
import { createDemo } from '../../src/sandbox/demo/demo.ts';
import { ownPath } from '../../src/sandbox/demo/forms.ts';
import { startWorld } from '../e2e/world.ts';
import { someone } from '../sdk-miniprogram/mini-program.ts';

const world = await startWorld();

/** A browser's cookies for one origin; redirects are shown, not followed. */
function visitor(origin: string) {
  const cookies = new Map<string, string>();
  const send = async (path: string, { form, json, method }: Sent = {}) => {
    const answer = await fetch(`${origin}${path}`, {
      method: method ?? (form ? 'POST' : 'GET'),
      redirect: 'manual',
      headers: {
        accept: 'text/html',
        cookie: [...cookies].map((pair) => pair.join('=')).join('; '),
        ...(json !== undefined && { 'content-type': 'application/json', accept: 'application/json' }),
      },
      ...(form && { body: new URLSearchParams(form) }),
      ...(json !== undefined && { body: JSON.stringify(json) }),
    });
    for (const line of answer.headers.getSetCookie()) {
      const [, name = '', value = ''] = /^([^=]+)=([^;]*)/.exec(line) ?? [];
      cookies.set(name, value);
    }
    const text = await answer.text();
    return { status: answer.status, location: answer.headers.get('location') ?? '', headers: answer.headers, text };
  };
  const csrf = async () =>
    /name="csrf" value="([^"]+)"/.exec((await send('/cart')).text)?.[1] ?? formOf((await send('/privacy')).text);
  return { send, csrf, cookies };
}
type Sent = { form?: Record<string, string>; json?: unknown; method?: string };
const formOf = (text: string) => /name="csrf" value="([^"]+)"/.exec(text)?.[1] ?? '';

describe('the way to Heyi', () => {
  test('asks with PKCE S256, state and nonce, each time others', async () => {
    const { send } = visitor(world.demo);
    const [first, second] = [await send('/sign-in'), await send('/sign-in')].map(({ location }) => new URL(location));
    const query = Object.fromEntries(first?.searchParams ?? []);
    expect(first?.origin).toBe(world.heyi);
    expect(query).toMatchObject({ client_id: 'demo-website', response_type: 'code', code_challenge_method: 'S256' });
    for (const name of ['state', 'nonce', 'code_challenge']) {
      expect(query[name]?.length).toBeGreaterThan(20);
      expect(second?.searchParams.get(name)).not.toBe(query[name]);
    }
  });

  test('a callback that this browser did not ask for signs nobody in', async () => {
    const started = await visitor(world.demo).send('/sign-in');
    const state = new URL(started.location).searchParams.get('state');
    const victim = visitor(world.demo);
    for (const path of [
      '/callback',
      '/callback?code=x',
      `/callback?code=x&state=${state}`,
      '/callback?code=x&state=__proto__',
    ])
      expect((await victim.send(path)).status).toBe(400);
    expect((await victim.send('/account')).location).toBe('/sign-in?return=/account');
  });

  test('a refusal at Heyi is no error, and a state counts once', async () => {
    const { send } = visitor(world.demo);
    const state = new URL((await send('/sign-in')).location).searchParams.get('state');
    const path = `/callback?error=access_denied&state=${state}&iss=${encodeURIComponent(world.heyi)}`;
    expect((await send(path)).status).toBe(200);
    expect((await send(path)).status).toBe(400);
  });

  test.each([
    ['/products/longjing', '/products/longjing'],
    ['/cart?x=1', '/cart?x=1'],
    ['//evil.example', '/'],
    ['/\\evil.example', '/'],
    ['https://evil.example', '/'],
    ['/a\nb', '/'],
    [undefined, '/'],
  ])('after sign-in %s leads to %s', (given, path) => {
    expect(ownPath(given)).toBe(path);
  });
});

describe('forms and pages', () => {
  test('answer under no other name than this machine’s: a foreign site’s name may be made to lead here', async () => {
    const { port } = new URL(world.demo);
    const answer = await new Promise<number | undefined>((resolve, reject) => {
      get({ port, host: '127.0.0.1', headers: { host: 'evil.example' } }, ({ statusCode }) => resolve(statusCode)).on(
        'error',
        reject,
      );
    });
    expect(answer).toBe(403);
  });

  test('a form of another session is refused', async () => {
    const [mine, other] = [visitor(world.demo), visitor(world.demo)];
    await mine.send('/');
    const csrf = await other.csrf();
    expect((await other.send('/cart', { form: { csrf, product_id: 'longjing' } })).status).toBe(303);
    for (const path of ['/cart', '/orders', '/consent', '/sign-out'])
      expect((await mine.send(path, { form: { csrf } })).status).toBe(403);
  });

  test('pages run no inline script and speak only to the shop, Heyi and the sandbox', async () => {
    const { headers, text } = await visitor(world.demo).send('/');
    const policy = headers.get('content-security-policy');
    expect(policy).toContain("script-src 'self';");
    expect(policy).toContain(`connect-src 'self' ${world.heyi} ${world.sandbox};`);
    const inline = [...text.matchAll(/<script(?![^>]*\bsrc=)([^>]*)>/g)].map(([, attributes]) => attributes);
    expect(inline).toEqual([' type="application/json" id="page-data"']);
  });

  test('who is not signed in keeps the bag and is led to sign in before paying', async () => {
    const { send, csrf } = visitor(world.demo);
    await send('/');
    const answer = await send('/orders', { form: { csrf: await csrf(), product_id: 'longjing' } });
    expect(answer.location).toBe('/sign-in?return=/cart');
    expect((await send('/cart')).text).toContain('/products/longjing');
  });
});

describe('the panel', () => {
  test('believes a mini-program’s subject only with its token, and shows nobody else’s timeline', async () => {
    const { send, csrf } = visitor(world.demo);
    await send('/');
    const token = await csrf();
    const put = (json: unknown) => send('/panel/miniprogram', { method: 'PUT', json });
    expect((await put({ access_token: 'x' })).status).toBe(400);
    expect((await put({ csrf: 'x', access_token: 'x' })).status).toBe(403);
    expect(JSON.parse((await put({ csrf: token, access_token: 'made-up' })).text)).toEqual({ sub: null });
    expect(JSON.parse((await send('/panel/state')).text)).toMatchObject({ miniprogram: { sub: null }, timeline: [] });

    const { phone, launch } = await someone(world);
    const { sub } = await launch().heyi.signIn();
    const { access_token } = phone.stored('heyi.session');
    expect(JSON.parse((await put({ csrf: token, access_token })).text)).toEqual({ sub });
  });
});

test('while Heyi is away the shop sells on, and says so to who wants to sign in', async () => {
  const demo = createDemo({
    port: 0,
    issuer: 'http://localhost:9',
    sandboxUrl: 'http://localhost:9',
    clock: systemClock,
    log: createLogger({ level: 'silent' }),
    clientSecret: 'a-secret-of-the-test',
  });
  const { url } = await demo.start();
  afterAll(() => demo.stop());
  const { send } = visitor(url);
  expect((await send('/')).status).toBe(200);
  expect((await send('/products/longjing')).text).toContain('¥398');
  const refused = await send('/sign-in');
  expect([refused.status, refused.headers.get('retry-after')]).toEqual([503, '3']);
  expect(refused.text).toContain('登录服务暂时没有应答');
  expect(JSON.parse((await send('/panel/state')).text)).toMatchObject({ website: { sub: null }, message: null });
});
