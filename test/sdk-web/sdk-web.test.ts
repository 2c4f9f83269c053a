/** The browser SDK on a website of another origin, in a real browser, against the whole product. */
import { join } from 'node:path';
import { gzipSync } from 'node:zlib';
import { describe, expect, it } from 'vitest';
import { projectRoot } from '../../src/config.ts';
import {
  answering,
  config,
  db,
  files,
  held,
  issuer,
  leaving,
  manifest,
  offline,
  passing,
  queued,
  rowsOf,
  sendCode,
  settled,
  signInAs,
  site,
  track,
  visit,
  wire,
} from './site.ts';

const soon = { timeout: 10_000 };

describe('the package', () => {
  it.each(Object.keys(files))('%s is under 8 KB gzipped', (name) => {
    expect(gzipSync(files[name] ?? '').length).toBeLessThan(8 * 1024);
  });

  it('says its version in every event, and needs no other package', () => {
    expect(files['heyi.js']).toContain(`version:\`${manifest.version}\``);
    expect(manifest.dependencies).toBeUndefined();
  });

  it('can be imported where there is no browser, by a server that renders pages', async () => {
    const { createHeyi } = await import(join(projectRoot, 'sdk/web/src/heyi.js'));
    expect(createHeyi).toBeTypeOf('function');
  });

  it('adds no global but heyi', async () => {
    const { page } = await visit('/none/');
    const added = await page.evaluate<string[]>(`new Promise((done) => {
      const frame = document.body.appendChild(document.createElement('iframe'));
      const usual = new Set(Object.getOwnPropertyNames(frame.contentWindow));
      done(Object.getOwnPropertyNames(window).filter((name) => !usual.has(name) && isNaN(name)));
    })`);
    expect(added.filter((name) => !/playwright/i.test(name))).toEqual(['heyi']);
    await page.close();
  });
});

describe('before the visitor has chosen', () => {
  it('nothing is stored and nothing is sent; the choice records the page that is looked at', async () => {
    const visitor = await visit('/ask/?utm_source=wechat&utm_campaign=spring');
    const requests: string[] = [];
    visitor.page.on('request', (request) => requests.push(request.url()));
    await visitor.page.locator('b').click();
    await track(visitor, 'before_consent');
    await settled(visitor);
    expect(await held(visitor)).toEqual([]);
    expect(await visitor.page.evaluate('heyi.anonymousId()')).toBeNull();
    await visitor.page.evaluate('heyi.setConsent({ profiling: true, marketing: false })');
    await settled(visitor);
    expect(requests.filter((url) => !url.startsWith(`${issuer}/v1/batch`))).toEqual([]);
    const [row, ...more] = await db('recorded_events').whereRaw(`context #>> '{campaign,name}' = 'spring'`);
    expect(more).toEqual([]);
    expect(row).toMatchObject({ event: 'page_viewed', trust: 'claimed', channel: 'website' });
    expect(row.consents.sort()).toEqual(['profiling', 'service']);
    expect(row.anonymous_id).toBe(await visitor.page.evaluate('heyi.anonymousId()'));
    expect(await rowsOf('before_consent')).toEqual([]);
    expect(await rowsOf('banner_clicked')).toEqual([]);
    expect(visitor.complaints).toEqual([]);
    await visitor.context.close();
  });

  it('F16: a withdrawal clears what waits and the id; what the service needs goes on under another id, stored nowhere', async () => {
    const visitor = await visit('/ask/');
    await visitor.page.evaluate('heyi.setConsent({ profiling: true, marketing: true })');
    await settled(visitor);
    const before = await visitor.page.evaluate('heyi.anonymousId()');
    const net = await wire(visitor.context, offline);
    await track(visitor, 'never_sent');
    await settled(visitor);
    expect((await held(visitor)).filter((name) => name.startsWith('heyi.track.queue.'))).toHaveLength(1);
    await visitor.page.evaluate('heyi.setConsent({ profiling: false, marketing: false })');
    expect(await held(visitor)).toEqual(['heyi.consent']);
    net.answer = passing;
    await track(visitor, 'service_only');
    expect((await held(visitor)).map((name) => name.replace(/=.*/, ''))).toEqual(['heyi.consent', 'heyi_id']);
    const [cookie] = await visitor.context.cookies();
    expect(cookie?.expires).toBe(-1);
    await settled(visitor);
    const [row] = await rowsOf('service_only');
    expect(row?.consents).toEqual(['service']);
    expect(row?.anonymous_id).not.toBe(before);
    expect(await rowsOf('never_sent')).toEqual([]);
    await visitor.context.close();
  });

  it('a question whose version was raised is asked again, and what was agreed before counts no more', async () => {
    const visitor = await visit('/ask/');
    // It waits, also as the page is left.
    await wire(visitor.context, answering(429, { 'retry-after': '600' }));
    await visitor.page.evaluate('heyi.setConsent({ profiling: true })');
    await track(visitor, 'under_version_1');
    await settled(visitor);
    await visitor.page.goto(`${site}/raised/`);
    expect(await visitor.page.evaluate('heyi.consent()')).toBeNull();
    await settled(visitor);
    expect(await queued(visitor)).toBe(2);
    await visitor.page.evaluate('heyi.setConsent({ profiling: false })');
    expect(await held(visitor)).toEqual(['heyi.consent']);
    expect(await queued(visitor)).toBe(0);
    expect(await rowsOf('under_version_1')).toEqual([]);
    await visitor.context.close();
  });

  it('one of two purposes withdrawn is taken off what waits', async () => {
    const visitor = await visit('/ask/');
    const net = await wire(visitor.context, offline);
    await visitor.page.evaluate('heyi.setConsent({ profiling: true, marketing: true })');
    await track(visitor, 'half_agreed');
    await settled(visitor);
    await visitor.page.evaluate('heyi.setConsent({ profiling: true, marketing: false })');
    net.answer = passing;
    await settled(visitor);
    expect((await rowsOf('half_agreed'))[0]?.consents.sort()).toEqual(['profiling', 'service']);
    await visitor.context.close();
  });
});

describe('what is recorded', () => {
  it('routes of a single-page application, clicks and forms that say so, each with where it was', async () => {
    const visitor = await visit('/open/?token=secret&q=tea');
    const { page } = visitor;
    await page.evaluate(`{
      history.pushState(null, '', '/open/products/1?utm_source=baidu#top');
      history.replaceState(null, '', '/open/products/1?variant=2');
    }`);
    await page.locator('b').click();
    await page.locator('form button').click();
    await expect.poll(async () => (await rowsOf('form_submitted')).length, soon).toBe(1);
    const anonymous_id = await page.evaluate<string>('heyi.anonymousId()');
    const views = await db('recorded_events').where({ event: 'page_viewed', anonymous_id }).orderBy('timestamp');
    expect(views.map(({ properties }) => [properties.url, properties.referrer])).toEqual([
      [`${site}/open/?q=tea`, undefined],
      [`${site}/open/products/1?variant=2`, `${site}/open/?q=tea`],
    ]);
    const [click] = await rowsOf('banner_clicked');
    expect(click).toMatchObject({ properties: { banner_id: 'B-1' }, channel: 'website' });
    expect(click?.context).toMatchObject({
      page: { path: '/open/products/1', title: '山屿 open' },
      locale: 'zh-CN',
      screen: { width: 1280, height: 720 },
      library: { name: '@heyi/web', version: manifest.version },
    });
    expect((await rowsOf('form_submitted'))[0]?.properties).toEqual({ form: 'newsletter' });
    expect(visitor.complaints).toEqual([]);
    await visitor.context.close();
  });

  it('by a script tag alone, without a script of the page; what was rendered ahead once it is shown', async () => {
    const ahead = 'Object.defineProperty(document, "prerendering", { get: () => !window.isShown })';
    const visitor = await visit('/tag/', {}, ahead);
    await visitor.page.evaluate('heyi.setConsent({ profiling: true })');
    expect(await queued(visitor)).toBe(0);
    await visitor.page.evaluate('isShown = true; document.dispatchEvent(new Event("prerenderingchange"))');
    await settled(visitor);
    const rows = await db('recorded_events').whereRaw(`context #>> '{page,path}' = '/tag/'`);
    expect(rows.map(({ event, properties }) => [event, properties.name])).toEqual([['page_viewed', undefined]]);
    await visitor.context.close();
  });
});

describe('what waits', () => {
  it('survives a reload without a network, and is stored once', async () => {
    const visitor = await visit('/quiet/');
    const net = await wire(visitor.context, offline);
    await track(visitor, 'offline_first', { n: 1 });
    await track(visitor, 'offline_second', { n: 2 });
    await settled(visitor);
    await visitor.page.reload();
    expect(await queued(visitor)).toBe(2);
    net.answer = passing;
    await visitor.page.evaluate('dispatchEvent(new Event("online"))');
    await expect.poll(() => queued(visitor), soon).toBe(0);
    for (const name of ['offline_first', 'offline_second']) expect(await rowsOf(name)).toHaveLength(1);
    await visitor.context.close();
  });

  it('is sent once by two tabs, and neither loses what the other adds', async () => {
    const visitor = await visit('/quiet/');
    const other = { page: await visitor.context.newPage() };
    await other.page.goto(`${site}/quiet/`);
    const net = await wire(visitor.context, offline);
    const both = [visitor, other];
    await Promise.all(Array.from({ length: 20 }, (_, n) => track(both[n % 2] ?? visitor, 'of_two_tabs', { n })));
    await Promise.all(both.map(settled));
    net.seen.length = 0;
    net.answer = passing;
    await Promise.all(both.map(settled));
    expect(net.seen.flatMap(({ ids }) => ids)).toHaveLength(20);
    expect(new Set((await rowsOf('of_two_tabs')).map(({ properties }) => properties.n)).size).toBe(20);
    await visitor.context.close();
  });

  it('is sent as the page is left', async () => {
    const visitor = await visit('/quiet/');
    await leaving(visitor, 'leaving', 'about:blank');
    await expect.poll(async () => (await rowsOf('leaving')).length, soon).toBe(1);
    await visitor.context.close();
  });

  it('goes in halves when a request is too large, and only an event that alone is too large is given up, and counted', async () => {
    const visitor = await visit('/quiet/');
    await wire(visitor.context, (sent, route) =>
      sent.ids.length > 2 || sent.names.includes('refused_alone') ? answering(413)(sent, route) : undefined,
    );
    for (let n = 0; n < 7; n++) await track(visitor, n === 3 ? 'refused_alone' : 'split', { n });
    await track(visitor, 'too_long', { text: '山'.repeat(11_000) });
    await settled(visitor);
    expect((await rowsOf('split')).map(({ properties }) => properties.n)).toEqual([0, 1, 2, 4, 5, 6]);
    expect(await visitor.page.evaluate('heyi.status()')).toEqual({ queued: 0, dropped: 0, refused: 2 });
    await visitor.context.close();
  });

  it('is kept after 500, 503, and after a 401 or 403 that somebody will put right', async () => {
    const visitor = await visit('/quiet/');
    const net = await wire(visitor.context, offline);
    await track(visitor, 'kept');
    for (const status of [500, 503, 401, 403]) {
      net.answer = answering(status);
      await settled(visitor);
      expect(await queued(visitor)).toBe(1);
    }
    net.answer = passing;
    await settled(visitor);
    expect(await rowsOf('kept')).toHaveLength(1);
    await visitor.context.close();
  });

  it('waits as long as a 429 asks for, in every tab and after a reload', async () => {
    const visitor = await visit('/quiet/');
    const net = await wire(visitor.context, answering(429, { 'retry-after': '600' }));
    await track(visitor, 'pressed');
    await settled(visitor);
    net.answer = passing;
    await visitor.page.reload();
    const other = { page: await visitor.context.newPage() };
    await other.page.goto(`${site}/quiet/`);
    await settled(visitor);
    await settled(other);
    expect(net.seen).toHaveLength(1);
    // Ten minutes later.
    await other.page.evaluate(`{
      const until = Number(localStorage.getItem('heyi.track.pause')) - Date.now();
      if (until > 500_000) localStorage.setItem('heyi.track.pause', Date.now());
    }`);
    await settled(other);
    expect(await rowsOf('pressed')).toHaveLength(1);
    await visitor.context.close();
  });

  it('loses its oldest only at the byte cap, and says how many', async () => {
    const visitor = await visit('/small/');
    const net = await wire(visitor.context, offline);
    for (let n = 0; n < 8; n++) await track(visitor, 'capped', { n });
    await settled(visitor);
    const { queued: kept, dropped } = await visitor.page.evaluate<{ queued: number; dropped: number }>('heyi.status()');
    expect(kept + dropped).toBe(8);
    expect(dropped).toBeGreaterThan(0);
    net.answer = passing;
    await settled(visitor);
    const numbers = (await rowsOf('capped')).map(({ properties }) => properties.n);
    expect(numbers).toEqual([0, 1, 2, 3, 4, 5, 6, 7].slice(dropped));
    await visitor.context.close();
  });
});

describe('where the browser gives little', () => {
  it('delivers when storage throws and cookies are blocked', async () => {
    const blocked = `
      for (const name of ['localStorage', 'sessionStorage'])
        Object.defineProperty(window, name, { get() { throw new DOMException('denied', 'SecurityError'); } });
      Object.defineProperty(document, 'cookie', { get: () => '', set() {} });`;
    const visitor = await visit('/open/', {}, blocked);
    await track(visitor, 'nothing_kept');
    await settled(visitor);
    const [row] = await rowsOf('nothing_kept');
    expect(row?.anonymous_id).toBe(await visitor.page.evaluate('heyi.anonymousId()'));
    await expect(visitor.page.evaluate('heyi.signIn()')).rejects.toThrow(/remember nothing/);
    expect(visitor.complaints).toEqual([]);
    await visitor.context.close();
  });

  it('delivers in a web view of WeChat without locks and newer functions', async () => {
    const userAgent =
      'Mozilla/5.0 (Linux; Android 10; MED-AL00) AppleWebKit/537.36 (KHTML, like Gecko) Version/4.0 Chrome/86.0.4240.99 XWEB/4317 MMWEBSDK/20220805 Mobile Safari/537.36 MicroMessenger/8.0.27';
    const old = `delete Navigator.prototype.locks; delete Crypto.prototype.randomUUID; delete Request.prototype.keepalive;
      delete Array.prototype.at; delete Object.hasOwn; delete window.structuredClone;`;
    const visitor = await visit('/quiet/', { userAgent, viewport: { width: 360, height: 640 } }, old);
    await track(visitor, 'in_wechat');
    await settled(visitor);
    expect((await rowsOf('in_wechat'))[0]?.context.userAgent).toBe(userAgent);
    // Its requests end with the page: a beacon does not.
    await leaving(visitor, 'by_beacon', 'about:blank');
    await expect.poll(async () => (await rowsOf('by_beacon')).length, soon).toBe(1);
    expect(visitor.complaints).toEqual([]);
    await visitor.context.close();
  });
});

describe('signing in without a server', () => {
  it('F1: what A did stays A’s when B signs in in the same browser, and B’s token never carries it', async () => {
    const visitor = await visit('/open/');
    const { page, context } = visitor;
    await track(visitor, 'before_a');
    const a = await signInAs(visitor, '+8613612345601');
    expect(page.url()).toBe(`${site}/open/callback`);
    await track(visitor, 'while_a');
    await settled(visitor);
    const first = await page.evaluate('heyi.anonymousId()');
    const net = await wire(context, offline);
    await track(visitor, 'offline_a');
    await page.evaluate('heyi.signOut()');
    await page.waitForURL((url) => url.pathname !== '/open/callback');
    if (page.url().startsWith(issuer)) await page.locator('form button').first().click();
    await page.waitForURL(`${site}/open/`);
    expect(await page.evaluate('heyi.person()')).toBeNull();
    expect(await page.evaluate('heyi.anonymousId()')).not.toBe(first);
    const b = await signInAs(visitor, '+8613612345602');
    await track(visitor, 'while_b');
    await settled(visitor);
    const bearers = (name: string) =>
      net.seen.filter(({ names }) => names.includes(name)).map((one) => one.authorization);
    expect(b).not.toBe(a);
    net.seen.length = 0;
    net.answer = passing;
    await settled(visitor);
    expect(bearers('offline_a')).toEqual([undefined]);
    expect(bearers('while_b')).toEqual([expect.stringMatching(/^Bearer /)]);
    const owner = async (name: string) => (await rowsOf(name)).map((row) => [row.subject_id, row.trust]);
    expect(await owner('while_a')).toEqual([[a, 'token']]);
    expect(await owner('offline_a')).toEqual([[a, 'bound']]);
    expect(await owner('while_b')).toEqual([[b, 'token']]);
    const open = await db('anonymous_bindings').where({ anonymous_id: first }).whereNull('ends_at');
    expect(open).toEqual([]);
    expect(visitor.complaints).toEqual([]);
    await context.close();
  });

  it('renews the token once for all tabs, and both know when one signs out', async () => {
    const visitor = await visit('/open/');
    const { page, context } = visitor;
    const sub = await signInAs(visitor, '+8613612345603');
    const other = await context.newPage();
    await other.goto(`${site}/open/`);
    await other.evaluate('window.told = []; heyi.onChange((person) => told.push(person))');
    const renewals: string[] = [];
    context.on('request', (request) => request.url() === `${issuer}/token` && renewals.push(request.method()));
    await page.evaluate(`{
      const held = JSON.parse(localStorage.getItem('heyi.session'));
      localStorage.setItem('heyi.session', JSON.stringify({ ...held, expires_at: 0 }));
    }`);
    const tokens = await Promise.all([page, other, page].map((tab) => tab.evaluate<string>('heyi.accessToken()')));
    expect(new Set(tokens).size).toBe(1);
    expect(renewals).toEqual(['POST']);
    const status = await page.evaluate(`heyi.fetch('${issuer}/userinfo').then((answer) => answer.json())`);
    expect(status).toMatchObject({ sub });
    await leaving(visitor, 'leaving_signed_in', `${site}/open/`);
    await expect.poll(async () => (await rowsOf('leaving_signed_in')).map((row) => row.trust), soon).toEqual(['token']);
    await page.evaluate('heyi.signOut({ redirect: false })');
    await expect.poll(() => other.evaluate('told'), soon).toEqual([null]);
    await expect(other.evaluate('heyi.accessToken()')).rejects.toThrow(/Nobody is signed in/);
    await context.close();
  });

  it('a link with somebody else’s code signs nobody in', async () => {
    const visitor = await visit('/open/callback?code=stolen&state=made-up');
    expect(await visitor.page.evaluate('heyi.finishSignIn()')).toBeNull();
    await settled(visitor);
    const urls = await db('recorded_events').whereRaw(`context #>> '{page,url}' like '%stolen%'`);
    expect(urls).toEqual([]);
    await visitor.context.close();
  });
});

describe('the mirror', () => {
  const vendors = `window.calls = []; window.gtag = (...values) => calls.push(values); window._hmt = { push: (value) => calls.push(value) };
    localStorage.setItem('heyi.session', JSON.stringify({ sub: '01900000-0000-7000-8000-000000000001', access_token: 'x', expires_at: 9e12 }));`;

  it('tells other vendors under consent, and knows the person to each by another id', async () => {
    const visitor = await visit('/mirrored/', {}, vendors);
    await wire(visitor.context, offline);
    await visitor.page.evaluate('heyi.setConsent({ profiling: false })');
    await track(visitor, 'not_mirrored');
    await visitor.page.evaluate('heyi.setConsent({ profiling: true })');
    await track(visitor, 'mirrored', { product_id: 'P-1' });
    await expect.poll(() => visitor.page.evaluate('calls.length'), soon).toBe(4);
    const calls = await visitor.page.evaluate<unknown[][]>('calls');
    const [set, , event] = [calls[0], calls[1], calls[2]] as [unknown[], unknown[], unknown[]];
    const ids = [(set[1] as { user_id: string }).user_id, calls[1]?.[1]];
    expect(new Set(ids).size).toBe(2);
    for (const id of ids) expect(id).toMatch(/^[0-9a-f]{32}$/);
    expect(event).toEqual(['event', 'mirrored', { product_id: 'P-1' }]);
    expect(calls[3]).toEqual(['_trackEvent', 'heyi', 'mirrored', 'P-1']);
    expect(JSON.stringify(calls)).not.toMatch(/01900000|not_mirrored/);
    await visitor.context.close();
  });
});

describe('the demo website', () => {
  const demo = `http://localhost:${config.demoPort}`;

  it('runs on the SDK as its sources are: nothing before the banner is answered, and a page without a server signs in', async () => {
    const visitor = await visit(demo, {}, '');
    const { page } = visitor;
    const kept = async () => (await held(visitor)).map((name) => name.replace(/=.*/, ''));
    expect(await kept()).toEqual([]);
    await page.getByRole('button', { name: '同意个性化' }).click();
    await expect.poll(kept, soon).toEqual(expect.arrayContaining(['heyi.consent', 'shanyu_visitor']));
    await page.goto(`${demo}/spa`);
    await page.getByRole('button', { name: '登录', exact: true }).click();
    await sendCode(visitor, '+8613612345604');
    await page.waitForURL(`${demo}/spa/callback`);
    await page.getByText('登录成功').waitFor();
    const sub = (await page.locator('#spa-out').textContent())?.split(/[ ：]/).at(-1);
    await page.goto(`${demo}/spa`);
    await page.getByRole('button', { name: '退出登录' }).waitFor();
    await expect
      .poll(async () => (await db('recorded_events').where({ subject_id: sub, trust: 'token' })).length, soon)
      .toBeGreaterThan(0);
    expect(visitor.complaints).toEqual([]);
    await visitor.context.close();
  });
});
