/** Signing in with the mini-program SDK, and staying signed in over a line that loses answers and a phone that sleeps. */
import { describe, expect, test } from 'vitest';
import { someone, startWorld, timelineOf } from './mini-program.ts';

const world = await startWorld();
const expired = { expires_at: 0 };
const userinfo = { url: `${world.heyi}/userinfo` };

describe.concurrent('signing in', () => {
  test('by WeChat and the phone button, then by a text message: the same person', async () => {
    const { launch, number } = await someone(world);
    const running = launch();
    const { heyi } = running;
    const event = { detail: await running.tapPhoneButton() };
    const first = await heyi.signInByPhoneButton(event, { consents: ['privacy@1'] });
    expect(first).toEqual({ sub: expect.stringMatching(/^[0-9a-f-]{36}$/), phone_status: 'linked' });
    await heyi.signOut();
    expect(heyi.person()).toBeNull();
    const { otp_id } = await heyi.sendCode({ to: number });
    const second = await heyi.signInByCode({ otpId: otp_id, code: await world.codeFor(number) });
    expect(second.sub).toBe(first.sub);
    expect(running.errors).toEqual([]);
  });

  test('a text message alone links this WeChat too: next time WeChat is enough', async () => {
    const { launch, number } = await someone(world);
    const { heyi } = launch();
    const { otp_id } = await heyi.sendCode({ to: number });
    const { sub } = await heyi.signInByCode({ otpId: otp_id, code: await world.codeFor(number) });
    await heyi.signOut();
    expect((await heyi.signIn({ create: false })).sub).toBe(sub);
  });

  test('with create: false nobody new is made, and the error says why', async () => {
    const { heyi } = (await someone(world)).launch();
    await expect(heyi.signIn({ create: false })).rejects.toMatchObject({
      code: 'invalid_grant',
      reason: 'unknown_person',
      status: 400,
    });
  });

  test('a phone button that gives no code says why', async () => {
    const { launch } = await someone(world, { privacy: { isRequired: true, hasAgreed: true } });
    const running = launch();
    const press = async (detail: object) => running.heyi.signInByPhoneButton({ detail });
    await expect(press(await running.tapPhoneButton('deny'))).rejects.toMatchObject({ code: 'phone_denied' });
    const quota = { errMsg: 'getPhoneNumber:fail appid no enough quota', errno: 1400001 };
    await expect(press(quota)).rejects.toMatchObject({ code: 'phone_quota_spent', errno: 1400001 });
    await expect(press({ errMsg: 'getPhoneNumber:fail 该 appid 没有权限' })).rejects.toMatchObject({
      code: 'phone_unavailable',
    });
    running.kill();
    const undeclared = (
      await someone(world, { privacy: { isRequired: true, hasAgreed: true, declared: [] } })
    ).launch();
    const detail = await undeclared.tapPhoneButton();
    await expect(undeclared.heyi.signInByPhoneButton({ detail })).rejects.toMatchObject({
      code: 'privacy_not_authorized',
      errno: 112,
    });
  });

  test('a lost answer costs a second login code, not the sign-in', async () => {
    const { launch, phone } = await someone(world);
    const { heyi } = launch();
    phone.line.lose('/token');
    const { sub } = await heyi.signIn();
    expect(heyi.person()).toEqual({ sub });
  });

  test('does not wait for a slow line to take the events before it', async () => {
    const { launch, phone } = await someone(world);
    const { heyi } = launch();
    phone.line.lose('/v1/batch', 1, 'silence');
    heyi.track('product_viewed');
    expect(await heyi.signIn()).toMatchObject({ sub: expect.any(String) });
  });

  test('every sign-in of a phone names the same device, and another phone another', async () => {
    const { launch, phone } = await someone(world);
    const { heyi } = launch();
    await heyi.signIn();
    await heyi.signIn();
    const other = await someone(world);
    await other.launch().heyi.signIn();
    const devices = [phone, other.phone].flatMap(({ line }) =>
      line.sentTo('/token').map(({ body }) => /device_id=([\w-]{35})/.exec(body)?.[1]),
    );
    expect(devices[0]).toBeDefined();
    expect([devices[1] === devices[0], devices[2] === devices[0]]).toEqual([true, false]);
  });
});

describe.concurrent('signing out', () => {
  test('who has signed out cannot come back with the old refresh token', async () => {
    const { launch, phone, change } = await someone(world);
    const { heyi } = launch();
    await heyi.signIn();
    const stolen = phone.stored('heyi.session');
    await heyi.signOut();
    change('heyi.session', { ...stolen, ...expired });
    await expect(launch().heyi.request(userinfo)).rejects.toMatchObject({ code: 'signed_out' });
    expect(phone.stored('heyi.session')).toBeNull();
  });

  test('without a line counts here at once, and at Heyi at the next launch', async ({ expect }) => {
    const { launch, phone } = await someone(world);
    const running = launch();
    await running.heyi.signIn();
    const { refresh_token } = phone.stored('heyi.session');
    running.networkChanges(false);
    await running.heyi.signOut();
    expect(running.heyi.person()).toBeNull();
    running.kill();
    phone.line.isOffline = false;
    launch();
    await expect.poll(() => phone.line.sentTo('/revoke').at(-1)).toMatchObject({ status: 200 });
    const body = new URLSearchParams({ grant_type: 'refresh_token', client_id: 'demo-miniprogram', refresh_token });
    expect((await fetch(`${world.heyi}/token`, { method: 'POST', body })).status).toBe(400);
    await expect.poll(() => phone.stored('heyi.ended')).toBeNull();
  });

  test('a second sign-in leaves no first one behind', async ({ expect }) => {
    const { launch, phone } = await someone(world);
    const { heyi } = launch();
    await heyi.signIn();
    const former = phone.stored('heyi.session').access_token;
    await heyi.signIn();
    await expect.poll(() => phone.line.sentTo('/revoke').at(-1)).toMatchObject({ status: 200 });
    const answer = await fetch(`${world.heyi}/userinfo`, { headers: { authorization: `Bearer ${former}` } });
    expect(answer.status).toBe(401);
    expect((await heyi.request(userinfo)).statusCode).toBe(200);
  });

  test('changes are told to whoever listens, until they stop listening', async () => {
    const { heyi } = (await someone(world)).launch();
    const told: unknown[] = [];
    const stop = heyi.onChange((person) => told.push(person));
    const { sub } = await heyi.signIn();
    stop();
    await heyi.signOut();
    expect(told).toEqual([{ sub }]);
  });
});

describe.concurrent('keeping the sign-in', () => {
  test('a refresh whose answer is lost is repeated with the same token, and the person stays signed in', async () => {
    const { launch, phone, change } = await someone(world);
    const { sub } = await launch().heyi.signIn();
    change('heyi.session', expired);
    phone.line.sent.length = 0;
    phone.line.lose('/token');
    const { statusCode, data } = await launch().heyi.request<{ sub: string }>(userinfo);
    expect([statusCode, data.sub]).toEqual([200, sub]);
    const [lost, repeated] = phone.line.sentTo('/token');
    expect(repeated?.body).toBe(lost?.body);
    change('heyi.session', expired);
    expect((await launch().heyi.request(userinfo)).statusCode).toBe(200);
  });

  test('killed before the answer came, it takes up the refresh at the next launch', async ({ expect }) => {
    const { launch, phone, change } = await someone(world);
    const first = launch();
    await first.heyi.signIn();
    first.kill();
    change('heyi.session', expired);
    const second = launch();
    phone.line.lose('/token', 1, 'silence');
    second.heyi.request(userinfo).catch(() => {});
    await expect.poll(() => phone.line.sentTo('/token').at(-1)?.status).toBe(0);
    second.kill();
    expect((await launch().heyi.request(userinfo)).statusCode).toBe(200);
  });

  test('thirty requests at once renew once, and wait their turn in WeChat’s line of ten', async ({ expect }) => {
    const { launch, phone, change } = await someone(world);
    await launch().heyi.signIn();
    change('heyi.session', expired);
    const { heyi, network } = launch();
    phone.line.sent.length = 0;
    phone.line.delay = 20;
    const asked = Promise.all(Array.from({ length: 30 }, () => heyi.request(userinfo)));
    await expect.poll(() => network.waiting(), { interval: 2 }).toBe(20);
    expect((await asked).map(({ statusCode }) => statusCode)).toEqual(Array(30).fill(200));
    expect(phone.line.sentTo('/token')).toHaveLength(1);
  });

  test('a token that Heyi refuses is renewed and the request repeated, once for all who met it', async () => {
    const { launch, phone, change } = await someone(world);
    await launch().heyi.signIn();
    change('heyi.session', { access_token: 'of-before-a-restart' });
    const { heyi } = launch();
    phone.line.sent.length = 0;
    const answers = await Promise.all([1, 2, 3, 4].map(() => heyi.request(userinfo)));
    expect(answers.map(({ statusCode }) => statusCode)).toEqual([200, 200, 200, 200]);
    expect(phone.line.sentTo('/token')).toHaveLength(1);
  });

  test('a sign-in while a renewal is under way is the one that stays', async () => {
    const { launch, phone, change } = await someone(world);
    await launch().heyi.signIn();
    change('heyi.session', { ...expired, refresh_token: 'of-a-sign-in-that-is-over' });
    const { heyi } = launch({}, { writeKey: '' });
    phone.line.delay = 1000;
    const asked = heyi.request(userinfo);
    phone.line.delay = 0;
    await heyi.signIn();
    expect((await asked).statusCode).toBe(200);
    expect(heyi.person()).not.toBeNull();
  });

  test('a full storage gives events up for the tokens', async () => {
    const { launch, phone } = await someone(world);
    const { heyi, wx } = launch();
    phone.line.isOffline = true;
    heyi.track('product_viewed', { about: 'x'.repeat(30_000) });
    await heyi.flush();
    phone.line.isOffline = false;
    for (let i = 0; i < 10; i++) wx.setStorageSync(`other.${i}`, 'x'.repeat(1024 * 1020));
    wx.setStorageSync('rest', 'x'.repeat(10 * 1024 * 1024 - wx.getStorageInfoSync().currentSize * 1024));
    phone.line.lose('/v1/batch', 9);
    await heyi.signIn();
    expect(phone.stored('heyi.session')).toMatchObject({ sub: heyi.person()?.sub });
  });

  test('what storage holds of another kind is nobody’s sign-in', async () => {
    const { launch, phone } = await someone(world);
    phone.storage.set('heyi.session', '"broken"');
    phone.storage.set('heyi.queue', '[1]');
    expect(launch().heyi.person()).toBeNull();
  });
});

describe.concurrent('requests', () => {
  test('the token goes to Heyi and to listed addresses alone, whatever the address looks like', async () => {
    const { launch, phone } = await someone(world);
    const { heyi } = launch({}, { apis: [world.sandbox] });
    await heyi.signIn();
    for (const url of [
      world.demo,
      `${world.heyi}@evil.example/`,
      `${world.heyi}.evil.example/`,
      'http://user@evil.example/',
      '/relative',
    ])
      await expect(heyi.request({ url })).rejects.toMatchObject({ code: 'foreign_address' });
    await heyi.request({ url: `${world.sandbox}/people` });
    expect(phone.line.sentTo('/people').at(-1)?.headers.authorization).toMatch(/^Bearer /);
  });

  test('without anybody signed in are refused, or go as they are when that is all right', async () => {
    const { launch, phone } = await someone(world);
    const { heyi } = launch();
    await expect(heyi.request(userinfo)).rejects.toMatchObject({ code: 'signed_out' });
    expect((await heyi.request({ ...userinfo, optional: true })).statusCode).toBe(401);
    expect(phone.line.sentTo('/userinfo').at(-1)?.headers.authorization).toBeUndefined();
  });
});

test('the person’s own API says what the SDK’s events were: sign-in joins what came before', async () => {
  const { launch } = await someone(world);
  const { heyi } = launch();
  heyi.track('product_viewed', { product_id: 'before' });
  const { sub } = await heyi.signIn({ consents: ['privacy@1', 'profiling@1'] });
  heyi.track('product_viewed', { product_id: 'after' });
  await heyi.flush();
  const seen = (await timelineOf(world, sub)).filter(({ event }) => event === 'product_viewed');
  expect(seen.map(({ properties, trust, consents }) => [properties.product_id, trust, consents])).toEqual([
    ['before', 'bound', ['service']],
    ['after', 'token', ['service', 'profiling']],
  ]);
});
