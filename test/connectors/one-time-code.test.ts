import { describe, expect, it } from 'vitest';
import type { Connectors, Started, VerifyInput } from '../../src/connectors/contract.ts';
import { createConnectors } from '../../src/connectors/registry.ts';
import { createDatabase } from '../../src/database.ts';
import { networkOf } from '../../src/http/client-address.ts';
import { testDatabase } from '../helpers/database.ts';
import { aliyunAt, aliyunBehaviour, fakeServer } from './fakes.ts';
import { asking, codeOf, easyCaptcha, errorOf, newPerson, outcomes, testServices, windowsEnd } from './services.ts';

const { db, url } = await testDatabase();
const sent: { phone: string; code: string }[] = [];
const normal = aliyunBehaviour(sent);
const aliyun = await fakeServer(normal);
const services = { ...testServices(db, { smsRegions: ['86', '852'] }), captcha: easyCaptcha };
const connectors = createConnectors(services);
await connectors.configure({
  id: 'sms',
  connector: 'sms',
  settings: aliyunAt(aliyun.base),
});

const codeFor = (phone: string) => sent.findLast((message) => phone.endsWith(message.phone))?.code ?? 'none';
const wrong = (code: string) => String((Number(code) + 1) % 1_000_000).padStart(6, '0');
const guess = (started: Started, code: string, changes: Partial<VerifyInput> = {}) =>
  connectors.verify('sms', { otp_id: started.otp_id, code, purpose: 'login', binding: 'browser-1', ...changes });

async function started(phone = newPerson().phone): Promise<Started & { phone: string; code: string }> {
  const answer = await connectors.start('sms', asking(phone));
  return { ...answer, phone, code: codeFor(phone) };
}

describe('a code by SMS', () => {
  it('proves the number it was sent to', async () => {
    const mine = await started();
    expect(mine).toMatchObject({
      resend_after: 60,
      expires_in: 300,
      masked_to: expect.stringMatching(/^139\*{4}\d{4}$/),
    });
    expect(mine.code).toMatch(/^\d{6}$/);
    expect(await guess(mine, mine.code)).toEqual({
      connector: 'sms',
      identities: [{ kind: 'phone', issuer: '', external_id: mine.phone }],
    });
  });
  it('is taken as people type it: full-width, with spaces', async () => {
    const mine = await started();
    const wide = mine.code.replace(/\d/g, (digit) => String.fromCharCode(0xff10 + Number(digit)));
    expect(await guess(mine, ` ${wide.slice(0, 3)} ${wide.slice(3)} `)).toMatchObject({ connector: 'sms' });
  });
});

describe('B1, B2: guessing', () => {
  it('five wrong guesses end a code, also for the right one', async () => {
    const mine = await started();
    const answers: string[] = [];
    for (let tries = 0; tries < 5; tries++) answers.push(await codeOf(guess(mine, wrong(mine.code))));
    expect(answers).toEqual(['code_wrong', 'code_wrong', 'code_wrong', 'code_wrong', 'code_tries_spent']);
    expect(await codeOf(guess(mine, mine.code))).toBe('code_tries_spent');
  });
  it('of 200 guesses in the same instant, over two processes, five are compared', async () => {
    const mine = await started();
    const other = createDatabase({ url });
    const processes: Connectors[] = [connectors, createConnectors(testServices(other))];
    const attempts = Array.from({ length: 200 }, (_, n) => {
      const input = { otp_id: mine.otp_id, code: wrong(mine.code), purpose: 'login' as const, binding: 'browser-1' };
      return processes[n % 2]?.verify('sms', input) ?? Promise.reject();
    });
    expect(await outcomes(attempts)).toEqual({ code_wrong: 4, code_tries_spent: 196 });
    const row = await db('one_time_codes').where({ id: mine.otp_id }).first();
    expect(row?.tries).toBe(5);
    await other.destroy();
  });
});

describe('B3: reuse', () => {
  it('a code is good once, also for twenty redemptions in the same instant', async () => {
    const mine = await started();
    expect(await outcomes(Array.from({ length: 20 }, () => guess(mine, mine.code)))).toEqual({
      ok: 1,
      code_expired: 19,
    });
    expect(await codeOf(guess(mine, mine.code))).toBe('code_expired');
  });
  it('only the newest code is good', async () => {
    const first = await started();
    await windowsEnd(db);
    const second = await started(first.phone);
    expect(await codeOf(guess(first, first.code))).toBe('code_expired');
    expect(await guess(second, second.code)).toMatchObject({ connector: 'sms' });
    expect(await codeOf(guess(first, first.code))).toBe('code_expired');
  });
  it('a code asked for elsewhere for the same number does not end mine', async () => {
    const mine = await started();
    await windowsEnd(db);
    await connectors.start('sms', { ...asking(mine.phone), binding: 'a stranger' });
    expect(await guess(mine, mine.code)).toMatchObject({ connector: 'sms' });
  });
});

describe('B4: a code belongs to the browser, the purpose and the number that asked for it', () => {
  it.each([
    ['another browser', { binding: 'browser-2' }],
    ['another purpose', { purpose: 'link' as const }],
    ['another code of the same browser', { otp_id: crypto.randomUUID() }],
    ['an id that is none', { otp_id: "x' or 1=1" }],
  ])('%s is answered like a wrong code and spends no try', async (_what, changes) => {
    const mine = await started();
    for (let tries = 0; tries < 10; tries++) expect(await codeOf(guess(mine, mine.code, changes))).toBe('code_wrong');
    const wrongCode = await errorOf(guess(mine, wrong(mine.code)));
    const stranger = await errorOf(guess(mine, mine.code, changes));
    expect({ ...stranger, message: stranger.message }).toEqual({ ...wrongCode, message: wrongCode.message });
    expect(await guess(mine, mine.code)).toMatchObject({ connector: 'sms' });
  });
  it('the code of one number does not open that of another', async () => {
    const [mine, theirs] = [await started(), await started()];
    if (mine.code !== theirs.code) expect(await codeOf(guess(theirs, mine.code))).toBe('code_wrong');
  });
  it('a code sent by SMS is none of the mail connector', async () => {
    const mine = await started();
    await connectors.configure({
      id: 'email',
      connector: 'email',
      settings: { host: 'localhost', port: 1, from: 'heyi@example.com' },
    });
    const input = { otp_id: mine.otp_id, code: mine.code, purpose: 'login' as const, binding: 'browser-1' };
    expect(await codeOf(connectors.verify('email', input))).toBe('code_wrong');
  });
});

describe('B5: expiry', () => {
  it("is five minutes by the database's clock, whatever ours says", async () => {
    const mine = await started();
    const { rows } = await db.raw(
      'select extract(epoch from expires_at - created_at)::int as ttl from one_time_codes where id = ?',
      [mine.otp_id],
    );
    expect(rows[0].ttl).toBe(300);
    await db.raw(`update one_time_codes set expires_at = now() - interval '1 second' where id = ?`, [mine.otp_id]);
    const slow = createConnectors(testServices(db, { now: new Date(0) }));
    const input = { otp_id: mine.otp_id, code: mine.code, purpose: 'login' as const, binding: 'browser-1' };
    expect(await codeOf(slow.verify('sms', input))).toBe('code_expired');
  });
  it('what is long expired is deleted when the next code is sent', async () => {
    const old = await started();
    await db.raw(`update one_time_codes set expires_at = now() - interval '2 hours' where id = ?`, [old.otp_id]);
    await started();
    expect(await db('one_time_codes').where({ id: old.otp_id }).first()).toBeUndefined();
  });
});

describe('B6, B8: limits', () => {
  it('a number gets one code a minute, however it is spelt and whoever asks', async () => {
    const { phone } = await started();
    const national = phone.slice(3);
    const spellings = [national, `0086 ${national}`, `+86-${national}`, [...national].join(' '), `8 6${national}`];
    for (const spelling of spellings) {
      const refused = await errorOf(connectors.start('sms', { ...asking(spelling), binding: crypto.randomUUID() }));
      expect(refused.code).toBe('code_too_soon');
      expect(refused.retryAfterSeconds).toBeGreaterThan(0);
      expect(refused.retryAfterSeconds).toBeLessThanOrEqual(60);
    }
    expect(sent.filter((message) => message.phone === national)).toHaveLength(1);
  });
  it('of twenty requests for one number in the same instant, over two processes, one is sent', async () => {
    const { phone } = newPerson();
    const other = createDatabase({ url });
    const processes: Connectors[] = [connectors, createConnectors(testServices(other))];
    const attempts = Array.from(
      { length: 20 },
      (_, n) => processes[n % 2]?.start('sms', asking(phone)) ?? Promise.reject(),
    );
    expect(await outcomes(attempts)).toEqual({ ok: 1, code_too_soon: 19 });
    expect(sent.filter((message) => phone.endsWith(message.phone))).toHaveLength(1);
    await other.destroy();
  });
  it('a number gets five codes an hour and ten a day', async () => {
    const { phone } = newPerson();
    const minutePasses = () => db.raw(`delete from rate_limits where key like 'code_recipient_spacing%'`);
    const hourPasses = () => db.raw(`delete from rate_limits where key like 'code_recipient_hour%'`);
    for (let n = 1; n <= 12; n++) {
      await minutePasses();
      if (n === 6 || n === 11) {
        if (n === 6)
          expect(await codeOf(connectors.start('sms', { ...asking(phone), captcha: 'solved' }))).toBe(
            'too_many_requests',
          );
        await hourPasses();
        await minutePasses();
      }
      const answer = connectors.start('sms', { ...asking(phone), captcha: 'solved' });
      if (n <= 10) await answer;
      else expect((await errorOf(answer)).retryAfterSeconds).toBeGreaterThan(3600);
    }
    expect(sent.filter((message) => phone.endsWith(message.phone))).toHaveLength(10);
  });
  it('one address is stopped after thirty numbers, its network goes on', async () => {
    await windowsEnd(db);
    const ip = '203.0.113.9';
    const ask = (from: string) => connectors.start('sms', { ...asking(newPerson().phone, from), captcha: 'solved' });
    for (let n = 0; n < 30; n++) await ask(ip);
    expect(await codeOf(ask(ip))).toBe('too_many_requests');
    await ask('203.0.113.10');
  });
  it('all numbers together are stopped at the budget of a minute', async () => {
    await windowsEnd(db);
    const settings = aliyunAt(aliyun.base);
    await connectors.configure({ id: 'sms', connector: 'sms', settings: { ...settings, sends_per_minute: 3 } });
    const attempts = Array.from({ length: 6 }, () =>
      connectors.start('sms', { ...asking(newPerson().phone), captcha: 'solved' }),
    );
    expect(await outcomes(attempts)).toEqual({ ok: 3, sending_paused: 3 });
    await connectors.configure({ id: 'sms', connector: 'sms', settings });
  });
  it.each([
    ['203.0.113.9', '203.0.113.0/24'],
    ['::ffff:203.0.113.9', '203.0.113.0/24'],
    ['2001:db8:1:2:3:4:5:6', '2001:db8:1:2::/64'],
    ['2001:0DB8:1:2::9', '2001:db8:1:2::/64'],
    ['2001:db8::1', '2001:db8:0:0::/64'],
    ['::1', '0:0:0:0::/64'],
    ['fe80::1%eth0', 'fe80:0:0:0::/64'],
  ])('%s belongs to %s', (ip, network) => {
    expect(networkOf(ip)).toBe(network);
  });
});

describe('B10: what is kept of a code', () => {
  it('is a keyed hash, different for equal codes, and the number is sealed', async () => {
    const mine = await started();
    const row = await db('one_time_codes').where({ id: mine.otp_id }).first();
    const kept = JSON.stringify(row);
    expect(kept).not.toContain(mine.code);
    expect(kept).not.toContain(mine.phone.slice(3));
    expect(kept).not.toContain('browser-1');
    expect(row?.code_hash).not.toBe(services.seal.hash(mine.code, 'one_time_codes'));
  });
});

describe('B11: a provider that fails', () => {
  it('lets the person try again at once, and counts nothing, when nothing was sent', async () => {
    const { phone } = newPerson();
    const input = asking(phone);
    aliyun.behave(aliyunBehaviour([], () => ({ Code: 'isv.AMOUNT_NOT_ENOUGH', Message: '', RequestId: 'R' })));
    for (let n = 0; n < 12; n++) {
      const refused = await errorOf(connectors.start('sms', input));
      expect(refused.code).toBe('upstream_unavailable');
      expect(refused.retryAfterSeconds).toBeGreaterThan(0);
    }
    aliyun.behave(normal);
    await connectors.start('sms', input);
    expect(await codeOf(connectors.start('sms', input))).toBe('code_too_soon');
  });
  it('lets the person try again at once, but keeps the count of the day, when it may have been sent', async () => {
    const { phone } = newPerson();
    aliyun.behave(() => 'reset');
    const input = { ...asking(phone), captcha: 'solved' };
    for (let n = 0; n < 5; n++) expect(await codeOf(connectors.start('sms', input))).toBe('upstream_unavailable');
    aliyun.behave(normal);
    expect(await codeOf(connectors.start('sms', input))).toBe('too_many_requests');
  });
  it('leaves the code before it good', async () => {
    const mine = await started();
    await windowsEnd(db);
    aliyun.behave(() => ({ status: 403, body: 'no' }));
    expect(await codeOf(connectors.start('sms', asking(mine.phone)))).toBe('upstream_unavailable');
    aliyun.behave(normal);
    expect(await guess(mine, mine.code)).toMatchObject({ connector: 'sms' });
  });
  it('a refusal of one limit is not counted by the others', async () => {
    const { phone } = newPerson();
    await connectors.start('sms', asking(phone));
    const { rows: before } = await db.raw('select key, points from rate_limits where points > 0 order by key');
    for (let n = 0; n < 3; n++) await codeOf(connectors.start('sms', asking(phone)));
    const { rows: after } = await db.raw('select key, points from rate_limits where points > 0 order by key');
    expect(after).toEqual(before);
  });
});

describe('B7: countries', () => {
  it('sends nothing to a country that is not served', async () => {
    const before = sent.length;
    expect(await codeOf(connectors.start('sms', asking('+447911123456')))).toBe('phone_region_refused');
    expect(await codeOf(connectors.start('sms', asking('12345')))).toBe('phone_invalid');
    expect(sent).toHaveLength(before);
    await connectors.start('sms', asking('+85291234567'));
    expect(sent.at(-1)?.phone).toBe('85291234567');
  });
});
