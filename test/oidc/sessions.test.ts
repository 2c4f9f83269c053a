import { describe, expect, it } from 'vitest';
import {
  browserSessionsOf,
  endAllOf,
  endGrantOf,
  endOthersOf,
  endSessionOf,
  grantsOf,
  purgeExpired,
} from '../../src/oidc/grants.ts';
import { testDatabase } from '../helpers/database.ts';
import { noJobs } from '../helpers/jobs.ts';
import {
  authorize,
  type Browser,
  basic,
  createBrowser,
  newCode,
  newPerson,
  password,
  pkce,
  post,
  reply,
  seal,
  startWorld,
} from './world.ts';

const { db } = await testDatabase();
const services = { db, seal, jobs: noJobs };
const world = await startWorld({ db });
const callback = 'https://app.example/callback';
const goodbye = 'https://app.example/bye';

for (const client_id of ['web', 'shop', 'partner']) {
  await world.register({
    client_id,
    name: client_id,
    party: client_id === 'partner' ? 'third' : 'first',
    redirect_uris: [callback],
    post_logout_redirect_uris: [goodbye],
    client_secret: password,
  });
}
const web = { client_id: 'web', redirect_uri: callback };
const token = `${world.base}/token`;

function ask(browser: Browser, parameters: Record<string, string>) {
  const { challenge } = pkce();
  const query = { response_type: 'code', scope: 'openid', code_challenge: challenge, code_challenge_method: 'S256' };
  return browser.get(`/authorize?${new URLSearchParams({ ...query, ...web, ...parameters })}`);
}

const errorIn = (answer: Response) => new URL(answer.headers.get('location') ?? 'none:').searchParams.get('error');
const sessionOf = (browser: Browser) => browser.cookies.get('heyi_session /')?.value;

async function authTime(browser: Browser, sub: string, parameters: Record<string, string>): Promise<number> {
  const { fields } = await newCode(world, sub, { ...web, ...parameters }, browser);
  const { body } = await post(token, fields, basic('web'));
  const claims = JSON.parse(Buffer.from(String(body.id_token).split('.')[1] ?? '', 'base64url').toString());
  return claims.auth_time;
}

describe('single sign-on', () => {
  it('lets a signed-in browser into another application without a page', async () => {
    const { sub } = await newPerson(db);
    const browser = createBrowser(world.base);
    await authorize(world, browser, sub, { ...web, code_challenge: pkce().challenge, code_challenge_method: 'S256' });
    const answer = await ask(browser, { client_id: 'shop', prompt: 'none' });
    expect(answer.headers.get('location')).toContain(`${callback}?code=`);
  });
  it('answers prompt=none without page: login_required, and consent_required for a third party (A28)', async () => {
    const { sub } = await newPerson(db);
    const browser = createBrowser(world.base);
    expect(errorIn(await ask(browser, { prompt: 'none' }))).toBe('login_required');
    await newCode(world, sub, web, browser);
    expect(errorIn(await ask(browser, { client_id: 'partner', prompt: 'none' }))).toBe('consent_required');
  });
  it('asks again for prompt=login and max_age=0, and states a new auth_time (A29)', async () => {
    const { sub } = await newPerson(db);
    const browser = createBrowser(world.base);
    const first = await authTime(browser, sub, { max_age: '3600' });
    expect((await ask(browser, { prompt: 'login' })).headers.get('location')).toMatch(/\/login\//);
    expect((await ask(browser, { max_age: '0' })).headers.get('location')).toMatch(/\/login\//);
    const session = await world.oidc.provider.Session.find(String(sessionOf(browser)));
    if (!session) throw new Error('no session');
    session.loginTs = first - 5;
    await session.persist();
    expect((await ask(browser, { max_age: '1' })).headers.get('location')).toMatch(/\/login\//);
    expect(await authTime(browser, sub, { prompt: 'login' })).toBeGreaterThanOrEqual(first);
  });
  it('ends for a person who was suspended: the browser is asked to sign in', async () => {
    const { sub } = await newPerson(db);
    const browser = createBrowser(world.base);
    await newCode(world, sub, web, browser);
    await db('subjects').where({ id: sub }).update({ status: 'suspended' });
    expect((await ask(browser, {})).headers.get('location')).toMatch(/\/login\//);
    expect(errorIn(await ask(browser, { prompt: 'none' }))).toBe('login_required');
  });
});

describe('the session cookie (A32, A34)', () => {
  it('has a new value after each sign-in, and the old one opens nothing', async () => {
    const { sub } = await newPerson(db);
    const browser = createBrowser(world.base);
    await newCode(world, sub, web, browser);
    const [before, signature] = [sessionOf(browser), browser.cookies.get('heyi_session.sig /')?.value];
    await newCode(world, sub, { ...web, prompt: 'login' }, browser);
    expect(sessionOf(browser)).not.toBe(before);
    const thief = createBrowser(world.base);
    thief.cookies.set('heyi_session /', { value: String(before), path: '/' });
    thief.cookies.set('heyi_session.sig /', { value: String(signature), path: '/' });
    expect(errorIn(await ask(thief, { prompt: 'none' }))).toBe('login_required');
  });
  it('that was set beforehand does not become a signed-in one', async () => {
    const { sub } = await newPerson(db);
    const victim = createBrowser(world.base);
    victim.cookies.set('heyi_session /', { value: 'planted', path: '/' });
    await newCode(world, sub, web, victim);
    expect(sessionOf(victim)).not.toBe('planted');
    const attacker = createBrowser(world.base);
    attacker.cookies.set('heyi_session /', { value: 'planted', path: '/' });
    expect(errorIn(await ask(attacker, { prompt: 'none' }))).toBe('login_required');
  });
  it('is HttpOnly and Lax; over https also Secure and bound to the host', async () => {
    const secure = await startWorld({ db, publicUrl: 'https://id.example.com' });
    const query = new URLSearchParams({
      ...web,
      response_type: 'code',
      scope: 'openid',
      code_challenge: pkce().challenge,
    });
    query.set('code_challenge_method', 'S256');
    const answer = await createBrowser(secure.base).get(`/authorize?${query}`);
    expect(answer.headers.get('location')).toMatch(/^https:\/\/id\.example\.com\/login\/|^\/login\//);
    const lines = answer.headers.getSetCookie();
    expect(lines.length).toBeGreaterThan(1);
    for (const line of lines) expect(line).toMatch(/^__Secure-heyi_.*; samesite=lax.*; secure.*; httponly/i);

    const { sub } = await newPerson(db);
    const jar = createBrowser(secure.base);
    const parameters = { ...web, code_challenge: pkce().challenge, code_challenge_method: 'S256' };
    await authorize(secure, jar, sub, parameters);
    expect([...jar.cookies.keys()]).toContain('__Host-heyi_session /');
  });
  it('is never set by 307 or 308: every redirect is 303', async () => {
    const { sub } = await newPerson(db);
    const browser = createBrowser(world.base);
    const first = await ask(browser, {});
    const login = await browser.get(`${new URL(first.headers.get('location') ?? '', world.base).pathname}?as=${sub}`);
    const resumed = await browser.get(new URL(login.headers.get('location') ?? '').pathname);
    expect([first.status, login.status, resumed.status]).toEqual([303, 303, 303]);
  });
});

describe('signing out (A36, A37)', () => {
  async function signedIn() {
    const { sub } = await newPerson(db);
    const browser = createBrowser(world.base);
    const { fields } = await newCode(world, sub, { ...web, scope: 'openid' }, browser);
    const { body } = await post(token, fields, basic('web'));
    return { sub, browser, id_token: String(body.id_token), access_token: String(body.access_token) };
  }
  const confirm = async (browser: Browser, page: string) => {
    const xsrf = /name="xsrf" value="([^"]+)"/.exec(page)?.[1] ?? '';
    const body = new URLSearchParams({ xsrf, logout: 'yes' });
    return browser.get('/logout/confirm', { method: 'POST', body });
  };
  it('asks the person, then ends session and tokens, and goes back to the registered address', async () => {
    const { browser, id_token, access_token } = await signedIn();
    const query = new URLSearchParams({ id_token_hint: id_token, post_logout_redirect_uri: goodbye, state: 's' });
    const page = await browser.get(`/logout?${query}`);
    expect(page.status).toBe(200);
    expect(errorIn(await ask(browser, { prompt: 'none' }))).toBeNull();
    const done = await confirm(browser, await page.text());
    expect(done.status).toBe(303);
    expect(done.headers.get('location')).toBe(`${goodbye}?state=s`);
    expect(errorIn(await ask(browser, { prompt: 'none' }))).toBe('login_required');
    const headers = { authorization: `Bearer ${access_token}` };
    expect((await fetch(`${world.base}/userinfo`, { headers })).status).toBe(401);
  });
  it('does not happen by a mere GET, nor by a form of another site', async () => {
    const { browser } = await signedIn();
    await browser.get('/logout');
    const forged = await browser.get('/logout/confirm', {
      method: 'POST',
      body: new URLSearchParams({ logout: 'yes' }),
    });
    expect(forged.status).toBe(400);
    expect(errorIn(await ask(browser, { prompt: 'none' }))).toBeNull();
  });
  it('goes to no address that is not registered, and to none without knowing the client', async () => {
    const { browser, id_token } = await signedIn();
    const evil = new URLSearchParams({ id_token_hint: id_token, post_logout_redirect_uri: 'https://evil.example/' });
    const refused = await browser.get(`/logout?${evil}`);
    expect([refused.status, refused.headers.get('location')]).toEqual([400, null]);
    const unknown = await browser.get(`/logout?${new URLSearchParams({ post_logout_redirect_uri: goodbye })}`);
    const done = await confirm(browser, await unknown.text());
    expect(new URL(done.headers.get('location') ?? '').pathname).toBe('/logout/success');
    expect(await (await browser.get('/logout/success')).text()).toContain('signed out');
  });
  it('ends what an anonymous id was bound to, also where a refresh token lives on', async () => {
    const { sub } = await newPerson(db);
    const browser = createBrowser(world.base);
    const { fields } = await newCode(world, sub, { ...web, scope: 'openid offline_access' }, browser);
    const { body } = await post(token, { ...fields, anonymous_id: 'anon-logout' }, basic('web'));
    expect(await db('anonymous_bindings').where({ anonymous_id: 'anon-logout', ends_at: null })).toHaveLength(1);
    await confirm(browser, await (await browser.get('/logout')).text());
    await expect
      .poll(() => db('anonymous_bindings').where({ anonymous_id: 'anon-logout', ends_at: null }))
      .toHaveLength(0);
    const refresh = { grant_type: 'refresh_token', refresh_token: String(body.refresh_token) };
    expect((await post(token, refresh, basic('web'))).status).toBe(200);
  });
});

describe('what a person is signed in to', () => {
  async function twoGrants() {
    const { sub } = await newPerson(db);
    const answers = [];
    for (const client_id of ['web', 'shop']) {
      const request = { client_id, redirect_uri: callback, scope: 'openid offline_access' };
      const { fields } = await newCode(world, sub, request);
      answers.push((await post(token, fields, basic(client_id))).body);
    }
    return { sub, answers };
  }
  const refresh = (client_id: string, refresh_token: unknown) =>
    post(token, { grant_type: 'refresh_token', refresh_token: String(refresh_token) }, basic(client_id));

  it('is listed with application, scopes and last use', async () => {
    const { sub } = await twoGrants();
    const grants = await grantsOf({ db, seal }, sub);
    expect(grants.map(({ client_id }) => client_id).sort()).toEqual(['shop', 'web']);
    expect(grants[0]).toMatchObject({ scopes: ['openid', 'offline_access'], last_used_at: expect.any(Date) });
    expect(await browserSessionsOf(db, sub)).toHaveLength(2);
  });
  it('ends one by one, and only by its person', async () => {
    const { sub, answers } = await twoGrants();
    const { sub: other } = await newPerson(db);
    const grant = (await grantsOf({ db, seal }, sub)).find(({ client_id }) => client_id === 'web');
    const grant_id = String(grant?.grant_id);
    expect(await endGrantOf(services, { sub: other, grant_id })).toBe(false);
    expect(await endGrantOf(services, { sub, grant_id })).toBe(true);
    expect((await refresh('web', answers[0]?.refresh_token)).body.error).toBe('invalid_grant');
    expect((await refresh('shop', answers[1]?.refresh_token)).status).toBe(200);
  });
  it("ends all at once, sessions included, and nobody else's", async () => {
    const { sub, answers } = await twoGrants();
    const bystander = await twoGrants();
    await db.transaction((trx) => endAllOf(trx, sub));
    expect(await grantsOf({ db, seal }, sub)).toEqual([]);
    expect(await browserSessionsOf(db, sub)).toEqual([]);
    expect((await refresh('web', answers[0]?.refresh_token)).body.error).toBe('invalid_grant');
    const headers = { authorization: `Bearer ${answers[1]?.access_token}` };
    expect((await reply(await fetch(`${world.base}/userinfo`, { headers }))).status).toBe(401);
    expect((await refresh('web', bystander.answers[0]?.refresh_token)).status).toBe(200);
  });
  it('ends one browser with what was given from it, and only by its person', async () => {
    const { sub, answers } = await twoGrants();
    const { sub: other } = await newPerson(db);
    // Newest first: the shop's browser.
    const [{ uid } = { uid: '' }] = await browserSessionsOf(db, sub);
    expect(await endSessionOf(services, { sub: other, uid })).toBe(false);
    expect(await endSessionOf(services, { sub, uid })).toBe(true);
    expect((await refresh('shop', answers[1]?.refresh_token)).body.error).toBe('invalid_grant');
    expect((await refresh('web', answers[0]?.refresh_token)).status).toBe(200);
    expect(await browserSessionsOf(db, sub)).toHaveLength(1);
  });
  it('ends all but one browser and what was given from it (D4)', async () => {
    const { sub, answers } = await twoGrants();
    const [{ uid } = { uid: '' }] = await browserSessionsOf(db, sub);
    await endOthersOf(services, { sub, uid });
    expect(await browserSessionsOf(db, sub)).toMatchObject([{ uid }]);
    expect((await refresh('web', answers[0]?.refresh_token)).body.error).toBe('invalid_grant');
    expect((await refresh('shop', answers[1]?.refresh_token)).status).toBe(200);
  });
  it('is purged by a job when it has expired, and bindings end with it', async () => {
    const { sub } = await newPerson(db);
    const { fields } = await newCode(world, sub, web);
    await post(token, { ...fields, anonymous_id: 'anon-purge' }, basic('web'));
    await db('oidc_artifacts').update({ expires_at: db.raw(`now() - interval '1 second'`) });
    await world.jobs.get('oidc.purge')?.({});
    expect(await db('oidc_artifacts')).toEqual([]);
    expect(await db('anonymous_bindings').where({ anonymous_id: 'anon-purge', ends_at: null })).toEqual([]);
    expect(await purgeExpired(db)).toBe(0);
  });
});
