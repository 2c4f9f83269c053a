import { randomBytes } from 'node:crypto';
import { decodeJwt, decodeProtectedHeader } from 'jose';
import { describe, expect, it } from 'vitest';
import { currentSubject } from '../../src/subjects/subjects.ts';
import { testDatabase } from '../helpers/database.ts';
import {
  createOutside,
  type Fields,
  newCode,
  newPerson,
  type Person,
  password,
  post,
  reply,
  reviewer,
  secondWorld,
  startWorld,
  suspicious,
  tooSoon,
} from './world.ts';

const { db, url } = await testDatabase();
const outside = createOutside();
const world = await startWorld({ db, outside });
const { world: other } = await secondWorld(url, outside);

const grant_type = 'urn:ietf:params:oauth:grant-type:token-exchange';
const wechat = 'urn:heyi:token-type:wechat-login-code';
const byCode = 'urn:heyi:token-type:one-time-code';
const accessTokenType = 'urn:ietf:params:oauth:token-type:access_token';

await world.register({
  client_id: 'mini',
  name: 'Mini-program',
  appid: 'wxtest',
  channel: 'miniprogram',
  methods: ['wechat-miniprogram', 'sms', 'email'],
});
await world.register({ client_id: 'mini2', name: 'Other', appid: 'wxother', methods: ['sms'] });
await world.register({
  client_id: 'app',
  name: 'App without WeChat',
  methods: ['sms'],
  token_endpoint_auth_method: 'none',
});
await world.register({ client_id: 'narrow', name: 'Narrow', appid: 'wxtest', scope: 'openid offline_access' });
const callback = 'http://localhost:3100/spa/callback';
await world.register({
  client_id: 'spa',
  name: 'SPA',
  redirect_uris: [callback],
  token_endpoint_auth_method: 'none',
  client_secret: password,
});

function person(more: Partial<Person> = {}): Person {
  const id = randomBytes(6).toString('hex');
  const phone = `+86138${String(randomBytes(4).readUInt32BE() % 1e8).padStart(8, '0')}`;
  return { openid: `o-${id}`, unionid: `u-${id}`, phone, ...more };
}

function exchange(fields: Fields, base = world.base) {
  return post(`${base}/token`, { grant_type, client_id: 'mini', subject_token_type: wechat, ...fields });
}

const signIn = (who: Person, fields: Fields = {}) => exchange({ subject_token: outside.loginCode(who), ...fields });

async function otp(fields: Record<string, unknown>) {
  const body = JSON.stringify({ client_id: 'mini', channel: 'sms', ...fields });
  return reply(
    await fetch(`${world.base}/otp`, { method: 'POST', body, headers: { 'content-type': 'application/json' } }),
  );
}

async function codeFor(to: string, fields = {}) {
  const { body } = await otp({ to, ...fields });
  return `${body.otp_id}.123456`;
}

const subOf = (answer: { body: Record<string, unknown> }) => decodeJwt(String(answer.body.id_token)).sub;
const identitiesOf = (sub: string | undefined) =>
  db('identities')
    .where({ subject_id: sub ?? '' })
    .orderBy('kind');
const refused = (error_reason?: string) => ({
  status: 400,
  body: { error: 'invalid_grant', ...(error_reason && { error_reason }) },
});

describe('sign-in by WeChat login code', () => {
  it('answers as RFC 8693 says, with a refresh token and an ID token when asked', async () => {
    const answer = await signIn(person(), { scope: 'openid offline_access phone' });
    expect(answer).toMatchObject({
      status: 200,
      body: { token_type: 'Bearer', expires_in: 600, issued_token_type: accessTokenType },
    });
    expect(answer.headers.get('cache-control')).toContain('no-store');
    const { access_token, refresh_token, id_token } = answer.body;
    expect([access_token, refresh_token, id_token]).toEqual(Array(3).fill(expect.any(String)));
    expect(decodeJwt(String(id_token))).toMatchObject({
      iss: world.issuer,
      aud: 'mini',
      auth_time: expect.any(Number),
    });
    const headers = { authorization: `Bearer ${access_token}` };
    const userinfo = await reply(await fetch(`${world.base}/userinfo`, { headers }));
    expect(userinfo).toMatchObject({ status: 200, body: { sub: subOf(answer) } });
    expect(answer.body.phone_status).toBeUndefined();
  });
  it('gives neither to who did not ask', async () => {
    const answer = await signIn(person(), { scope: 'profile' });
    expect(answer.status).toBe(200);
    expect(answer.body).not.toHaveProperty('refresh_token');
    expect(answer.body).not.toHaveProperty('id_token');
    expect(subOf(await signIn(person()))).toMatch(/^[\da-f-]{36}$/);
  });
  it('keeps an openid that is new to a known person, also from requests that arrive together', async () => {
    const who = person();
    const other = { ...who, openid: `o-${randomBytes(6).toString('hex')}` };
    const sub = subOf(await exchange({ client_id: 'mini2', subject_token: outside.loginCode(other, 'wxother') }));
    const codes = Array.from({ length: 10 }, () => outside.loginCode(who));
    const answers = await Promise.all(codes.map((subject_token) => exchange({ subject_token })));
    expect(new Set(answers.map(subOf))).toEqual(new Set([sub]));
    expect((await identitiesOf(sub)).map(({ issuer }) => issuer).sort()).toEqual(['platform', 'wxother', 'wxtest']);
  });
  it('finds the same person again, and keeps openid and unionid', async () => {
    const who = person();
    const first = subOf(await signIn(who));
    expect(subOf(await signIn(who))).toBe(first);
    expect((await identitiesOf(first)).map(({ kind, issuer }) => `${kind} ${issuer}`)).toEqual([
      'wechat_openid wxtest',
      'wechat_unionid platform',
    ]);
  });
  it('gives refresh tokens of the same kind as the code flow', async () => {
    const first = await signIn(person(), { scope: 'openid offline_access' });
    const fields = { grant_type: 'refresh_token', client_id: 'mini' };
    const second = await post(`${world.base}/token`, { ...fields, refresh_token: String(first.body.refresh_token) });
    expect(second.status).toBe(200);
    expect(subOf(second)).toBe(subOf(first));
    const again = await post(`${world.base}/token`, { ...fields, refresh_token: String(first.body.refresh_token) });
    expect(again.body.refresh_token).toBe(second.body.refresh_token);
    await db('oidc_artifacts')
      .whereNotNull('consumed_at')
      .update({ consumed_at: db.raw(`consumed_at - interval '31 seconds'`) });
    const replayed = await post(`${world.base}/token`, { ...fields, refresh_token: String(first.body.refresh_token) });
    expect(replayed).toMatchObject(refused());
    const ended = await post(`${world.base}/token`, { ...fields, refresh_token: String(second.body.refresh_token) });
    expect(ended).toMatchObject(refused());
  });
  it("gives a token for the API with a person's scopes at most, which refresh keeps", async () => {
    const resource = `${world.issuer}/api`;
    const scope = 'openid offline_access phone events:write me:read subjects:read';
    const who = person();
    const answer = await signIn(who, { scope, resource, phone_code: outside.phoneCode(who) });
    const token = String(answer.body.access_token);
    expect(decodeProtectedHeader(token)).toMatchObject({ alg: 'ES256', typ: 'at+jwt' });
    expect(decodeJwt(token)).toMatchObject({
      iss: world.issuer,
      aud: resource,
      sub: subOf(answer),
      client_id: 'mini',
      scope: 'events:write me:read',
      jti: expect.any(String),
    });
    expect(decodeJwt(String(answer.body.id_token)).phone_number).toBe(who.phone);
    const fields = { grant_type: 'refresh_token', client_id: 'mini', refresh_token: String(answer.body.refresh_token) };
    const again = await post(`${world.base}/token`, fields);
    expect(decodeJwt(String(again.body.access_token))).toMatchObject({ aud: resource, scope: 'events:write me:read' });
  });
  it.each([
    ['a resource that is not ours', { resource: 'https://elsewhere.example/' }, 'invalid_target'],
    ['a scope the client may not have', { client_id: 'narrow', scope: 'openid phone' }, 'invalid_scope'],
    ['no subject_token', { subject_token: '' }, 'invalid_request'],
    ['another kind of subject_token', { subject_token_type: accessTokenType }, 'invalid_request'],
    ['a bad value of create', { create: 'perhaps' }, 'invalid_request'],
    ['a consent of no purpose', { consents: 'everything@1' }, 'invalid_request'],
    ['a version that is not in force', { consents: 'privacy@0' }, 'invalid_request'],
    ['an anonymous id that is none', { anonymous_id: 'x'.repeat(101) }, 'invalid_request'],
    ['a parameter that is sent twice', { create: ['true', 'false'] }, 'invalid_request'],
    ['a client without WeChat app', { client_id: 'app' }, 'unauthorized_client'],
    ['a client that may not exchange', { client_id: 'spa' }, 'invalid_request'],
  ])('refuses %s before anything is spent', async (_, fields: Fields, error) => {
    const code = outside.loginCode(person());
    expect(await exchange({ subject_token: code, ...fields })).toMatchObject({ status: 400, body: { error } });
    expect((await exchange({ subject_token: code })).status).toBe(200);
  });
  it('refuses a login code that is used, made up, or of another app (C1, C3)', async () => {
    const code = outside.loginCode(person());
    expect((await exchange({ subject_token: code })).status).toBe(200);
    expect(await exchange({ subject_token: code })).toMatchObject(refused('wechat_code_invalid'));
    expect(await exchange({ subject_token: 'made-up' })).toMatchObject(refused('wechat_code_invalid'));
    const foreign = outside.loginCode(person(), 'wxother');
    expect(await exchange({ subject_token: foreign, appid: 'wxother' })).toMatchObject(refused('wechat_code_invalid'));
    expect(outside.calls.at(-1)).toBe('exchange wxtest');
  });
  it('lets one of two parallel requests with one code in, and makes one person (C2)', async () => {
    const who = person();
    const subject_token = outside.loginCode(who);
    const answers = await Promise.all([world.base, other.base].map((base) => exchange({ subject_token }, base)));
    expect(answers.map(({ status }) => status).sort()).toEqual([200, 400]);
    expect(answers.find(({ status }) => status === 400)).toMatchObject(refused('wechat_code_invalid'));
    expect(await db('identities').where({ lookup: who.openid })).toHaveLength(1);
  });
  it('does not read an openid or unionid that the request states (C4)', async () => {
    const [who, victim] = [person(), person()];
    const known = subOf(await signIn(victim));
    const claimed = { openid: victim.openid, unionid: String(victim.unionid), sub: String(known) };
    expect(subOf(await signIn(who, claimed))).not.toBe(known);
    expect(await exchange({ subject_token: 'x', ...claimed })).toMatchObject(refused());
  });
  it('answers 503 with Retry-After while WeChat is unreachable', async () => {
    const subject_token = outside.loginCode(person());
    outside.state.isDown = true;
    const answer = await exchange({ subject_token });
    outside.state.isDown = false;
    expect(answer).toMatchObject({ status: 503, body: { error: 'temporarily_unavailable' } });
    expect(answer.headers.get('retry-after')).toBe('7');
    expect((await exchange({ subject_token })).status).toBe(200);
  });
  it('makes nobody when create=false, and says so', async () => {
    const who = person();
    expect(await signIn(who, { create: 'false' })).toMatchObject(refused('unknown_person'));
    expect(await db('identities').where({ lookup: who.openid })).toHaveLength(0);
    const sub = subOf(await signIn(who));
    expect(subOf(await signIn(who, { create: 'false' }))).toBe(sub);
  });
  it('refuses a suspended person', async () => {
    const who = person();
    const sub = subOf(await signIn(who));
    await db('subjects')
      .where({ id: String(sub) })
      .update({ status: 'suspended' });
    expect(await signIn(who)).toMatchObject(refused('subject_suspended'));
  });
});

describe('phone_code', () => {
  it('joins the number that registered on the website: one person on both sides', async () => {
    const who = person();
    const { sub } = await newPerson(db, String(who.phone));
    const answer = await signIn(who, { phone_code: outside.phoneCode(who) });
    expect(answer).toMatchObject({ status: 200, body: { phone_status: 'linked' } });
    expect(subOf(answer)).toBe(sub);
    expect(subOf(await signIn(who))).toBe(sub);
    const again = await signIn(who, { phone_code: outside.phoneCode(who) });
    expect(again.body.phone_status).toBe('unchanged');
  });
  it('joins the two when both are somebody already: the account of the phone stays, and the other sub leads to it', async () => {
    const who = person();
    const mini = subOf(await signIn(who));
    const { sub } = await newPerson(db, String(who.phone));
    const answer = await signIn(who, { phone_code: outside.phoneCode(who) });
    expect(answer).toMatchObject({ status: 200, body: { phone_status: 'linked' } });
    expect(subOf(answer)).toBe(sub);
    expect(await currentSubject(db, String(mini))).toMatchObject({ sub, requested_sub: mini });
  });
  it('opens a case when the number is of somebody with another WeChat, and signs in whom WeChat names', async () => {
    const who = person();
    const husband = person({ phone: String(who.phone) });
    const mini = subOf(await signIn(who));
    await signIn(husband, { phone_code: outside.phoneCode(husband) });
    const answer = await signIn(who, { phone_code: outside.phoneCode(who) });
    expect(answer).toMatchObject({ status: 200, body: { phone_status: 'conflict' } });
    expect(subOf(answer)).toBe(mini);
    expect(await db('link_cases').where({ subject_id: mini ?? '', status: 'open' })).toHaveLength(1);
  });
  it('that fails does not fail the sign-in', async () => {
    const answer = await signIn(person(), { phone_code: 'made-up' });
    expect(answer).toMatchObject({ status: 200, body: { phone_status: 'failed' } });
  });
  it('of somebody else is not taken (C7)', async () => {
    const [who, victim] = [person(), person()];
    const answer = await signIn(who, { phone_code: outside.phoneCode(victim) });
    expect(answer).toMatchObject({ status: 200, body: { phone_status: 'failed' } });
    expect(await identitiesOf(subOf(answer))).toHaveLength(2);
  });
  it('is not spent when the login code fails', async () => {
    const who = person();
    const phone_code = outside.phoneCode(who);
    expect(await exchange({ subject_token: 'made-up', phone_code })).toMatchObject(refused());
    expect((await signIn(who, { phone_code })).body.phone_status).toBe('linked');
  });
});

describe('consents and anonymous_id', () => {
  it('records what was agreed to, once', async () => {
    const who = person();
    const consents = 'privacy@1 profiling@1';
    const sub = subOf(await signIn(who, { consents }));
    await signIn(who, { consents });
    const rows = await db('consents').where({ subject_id: sub ?? '' });
    expect(rows.map(({ purpose }) => purpose).sort()).toEqual(['privacy', 'profiling']);
    expect(rows[0]).toMatchObject({ channel: 'miniprogram', is_granted: true, evidence: { client_id: 'mini' } });
  });
  it('binds the anonymous id until the grant ends', async () => {
    const anonymous_id = `anon-${randomBytes(8).toString('hex')}`;
    const answer = await signIn(person(), { anonymous_id, scope: 'openid offline_access' });
    const [binding] = await db('anonymous_bindings').where({ anonymous_id });
    expect(binding).toMatchObject({ subject_id: subOf(answer), ends_at: null, method: 'token' });
    await post(`${world.base}/revoke`, { client_id: 'mini', token: String(answer.body.refresh_token) });
    const [ended] = await db('anonymous_bindings').where({ anonymous_id });
    expect(ended.ends_at).not.toBeNull();
  });
  it('binds it in the code flow too', async () => {
    const { sub } = await newPerson(db);
    const { fields } = await newCode(world, sub, { client_id: 'spa', redirect_uri: callback });
    const anonymous_id = `anon-${randomBytes(8).toString('hex')}`;
    expect((await post(`${world.base}/token`, { ...fields, anonymous_id })).status).toBe(200);
    expect(await db('anonymous_bindings').where({ anonymous_id })).toMatchObject([{ subject_id: sub }]);
  });
});

describe('POST /otp and sign-in by one-time code', () => {
  const to = '+8613900000001';
  it('answers 200 with id, spacing and life, the same for known and unknown', async () => {
    const { phone } = await newPerson(db);
    const answers = [await otp({ to: phone }), await otp({ to: '+8613911111111' })];
    for (const answer of answers) {
      expect(answer.status).toBe(200);
      expect(answer.body).toEqual({ otp_id: expect.stringMatching(/^sms_/), resend_after: 60, expires_in: 300 });
      expect(answer.headers.get('cache-control')).toBe('no-store');
    }
  });
  it('takes a form as well', async () => {
    const answer = await post(`${world.base}/otp`, { client_id: 'mini', channel: 'email', to: 'a@b.example' });
    expect(answer).toMatchObject({ status: 200, body: { otp_id: expect.stringMatching(/^email_/) } });
  });
  it.each([
    ['a number that is none', { to: 'abc' }, 'invalid_request', 'phone_invalid'],
    ['no recipient', {}, 'invalid_request', 'invalid_fields'],
    ['a recipient that is a list', { to: [to] }, 'invalid_request', 'invalid_fields'],
    [
      'a channel the client does not offer',
      { client_id: 'mini2', channel: 'email', to },
      'invalid_request',
      'method_not_offered',
    ],
    ['a channel that is none', { channel: 'wechat-miniprogram', to }, 'invalid_request', 'method_not_offered'],
    ['a client that may not exchange', { client_id: 'spa', to }, 'unauthorized_client', undefined],
    ['a client that is none', { client_id: 'nobody', to }, 'unauthorized_client', undefined],
  ])('answers 400 for %s', async (_, fields, error, error_reason) => {
    const answer = await otp(fields);
    expect(answer).toMatchObject({ status: 400, body: { error, error_description: expect.any(String) } });
    expect(answer.body.error_reason).toBe(error_reason);
  });
  it('B7: asks for a captcha with the challenge, and takes its solution', async () => {
    const asked = await otp({ to: suspicious });
    expect(asked).toMatchObject({
      status: 400,
      body: {
        error: 'captcha_required',
        error_reason: 'captcha_required',
        error_description: expect.any(String),
        captcha: { parameters: 'of a challenge' },
      },
    });
    expect((await otp({ to: suspicious, captcha: 'guessed' })).body.error).toBe('captcha_required');
    expect((await otp({ to: suspicious, captcha: ['solved'] })).body.error_reason).toBe('invalid_fields');
    expect((await otp({ to: suspicious, captcha: 'solved' })).status).toBe(200);
  });
  it('answers 429 and 503 with the time to wait', async () => {
    expect((await otp({ to: tooSoon })).status).toBe(200);
    const early = await otp({ to: tooSoon });
    expect(early).toMatchObject({
      status: 429,
      body: { error: 'temporarily_unavailable', error_reason: 'code_too_soon' },
    });
    expect(early.headers.get('retry-after')).toBe('60');
    outside.state.isDown = true;
    const down = await otp({ to });
    outside.state.isDown = false;
    expect(down).toMatchObject({ status: 503, body: { error_reason: 'upstream_unavailable' } });
    expect(Number(down.headers.get('retry-after'))).toBeGreaterThan(0);
  });
  it('signs in whoever has the code, in the app as on the website', async () => {
    const { sub, phone } = await newPerson(db);
    const answer = await exchange({ subject_token: await codeFor(phone), subject_token_type: byCode });
    expect(answer.status).toBe(200);
    expect(subOf(answer)).toBe(sub);
  });
  it('refuses a wrong code, a used one, and one of another client (B3, B4)', async () => {
    const right = await codeFor(to);
    const wrong = right.replace('123456', '654321');
    const send = (subject_token: string, fields: Fields = {}) =>
      exchange({ subject_token, subject_token_type: byCode, ...fields });
    expect(await send(wrong)).toMatchObject(refused('code_wrong'));
    expect(await send(right, { client_id: 'app' })).toMatchObject(refused('code_wrong'));
    for (const none of ['nonsense', 'sms_x', 'sms_.123456', `fax_${right.slice(4)}`])
      expect(await send(none)).toMatchObject(refused('code_wrong'));
    expect((await send(right)).status).toBe(200);
    expect(await send(right)).toMatchObject(refused());
  });
  it('links the WeChat identities in the same step', async () => {
    const who = person();
    const { sub, phone } = await newPerson(db);
    const fields = { subject_token_type: byCode, wechat_code: outside.loginCode(who) };
    const answer = await exchange({ subject_token: await codeFor(phone), ...fields });
    expect(answer).toMatchObject({ status: 200, body: { phone_status: 'linked' } });
    expect(subOf(answer)).toBe(sub);
    expect(subOf(await signIn(who))).toBe(sub);
  });
  it('leaves the number of a reviewer alone: no WeChat account joins what others can open', async () => {
    const who = person();
    const code = { subject_token: await codeFor(reviewer), subject_token_type: byCode };
    const answer = await exchange({ ...code, wechat_code: outside.loginCode(who) });
    expect(answer.status).toBe(200);
    expect(answer.body).not.toHaveProperty('phone_status');
    expect(subOf(await signIn(who))).not.toBe(subOf(answer));
  });
  it('does not spend the code of the message when the WeChat code fails', async () => {
    const subject_token = await codeFor('+8613900000002');
    const fields = { subject_token, subject_token_type: byCode };
    expect(await exchange({ ...fields, wechat_code: 'made-up' })).toMatchObject(refused('wechat_code_invalid'));
    expect((await exchange(fields)).status).toBe(200);
  });
  it('makes nobody when create=false', async () => {
    const fields = { subject_token: await codeFor('+8613900000003'), subject_token_type: byCode, create: 'false' };
    expect(await exchange(fields)).toMatchObject(refused('unknown_person'));
  });
});

describe('fifty first sign-ins of one person at the same moment, over two processes (D1)', () => {
  it('make one subject, and all succeed', async () => {
    const who = person();
    const codes = Array.from({ length: 50 }, () => outside.loginCode(who));
    const answers = await Promise.all(
      codes.map((subject_token, at) => exchange({ subject_token }, at % 2 ? world.base : other.base)),
    );
    expect(answers.map(({ status }) => status)).toEqual(Array(50).fill(200));
    expect(new Set(answers.map(subOf)).size).toBe(1);
    expect(await db('identities').where({ lookup: who.openid })).toHaveLength(1);
  });
  it('also when they come by phone number', async () => {
    const phone = '+8613912345678';
    const codes = await Promise.all(Array.from({ length: 50 }, () => codeFor(phone)));
    const answers = await Promise.all(
      codes.map((subject_token, at) =>
        exchange({ subject_token, subject_token_type: byCode }, at % 2 ? world.base : other.base),
      ),
    );
    expect(answers.map(({ status }) => status)).toEqual(Array(50).fill(200));
    expect(new Set(answers.map(subOf)).size).toBe(1);
  });
});

describe('who hands over codes that prove nobody', () => {
  it('is answered 429 after 300 failures in ten minutes, and only then', async () => {
    const remote = await startWorld({ db, outside, trustProxy: 1 });
    const from = (ip: string, subject_token: string) =>
      post(
        `${remote.base}/token`,
        { grant_type, client_id: 'mini', subject_token_type: wechat, subject_token },
        { 'x-forwarded-for': ip },
      );
    for (let round = 0; round < 6; round++) {
      const answers = await Promise.all(Array.from({ length: 50 }, () => from('203.0.113.5', 'made-up')));
      expect(answers.map(({ status }) => status)).toEqual(Array(50).fill(400));
    }
    const stopped = await from('203.0.113.5', 'made-up');
    expect(stopped).toMatchObject({ status: 429, body: { error_reason: 'too_many_requests' } });
    expect(Number(stopped.headers.get('retry-after'))).toBeGreaterThan(0);
    const before = outside.calls.length;
    expect((await from('203.0.113.5', 'made-up')).status).toBe(429);
    expect(outside.calls).toHaveLength(before);
    expect((await from('203.0.113.6', outside.loginCode(person()))).status).toBe(200);
  });
});
