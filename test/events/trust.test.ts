/** Who is speaking, what that makes of an event, and what waits for its person. */
import { describe, expect, it } from 'vitest';
import type { Identity } from '../../src/connectors/contract.ts';
import { claimHeldEvents, tidyEvents } from '../../src/events/jobs.ts';
import { timeline } from '../../src/events/timeline.ts';
import { createWriteKey, type NewWriteKey } from '../../src/events/write-keys.ts';
import { keyOf, sealExternalId } from '../../src/subjects/identity-key.ts';
import { testDatabase } from '../helpers/database.ts';
import {
  absorb,
  addSubject,
  basic,
  bearer,
  clientKey,
  eventRows,
  eventsApp,
  log,
  movableClock,
  openKey,
  seal,
  seedKeys,
  serverKey,
} from './harness.ts';

const { db } = await testDatabase();
const clock = movableClock();
const app = await eventsApp(db, { clock });
const keys = await seedKeys(db);
const lily = await addSubject(db);
const wang = await addSubject(db);
app.tokens.set('lily', { sub: lily, client_id: 'website', channel: 'website' });
app.tokens.set('lily-miniprogram', { sub: lily, client_id: 'miniprogram', channel: 'miniprogram' });

type Event = Record<string, unknown>;

async function sendOne(event: Event, headers: Record<string, string>) {
  const messageId = crypto.randomUUID();
  const answer = await app.send('/v1/batch', { batch: [{ type: 'track', event: 'a', messageId, ...event }] }, headers);
  expect(answer.status).toBe(200);
  const [row] = await eventRows(db, { message_id: messageId });
  return { answer, row, messageId };
}
const fresh = () => `anon-${crypto.randomUUID()}`;

async function addIdentity(subject_id: string, identity: Identity) {
  await db('identities').insert({
    ...keyOf(seal, identity),
    subject_id,
    sealed: sealExternalId(seal, identity),
    verified_at: db.fn.now(),
    last_used_at: db.fn.now(),
  });
}

describe("a person's token", () => {
  it('gives its subject with the trust token, whatever anonymous id comes along', async () => {
    const { row } = await sendOne({ anonymousId: fresh() }, bearer('lily'));
    expect(row).toMatchObject({ subject_id: lily, trust: 'token', channel: 'website', claimed_user_id: null });
    const { row: own } = await sendOne({ userId: lily }, bearer('lily-miniprogram'));
    expect(own).toMatchObject({ subject_id: lily, trust: 'token', channel: 'miniprogram' });
    const { row: silent } = await sendOne({}, bearer('lily'));
    expect(silent).toMatchObject({ subject_id: lily });
  });

  it('F1: an event for another userId is a claim under its anonymous id, and never becomes anybody’s', async () => {
    const anonymousId = fresh();
    const { row } = await sendOne({ userId: wang, anonymousId }, bearer('lily'));
    expect(row).toMatchObject({ subject_id: null, trust: 'claimed', claimed_user_id: wang, is_attributable: false });
    await sendOne({ type: 'identify', userId: wang, anonymousId }, basic(serverKey));
    for (const sub of [lily, wang]) {
      const ids = (await timeline(db, sub)).data.map(({ message_id }) => message_id);
      expect(ids).not.toContain(row.message_id);
    }
  });

  it('is a source of its own: a public key with the same message id takes nothing away', async () => {
    const messageId = crypto.randomUUID();
    await sendOne({ messageId, anonymousId: 'x' }, basic(clientKey));
    await app.send('/v1/track', { event: 'real', messageId }, bearer('lily'));
    await app.send('/v1/track', { event: 'real', messageId, userId: lily }, basic(serverKey));
    const rows = await eventRows(db, { message_id: messageId });
    expect(rows.map(({ trust }) => trust).sort()).toEqual(['claimed', 'server', 'token']);
  });
});

describe('a public key', () => {
  it('F1, A46: keeps a userId as a claim, also one that is a sub', async () => {
    for (const userId of [wang, 'user-17']) {
      const { row } = await sendOne({ userId, anonymousId: fresh() }, basic(clientKey));
      expect(row).toMatchObject({ subject_id: null, trust: 'claimed', claimed_user_id: userId });
    }
    expect((await timeline(db, wang)).data.filter(({ trust }) => trust === 'claimed')).toEqual([]);
  });

  it('F2: an identify changes nothing of what is known about anybody, and names are not enough to bind', async () => {
    const before = await db('subjects').where({ id: wang }).first();
    const anonymousId = fresh();
    await sendOne(
      { type: 'identify', userId: wang, anonymousId, traits: { name: 'Evil', phone: '13900139000', role: 'owner' } },
      basic(clientKey),
    );
    expect(await db('subjects').where({ id: wang }).first()).toEqual(before);
    expect(await db('anonymous_bindings').where({ anonymous_id: anonymousId })).toEqual([]);
  });

  it('F3: an alias joins nobody to anybody', async () => {
    const anonymousId = fresh();
    const { row } = await sendOne({ type: 'alias', previousId: anonymousId, userId: wang }, basic(clientKey));
    expect(row).toMatchObject({ subject_id: null, trust: 'claimed', properties: { previous_id: anonymousId } });
    expect(await db('anonymous_bindings').where({ anonymous_id: anonymousId })).toEqual([]);
  });

  it('may not name a person by external ids', async () => {
    const externalIds = [{ id: '+8613800138000', type: 'phone', collection: 'users', encoding: 'none' }];
    const { answer } = await sendOne({ context: { externalIds } }, basic(clientKey));
    expect(answer.body.rejected?.[0]?.code).toBe('identity_missing');
  });
});

describe('a server key', () => {
  it('names a person by sub', async () => {
    const { row } = await sendOne({ userId: wang }, basic(serverKey));
    expect(row).toMatchObject({ subject_id: wang, trust: 'server', channel: 'server' });
  });

  it.each([
    ['phone', '+8613800138001', '138 0013 8001'],
    ['email', 'lily@example.com', 'Lily@Example.COM'],
    ['member_no', 'M-1', 'M-1'],
  ] as const)(
    'names a person by %s, in any spelling, and nothing of it is stored in clear',
    async (kind, known, sent) => {
      const person = await addSubject(db);
      await addIdentity(person, { kind, issuer: '', external_id: known });
      const externalIds = [{ id: sent, type: kind, collection: 'users', encoding: 'none' }];
      const { row } = await sendOne({ context: { externalIds } }, basic(serverKey));
      expect(row).toMatchObject({ subject_id: person, trust: 'server' });
      expect(JSON.stringify(row)).not.toContain(sent);
    },
  );

  it('C8: names a person by openid with its app; without it only when one person has that openid', async () => {
    const [first, second] = [await addSubject(db), await addSubject(db)];
    await addIdentity(first, { kind: 'wechat_openid', issuer: 'wx1', external_id: 'o-same' });
    await addIdentity(second, { kind: 'wechat_openid', issuer: 'wx2', external_id: 'o-same' });
    await addIdentity(second, { kind: 'wechat_openid', issuer: 'wx3', external_id: 'o-single' });
    const by = (id: string, issuer?: string) => ({
      context: { externalIds: [{ id, type: 'wechat_openid', ...(issuer && { issuer }) }] },
    });
    expect((await sendOne(by('o-same', 'wx2'), basic(serverKey))).row).toMatchObject({ subject_id: second });
    expect((await sendOne(by('o-single'), basic(serverKey))).row).toMatchObject({ subject_id: second });
    expect((await sendOne(by('o-same'), basic(serverKey))).row).toMatchObject({ subject_id: null });
    expect((await sendOne(by('o-single', 'wx1'), basic(serverKey))).row).toMatchObject({ subject_id: null });
  });

  it('F15: records under an absorbed sub, which is read under the survivor', async () => {
    const [old, survivor] = [await addSubject(db), await addSubject(db)];
    await absorb(db, old, survivor);
    const { row, messageId } = await sendOne({ userId: old }, basic(serverKey));
    expect(row).toMatchObject({ subject_id: old });
    const item = (await timeline(db, survivor)).data.find(({ message_id }) => message_id === messageId);
    expect(item).toMatchObject({ recorded_sub: old, trust: 'server' });
  });

  it('F15: refuses a deleted subject, by sub and by what it was absorbed into', async () => {
    const [gone, old] = [await addSubject(db, { status: 'deleted' }), await addSubject(db)];
    await absorb(db, old, gone);
    for (const userId of [gone, old]) {
      const { answer, row } = await sendOne({ userId }, basic(serverKey));
      expect(answer.body.rejected?.[0]?.code).toBe('subject_deleted');
      expect(row).toBeUndefined();
    }
  });
});

describe('F15: somebody nobody knows yet', () => {
  const phone = (n: number) => `+86139001390${n}`;
  const about = (id: string) => ({ event: 'order_paid', context: { externalIds: [{ id, type: 'phone' }] } });

  it('is held, and given to the person when the number appears', async () => {
    const { row, messageId } = await sendOne(about(phone(11)), basic(serverKey));
    expect(row).toMatchObject({ subject_id: null, trust: 'server', counts: true });
    expect(JSON.stringify(await db('held_event_identities'))).not.toContain('13900139011');
    const person = await addSubject(db);
    await addIdentity(person, { kind: 'phone', issuer: '', external_id: phone(11) });
    expect(await claimHeldEvents({ db, log }, wang)).toBe(0);
    expect(await claimHeldEvents({ db, log }, person)).toBe(1);
    expect(await claimHeldEvents({ db, log }, person)).toBe(0);
    expect((await timeline(db, person)).data).toMatchObject([
      { message_id: messageId, event: 'order_paid', trust: 'server' },
    ]);
    expect(await db('held_events').where({ event_id: row.id })).toEqual([]);
  });

  it('is given to nobody who was deleted', async () => {
    const { row } = await sendOne(about(phone(18)), basic(serverKey));
    const gone = await addSubject(db, { status: 'deleted' });
    await addIdentity(gone, { kind: 'phone', issuer: '', external_id: phone(18) });
    expect(await claimHeldEvents({ db, log }, gone)).toBe(0);
    expect(await db('held_events').where({ event_id: row.id })).toHaveLength(1);
    await db('identities').where({ subject_id: gone }).delete();
  });

  it('is given to one person only, however many sign-ins ask at once', async () => {
    await sendOne(about(phone(12)), basic(serverKey));
    const person = await addSubject(db);
    await addIdentity(person, { kind: 'phone', issuer: '', external_id: phone(12) });
    const claims = await Promise.all(Array.from({ length: 8 }, () => claimHeldEvents({ db, log }, person)));
    expect(claims.reduce((a, b) => a + b)).toBe(1);
    const activity = await db('subject_activity').where({ subject_id: person });
    expect(activity.map(({ n }) => n)).toEqual([1]);
  });

  it('is dropped after 30 days, and counted for the owner of the key', async () => {
    const { row, messageId } = await sendOne({ ...about(phone(13)), userId: 'crm-1' }, basic(serverKey));
    const kept = await sendOne({ userId: 'crm-2', anonymousId: fresh() }, basic(serverKey));
    await db.raw("select ensure_event_partition(now() - interval '31 days')");
    const earlier = { received_at: db.raw("received_at - interval '31 days'") };
    await db('held_events').update(earlier);
    await db('events').whereIn('id', [row.id, kept.row.id]).update(earlier);
    await tidyEvents(db, log);
    expect(await db('held_events')).toEqual([]);
    expect(await db('event_rejections').where({ message_id: messageId })).toMatchObject([
      { code: 'person_unknown', source_id: keys.server },
    ]);
    expect(await eventRows(db, { id: row.id })).toEqual([]);
    expect(await eventRows(db, { id: kept.row.id })).toHaveLength(1);
  });
});

describe('what an event counts for', () => {
  const counts = async (event: string, headers: Record<string, string>, more: Event = {}) =>
    (await sendOne({ event, ...more }, headers)).row.counts;

  it('money counts from a server alone, under whatever name another vendor gives it', async () => {
    for (const event of [
      'order_paid',
      'Order Completed',
      'Order Refunded',
      'payment_failed',
      'points_earned',
      'coupon_x',
    ]) {
      expect([event, await counts(event, basic(serverKey), { userId: lily })]).toEqual([event, true]);
      expect([event, await counts(event, bearer('lily'))]).toEqual([event, false]);
      expect([event, await counts(event, basic(clientKey), { anonymousId: fresh() })]).toEqual([event, false]);
    }
  });

  it('the rest counts from anybody', async () => {
    expect(await counts('product_viewed', bearer('lily'))).toBe(true);
    expect(await counts('whatever they call it', basic(clientKey), { anonymousId: fresh() })).toBe(true);
  });

  it('a key may say otherwise, for the tokens of its clients too', async () => {
    const demo = { key: 'demo', kind: 'client', name: 'Demo', client_ids: ['demo'] } satisfies NewWriteKey;
    await createWriteKey({ db, seal }, { ...demo, catalogue: { order_paid: 'token', page_viewed: 'server' } });
    app.tokens.set('demo', { sub: lily, client_id: 'demo', channel: null });
    expect(await counts('order_paid', bearer('demo'))).toBe(true);
    expect(await counts('order_refunded', bearer('demo'))).toBe(false);
    expect(await counts('order_paid', basic('demo'), { anonymousId: fresh() })).toBe(false);
    expect(await counts('', basic('demo'), { type: 'page', anonymousId: fresh() })).toBe(false);
  });

  it('the company adds to the catalogue: names, aliases, least trust', async () => {
    await db('event_catalogue').insert({ name: 'test_drive_booked', least_trust: 'token', aliases: ['Probefahrt'] });
    clock.set(new Date(clock.now().getTime() + 6_000).toISOString());
    const { row } = await sendOne({ event: 'Probefahrt', anonymousId: fresh() }, basic(clientKey));
    expect(row).toMatchObject({ event: 'test_drive_booked', original_event: 'Probefahrt', counts: false });
    expect(await counts('test_drive_booked', bearer('lily'))).toBe(true);
  });
});

describe('the channel', () => {
  it("is the event's own, else the key's, else server", async () => {
    const channel = async (headers: Record<string, string>, context?: unknown) =>
      (await sendOne({ userId: lily, anonymousId: 'c', context }, headers)).row.channel;
    expect(await channel(basic(clientKey), { channel: 'store' })).toBe('store');
    expect(await channel(basic(clientKey), { channel: 'a shop that nobody built in' })).toBe('website');
    expect(await channel(basic(clientKey), { channel: 17 })).toBe('website');
    expect(await channel(basic(openKey))).toBe('app');
    expect(await channel(basic(serverKey))).toBe('server');
    expect(await channel(bearer('lily-miniprogram'))).toBe('miniprogram');
  });
});
