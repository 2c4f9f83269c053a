import { describe, expect, it } from 'vitest';
import { systemClock } from '../../src/clock.ts';
import { bindAnonymous, settleLookbacks } from '../../src/events/bind.ts';
import { claimHeldEvents } from '../../src/events/jobs.ts';
import { createWriteKey } from '../../src/events/write-keys.ts';
import { profileOf } from '../../src/profiles/profile.ts';
import { mostCounts } from '../../src/profiles/store.ts';
import { evaluateRound } from '../../src/segments/live.ts';
import { createRulesReader } from '../../src/segments/rules.ts';
import { keyOf } from '../../src/subjects/identity-key.ts';
import {
  absorb,
  addSubject,
  agree,
  anotherPool,
  basic,
  bearer,
  clientKey,
  eventsApp,
  log,
  seal,
  seedKeys,
  serverKey,
} from '../events/harness.ts';
import { testDatabase } from '../helpers/database.ts';

const { db, url } = await testDatabase();
const app = await eventsApp(db);
await seedKeys(db);

const send = (batch: Record<string, unknown>[], headers = basic(serverKey)) =>
  app.send('/v1/batch', { batch: batch.map((event) => ({ type: 'track', event: 'a', ...event })) }, headers);
const readRules = createRulesReader({ log });
const fold = (pool = db, most = 1000) => evaluateRound({ db: pool, clock: systemClock, log, readRules }, most);
async function refresh() {
  await settleLookbacks(db, 1000);
  while (await fold());
}
const ago = (seconds: number) => new Date(Date.now() - seconds * 1000).toISOString();
/** As if a minute had passed since every binding. */
const settle = () => db('anonymous_bindings').update({ created_at: db.raw("created_at - interval '3 minutes'") });

/** The same before the job, after it, and after it again. */
async function expectProfile(sub: string, expected: unknown) {
  for (let round = 0; round < 3; round++) {
    expect(await profileOf(db, sub)).toMatchObject(expected as Record<string, unknown>);
    await refresh();
  }
}

describe('the profile', () => {
  it('says when and how often a person was seen on each channel', async () => {
    const sub = await addSubject(db);
    const website = { context: { channel: 'website' }, userId: sub };
    await send([
      { ...website, event: 'product_viewed', timestamp: '2026-01-02T00:00:00Z' },
      { ...website, event: 'product_viewed', timestamp: '2026-01-04T00:00:00Z' },
      { ...website, event: 'cart_added', timestamp: '2026-01-03T00:00:00Z' },
      { userId: sub, event: 'order_paid', timestamp: '2026-01-05T00:00:00Z', context: { channel: 'miniprogram' } },
    ]);
    await expectProfile(sub, {
      sub,
      first_seen_at: '2026-01-02T00:00:00.000Z',
      last_seen_at: '2026-01-05T00:00:00.000Z',
      events_total: 4,
      channels: {
        website: {
          first_seen_at: '2026-01-02T00:00:00.000Z',
          last_seen_at: '2026-01-04T00:00:00.000Z',
          counts: { product_viewed: 2, cart_added: 1 },
          uncounted: {},
        },
        miniprogram: { counts: { order_paid: 1 } },
      },
    });
    // Late: nobody was seen later by that, nor earlier.
    await send([{ ...website, event: 'product_viewed', timestamp: '2026-01-03T00:00:00Z' }]);
    const seen = { first_seen_at: '2026-01-02T00:00:00.000Z', last_seen_at: '2026-01-04T00:00:00.000Z' };
    await expectProfile(sub, { channels: { website: { ...seen, counts: { product_viewed: 3 } } } });
  });

  it('F17: counts so many names of one person, and the rest together', async () => {
    const [inventive, plain] = [await addSubject(db), await addSubject(db)];
    const invented = (from: number) =>
      Array.from({ length: 300 }, (_, n) => ({
        userId: inventive,
        event: `invented ${from + n}`,
        context: { channel: n % 2 ? 'website' : `channel_${from + n}`, campaign: { source: 's' } },
      }));
    await send([
      { userId: inventive, event: 'page_viewed' },
      { userId: plain, event: 'invented 1' },
    ]);
    await refresh();
    for (const from of [0, 300]) await send([...invented(from), { userId: inventive, event: 'page_viewed' }]);
    // Read before it is kept, and after.
    for (let round = 0; round < 2; round++) {
      const { channels, events_total } = await profileOf(db, inventive);
      expect(events_total).toBe(603);
      expect(channels.server?.counts.page_viewed).toBe(3);
      expect(channels['(other)']?.counts).toEqual({ '(other)': 100 });
      await refresh();
    }
    expect(await db('profile_counts').where({ subject_id: inventive })).toHaveLength(mostCounts + 2);
    await send(invented(600));
    await refresh();
    expect((await profileOf(db, inventive)).channels['(other)']?.counts).toEqual({ '(other)': 400 });
    expect(await db('profile_counts').where({ subject_id: inventive })).toHaveLength(mostCounts + 2);
    // So many channels that somebody called so, and the website.
    expect(await db('profile_touches').where({ subject_id: inventive })).toHaveLength(101);
    expect((await profileOf(db, plain)).channels.server?.counts).toEqual({ 'invented 1': 1 });
  });

  it('F17: what a person invents hides nothing that is defined, and no channel that is built in or declared', async () => {
    const sub = await addSubject(db);
    await db('event_catalogue').insert({ name: 'test_drive_booked' });
    app.tokens.set('inventive', { sub, client_id: 'website', channel: 'website' });
    const invented = Array.from({ length: 1_200 }, (_, n) => ({
      type: 'track',
      event: n % 2 ? `invented ${n}` : 'page_viewed',
      context: { channel: n % 2 ? 'website' : `channel_${n}`, campaign: { source: 's' } },
    }));
    expect((await app.send('/v1/batch', { batch: invented }, bearer('inventive'))).status).toBe(200);
    await refresh();
    await send([
      { userId: sub, event: 'order_paid', context: { campaign: { source: 'server' } } },
      { userId: sub, event: 'test_drive_booked' },
      { userId: sub, event: 'order_paid', context: { channel: 'tmall' } },
    ]);
    await createWriteKey({ db, seal }, { key: 'till', kind: 'server', name: 'Till', channel: 'kiosk' });
    await db('clients').insert({ client_id: 'tv', name: 'TV', metadata: '{}', channel: 'tv_app' });
    const campaign = { source: 'declared' };
    await send([{ userId: sub, event: 'order_paid', context: { campaign } }], basic('till'));
    await send([{ userId: sub, event: 'page_viewed', context: { channel: 'tv_app', campaign } }]);
    // Read before it is kept, and after.
    for (let round = 0; round < 2; round++) {
      const { channels } = await profileOf(db, sub);
      expect(channels.server?.counts).toEqual({ order_paid: 1, test_drive_booked: 1 });
      // On a channel that is one too many, but by its name.
      expect(channels['(other)']?.counts.order_paid).toBe(1);
      expect(channels.kiosk?.counts).toEqual({ order_paid: 1 });
      expect(channels.tv_app?.counts).toEqual({ page_viewed: 1 });
      await refresh();
    }
    expect(await db('profile_touches').where({ subject_id: sub }).whereIn('channel', ['kiosk', 'tv_app'])).toHaveLength(
      2,
    );
    const [touch] = await db('profile_touches').where({ subject_id: sub, channel: 'server' });
    expect(touch.first).toMatchObject({ source: 'server' });
  });

  it('keeps what is trusted too little apart', async () => {
    const sub = await addSubject(db);
    app.tokens.set('buyer', { sub, client_id: 'website', channel: 'website' });
    await send([{ event: 'order_paid' }, { event: 'page_viewed' }], bearer('buyer'));
    await expectProfile(sub, {
      events_total: 2,
      channels: { website: { counts: { page_viewed: 1 }, uncounted: { order_paid: 1 } } },
    });
  });

  it('of somebody never seen is empty', async () => {
    await expectProfile(await addSubject(db), {
      first_seen_at: null,
      last_seen_at: null,
      events_total: 0,
      channels: {},
    });
  });

  it('counts a retried event once', async () => {
    const sub = await addSubject(db);
    const event = { userId: sub, messageId: crypto.randomUUID() };
    for (let n = 0; n < 3; n++) await send([event, event]);
    await expectProfile(sub, { events_total: 1 });
  });

  it('adds to what it has, without counting the history again', async () => {
    const sub = await addSubject(db);
    await send([{ userId: sub }]);
    await refresh();
    await db('events').where({ subject_id: sub }).delete();
    await send([{ userId: sub }]);
    await expectProfile(sub, { events_total: 2, channels: { server: { counts: { a: 2 } } } });
  });

  it('counts what a binding looks back to, once, and what follows', async () => {
    const [sub, device] = [await addSubject(db), `d-${crypto.randomUUID()}`];
    await agree(db, sub);
    await send(
      [
        { anonymousId: device, timestamp: ago(100) },
        { anonymousId: device, timestamp: ago(50) },
      ],
      basic(clientKey),
    );
    await bindAnonymous(db, { anonymous_id: device, subject_id: sub, method: 'token' });
    await expectProfile(sub, { events_total: 2, channels: { website: { counts: { a: 2 } } } });
    await send([{ anonymousId: device }], basic(clientKey));
    await expectProfile(sub, { events_total: 3 });
    await settle();
    await expectProfile(sub, { events_total: 3, channels: { website: { counts: { a: 3 } } } });
    expect(await db('anonymous_bindings').where({ anonymous_id: device })).toMatchObject([{ is_counted: true }]);
  });

  it('counts a batch that was being stored while its device was bound', async () => {
    const [sub, device] = [await addSubject(db), `d-${crypto.randomUUID()}`];
    const slow = await anotherPool(url).transaction();
    // A transaction that saw no binding and leaves its event without subject, as the intake does.
    const base = {
      source_id: 1,
      type: 'track',
      event: 'a',
      channel: 'website',
      trust: 'claimed',
      anonymous_id: device,
      anonymous_key: slow.raw('id_key(?)', [device]),
    };
    await slow.raw('select count(*) from anonymous_bindings');
    await bindAnonymous(db, { anonymous_id: device, subject_id: sub, method: 'token' });
    const now = slow.raw('clock_timestamp()');
    await slow('events').insert({
      ...base,
      id: slow.raw('uuid_v7()'),
      message_key: slow.raw('id_key(?)', [device]),
      received_at: now,
      timestamp: now,
    });
    await refresh();
    await slow.commit();
    await expectProfile(sub, { events_total: 1 });
    await settle();
    await expectProfile(sub, { events_total: 1, channels: { website: { counts: { a: 1 } } } });
  });

  it('counts held events from when their person appears', async () => {
    const external_id = '+8613700137000';
    await send([{ event: 'order_paid', context: { externalIds: [{ id: external_id, type: 'phone' }] } }]);
    const sub = await addSubject(db);
    const identity = keyOf(seal, { kind: 'phone', issuer: '', external_id });
    await db('identities').insert({
      ...identity,
      subject_id: sub,
      verified_at: db.fn.now(),
      last_used_at: db.fn.now(),
    });
    await claimHeldEvents({ db, log }, sub);
    await expectProfile(sub, { events_total: 1, channels: { server: { counts: { order_paid: 1 } } } });
  });

  it('of a survivor counts the absorbed side only with the profiling consent, and each undone merge takes it back', async () => {
    const [survivor, absorbed] = [await addSubject(db), await addSubject(db)];
    await send([{ userId: survivor }, { userId: absorbed }, { userId: absorbed }]);
    await absorb(db, absorbed, survivor);
    await expectProfile(survivor, { events_total: 1 });
    await agree(db, survivor);
    await expectProfile(survivor, { events_total: 3 });
    await db('subject_aliases').where({ absorbed_id: absorbed }).delete();
    await expectProfile(survivor, { events_total: 1 });
  });

  it('is never stale nor wrong while events arrive and several jobs fold them in', async () => {
    const sub = await addSubject(db);
    const pools = [db, anotherPool(url), anotherPool(url)];
    let sent = 0;
    const writing = async () => {
      for (let n = 0; n < 30; n++) {
        const answer = await send([{ userId: sub }, { userId: sub, context: { channel: 'app' } }]);
        if (answer.status === 200) sent += 2;
      }
    };
    const folding = async (pool = db) => {
      for (let n = 0; n < 40; n++) await fold(pool, 3);
    };
    let last = 0;
    const reading = async () => {
      for (let n = 0; n < 40; n++) {
        const acknowledged = sent;
        const { events_total } = await profileOf(db, sub);
        expect(events_total).toBeGreaterThanOrEqual(Math.max(acknowledged, last));
        last = events_total;
      }
    };
    await Promise.all([writing(), writing(), ...pools.map(folding), reading()]);
    await expectProfile(sub, { events_total: 120 });
    expect(await db('subject_activity').where({ subject_id: sub })).toEqual([]);
  });
});
