import { describe, expect, it } from 'vitest';
import { declareTraits } from '../../src/profiles/declared.ts';
import { absorb, addSubject, basic, bearer, clientKey } from '../events/harness.ts';
import { segmentsWorld } from '../segments/world.ts';

const { db, app, clock, settle } = await segmentsWorld();
const ago = (minutes: number) => new Date(clock.now().getTime() - minutes * 60_000).toISOString();
const said = (userId: string, traits: unknown, more: object = {}) => ({ type: 'identify', userId, traits, ...more });
const server = (...batch: object[]) => app.send('/v1/batch', { batch }, basic('the-server-key'));
const declare = (sub: string, traits: Record<string, unknown>, source = 'staff:wang') =>
  db.transaction((trx) => declareTraits(trx, { clock }, { sub, traits, source }));
async function traitsOf(sub: string) {
  await settle();
  const rows = await db('current_traits').where({ subject_id: sub }).whereNot({ source: 'system' });
  return Object.fromEntries(
    rows.map(({ name, value, source }) => [name, `${JSON.stringify(value)} by ${source.split(':')[0]}`]),
  );
}
function tokenOf(sub: string) {
  app.tokens.set(sub, { sub, client_id: 'website', channel: 'website' });
  return bearer(sub);
}

describe('a declared trait', () => {
  it('is the newest word of a server, by when it was said and not by when it arrived', async () => {
    const sub = await addSubject(db);
    await server(said(sub, { tier: 'gold', birthday: '1990-02-03' }, { timestamp: ago(10) }));
    await settle();
    await server(said(sub, { tier: 'silver', city: '上海' }, { timestamp: ago(20) }));
    await server({ type: 'group', userId: sub, groupId: 'acme', traits: { name: 'Acme' }, timestamp: ago(5) });
    expect(await traitsOf(sub)).toEqual({
      tier: '"gold" by identify',
      birthday: '"1990-02-03" by identify',
      city: '"上海" by identify',
      group_id: '"acme" by identify',
    });
  });

  it('is taken away by null, and read as what it says now', async () => {
    const sub = await addSubject(db);
    await server(said(sub, { tier: 'gold' }, { timestamp: ago(3) }), said(sub, { tier: null }, { timestamp: ago(2) }));
    expect(await traitsOf(sub)).toEqual({ tier: 'null by identify' });
    await declare(sub, { tier: { level: 3 } });
    expect(await traitsOf(sub)).toEqual({ tier: '{"level":3} by staff' });
  });

  it('of staff counts at once, whatever a clock that runs ahead has said', async () => {
    const sub = await addSubject(db);
    await server(said(sub, { tier: 'gold' }, { timestamp: ago(-4) }));
    expect(await traitsOf(sub)).toEqual({ tier: '"gold" by identify' });
    await declare(sub, { tier: 'silver' });
    await server(said(sub, { tier: 'gold' }, { timestamp: ago(-3) }));
    expect(await traitsOf(sub)).toEqual({ tier: '"silver" by staff' });
  });

  it('F2: is never set by a public key, not for a bound device either, and by the person only where nobody else said anything', async () => {
    const sub = await addSubject(db);
    const device = `d-${sub}`;
    await db('anonymous_bindings').insert({
      anonymous_id: device,
      subject_id: sub,
      method: 'token',
      looks_back_to: ago(60),
      bound_at: ago(60),
      last_seen_at: db.fn.now(),
    });
    await app.send(
      '/v1/batch',
      {
        batch: [
          said(sub, { tier: 'vip' }, { anonymousId: device }),
          { type: 'identify', anonymousId: device, traits: { tier: 'vip' } },
        ],
      },
      basic(clientKey),
    );
    await app.send(
      '/v1/batch',
      { batch: [{ type: 'track', event: '$set', anonymousId: device, properties: { tier: 'vip' } }] },
      basic(clientKey),
    );
    expect(await traitsOf(sub)).toEqual({});
    await app.send('/v1/identify', { traits: { tier: 'mine', likes: 'tea' }, timestamp: ago(2) }, tokenOf(sub));
    expect(await traitsOf(sub)).toEqual({ tier: '"mine" by self', likes: '"tea" by self' });
    await server(said(sub, { tier: 'gold' }, { timestamp: ago(500) }));
    clock.set(ago(-1));
    await app.send('/v1/identify', { traits: { tier: 'mine again', likes: 'coffee' } }, tokenOf(sub));
    expect(await traitsOf(sub)).toEqual({ tier: '"gold" by identify', likes: '"coffee" by self' });
  });

  it('F1: is of the token, whoever the event names', async () => {
    const [sub, other] = [await addSubject(db), await addSubject(db)];
    await app.send('/v1/identify', { userId: other, traits: { tier: 'vip' } }, tokenOf(sub));
    expect([await traitsOf(sub), await traitsOf(other)]).toEqual([{}, {}]);
  });

  it('F2: is no phone number, no address and nothing that is worked out', async () => {
    const sub = await addSubject(db);
    await server(said(sub, { phone: '13800138000', email: 'a@b.cn', orders_total: 9, created_at: 'x', ok: 1 }));
    expect(await traitsOf(sub)).toEqual({ ok: '1 by identify' });
    await expect(
      declare(sub, { Mobile: '13800138000', rfm_segment: 'x', '1st': 1, big: 'x'.repeat(9000), fine: 1 }),
    ).rejects.toMatchObject({
      code: 'invalid_fields',
      fields: {
        Mobile: expect.any(String),
        rfm_segment: expect.any(String),
        '1st': expect.any(String),
        big: expect.stringContaining('8 KB'),
      },
    });
  });

  it('E5: is no prototype', async () => {
    const sub = await addSubject(db);
    await app.send(
      '/v1/batch',
      `{"batch":[{"type":"identify","userId":"${sub}","traits":{"__proto__":{"admin":true},"constructor":1,"ok":true}}]}`,
      basic('the-server-key'),
    );
    expect(await traitsOf(sub)).toEqual({ ok: 'true by identify' });
    await expect(declare(sub, JSON.parse('{"__proto__":{"admin":true}}'))).rejects.toMatchObject({
      code: 'invalid_fields',
    });
    expect(({} as Record<string, unknown>).admin).toBeUndefined();
  });

  it('is one of two hundred at most, and F10: of any type', async () => {
    const sub = await addSubject(db);
    const many = Object.fromEntries(Array.from({ length: 300 }, (_, n) => [`t${String(n).padStart(3, '0')}`, n]));
    await server(
      said(sub, many, { timestamp: ago(2) }),
      said(sub, { t000: { now: ['an', 'object'] } }, { timestamp: ago(1) }),
    );
    const found = await traitsOf(sub);
    expect(Object.keys(found)).toHaveLength(200);
    expect(found.t000).toBe('{"now":["an","object"]} by identify');
    await expect(declare(sub, { one_more: 1 })).rejects.toMatchObject({ code: 'invalid_fields' });
    await declare(sub, { t000: 1 });
  });

  it('of a merge is the newest of both sides, and an undo gives each back its own', async () => {
    const [survivor, absorbed] = [await addSubject(db), await addSubject(db)];
    await server(
      said(survivor, { tier: 'gold' }, { timestamp: ago(9) }),
      said(absorbed, { tier: 'silver', city: '北京' }, { timestamp: ago(8) }),
    );
    await settle();
    await absorb(db, absorbed, survivor);
    expect(await traitsOf(survivor)).toEqual({ tier: '"silver" by identify', city: '"北京" by identify' });
    await db('subject_aliases').where({ absorbed_id: absorbed }).delete();
    expect(await traitsOf(survivor)).toEqual({ tier: '"gold" by identify' });
  });
});
