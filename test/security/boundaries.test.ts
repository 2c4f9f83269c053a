/** One person's hand in another's pocket: replay between clients, other people's events and data, and who may read what (A14, A44, C3, C4, C7, D19, F1, F2, F3). */
import { describe, expect, it } from 'vitest';
import { runningApp } from '../helpers/app.ts';
import { createVisitor, formTo } from '../login/visitor.ts';
import {
  attackerOf,
  basic,
  bearer,
  claimsOf,
  exchangeGrant,
  freshPhone,
  type Json,
  oneTimeCode,
  website,
} from './attacker.ts';

const app = await runningApp();
const attacker = attackerOf(app.config);
const { say, send, sandbox, token, exchange } = attacker;
const base = app.config.publicUrl;

async function person() {
  const phone = freshPhone();
  const signed = await attacker.signIn('sms', phone);
  const { body } = await attacker.redeem(signed);
  return { phone, sub: String(claimsOf(body.id_token).sub), tokens: body };
}
const track = (headers: Record<string, string>, body: Json, path = 'track') =>
  say(`${base}/v1/${path}`, {
    method: 'POST',
    headers: { 'content-type': 'application/json', ...headers },
    body: JSON.stringify(body),
  });
async function eventsOf(sub: string): Promise<Record<string, unknown>> {
  const { body } = await attacker.api(`/subjects/${sub}/events`);
  return Object.fromEntries(
    (body.data as { event: string; trust: string }[]).map(({ event, trust }) => [event, trust]),
  );
}
const publicKey = basic('demo-client-key', '');

describe('what was given to one client is worth nothing to another (A14, A44)', () => {
  it('an authorization code', async () => {
    const signed = await attacker.signIn('sms', freshPhone());
    const fields = { grant_type: 'authorization_code', code: signed.code, code_verifier: signed.verifier };
    const stolen = await token({ ...fields, client_id: 'demo-spa', redirect_uri: signed.redirect_uri });
    expect(stolen).toMatchObject({ status: 400, body: { error: 'invalid_grant' } });
  });
  it('a refresh token; and the thief cannot end it either', async () => {
    const { tokens } = await person();
    const refresh_token = String(tokens.refresh_token);
    for (const client_id of ['demo-spa', 'demo-miniprogram']) {
      const stolen = await token({ grant_type: 'refresh_token', client_id, refresh_token });
      expect(stolen).toMatchObject({ status: 400, body: { error: 'invalid_grant' } });
    }
    await say(`${base}/revoke`, {
      method: 'POST',
      body: new URLSearchParams({ token: refresh_token, client_id: 'demo-spa' }),
    });
    expect((await attacker.refresh(refresh_token)).status).toBe(200);
  });
  it('a look into a token', async () => {
    const { tokens } = await person();
    const answer = await say(`${base}/introspect`, {
      method: 'POST',
      headers: basic('demo-backend', 'demo-backend-secret'),
      body: new URLSearchParams({ token: String(tokens.access_token) }),
    });
    expect(answer.body).toEqual({ active: false });
  });
  it('a code that was sent for the mini-program, on the website', async () => {
    const phone = freshPhone();
    const visitor = createVisitor();
    const start = await visitor.follow(await visitor.get(attacker.authorize().url));
    const page = await visitor.follow(await visitor.submit(formTo(start, '/sms'), { phone, privacy: '1' }));
    // The number's next code goes to the mini-program; it must not finish the sign-in of the page, nor the page's code the exchange.
    const forPage = await sandbox.inbox(phone);
    await app.db.raw("update one_time_codes set created_at = created_at - interval '2 minutes'");
    const { body } = await send('POST', `${base}/otp`, { client_id: 'demo-miniprogram', channel: 'sms', to: phone });
    if (body.otp_id) {
      const forOtp = await sandbox.inbox(phone);
      if (forOtp !== forPage)
        expect((await visitor.submit(formTo(page, '/verify'), { code: forOtp })).status).toBe(400);
    }
    const crossed = await exchange(`${body.otp_id ?? 'sms_x'}.${forPage}`, { subject_token_type: oneTimeCode });
    expect(crossed).toMatchObject({ status: 400, body: { error: 'invalid_grant' } });
  });
  it('an exchange by a client that is bound to no app', async () => {
    const code = await sandbox.code(await sandbox.person('甲'), 'login-code');
    for (const client_id of ['demo-spa', 'heyi-admin']) expect((await exchange(code, { client_id })).status).toBe(400);
  });
});

describe('who somebody is comes from a proof, never from a claim', () => {
  it('an openid in the request is not read (C4)', async () => {
    const id = { openid: 'oVictim', unionid: 'oVictim', appid: 'wxsandbox0000000001', sub: 'x' };
    expect(await exchange('not-a-code', id)).toMatchObject({ status: 400, body: { error: 'invalid_grant' } });
  });
  it("another person's phone code adds nothing to a sign-in (C7)", async () => {
    const victim = freshPhone();
    const thief = await sandbox.person('贼', freshPhone());
    const phone_code = await sandbox.code(await sandbox.person('主', victim), 'phone-code');
    const answer = await exchange(await sandbox.code(thief, 'login-code'), { phone_code });
    expect(answer).toMatchObject({ status: 200, body: { phone_status: 'failed' } });
    const lookup = await attacker.api('/subjects/lookup', {
      method: 'POST',
      body: JSON.stringify({ kind: 'phone', value: victim }),
    });
    expect(lookup.status).toBe(404);
  });
  it("events under somebody's name stay claims (F1, F2)", async () => {
    const [victim, thief] = [await person(), await person()];
    const names = { userId: victim.sub, context: { externalIds: [externalPhone(victim.phone)] } };
    const statuses = [
      await track(bearer(thief.tokens.access_token), { event: 'by_token', anonymousId: 'thief-1', ...names }),
      await track(publicKey, { event: 'by_public_key', anonymousId: 'thief-2', ...names }),
      await track(publicKey, { previousId: 'thief-2', userId: victim.sub }, 'alias'),
      await track(publicKey, { anonymousId: 'thief-2', traits: { phone: victim.phone }, ...names }, 'identify'),
      await track(publicKey, { event: 'after', anonymousId: 'thief-2' }),
      await track(publicKey, { groupId: 'vip', userId: victim.sub }, 'group'),
    ];
    for (const { status } of statuses) expect(status).toBe(200);
    expect(await eventsOf(victim.sub)).toEqual({});
  });
  it('nor do they wait for somebody who has not come yet, unless a server sent them (F15)', async () => {
    const thief = await person();
    const phone = freshPhone();
    const context = { externalIds: [externalPhone(phone)] };
    await track(publicKey, { event: 'planted_by_public_key', anonymousId: 'thief-4', context });
    await track(bearer(thief.tokens.access_token), { event: 'planted_by_token', anonymousId: 'thief-4', context });
    await track(basic('demo-server-key', ''), { event: 'kept_by_server', context });
    const { body } = await attacker.redeem(await attacker.signIn('sms', phone));
    const events = await eventsOf(String(claimsOf(body.id_token).sub));
    expect(Object.keys(events).filter((name) => name.startsWith('planted'))).toEqual([]);
    expect(Object.keys(await eventsOf(thief.sub))).toEqual(['planted_by_token']);
  });
  it('an ID token binds only where it was issued, and only a true one', async () => {
    const victim = await person();
    const id_token = String(victim.tokens.id_token);
    const [head, body] = id_token.split('.');
    const none = Buffer.from('{"alg":"none"}').toString('base64url');
    for (const forged of [`${head}.${body}.AAAA`, `${none}.${body}.`, String(victim.tokens.access_token)]) {
      await track(publicKey, { anonymousId: 'thief-3', context: { id_token: forged } }, 'identify');
      await track(publicKey, { event: 'forged', anonymousId: 'thief-3' });
    }
    expect(await eventsOf(victim.sub)).not.toHaveProperty('forged');
    await track(publicKey, { anonymousId: 'own-browser', context: { id_token } }, 'identify');
    await track(publicKey, { event: 'true', anonymousId: 'own-browser' });
    expect(await eventsOf(victim.sub)).toHaveProperty('true', 'bound');
  });
  it('what one browser did before another person signed in there stays the first one’s (F3)', async () => {
    const first = await attacker.signIn('sms', freshPhone());
    const consents = 'privacy@1 profiling@1';
    const one = await attacker.redeem(first, { anonymous_id: 'shared-browser', consents });
    await track(publicKey, { event: 'private', anonymousId: 'shared-browser' });
    const second = await attacker.signIn('sms', freshPhone());
    const two = await attacker.redeem(second, { anonymous_id: 'shared-browser', consents });
    await track(publicKey, { event: 'later', anonymousId: 'shared-browser' });
    expect(await eventsOf(String(claimsOf(one.body.id_token).sub))).toEqual({ private: 'bound' });
    expect(await eventsOf(String(claimsOf(two.body.id_token).sub))).toEqual({ later: 'bound' });
  });
});

const externalPhone = (id: string) => ({ id, type: 'phone', collection: 'users', encoding: 'none' });

describe('reading needs a program with the scope (D19, F2)', () => {
  it('no key, no person and no ID token opens the management API', async () => {
    const victim = await person();
    const asked = { resource: `${base}/api`, scope: 'openid subjects:read subjects:pii settings:write me:read' };
    const signed = await attacker.signIn('sms', freshPhone(), { more: asked });
    const greedy = await attacker.redeem(signed, { resource: asked.resource });
    expect(claimsOf(greedy.body.access_token).scope).toBe('me:read');
    for (const headers of [
      publicKey,
      basic('demo-server-key', ''),
      basic('demo-backend', 'demo-backend-secret'),
      bearer(victim.tokens.access_token),
      bearer(victim.tokens.id_token),
      bearer(victim.tokens.refresh_token),
      bearer(greedy.body.access_token),
      {},
    ]) {
      for (const path of [`/subjects/${victim.sub}`, `/subjects/${victim.sub}/events`, '/clients', '/write-keys'])
        expect([401, 403]).toContain((await say(`${base}/api/v1${path}`, { headers })).status);
    }
    expect((await attacker.api(`/subjects/${victim.sub}`)).status).toBe(200);
  });
  it('a public client gets no token of its own', async () => {
    for (const client_id of ['demo-miniprogram', 'demo-spa', 'heyi-admin']) {
      const { status } = await token({ grant_type: 'client_credentials', client_id, resource: `${base}/api` });
      expect(status).toBe(400);
    }
  });
  it('a machine token reads no userinfo and sends no events in a person’s name', async () => {
    const machine = bearer(await attacker.machineToken());
    expect((await say(`${base}/userinfo`, { headers: machine })).status).toBe(401);
    expect((await track(machine, { event: 'x', userId: 'y' })).status).toBe(401);
  });
});

describe('the browser of somebody else', () => {
  it("a sign-in page's address opens nothing without its cookies (A30), nor its code (A31)", async () => {
    const phone = freshPhone();
    const mine = createVisitor();
    const start = await mine.follow(await mine.get(attacker.authorize().url));
    const page = await mine.follow(await mine.submit(formTo(start, '/sms'), { phone, privacy: '1' }));
    const code = await sandbox.inbox(phone);
    const other = createVisitor();
    expect((await other.get(page.url)).status).toBe(400);
    const stolen = await other.submit(formTo(page, '/verify'), { code });
    expect(stolen.status).toBe(400);
    expect(stolen.location).toBeUndefined();
    expect((await mine.submit(formTo(page, '/verify'), { code })).status).toBe(303);
  });
  it("an attacker's answer signs nobody in to the console (A31)", async () => {
    const victim = createVisitor();
    await victim.get(`${base}/admin`);
    const mine = createVisitor();
    const start = await mine.follow(await mine.get(`${base}/admin`));
    const phone = freshPhone();
    const page = await mine.follow(await mine.submit(formTo(start, '/sms'), { phone, privacy: '1' }));
    let at = await mine.submit(formTo(page, '/verify'), { code: await sandbox.inbox(phone) });
    while (at.location && !at.location.includes('/admin/callback')) at = await mine.get(at.location);
    const planted = await victim.get(String(at.location));
    expect(planted.status).toBe(400);
    expect(victim.cookie('heyi_admin')).toBeUndefined();
    expect((await createVisitor().get(String(at.location))).location).toBe(`${base}/admin`);
    // Signed in, but nobody on the staff: the door stays shut.
    const own = await mine.get(String(at.location));
    expect((await mine.follow(own)).status).toBe(403);
  });
  it.each([
    '//evil.example',
    '/\\evil.example',
    'https://evil.example',
    '/%09/evil.example',
    '\\\\evil.example',
    'https:evil.example',
    'javascript:alert(1)',
  ])('is led nowhere by return=%s or a logout address (A36, E9)', async (target) => {
    const { demoUrl } = app.config;
    const value = encodeURIComponent(target);
    for (const path of [`${demoUrl}/sign-in?return=${value}`, `${base}/logout?post_logout_redirect_uri=${value}`]) {
      const answer = await say(path, { headers: { accept: 'text/html' } });
      const location = answer.headers.get('location') ?? '';
      if (location) expect([base, demoUrl]).toContain(new URL(location, path).origin);
    }
    const visitor = createVisitor();
    const start = await visitor.follow(await visitor.get(`${demoUrl}/sign-in?return=${value}`));
    const heyi = await visitor.follow(await visitor.get(String(start.location)));
    const phone = freshPhone();
    const page = await visitor.follow(await visitor.submit(formTo(heyi, '/sms'), { phone, privacy: '1' }));
    const out = await visitor.follow(
      await visitor.submit(formTo(page, '/verify'), { code: await sandbox.inbox(phone) }),
    );
    const back = await visitor.get(String(out.location));
    expect(new URL(back.location ?? 'about:missing').origin).toBe(demoUrl);
  });
});

describe('the link for the first administrator (D22)', () => {
  it('makes one owner, whoever opens it twice', async () => {
    const link = String(app.firstAdminUrl);
    const walk = async () => {
      const visitor = createVisitor();
      const setup = await visitor.get(link);
      const start = await visitor.follow(await visitor.submit(formTo(setup, new URL(link).pathname)));
      const phone = freshPhone();
      const page = await visitor.follow(await visitor.submit(formTo(start, '/sms'), { phone, privacy: '1' }));
      return { visitor, page, phone };
    };
    const walks = [await walk(), await walk()];
    const ends = await Promise.all(
      walks.map(async ({ visitor, page, phone }) =>
        visitor.follow(await visitor.submit(formTo(page, '/verify'), { code: await sandbox.inbox(phone) })),
      ),
    );
    expect(ends.map(({ status }) => status).sort()).toEqual([200, 404]);
    const { rows } = await app.db.raw("select count(*)::int as owners from staff where role = 'owner'");
    expect(rows[0].owners).toBe(1);
    expect((await createVisitor().get(link)).status).toBe(404);
  });
});

describe('secrets of one client', () => {
  it('are not those of another', async () => {
    const fields = { grant_type: 'client_credentials', resource: `${base}/api` };
    for (const [id, secret] of [
      ['demo-backend', website.secret],
      ['demo-backend', ''],
      ['demo-backend', 'demo-backend-secret '],
      ['demo-backend', 'DEMO-BACKEND-SECRET'],
      ['heyi-admin', ''],
    ] as const)
      expect([400, 401]).toContain((await token(fields, basic(id, secret))).status);
    expect(
      (await token({ ...fields, grant_type: exchangeGrant }, basic('demo-backend', 'demo-backend-secret'))).status,
    ).toBe(400);
  });
});
