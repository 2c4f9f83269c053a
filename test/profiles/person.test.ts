import { describe, expect, it, vi } from 'vitest';
import { readBehaviour } from '../../src/behaviour/history.ts';
import { everything } from '../../src/behaviour/needs.ts';
import { personProfile } from '../../src/profiles/person.ts';
import { untagPerson } from '../../src/profiles/tag-store.ts';
import { tagPerson } from '../../src/profiles/tags.ts';
import { explainMembership } from '../../src/segments/membership.ts';
import { createSegment } from '../../src/segments/segment.ts';
import { addTagRule } from '../../src/segments/tag-rules.ts';
import { defineTrait } from '../../src/segments/trait-change.ts';
import { absorb, addSubject, agree } from '../events/harness.ts';
import { days, segmentsWorld } from '../segments/world.ts';

const world = await segmentsWorld();
const { db, clock, does, settle, services } = world;
const profile = (sub: string) => personProfile({ db, clock }, sub);
const computedOf = async (sub: string) =>
  Object.fromEntries((await profile(sub)).computed.map(({ name, value }) => [name, value]));
const at = (ago: number) => new Date(clock.now().getTime() - ago).toISOString();
const pays = (sub: string, order_id: string, total: unknown, ago = 0) =>
  does(sub, 'order_paid', { properties: { order_id, total }, timestamp: at(ago) });

describe('a profile', () => {
  it('has what is worked out of orders, exact and net of refunds, and how it is scored', async () => {
    const sub = await addSubject(db);
    await pays(sub, 'o1', '100.10', days(400));
    await pays(sub, 'o2', 0.2, days(40));
    await pays(sub, 'o2', '1200', days(40));
    await does(sub, 'order_refunded', { properties: { order_id: 'o2', total: 0.3 }, timestamp: at(days(1)) });
    const { rfm } = await profile(sub);
    expect(await computedOf(sub)).toMatchObject({
      orders_count: 2,
      orders_total: 1300,
      average_order: 650,
      first_order_at: at(days(400)),
      last_order_at: at(days(40)),
      first_seen_at: at(days(400)),
      last_seen_at: at(days(1)),
      events_total: 4,
      rfm_recency: 4,
      rfm_frequency: 1,
      rfm_monetary: 3,
      rfm_segment: 'important_develop',
    });
    expect(rfm).toEqual({
      recency: { score: 4, last_order_at: at(days(40)) },
      frequency: { score: 1, orders: 1 },
      monetary: { score: 3, paid: 1199.9 },
      group: { code: 'important_develop', title: { 'zh-CN': '重要发展客户', en: expect.any(String) } },
      period_days: 365,
    });
  });

  it('F17: is the same, worked out by the database, of somebody who did more than can be held', async () => {
    const sub = await addSubject(db);
    await pays(sub, 'o1', 300, days(20));
    await pays(sub, 'o2', 0, days(10));
    await settle();
    const before = await profile(sub);
    const again = (times: number, padding: string) =>
      db.raw(
        `insert into events (id, received_at, "timestamp", subject_id, source_id, message_key, type, event, channel, trust, properties, context)
         select uuid_v7(), received_at, "timestamp", subject_id, source_id, uuid_v7(), type, event, channel, trust,
                properties || jsonb_build_object('padding', ?::text), context
           from events, generate_series(1, ?::int) n where subject_id = ?::uuid and properties ->> 'order_id' = 'o2'`,
        [padding, times, sub],
      );
    // By their size. They compress so well that they are read as a whole.
    await again(1_700, 'x'.repeat(30_000));
    expect(await readBehaviour(db, sub, everything)).toBeNull();
    expect(await profile(sub)).toEqual(before);
    expect(before).toMatchObject({ rfm: { monetary: { paid: 300 }, frequency: { orders: 2 } } });

    // By how many they are; with a millisecond left for each statement.
    await again(30, '');
    expect(await readBehaviour(db, sub, everything)).toBeNull();
    vi.spyOn(performance, 'now').mockReturnValue(1_999).mockReturnValueOnce(0);
    const { computed, rfm, events_total, tags } = await profile(sub);
    vi.restoreAllMocks();
    expect(computed.find(({ name }) => name === 'orders_total')).toMatchObject({ value: null, is_left_out: true });
    expect(computed.find(({ name }) => name === 'rfm_segment')).toMatchObject({ value: null, is_left_out: true });
    expect(computed.find(({ name }) => name === 'first_seen_at')).toEqual(
      before.computed.find(({ name }) => name === 'first_seen_at'),
    );
    expect({ rfm, events_total, tags }).toEqual({ rfm: null, events_total: before.events_total, tags: [] });

    await db.transaction((trx) =>
      createSegment(
        trx,
        services,
        { version: 1, key: 'buyers', name: 'Buyers', purpose: 'service', where: { event: 'order_paid' } },
        'test',
      ),
    );
    await expect(explainMembership({ db, clock }, 'buyers', sub)).rejects.toMatchObject({
      code: 'segment_takes_too_long',
    });
  });

  it('of somebody who did nothing has none of it', async () => {
    const sub = await addSubject(db);
    expect(await profile(sub)).toMatchObject({ traits: [], tags: [], touches: [], rfm: null, events_total: 0 });
    expect(await computedOf(sub)).toMatchObject({
      orders_count: 0,
      orders_total: 0,
      average_order: null,
      locale: null,
      rfm_segment: null,
    });
  });

  it('has the traits that the company defines', async () => {
    const sub = await addSubject(db);
    const definition = { event: 'product_viewed', most_frequent: { of: 'category' }, within: '30d' };
    await db.transaction((trx) =>
      defineTrait(
        trx,
        services,
        { name: 'favourite_category', title: { 'zh-CN': '偏好品类', en: 'Favourite category' }, definition },
        'test',
      ),
    );
    for (const category of ['tea', 'silk', 'tea']) await does(sub, 'Product Viewed', { properties: { category } });
    expect(await computedOf(sub)).toMatchObject({ favourite_category: 'tea' });
  });

  it('says from where the person came to each channel first and last; a page of ours is not from where', async () => {
    const sub = await addSubject(db);
    const visit = (ago: number, context: object) =>
      does(sub, 'page_viewed', { timestamp: at(ago), context: { channel: 'website', ...context } });
    const page = (referrer: string) => ({ page: { url: 'https://www.example.com/a?b', referrer } });
    await visit(days(5), page(''));
    await visit(days(4), { ...page('https://www.baidu.example/s?wd=x'), locale: 'zh-CN' });
    await visit(days(3), page('https://www.example.com/'));
    await settle();
    await visit(days(2), { campaign: { source: 'wechat', medium: 'social', name: '双11', odd: { a: 1 } } });
    await does(sub, 'app_opened', { context: { channel: 'miniprogram', scene: '1007', campaign: { source: 7 } } });
    await settle();
    await visit(days(1), { campaign: { source: 'wechat', medium: 'social', name: '双11' } });
    await visit(days(30), { campaign: { source: 'late' } });
    await settle();
    expect((await profile(sub)).touches).toEqual([
      {
        channel: 'miniprogram',
        first_at: at(0),
        first: { scene: '1007', source: '7', channel_group: 'wechat_share' },
        last_at: at(0),
        last: { scene: '1007', source: '7', channel_group: 'wechat_share' },
      },
      {
        channel: 'website',
        first_at: at(days(30)),
        first: { source: 'late', channel_group: 'campaign' },
        last_at: at(days(2)),
        last: { source: 'wechat', medium: 'social', campaign: '双11', channel_group: 'social' },
      },
    ]);
    expect(await computedOf(sub)).toMatchObject({ locale: 'zh-CN' });
  });

  it('reads both sides of a merge with the profiling consent alone, and an undo parts them', async () => {
    const [survivor, absorbed] = [await addSubject(db), await addSubject(db)];
    await pays(survivor, 's', 10);
    await pays(absorbed, 'a', 5);
    await does(absorbed, 'page_viewed', { context: { channel: 'website', campaign: { source: 'x' } } });
    await settle();
    await absorb(db, absorbed, survivor);
    expect(await profile(survivor)).toMatchObject({ touches: [], events_total: 1 });
    expect(await computedOf(survivor)).toMatchObject({ orders_total: 10 });
    await agree(db, survivor);
    expect(await profile(survivor)).toMatchObject({ touches: [{ channel: 'website' }], events_total: 3 });
    expect(await computedOf(survivor)).toMatchObject({ orders_total: 15, orders_count: 2 });
    await db('subject_aliases').where({ absorbed_id: absorbed }).delete();
    expect(await computedOf(survivor)).toMatchObject({ orders_total: 10 });
  });

  it('has tags that were given and tags by rule, each with by whom', async () => {
    const sub = await addSubject(db);
    await world.create({ key: 'downloaders', where: { event: 'file_downloaded' } });
    await db.transaction((trx) => addTagRule(trx, services, { tag: 'reader', segment: 'downloaders', by: 'test' }));
    await does(sub, 'file_downloaded');
    await settle();
    const give = (tag: string) => db.transaction((trx) => tagPerson(trx, { sub, tag, by: 'staff:wang' }));
    expect([await give('会员日'), await give('会员日')]).toEqual([true, false]);
    await expect(give(' ')).rejects.toMatchObject({ code: 'invalid_fields' });
    const tags = async () => (await profile(sub)).tags.map(({ tag, source }) => `${tag} by ${source}`);
    expect(await tags()).toEqual(['reader by rule:downloaders', '会员日 by staff:wang']);
    expect(await db.transaction((trx) => untagPerson(trx, { sub, tag: '会员日' }))).toBe(true);
    expect(await db.transaction((trx) => untagPerson(trx, { sub, tag: 'reader' }))).toBe(false);
    expect(await tags()).toEqual(['reader by rule:downloaders']);
  });
});
