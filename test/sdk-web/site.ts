/** A company's website on an origin of its own, with the SDK as it is published and a strict policy, against the whole product. */
import { readFileSync } from 'node:fs';
import { createServer } from 'node:http';
import { join } from 'node:path';
import type { BrowserContext, BrowserContextOptions, Page, Request, Route } from 'playwright-core';
import { afterAll } from 'vitest';
import { bundle } from '../../sdk/web/build.js';
import { projectRoot } from '../../src/config.ts';
import { createWriteKey } from '../../src/events/write-keys.ts';
import { createClient } from '../../src/oidc/clients.ts';
import { runningApp } from '../helpers/app.ts';
import { openBrowser, watchedPage } from '../helpers/browser.ts';
import { freePort } from '../helpers/ports.ts';

export const { config, db, seal } = await runningApp();
export const issuer = config.publicUrl;
export const files: Record<string, string> = await bundle();
export const manifest = JSON.parse(readFileSync(join(projectRoot, 'sdk/web/package.json'), 'utf8'));
export const site = `http://localhost:${await freePort()}`;
const browser = await openBrowser();
const writeKey = 'a-key-of-the-website';

await createClient(
  { db, seal },
  {
    client_id: 'shop',
    name: 'Shop',
    redirect_uris: [`${site}/open/callback`],
    post_logout_redirect_uris: [`${site}/open/`],
    grant_types: ['authorization_code', 'refresh_token'],
    token_endpoint_auth_method: 'none',
    methods: ['sms'],
    channel: 'website',
  },
);
await createWriteKey(
  { db, seal },
  { key: writeKey, kind: 'client', name: 'Website', client_ids: ['shop'], origins: [site] },
);

const signIn = {
  clientId: 'shop',
  redirectUri: `${site}/open/callback`,
  postLogoutRedirectUri: `${site}/open/`,
};
const shared = { issuer, writeKey };
const agreed = { consent: { profiling: true, marketing: false } };
/** What each kind of page tells the SDK: the first part of its path. */
const kinds: Record<string, object> = {
  ask: shared,
  raised: { ...shared, pages: false, purposes: { profiling: '2' } },
  open: { ...shared, ...agreed, signIn },
  quiet: { ...shared, ...agreed, pages: false },
  small: { ...shared, ...agreed, pages: false, maxQueueBytes: 8_000 },
  mirrored: { ...shared, pages: false, signIn, mirror: { ga4: true, baidu: true, salt: 'pepper' } },
};

const html = (kind: string) => `<!doctype html><html lang="zh-CN"><title>山屿 ${kind}</title>
  <script src="/heyi.global.js" defer${kind === 'tag' ? ` data-issuer="${issuer}" data-write-key="${writeKey}"` : ''}></script>
  <script src="/start/${kind}.js" defer></script>
  <button data-heyi-event="banner_clicked" data-heyi-banner-id="B-1"><b>Banner</b></button>
  <form data-heyi-event="form_submitted" data-heyi-form="newsletter"><input name="email"><button>Send</button></form>`;

const server = createServer((request, response) => {
  const { pathname } = new URL(request.url ?? '/', site);
  const [, kind = '', script = ''] = pathname.split('/');
  const code = kind === 'start' ? startOf(script.replace('.js', '')) : files[pathname.slice(1)];
  response.setHeader('content-security-policy', `default-src 'none'; script-src 'self'; connect-src ${issuer}`);
  response.setHeader('content-type', code === undefined ? 'text/html; charset=utf-8' : 'text/javascript');
  response.end(code ?? html(kind));
});
const startOf = (kind: string) =>
  kinds[kind] ? `document.forms[0].onsubmit = () => false; heyi.init(${JSON.stringify(kinds[kind])});` : '';
await new Promise<void>((resolve) => server.listen(Number(new URL(site).port), '127.0.0.1', resolve));
afterAll(() => void server.close());

export type Visitor = { page: Page; context: BrowserContext; complaints: string[] };

export async function visit(path: string, options: BrowserContextOptions = {}, script?: string): Promise<Visitor> {
  const { page, complaints } = await watchedPage(browser, options);
  if (script) await page.addInitScript(script);
  await page.goto(new URL(path, site).href);
  return { page, context: page.context(), complaints };
}

/** What a browser holds of a visitor; the empty list where nothing is. */
export const held = async ({ page }: { page: Page }) =>
  page.evaluate<string[]>(
    '[...Object.keys(localStorage), ...Object.keys(sessionStorage), ...document.cookie.split("; ").filter(Boolean)].sort()',
  );
export const track = ({ page }: { page: Page }, name: string, properties = {}) =>
  page.evaluate(`heyi.track(${JSON.stringify(name)}, ${JSON.stringify(properties)})`);
export const settled = ({ page }: { page: Page }) => page.evaluate('heyi.flush()');
export const queued = async ({ page }: { page: Page }) =>
  (await page.evaluate<{ queued: number }>('heyi.status()')).queued;

/** An event as the last thing that happens on a page. */
export async function leaving({ page }: { page: Page }, name: string, to: string): Promise<void> {
  await page.evaluate(`heyi.track('${name}'); setTimeout(() => location.assign('${to}'))`);
  await page.waitForURL(to);
}

type Sent = { ids: string[]; names: string[]; authorization: string | undefined };

type Answer = (sent: Sent, route: Route) => Promise<void> | undefined;

/** What goes out to the tracking API, and what it is answered instead: `answer` may be changed on the way. */
export async function wire(context: BrowserContext, answer: Answer = passing) {
  const net = { seen: [] as Sent[], answer };
  await context.route(`${issuer}/v1/batch`, async (route) => {
    if (route.request().method() !== 'POST') return route.continue();
    const sent = sentBy(route.request());
    net.seen.push(sent);
    await (net.answer(sent, route) ?? route.continue());
  });
  return net;
}

function sentBy(request: Request): Sent {
  const { batch } = request.postDataJSON() as { batch: { messageId: string; event?: string; type: string }[] };
  return {
    ids: batch.map(({ messageId }) => messageId),
    names: batch.map(({ event, type }) => event ?? type),
    authorization: request.headers().authorization,
  };
}

export const passing: Answer = () => undefined;
export const offline: Answer = (_, route) => route.abort();
export const answering =
  (status: number, headers: Record<string, string> = {}): Answer =>
  (_, route) =>
    route.fulfill({
      status,
      headers: { 'access-control-allow-origin': site, 'access-control-expose-headers': 'Retry-After', ...headers },
    });

export type Row = {
  event: string;
  subject_id: string | null;
  trust: string;
  consents: string[];
  anonymous_id: string;
  channel: string;
  properties: Record<string, unknown>;
  context: Record<string, Record<string, unknown>>;
};
export const rowsOf = (event: string): Promise<Row[]> => db('recorded_events').where({ event }).orderBy('id');

/** By a code in a text message, on Heyi's pages. */
export async function sendCode({ page }: { page: Page }, phone: string): Promise<void> {
  await page.locator('[name=phone]').fill(phone.slice(3));
  const privacy = page.locator('[name=privacy]');
  if (await privacy.count()) await privacy.first().check();
  await page.locator('form:has([name=phone]) button').first().click();
  const field = page.locator('[name=code]');
  await field.waitFor();
  const inbox = await fetch(`${config.sandboxUrl}/inbox?to=${encodeURIComponent(phone)}`);
  const { messages } = (await inbox.json()) as { messages: { code: string }[] };
  await field.fill(messages[0]?.code ?? '');
  await page.locator('form:has([name=code]) button').first().click();
}

/** Ends on the callback page. Answers who it is. */
export async function signInAs(visitor: { page: Page }, phone: string): Promise<string> {
  const { page } = visitor;
  await page.evaluate('heyi.signIn({ returnTo: "/open/back" })');
  await sendCode(visitor, phone);
  const callback = page.waitForURL(`${site}/open/callback**`);
  // Where somebody signed in before, Heyi asks whoever comes next for the privacy policy after the code.
  const privacy = page.locator('[name=privacy]');
  await Promise.race([callback, privacy.waitFor().catch(() => callback)]);
  if (page.url().startsWith(issuer)) {
    await privacy.check();
    await page.locator('form:has([name=privacy]) button').first().click();
  }
  await callback;
  const { sub } = await page.evaluate<{ sub: string }>('heyi.finishSignIn()');
  return sub;
}
