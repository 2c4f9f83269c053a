import { describe, expect, test } from 'vitest';
import type { BehaviourEvent } from '../../src/behaviour/language.ts';
import type { Node } from '../../src/segments/definition.ts';
import { compileToSql, previewSql } from '../../src/segments/sql.ts';
import { fillBuilt } from '../../src/segments/state-store.ts';
import { day, did, now, segment, template } from '../helpers/behaviour.ts';
import { testDatabase } from '../helpers/database.ts';
import { asking, type Put, putEvents } from '../helpers/population.ts';

const { db } = await testDatabase();
const { people, peopleWho } = asking(db);

describe('two of the templates', () => {
  test('high intent, not bought: names the products', async () => {
    const viewed = (product_id: unknown, ago: number, price: unknown = 5000) =>
      did('product_viewed', ago, { product_id, price });
    const { rows } = await peopleWho({
      keen: [viewed(7, 29), viewed(7, 3, '5000.00'), viewed(7, 2), viewed('8', 1), viewed('8', 1), viewed('8', 1)],
      bought: [viewed(7, 3), viewed(7, 2), viewed(7, 1), did('order_paid', 100, { product_id: 7 })],
      cheap: [viewed(7, 3), viewed(7, 2), viewed(7, 1, '4999.99')],
      late: [viewed(7, 30), viewed(7, 2), viewed(7, 1)],
    });
    expect(await rows(template('web-high-intent-not-bought'))).toEqual({
      keen: { is_member: true, matched: { product_id: [7, '8'] }, due: 1 },
    });
  });

  test('repeat buyer: a refunded order does not count', async () => {
    const paid = (order_id: unknown, ago: number) => did('order_paid', ago, { order_id }, { channel: 'miniprogram' });
    const refunded = (order_id: unknown, ago: number) => did('order_refunded', ago, { order_id });
    const { rows } = await peopleWho({
      repeats: [paid(1, 100), paid(2, 50), paid(2, 49)],
      refunds: [paid(1, 100), paid(2, 50), refunded(1, 1)],
      once: [paid(1, 100), paid(1, 50)],
      again: [paid(1, 100), refunded(1, 99), paid(1, 98), paid(2, 10)],
    });
    expect(await rows(template('miniprogram-repeat-buyer'))).toEqual({
      repeats: { is_member: true, matched: null, due: 80 },
      again: { is_member: true, matched: null, due: 82 },
    });
  });
});

describe('who can be a member', () => {
  const put = <Name extends string>(all: Record<Name, Omit<Put, 'sub'>>) =>
    people(
      Object.fromEntries(
        Object.entries<Omit<Put, 'sub'>>(all).map(([name, one]) => [name, { events: [did('x', 1)], ...one }]),
      ) as typeof all,
    );

  test('active, agreed in the version in force, personalised', async () => {
    const later = new Date(Date.now() + 1000);
    const { members } = await put({
      agreed: {},
      nothing: { consents: [] },
      withdrawn: {
        consents: [{ purpose: 'marketing' }, { purpose: 'marketing', is_granted: false, at: later }],
      },
      again: {
        consents: [
          { purpose: 'marketing', is_granted: false },
          { purpose: 'marketing', at: later },
        ],
      },
      outdated: { consents: [{ purpose: 'marketing', version: '0' }] },
      suspended: { status: 'suspended' },
      off: { isPersonalised: false },
    });
    for (const where of [{ event: 'x' }, { not: { event: 'never' } }])
      expect(await members(where)).toEqual(['again', 'agreed']);
    expect(await members({ event: 'x' }, { more: { purpose: 'service' } })).toEqual([
      'again',
      'agreed',
      'nothing',
      'outdated',
      'withdrawn',
    ]);
    expect(await members({ not: { event: 'never' } }, { more: { purpose: 'unheard-of' } })).toEqual([]);
  });

  test('only what was collected under the purpose, and what counts', async () => {
    const { members } = await put({
      before: { events: [did('y', 1, {}, { consents: ['service'] })] },
      under: { events: [did('y', 1)] },
      claims: { events: [{ ...did('y', 1), counts: false } as BehaviourEvent] },
    });
    expect(await members({ event: 'y' })).toEqual(['under']);
    expect(await members({ event: 'y' }, { more: { purpose: 'service' } })).toEqual(['before', 'under']);
  });

  test("an absorbed sub is nobody; what it did is the survivor's with the profiling consent, what it said always", async () => {
    const marketing = { purpose: 'marketing' };
    const profiling = { purpose: 'profiling' };
    const { members, subs } = await put({
      joined: { consents: [marketing, profiling], events: [] },
      apart: { consents: [], events: [did('x', 2)] },
      absorbed1: { status: 'absorbed', consents: [marketing] },
      absorbed2: { status: 'absorbed', consents: [marketing] },
    });
    const { joined, apart, absorbed1, absorbed2 } = subs;
    await db('subject_aliases').insert([
      { absorbed_id: absorbed1, survivor_id: joined, merge_id: absorbed1 },
      { absorbed_id: absorbed2, survivor_id: apart, merge_id: absorbed2 },
    ]);
    expect(await members({ event: 'x' })).toEqual(['apart', 'joined']);
    expect(await members({ event: 'x', count: { gte: 2 } })).toEqual([]);
    expect(await members({ all: [{ event: 'x', within: '7d' }, { not: { event: 'x', count: { gte: 2 } } }] })).toEqual([
      'apart',
      'joined',
    ]);
    expect(await members({ event: 'x', within: '36h' })).toEqual(['joined']);
    await db('consents').insert({
      subject_id: absorbed1,
      purpose: 'marketing',
      version: '1',
      is_granted: false,
      at: new Date(Date.now() + 5000),
      channel: 'website',
    });
    expect(await members({ event: 'x' })).toEqual(['apart']);
  });

  test('what an anonymous id did before it was bound is known as bound, as far as the binding looks back', async () => {
    const { members, subs } = await put({ bound: { events: [] } });
    const anonymous_id = crypto.randomUUID();
    const before = { subject_id: null, anonymous_id };
    await putEvents(db, [
      { ...did('z', 5, { n: 1 }, { trust: 'claimed' }), ...before },
      { ...did('z', 9, { n: 2 }, { trust: 'claimed' }), ...before },
      { ...did('z', 4, { n: 3 }, { trust: 'claimed' }), ...before, is_attributable: false },
    ]);
    await db('anonymous_bindings').insert({
      anonymous_id,
      subject_id: subs.bound,
      looks_back_to: new Date(now - 7 * day),
      bound_at: new Date(now - 3 * day),
      created_at: new Date(now - 3 * day),
      last_seen_at: new Date(now),
      method: 'token',
    });
    const asked = [
      { trust: 'bound', count: { eq: 1 } },
      { within: '7d', count: { eq: 1 } },
      { max: { of: 'n', eq: 1 } },
    ];
    for (const more of asked)
      expect(await members({ event: 'z', ...more } as Node), JSON.stringify(more)).toEqual(['bound']);
    expect(await members({ all: [{ event: 'z', within: '7d' }, { not: { event: 'z', count: { gte: 2 } } }] })).toEqual([
      'bound',
    ]);
    expect(await members({ event: 'z', trust: 'token' })).toEqual([]);
  });

  test('tags, lists, identities, consents, traits, and members of other segments by their own purpose', async () => {
    const segments = [
      segment({ not: { event: 'x', within: '2d' } }, { key: 'quiet', purpose: 'service' }),
      segment({ any: [{ segment: 'quiet' }, { tag: 'gold' }] }, { key: 'both' }),
      segment({ segment: 'loop' }, { key: 'loop' }),
    ];
    const { members } = await put({
      gold: { tags: ['gold', 'old'], identities: [{ kind: 'phone', issuer: '' }] },
      listed: { lists: ['vip'], identities: [{ kind: 'wechat_openid', issuer: 'app1' }] },
      quiet: { events: [], consents: [{ purpose: 'marketing' }, { purpose: 'ad_sharing' }] },
      aged: { traits: { born: '1990-12-01', city: 'Wuhan', spent: '10.50' } },
    });
    const cases: [Node, string[]][] = [
      [{ tag: 'gold' }, ['gold']],
      [{ segment: 'vip' }, ['listed']],
      [{ identity: 'wechat_openid' }, ['listed']],
      [{ identity: 'wechat_openid', issuer: 'app2' }, []],
      [{ consent: 'ad_sharing' }, ['quiet']],
      [{ all: [{ consent: 'service' }, { not: { event: 'x' } }] }, ['quiet']],
      [{ segment: 'quiet' }, ['quiet']],
      [{ segment: 'both' }, ['gold', 'quiet']],
      [{ segment: 'loop' }, []],
      [{ trait: 'born', op: 'anniversary_in', value: '7d' }, ['aged']],
      [{ trait: 'city', op: 'in', value: ['Wuhan', "Xi'an"] }, ['aged']],
      [{ trait: 'spent', op: 'gte', value: 10.5 }, ['aged']],
      [{ all: [{ trait: 'city', op: 'exists', value: false }, { event: 'x' }] }, ['gold', 'listed']],
    ];
    for (const [where, expected] of cases)
      expect(await members(where, { segments }), JSON.stringify(where)).toEqual(expected);
  });
});

test('a date comes into a range and leaves it at the very moment', async () => {
  const joined = (ago: number) => ({ traits: { joined: new Date(now - ago * day).toISOString() } });
  const { rows } = await people({
    lastWeek: joined(7),
    yesterday: joined(1),
    rightNow: joined(0),
    nextWeek: joined(-7),
    later: joined(-9),
  });
  const [more, is_member, matched] = [{ purpose: 'service' }, true, null];
  const later = { is_member: false, matched };
  expect(await rows({ trait: 'joined', op: 'in_last', value: '7d' }, { more })).toEqual({
    yesterday: { is_member, matched, due: 6 },
    rightNow: { is_member, matched, due: 7 },
    nextWeek: { ...later, due: 7 },
    later: { ...later, due: 9 },
  });
  expect(await rows({ trait: 'joined', op: 'in_next', value: '7d' }, { more })).toEqual({
    nextWeek: { is_member, matched, due: 7 },
    later: { ...later, due: 2 },
  });
});

test('of questions below `any` and `not` the values are told as they are in hand: of all, and of none', async () => {
  const { rows } = await peopleWho({ both: [did('p', 1, { id: 1 }), did('q', 1, { id: 2 })] });
  const per = (event: string): Node => ({ per: 'id', all: [{ event }] });
  const never: Node = { event: 'never' };
  const member = (matched: unknown) => ({ both: { is_member: true, matched, due: null } });
  expect(await rows({ any: [{ all: [{ ...never, within: '1d' }, per('p')] }, per('q')] })).toEqual(
    member({ id: [1, 2] }),
  );
  expect(await rows({ all: [{ event: 'q' }, { not: { all: [per('p'), never] } }] })).toEqual(member(null));
});

test('a segment that is asked about some of the people is asked about all others where it is named again', async () => {
  const other = segment({ event: 'named' }, { key: 'other' });
  const { members } = await people({
    some: { events: [did('named', 1)], tags: ['some'] },
    others: { events: [did('named', 1)] },
  });
  const where: Node = { any: [{ all: [{ tag: 'some' }, { segment: 'other' }] }, { segment: 'other' }] };
  expect(await members(where, { segments: [other] })).toEqual(['others', 'some']);
});

test('F17: segments that look through each other many times are a statement that grows by each, not by their product', async () => {
  const chain = [segment({ event: 'linked' }, { key: 'link0' })];
  for (let n = 1; n <= 12; n++) {
    const [before, other] = [`link${n - 1}`, `link${Math.max(0, n - 2)}`];
    const ways: Node[] = [{ all: [{ segment: before }, { segment: other }] }, { not: { not: { segment: before } } }];
    chain.push(segment({ any: [{ tag: `tag${n}` }, ...ways] }, { key: `link${n}` }));
  }
  const { members, subs } = await peopleWho({ in: [did('linked', 1)], out: [did('unlinked', 1)] });
  const segments = new Map(chain.map((one) => [one.key, one]));
  const { sql } = compileToSql(segment({ segment: 'link12' }), {
    at: new Date(now),
    segmentOf: (key) => segments.get(key),
  });
  expect(sql.length).toBeLessThan(200_000);
  expect(Object.keys(subs)).toEqual(['in', 'out']);
  expect(await members({ segment: 'link12' }, { segments: chain })).toEqual(['in']);
});

test('a preview counts all and shows some, and ends when it takes too long, as a build does', async () => {
  const compiled = compileToSql(segment({ event: 'shown' }), { at: new Date(now), segmentOf: () => undefined });
  const { subs } = await peopleWho({ a: [did('shown', 1)], b: [did('shown', 1)], c: [did('shown', 1)] });
  const { count, sample } = await previewSql(db, compiled, { sample: 2, timeout: 10_000 });
  expect([count, sample.map(({ subject_id }) => subject_id)]).toEqual([3, [subs.c, subs.b]]);
  const slow = {
    sql: `select subject_id, true as is_member, null::jsonb as matched, null::timestamptz as due_at from (${compiled.sql}) a, pg_sleep(5)`,
    bindings: compiled.bindings,
  };
  await expect(previewSql(db, slow, { sample: 2, timeout: 50 })).rejects.toMatchObject({ code: '57014' });
  await expect(fillBuilt(db, 1, slow, 50)).rejects.toMatchObject({ code: '57014' });
});

test('the same question at another instant: facts as they are known now', async () => {
  const { members } = await peopleWho({ once: [did('then', 10)] });
  const where: Node = { event: 'then', within: '7d' };
  expect(await members(where)).toEqual([]);
  expect(await members(where, { at: now - 5 * day })).toEqual(['once']);
  expect(await members(where, { at: now - 11 * day })).toEqual([]);
});
