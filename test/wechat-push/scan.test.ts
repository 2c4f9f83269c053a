/** Signing in on a computer by following the official account: the whole product, and the sandbox as WeChat. */
import { createHash, randomBytes } from 'node:crypto';
import { describe, expect, it } from 'vitest';
import { createClient } from '../../src/oidc/clients.ts';
import { runningApp } from '../helpers/app.ts';
import { openBrowser, watchedPage } from '../helpers/browser.ts';
import { readPixels } from '../helpers/qr-picture.ts';
import { type Answer, createVisitor, formTo, type Visitor } from '../login/visitor.ts';
import { follower, send, signed } from './world.ts';

const { config, db, seal } = await runningApp({ TRUST_PROXY: '1' });
const origin = config.publicUrl;
const appid = 'wxsandbox0000000003';
const redirect_uri = 'http://localhost:4/callback';
await createClient(
  { db, seal },
  {
    client_id: 'scan-shop',
    name: '山屿官网',
    redirect_uris: [redirect_uri],
    token_endpoint_auth_method: 'none',
    methods: ['sms', 'wechat-official-scan'],
    channel: 'website',
  },
);

async function sandbox(path: string, body?: object, method = body ? 'POST' : 'GET') {
  const answer = await fetch(`${config.sandboxUrl}${path}`, {
    method,
    headers: { 'content-type': 'application/json', accept: 'application/json' },
    ...(body && { body: JSON.stringify(body) }),
  });
  return answer.json();
}

type Attempt = { status: number; outcome: string; reply?: string };
type Pushes = { pushes: { attempts: Attempt[] }[] };
/** What the person reads in the chat. */
const readIn = ({ pushes }: Pushes) =>
  /<Content><!\[CDATA\[([\s\S]*?)\]\]>/.exec(pushes[0]?.attempts[0]?.reply ?? '')?.[1];

async function person() {
  const { person_id } = (await sandbox('/people', { nickname: 'Li' })) as { person_id: string };
  return {
    person_id,
    scan: async (url: string) => readIn((await sandbox(`/people/${person_id}/scan`, { url })) as Pushes),
    say: async (text: string) => readIn((await sandbox(`/people/${person_id}/say`, { appid, text })) as Pushes),
  };
}

const pc = (ip = '203.0.113.40') =>
  createVisitor({
    headers: { 'x-forwarded-for': ip, 'user-agent': 'Mozilla/5.0 (Windows NT 10.0) Chrome/141.0 Safari/537' },
  });
const verifier = randomBytes(32).toString('base64url');

const authorize = `${origin}/authorize?${new URLSearchParams({
  client_id: 'scan-shop',
  response_type: 'code',
  scope: 'openid',
  redirect_uri,
  state: 's',
  code_challenge: createHash('sha256').update(verifier).digest('base64url'),
  code_challenge_method: 'S256',
})}`;

async function newestCode(): Promise<string> {
  const { codes } = (await sandbox(`/codes?appid=${appid}`)) as { codes: { url: string }[] };
  return codes[0]?.url ?? '';
}

async function show(browser: Visitor): Promise<{ page: Answer; base: string; url: string }> {
  const start = await browser.follow(await browser.get(authorize));
  const page = await browser.follow(await browser.submit(formTo(start, '/wechat-official-scan')));
  return { page, base: page.url.replace(/\/scan.*$/, ''), url: await newestCode() };
}

const stateOf = async (browser: Visitor, base: string) => (await browser.json(`${base}/scan/state`)).state;

/** Through the page that asks for the policy where it comes, to the way back to the website. */
async function finish(browser: Visitor, base: string): Promise<Answer> {
  const page = await browser.get(`${base}/scan`);
  const next = await browser.follow(await browser.submit(formTo(page, '/scan')));
  if (!next.html.includes('name="privacy"')) return next;
  return browser.follow(await browser.submit(formTo(next, '/agree'), { privacy: '1' }));
}

async function subAfter(out: Answer): Promise<string> {
  const code = new URL(out.location ?? '').searchParams.get('code') ?? '';
  const body = {
    grant_type: 'authorization_code',
    client_id: 'scan-shop',
    redirect_uri,
    code_verifier: verifier,
    code,
  };
  const answer = await fetch(`${origin}/token`, { method: 'POST', body: new URLSearchParams(body) });
  const { id_token } = (await answer.json()) as { id_token: string };
  return JSON.parse(Buffer.from(id_token.split('.')[1] ?? '', 'base64url').toString()).sub;
}

describe('following the account', () => {
  it('names the website and where it is asked from, waits for "1", and signs the computer in', async () => {
    const [browser, li] = [pc(), await person()];
    const { page, base, url } = await show(browser);
    const [, path = ''] = /<img class="scan-code" src="([^"]+)"/.exec(page.html) ?? [];
    const picture = await browser.bytes(`${origin}${path}`);
    expect(picture.headers.get('content-type')).toContain('image/svg+xml');
    expect(picture.bytes.toString()).toMatch(/^<svg /);
    expect(page.html).toContain('再按收到的消息确认');
    expect(await stateOf(browser, base)).toBe('pending');

    const question = await li.scan(url);
    expect(question).toContain('山屿官网');
    expect(question).toContain('localhost:4');
    expect(question).toContain('203.0.113.*');
    expect(question).toContain('Chrome · Windows');
    expect(question).not.toContain('203.0.113.40');
    // Following alone signs nobody in.
    expect(await stateOf(browser, base)).toBe('scanned');

    expect(await li.say('１ ')).toContain('已确认');
    expect(await stateOf(browser, base)).toBe('confirmed');
    const sub = await subAfter(await finish(browser, base));

    const identities = await db('identities').where({ subject_id: sub }).orderBy('kind');
    expect(identities.map(({ kind, issuer }) => [kind, issuer])).toEqual([
      ['wechat_openid', appid],
      ['wechat_unionid', 'sandbox-platform'],
    ]);
    const audit = await db('audit_entries').where({ action: 'sign_in.confirmed', client_id: 'scan-shop' });
    expect(audit.at(-1)?.details).toMatchObject({ appid, asked_from: '203.0.113.40' });
    expect(await db('wechat_followers').where({ appid, openid: identities[0]?.lookup }).first()).toMatchObject({
      is_following: true,
    });
  });

  it('the second time, somebody who follows already is the same person', async () => {
    const li = await person();
    const subs: string[] = [];
    for (const _ of ['subscribe', 'SCAN']) {
      const browser = pc();
      const { base, url } = await show(browser);
      await li.scan(url);
      await li.say('1');
      subs.push(await subAfter(await finish(browser, base)));
    }
    expect(subs[1]).toBe(subs[0]);
  });

  it('"0" refuses; other words are not ours to answer', async () => {
    const [browser, li] = [pc(), await person()];
    const { base, url } = await show(browser);
    await li.scan(url);
    expect(await li.say('你好')).toBeUndefined();
    expect(await stateOf(browser, base)).toBe('scanned');
    expect(await li.say('0')).toContain('已拒绝');
    expect(await stateOf(browser, base)).toBe('denied');
    await li.say('1');
    expect(await stateOf(browser, base)).toBe('denied');
  });

  it('somebody who let one code expire scans the next, and their word counts for that one', async () => {
    const [browser, li] = [pc(), await person()];
    const first = await show(browser);
    await li.scan(first.url);
    await db('tickets').update({ expires_at: db.raw(`now() - interval '2 hours'`) });
    expect(await li.say('1')).toBeUndefined();
    const second = await show(browser);
    expect(await li.scan(second.url)).toContain('山屿官网');
    const third = await show(pc());
    expect(await li.scan(third.url)).toContain('山屿官网');
    expect(await li.say('1')).toContain('已确认');
    expect(await stateOf(browser, second.base)).toBe('scanned');
  });

  it('a unionid that does not come costs nobody the sign-in', async () => {
    const [browser, li] = [pc(), await person()];
    const { base, url } = await show(browser);
    await li.scan(url);
    await li.say('1');
    await sandbox('/faults', { target: 'user_info', errcode: 48001 }, 'PUT');
    const out = await finish(browser, base);
    await fetch(`${config.sandboxUrl}/faults`, { method: 'DELETE' });
    const sub = await subAfter(out);
    expect((await db('identities').where({ subject_id: sub })).map(({ kind }) => kind)).toEqual(['wechat_openid']);
  });
});

describe('in a real browser', () => {
  it.each([
    ['the page goes on by itself', { javaScriptEnabled: true }],
    ['works without JavaScript too', { javaScriptEnabled: false }],
  ])(
    '%s when the chat says yes, and loads nothing foreign',
    async (_what, options) => {
      const { page, complaints } = await watchedPage(await openBrowser(), {
        ...options,
        viewport: { width: 320, height: 640 },
        colorScheme: 'dark',
      });
      await page.route(`${redirect_uri}**`, (route) => route.fulfill({ body: 'back at the website' }));
      const li = await person();
      await page.goto(authorize);
      await page.getByRole('button', { name: '微信扫码关注公众号登录' }).click();
      const picture = page.locator('.scan-code');
      await picture.waitFor();
      // As a phone's camera sees it, on a dark page too.
      const url = await newestCode();
      expect(readPixels(await picture.screenshot())).toBe(url);
      expect(await page.evaluate('document.documentElement.scrollWidth')).toBeLessThanOrEqual(320);
      await li.scan(url);
      await page.getByText('回复 1 确认').waitFor();
      await li.say('1');
      if (!options.javaScriptEnabled) await page.getByRole('button', { name: '继续登录' }).click();
      await page.locator('[name=privacy]').check();
      await page.locator('form:has([name=privacy]) button[type=submit]').click();
      await page.waitForURL(`${redirect_uri}**`);
      expect(complaints).toEqual([]);
    },
    60_000,
  );
});

describe('C13: a code on a stranger’s page', () => {
  it('is answered by one person: who scans it second is told so, and cannot confirm', async () => {
    const [browser, first, second] = [pc(), await person(), await person()];
    const { base, url } = await show(browser);
    await first.scan(url);
    expect(await second.scan(url)).toContain('已经被别人扫过');
    expect(await second.say('1')).toBeUndefined();
    expect(await stateOf(browser, base)).toBe('scanned');
  });

  it('signs in the browser that asked, and no other that knows the address', async () => {
    const [browser, thief, li] = [pc(), pc('198.51.100.9'), await person()];
    const { base, url } = await show(browser);
    await li.scan(url);
    await li.say('1');
    for (const stolen of [await thief.get(`${base}/scan`), await thief.post(`${base}/scan`, {})]) {
      expect(stolen.status).toBe(400);
      expect(stolen.html).not.toContain('data-on-confirmed');
    }
    expect((await finish(browser, base)).location).toContain('code=');
  });

  it('works once', async () => {
    const [browser, li] = [pc(), await person()];
    const { base, url } = await show(browser);
    await li.scan(url);
    await li.say('1');
    await finish(browser, base);
    expect(await li.say('1')).toBeUndefined();
    expect(await li.scan(url)).toBeUndefined();
  });

  it('is not confirmed by a push in the clear, nor by one of another app', async () => {
    const browser = pc();
    const { base, url } = await show(browser);
    const { codes } = (await sandbox(`/codes?appid=${appid}`)) as { codes: { url: string; scene: string }[] };
    const scene = codes.find((code) => code.url === url)?.scene ?? '';
    const mini = {
      appid: 'wxsandbox0000000001',
      push_token: 'SandboxPushTokenMiniProgram',
      encoding_aes_key: 'SandboxMiniProgramEncodingAesKey4185296307A',
    };
    const scan = follower('oSomebodyElse', 'SCAN', { EventKey: scene });
    expect((await send(origin, mini, signed(mini, scan))).text).toBe('success');
    const clear = { appid, push_token: 'SandboxPushTokenOfficialAccount', encoding_aes_key: null };
    expect((await send(origin, clear, signed(clear, scan))).status).toBe(403);
    expect(await stateOf(browser, base)).toBe('pending');
  });
});
