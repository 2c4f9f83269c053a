/** The mini-program's SDK against a whole Heyi, over a line that loses answers as a phone does. */
import { describe, expect, test } from 'vitest';
import { startWorld } from '../e2e/world.ts';
import { createPhone, lossyLine } from './phone.ts';

const world = await startWorld();
const line = await lossyLine(world.heyi);

let next = 0;
async function someone() {
  const number = `+861371234${String(1000 + next++)}`;
  const phone = createPhone(world, await world.addPerson(`用户${next}`, number), line.url);
  return { phone, number };
}

const expired = { expires_at: 0 };
const sessionOf = ({ storage }: { storage: Map<string, string> }) => JSON.parse(storage.get('heyi.session') ?? 'null');

describe('signing in', () => {
  test('by WeChat and the phone button, then by a text message: the same person', async () => {
    const { phone, number } = await someone();
    const heyi = phone.launch();
    const first = await heyi.signIn({ phoneCode: await phone.phoneCode(), consents: ['privacy@1'] });
    expect(first).toEqual({ sub: expect.stringMatching(/^[0-9a-f-]{36}$/), phone_status: 'linked' });
    await heyi.signOut();
    expect(heyi.person()).toBeNull();
    const { otp_id } = await heyi.sendCode({ to: number });
    const second = await heyi.signInByCode({ otpId: otp_id, code: await world.codeFor(number) });
    expect(second.sub).toBe(first.sub);
  });

  test('with create: false nobody new is made, and the error says why', async () => {
    const { phone } = await someone();
    await expect(phone.launch().signIn({ create: false })).rejects.toMatchObject({
      code: 'invalid_grant',
      reason: 'unknown_person',
    });
  });

  test('a lost answer costs a second login code, not the sign-in', async () => {
    const { phone } = await someone();
    const heyi = phone.launch();
    line.lose('/token', 1);
    const { sub } = await heyi.signIn();
    expect(heyi.person()).toEqual({ sub });
  });

  test('who has signed out cannot come back with the old refresh token', async () => {
    const { phone } = await someone();
    const heyi = phone.launch();
    await heyi.signIn();
    const stolen = sessionOf(phone);
    await heyi.signOut();
    phone.change('heyi.session', { ...stolen, ...expired });
    await expect(phone.launch().request({ url: `${line.url}/userinfo` })).rejects.toMatchObject({ code: 'signed_out' });
    expect(sessionOf(phone)).toBeNull();
  });
});

describe('keeping the sign-in', () => {
  test('a refresh whose answer is lost is repeated, and the person stays signed in', async () => {
    const { phone } = await someone();
    const { sub } = await phone.launch().signIn();
    phone.change('heyi.session', expired);
    const before = line.count('/token');
    line.lose('/token', 1);
    const { statusCode, data } = await phone.launch().request({ url: `${line.url}/userinfo` });
    expect([statusCode, data.sub]).toEqual([200, sub]);
    expect(line.count('/token') - before).toBe(2);
    phone.change('heyi.session', expired);
    expect((await phone.launch().request({ url: `${line.url}/userinfo` })).statusCode).toBe(200);
  });

  test('twenty requests at once renew once', async () => {
    const { phone } = await someone();
    await phone.launch().signIn();
    phone.change('heyi.session', expired);
    const heyi = phone.launch();
    const before = line.count('/token');
    const answers = await Promise.all(Array.from({ length: 20 }, () => heyi.request({ url: `${line.url}/userinfo` })));
    expect(answers.map(({ statusCode }) => statusCode)).toEqual(Array(20).fill(200));
    expect(line.count('/token') - before).toBe(1);
  });

  test('a token that Heyi refuses is renewed and the request repeated', async () => {
    const { phone } = await someone();
    await phone.launch().signIn();
    phone.change('heyi.session', { access_token: 'of-before-a-restart' });
    expect((await phone.launch().request({ url: `${line.url}/userinfo` })).statusCode).toBe(200);
  });
});

describe('tracking', () => {
  test('events wait in storage while the line is bad, and are stored once, under who did them', async () => {
    const { phone } = await someone();
    let heyi = phone.launch();
    heyi.setConsent({ profiling: true });
    line.lose('/v1/batch', 1);
    heyi.track('product_viewed', { product_id: 'before-sign-in' });
    await heyi.flush();
    expect(JSON.parse(phone.storage.get('heyi.queue') ?? '[]')).toHaveLength(1);
    heyi = phone.launch();
    const { sub } = await heyi.signIn({ consents: ['privacy@1', 'profiling@1'] });
    heyi.track('product_viewed', { product_id: 'after-sign-in' });
    await heyi.flush();
    expect(JSON.parse(phone.storage.get('heyi.queue') ?? '[]')).toEqual([]);
    const { data } = (await world.api(`/subjects/${sub}/events`)) as {
      data: { properties: { product_id: string }; trust: string; channel: string }[];
    };
    expect(data.map(({ properties, trust, channel }) => [properties.product_id, trust, channel])).toEqual([
      ['after-sign-in', 'token', 'miniprogram'],
      ['before-sign-in', 'bound', 'miniprogram'],
    ]);
  });
});
