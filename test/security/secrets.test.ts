/** Threats G1, G3, G4: what was handed to us in confidence is in no line of the log and in no row of the database. */
import { describe, expect, it } from 'vitest';
import { scrub } from '../../src/log.ts';
import { runningApp } from '../helpers/app.ts';
import { keptLog } from '../helpers/kept-log.ts';
import { appid, attackerOf, basic, bearer, freshPhone, oneTimeCode, website } from './attacker.ts';

const { lines, destination: logTo } = keptLog();
const app = await runningApp({ LOG_LEVEL: 'debug' }, { logTo });
const attacker = attackerOf(app.config);
const { say, sandbox, exchange } = attacker;
const base = app.config.publicUrl;

/** Everything that must not be found, with the name it is reported by. */
const secrets = new Map<string, string>();
const keep = (name: string, value: unknown): string => {
  const text = String(value ?? '');
  if (text.length < 6 || text === 'undefined') throw new Error(`${name} was not given`);
  secrets.set(`${name} ${secrets.size}`, text);
  return text;
};
const keepPhone = (phone = freshPhone()): string => {
  // However it is spelt: +86 139…, 86139…, 139….
  keep('phone', phone.slice(-11));
  return phone;
};
const keepTokens = (body: Record<string, unknown>) => {
  for (const name of ['access_token', 'refresh_token', 'id_token']) if (body[name]) keep(name, body[name]);
};

keep('client secret', website.secret);
keep('client secret', 'demo-backend-secret');
keep('appsecret', 'sandboxsecretminiprogram00000001');
keep('SMS key', 'SandboxAccessKeySecret');
keep('root key', app.config.secret);
keep('server write key', 'demo-server-key');
keep('first-administrator token', app.firstAdminUrl?.split('/').at(-1));

async function signInOnTheWebsite(): Promise<void> {
  const phone = keepPhone();
  const sms = await attacker.signIn('sms', phone, { wrong: ['000001', '000002'], more: { login_hint: phone } });
  keep('one-time code', sms.otp);
  keep('authorization code', sms.code);
  keep('verifier', sms.verifier);
  for (const { name, value } of sms.visitor.cookies()) if (name.includes('session')) keep('session cookie', value);
  const tokens = await attacker.redeem(sms, { anonymous_id: 'anon-secrets' });
  keepTokens(tokens.body);
  const renewed = await attacker.refresh(String(tokens.body.refresh_token));
  expect(renewed.status).toBe(200);
  keepTokens(renewed.body);
  // A refresh token used twice is reported, and a code used twice too.
  expect((await attacker.refresh(String(tokens.body.refresh_token))).status).toBe(400);
  expect((await attacker.redeem(sms)).status).toBe(400);

  const email = keep('e-mail', 'zhang.san.secret@mail.example');
  const mail = await attacker.signIn('email', email, { wrong: ['000003'] });
  keep('one-time code', mail.otp);
  const mine = await attacker.redeem(mail);
  keepTokens(mine.body);
  expect((await say(`${base}/userinfo`, { headers: bearer(mine.body.access_token) })).body.email).toBe(email);
  await say(`${base}/v1/track`, {
    method: 'POST',
    headers: { ...bearer(mine.body.access_token), 'content-type': 'application/json' },
    body: JSON.stringify({
      event: 'page_viewed',
      anonymousId: 'anon-secrets',
      context: { id_token: mine.body.id_token },
    }),
  });
  const revoked = await attacker.say(`${base}/revoke`, {
    method: 'POST',
    headers: basic(website.id, website.secret),
    body: new URLSearchParams({ token: String(mine.body.refresh_token) }),
  });
  expect(revoked.status).toBe(200);
}

async function signInInTheMiniProgram(): Promise<void> {
  const phone = keepPhone();
  const person = await sandbox.person('小明', phone);
  const codes = {
    login: keep('login code', await sandbox.code(person, 'login-code')),
    phone: keep('phone code', await sandbox.code(person, 'phone-code')),
  };
  const answer = await exchange(codes.login, { phone_code: codes.phone, consents: 'privacy@1' });
  expect(answer).toMatchObject({ status: 200, body: { phone_status: 'linked' } });
  keepTokens(answer.body);
  expect((await exchange(codes.login)).status).toBe(400);
  const again = keep('login code', await sandbox.code(person, 'login-code'));
  const used = await exchange(again, { phone_code: codes.phone });
  expect(used.body.phone_status).toBe('failed');
  // WeChat's own secrets, asked for as our client asks.
  const wechat = `${app.config.sandboxUrl}/api.weixin.qq.com`;
  const code = await sandbox.code(person, 'login-code');
  const app_secret = `appid=${appid}&secret=sandboxsecretminiprogram00000001`;
  const session = await say(`${wechat}/sns/jscode2session?${app_secret}&js_code=${code}&grant_type=authorization_code`);
  keep('session_key', session.body.session_key);
  const stable = { grant_type: 'client_credential', appid, secret: 'sandboxsecretminiprogram00000001' };
  const token = await attacker.send('POST', `${wechat}/cgi-bin/stable_token`, stable);
  keep("the app's access token", token.body.access_token);

  for (const [channel, to] of [
    ['sms', keepPhone()],
    ['email', keep('e-mail', 'otp.person@mail.example')],
  ] as const) {
    const sent = await attacker.send('POST', `${base}/otp`, { client_id: 'demo-miniprogram', channel, to });
    expect(sent.status).toBe(200);
    const otp = keep('one-time code', await sandbox.inbox(to));
    const subject_token = `${sent.body.otp_id}.${otp}`;
    const wechat_code = keep('login code', await sandbox.code(await sandbox.person('小红'), 'login-code'));
    const by_code = await exchange(subject_token, { subject_token_type: oneTimeCode, wechat_code });
    expect(by_code.status).toBe(200);
    keepTokens(by_code.body);
  }
}

/** Each outage is one that has a message of its own somewhere. */
async function breakTheOutside(): Promise<void> {
  const person = await sandbox.person('小刚', keepPhone());
  const faults = [
    { target: 'jscode2session', errcode: 40125, errmsg: 'invalid appsecret' },
    { target: 'jscode2session', errcode: -1 },
    { target: 'jscode2session', status: 502 },
    { target: 'jscode2session', body: '{"session_key":"broken' },
    { target: 'jscode2session', reset: true },
    { target: 'getuserphonenumber', errcode: 40001 },
    { target: 'getuserphonenumber', status: 500 },
    { target: 'getuserphonenumber', reset: 'after' },
    { target: 'stable_token', errcode: 40164 },
  ];
  for (const fault of faults) {
    expect((await sandbox.send('PUT', '/faults', { ...fault, times: 4 })).status).toBeLessThan(300);
    const login = keep('login code', await sandbox.code(person, 'login-code'));
    const phone_code = keep('phone code', await sandbox.code(person, 'phone-code'));
    const { status, body } = await exchange(login, { phone_code });
    expect([200, 400, 503]).toContain(status);
    if (status === 200) keepTokens(body);
    await say(`${app.config.sandboxUrl}/faults`, { method: 'DELETE' });
  }
  const otp = (channel: string, to: string) =>
    attacker.send('POST', `${base}/otp`, { client_id: 'demo-miniprogram', channel, to });
  for (const errcode of ['isv.MOBILE_NUMBER_ILLEGAL', 'SignatureDoesNotMatch', 'isv.AMOUNT_NOT_ENOUGH']) {
    await sandbox.send('PUT', '/faults', { target: 'aliyun_sms', errcode, times: 1 });
    expect((await otp('sms', keepPhone())).status).not.toBe(200);
  }
  for (const [index, errcode] of [550, 421].entries()) {
    await sandbox.send('PUT', '/faults', { target: 'smtp', errcode, times: 1 });
    expect((await otp('email', keep('e-mail', `refused.${index}.person@mail.example`))).status).not.toBe(200);
  }
  await say(`${app.config.sandboxUrl}/faults`, { method: 'DELETE' });
}

/** Secrets where they do not belong: whoever misuses an address must not fill the log with them. */
async function misplaceSecrets(): Promise<void> {
  const machine = keep('access token', await attacker.machineToken());
  const phone = keepPhone();
  const at = (path: string, init: RequestInit = {}) => say(`${base}${path}`, init);
  await at(`/userinfo?access_token=${machine}`);
  await at(`/token?client_secret=${website.secret}&refresh_token=${machine}`, { method: 'POST' });
  await at(`/authorize?client_id=nobody&login_hint=${encodeURIComponent(phone)}&id_token_hint=${machine}`);
  await at(`/logout?id_token_hint=${machine}`);
  await at(`/api/v1/subjects/${machine}`, { headers: bearer(machine) });
  await at('/v1/projects/demo-server-key/settings');
  for (const person of [phone, encodeURIComponent(phone), phone.slice(1), keep('e-mail', 'in.the.path@mail.example')])
    await at(`/api/v1/subjects/${person}`, { headers: bearer(machine) });
  await at(new URL(app.firstAdminUrl ?? '').pathname);
  await at(`${new URL(app.firstAdminUrl ?? '').pathname}/`);
  await at(new URL(app.firstAdminUrl ?? '').pathname, { method: 'PUT' });
  const header = { 'content-type': 'application/json', ...bearer(machine) };
  const lookup = (body: string) => at('/api/v1/subjects/lookup', { method: 'POST', headers: header, body });
  expect((await lookup(JSON.stringify({ kind: 'phone', value: phone }))).status).toBe(404);
  await lookup(`{"kind":"phone","value":"${phone}"`);
  await lookup(JSON.stringify({ kind: 'phone', value: `${phone}\0`, [phone]: 1 }));
  await at('/v1/batch', { method: 'POST', headers: basic('demo-server-key', ''), body: `{"batch": "${phone}` });
  await at('/v1/identify', {
    method: 'POST',
    headers: basic('demo-server-key', ''),
    body: JSON.stringify({
      context: { externalIds: [{ id: phone, type: 'phone', collection: 'users', encoding: 'none' }] },
    }),
  });
  await at('/otp', { method: 'POST', headers: header, body: `{"client_id":"demo-miniprogram","to":"${phone}"` });
  await at('/introspect', {
    method: 'POST',
    headers: basic('demo-backend', 'demo-backend-secret'),
    body: `token=${machine}`,
  });
  await at('/token', { method: 'POST', headers: basic(website.id, 'wrong-secret-of-somebody') });
  keep('wrong secret', 'wrong-secret-of-somebody');
}

await signInOnTheWebsite();
await signInInTheMiniProgram();
await breakTheOutside();
await misplaceSecrets();

const found = (text: string) => [...secrets].filter(([, value]) => text.includes(value)).map(([name]) => name);

describe('the log at its most talkative (G1)', () => {
  it('holds no secret, code, token, phone number or e-mail address', () => {
    expect(lines.length).toBeGreaterThan(80);
    expect(secrets.size).toBeGreaterThan(50);
    expect(found(lines.join(''))).toEqual([]);
  });
  it.each([
    ['+8613912345678 and 8613912345678', '+86139****5678 and 86139****5678'],
    ['path=%2B8613912345678', 'path=%2B86139****5678'],
    ['00861391234567 is no number, +85291234567 is one', '00861391234567 is no number, +852****567 is one'],
    ['to zhang.san+x@mail.example, z%40mail.example', 'to z***@mail.example, z***%40mail.example'],
    ['/logout?id_token_hint=abc&state=1', '/logout?id_token_hint=[redacted]&state=1'],
    ['"/v1/projects/key-1/settings"', '"/v1/projects/[redacted]/settings"'],
    ['"/v3/projects/key-1/collect"', '"/v3/projects/[redacted]/collect"'],
    ['at Object.<anonymous> (/app/node_modules/@koa/router/lib.js:10:5)', undefined],
  ])('masks %s', (text, masked = text) => expect(scrub(text)).toBe(masked));
  it('masks a hostile text in no time (G8)', () => {
    const startedAt = performance.now();
    for (const piece of ['a', 'a.', 'eyJ.', 'eyJ-', '1', '+1', '86', 'token', '@', '/admin/setup/'])
      scrub(piece.repeat(16_384 / piece.length));
    expect(performance.now() - startedAt).toBeLessThan(500);
  });
  it('is one JSON object a line (E6)', () => {
    for (const line of lines.join('').trimEnd().split('\n')) expect(JSON.parse(line)).toHaveProperty('level');
  });
});

describe('the database (G3, G4)', () => {
  it('holds no phone number, e-mail address, code, token, secret or private key in the clear', async () => {
    const { rows: tables } = await app.db.raw(
      "select format('%I.%I', schemaname, tablename) as name from pg_tables where schemaname not in ('pg_catalog', 'information_schema')",
    );
    const leaks: string[] = [];
    let rowsSeen = 0;
    for (const { name } of tables) {
      const { rows } = await app.db.raw(`select to_jsonb(t)::text as row from ${name} t`);
      rowsSeen += rows.length;
      const text = rows.map(({ row }: { row: string }) => row).join('\n');
      for (const secret of found(text)) leaks.push(`${name}: ${secret}`);
      if (/"d"\s*:\s*"|PRIVATE KEY|\\"d\\"\s*:/.test(text)) leaks.push(`${name}: private key`);
    }
    expect(rowsSeen).toBeGreaterThan(50);
    expect(leaks).toEqual([]);
  });
  it('publishes no private part of a key', async () => {
    const { body } = await say(`${base}/jwks`);
    for (const key of body.keys as object[])
      expect(Object.keys(key).filter((name) => ['d', 'p', 'q', 'dp', 'dq', 'qi', 'k'].includes(name))).toEqual([]);
  });
});
