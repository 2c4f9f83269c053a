/** When a captcha is demanded, what the caps of a company do, and what its operator hears. */
import { describe, expect, it } from 'vitest';
import { type Caps, countProven, countSend } from '../../src/connectors/send-limits.ts';
import { createDatabase } from '../../src/database.ts';
import { testDatabase } from '../helpers/database.ts';
import { codeOf, easyCaptcha, errorOf, newPerson, outcomes, testServices, windowsEnd } from './services.ts';

const { db, url } = await testDatabase();
const fresh = () => ({ ...testServices(db), captcha: easyCaptcha });
const services = fresh();
const roomy: Caps = { perMinute: 100_000 };

type Wanted = { phone?: string; ip?: string; caps?: Caps; captcha?: string; services?: typeof services };
const send = ({ phone, ip, caps = roomy, captcha, services: own = services }: Wanted = {}) => {
  const person = newPerson();
  return countSend(own, { channel: 'sms', recipient: phone ?? person.phone, ip: ip ?? outside(), caps, captcha });
};
/** Of the world outside: nothing is suspected of a private address. */
let networks = 0;
const outside = () => `198.18.${++networks}.7`;
const minutePasses = () => db.raw(`delete from rate_limits where key like 'code_recipient_spacing%'`);
const lines = (logged: string, sentence: string) => logged.split('\n').filter((line) => line.includes(sentence));

describe('B6, B7: an ordinary day', () => {
  it('meets no captcha: forty people of one carrier network, each with a number of their own', async () => {
    await windowsEnd(db);
    for (let n = 0; n < 40; n++)
      await send({ phone: `+86138${String(n * 104_729 + 10_000_000)}`, ip: `198.51.100.${n}` });
  });
  it('nor does somebody who signs in four times a day', async () => {
    const { phone } = newPerson();
    for (let n = 0; n < 4; n++) {
      await send({ phone });
      await countProven(services.limits, { channel: 'sms', recipient: phone });
      await minutePasses();
    }
  });
  it('virtual operators (170, 171, 162, 165, 167) are served like all others', async () => {
    for (const prefix of ['170', '171', '162', '165', '167']) await send({ phone: `+86${prefix}12345678` });
  });
});

describe('B6, B7: a captcha is demanded', () => {
  it('from the eleventh code of one address within ten minutes, and nothing is counted until it is solved', async () => {
    const ip = outside();
    const spread = (n: number) => `+86137${String(n * 104_729 + 10_000_000)}`;
    for (let n = 0; n < 10; n++) await send({ phone: spread(n), ip });
    for (let n = 0; n < 5; n++) expect(await codeOf(send({ phone: spread(10), ip }))).toBe('captcha_required');
    expect(await codeOf(send({ phone: spread(10), ip, captcha: 'guessed' }))).toBe('captcha_required');
    await send({ phone: spread(10), ip, captcha: 'solved' });
    expect(await codeOf(send({ phone: spread(11), ip }))).toBe('captcha_required');
  });
  it('from the forty-first of one network', async () => {
    await windowsEnd(db);
    const from = (n: number) => ({ phone: `+86136${String(n * 104_729 + 10_000_000)}`, ip: `203.0.113.${n}` });
    for (let n = 0; n < 40; n++) await send(from(n));
    expect(await codeOf(send(from(40)))).toBe('captcha_required');
  });
  it('for numbers in sequence from one network, wherever they begin', async () => {
    const ip = outside();
    for (let n = 0; n < 4; n++) await send({ phone: `+8613500135${700 + n}`, ip });
    expect(await codeOf(send({ phone: '+8613500135704', ip }))).toBe('captcha_required');
    await send({ phone: '+8613500136704', ip });
    await send({ phone: '+8613500135705', ip: outside() });
  });
  it('not for one number that is sent several codes: that is no sequence', async () => {
    const ip = outside();
    for (let n = 0; n < 5; n++) {
      await send({ phone: '+8613500137001', ip });
      await countProven(services.limits, { channel: 'sms', recipient: '+8613500137001' });
      await minutePasses();
    }
    await send({ phone: '+8613500137002', ip });
  });
  it('for a number whose last three codes nobody typed, so that using up its day costs a stranger something', async () => {
    const { phone } = newPerson();
    for (let n = 0; n < 3; n++) {
      await send({ phone });
      await minutePasses();
    }
    expect(await codeOf(send({ phone }))).toBe('captcha_required');
    await send({ phone, captcha: 'solved' });
    await minutePasses();
    await countProven(services.limits, { channel: 'sms', recipient: phone });
    await send({ phone });
  });
  it('when half of what a minute may hold is used, for everybody', async () => {
    await windowsEnd(db);
    const caps = { perMinute: 10 };
    for (let n = 0; n < 5; n++) await send({ caps });
    expect(await codeOf(send({ caps }))).toBe('captcha_required');
    await send({ caps, captcha: 'solved' });
  });
  it.each(['127.0.0.1', '::1', '10.1.2.3', '172.18.0.1', '192.168.1.20', 'fd00::7'])(
    'not because of %s: behind a proxy that nobody named it would be everybody; the limit holds',
    async (ip) => {
      await windowsEnd(db);
      for (let n = 0; n < 30; n++) await send({ ip });
      expect(await codeOf(send({ ip }))).toBe('too_many_requests');
    },
  );
});

describe('B6, B7: caps of a day', () => {
  it('stop at so many codes, over two processes, and a restart changes nothing', async () => {
    await windowsEnd(db);
    const other = createDatabase({ url });
    const second = { ...testServices(other), captcha: easyCaptcha };
    const caps = { perMinute: 100_000, perDay: 12 };
    const attempts = Array.from({ length: 30 }, (_, n) =>
      send({ caps, captcha: 'solved', services: n % 2 ? services : second }),
    );
    expect(await outcomes(attempts)).toEqual({ ok: 12, sending_paused: 18 });
    await other.destroy();
    const refused = await errorOf(send({ caps, captcha: 'solved', services: fresh() }));
    expect(refused).toMatchObject({ code: 'sending_paused', status: 429 });
    expect(refused.retryAfterSeconds).toBeGreaterThan(86_000);
  });
  it('stop at so much money, to the cent', async () => {
    await windowsEnd(db);
    const caps = { perMinute: 100_000, money: { price: 0.045, perDay: 0.45 } };
    for (let n = 0; n < 10; n++) await send({ caps, captcha: 'solved' });
    expect(await codeOf(send({ caps, captcha: 'solved' }))).toBe('sending_paused');
    // The operator allows more: what was spent stays spent.
    const more = { perMinute: 100_000, money: { price: 0.045, perDay: 0.5 } };
    await send({ caps: more, captcha: 'solved' });
    expect(await codeOf(send({ caps: more, captcha: 'solved' }))).toBe('sending_paused');
  });
  it('a price that would not fit once sends nothing', async () => {
    await windowsEnd(db);
    const caps = { perMinute: 100, money: { price: 1, perDay: 0.5 } };
    expect(await codeOf(send({ caps, captcha: 'solved' }))).toBe('sending_paused');
  });
  it('tell the operator once at 80 % and once at the end, without a number, and again in the next window', async () => {
    const own = fresh();
    const second = fresh();
    const caps = { perMinute: 100_000, perDay: 10 };
    for (let window = 1; window <= 2; window++) {
      await windowsEnd(db);
      for (let n = 0; n < 16; n++)
        await send({ caps, captcha: 'solved', services: n % 2 ? own : second }).catch(() => undefined);
      const logged = own.logged() + second.logged();
      expect(lines(logged, '80 % of this cap')).toHaveLength(window);
      expect(lines(logged, 'cap reached')).toHaveLength(window);
      expect(lines(logged, 'cap reached')[0]).toMatch(/"level":"error".*"cap":"sends_per_day"/);
      expect(logged).not.toMatch(/1[3-9]\d{9}/);
    }
  });
  it('demand a captcha for the last fifth', async () => {
    await windowsEnd(db);
    const caps = { perMinute: 100_000, perDay: 10 };
    for (let n = 0; n < 8; n++) await send({ caps });
    expect(await codeOf(send({ caps }))).toBe('captcha_required');
  });
});
