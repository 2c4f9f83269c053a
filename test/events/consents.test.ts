/** Under which purposes an event was collected: its own word, else what the key declares, less what the person took back. */
import { beforeAll, describe, expect, it } from 'vitest';
import { bindAnonymous } from '../../src/events/bind.ts';
import { claimHeldEvents } from '../../src/events/jobs.ts';
import { keyOf } from '../../src/subjects/identity-key.ts';
import { type Send, serveApi } from '../api/http.ts';
import { testDatabase } from '../helpers/database.ts';
import {
  absorb,
  addSubject,
  agree,
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
let send: Send;
beforeAll(async () => {
  ({ send } = await serveApi({
    db,
    seal,
    authenticate: async () => ({ client_id: 'shop', scopes: ['settings:write'] }),
  }));
});

const fresh = () => crypto.randomUUID();
const later = (ms: number) => clock.set(new Date(clock.now().getTime() + ms).toISOString());
async function sendEvent(event: Record<string, unknown>, headers: Record<string, string>) {
  const messageId = fresh();
  const answer = await app.send('/v1/track', { event: 'clicked', messageId, ...event }, headers);
  expect(answer.status).toBe(200);
  const [row] = await eventRows(db, { message_id: messageId });
  return row as { consents: string[]; context: Record<string, unknown> };
}
const agreed = (...purposes: string[]) => ({
  context: { consent: { categoryPreferences: Object.fromEntries(purposes.map((purpose) => [purpose, true])) } },
});

describe('purposes that a key declares', () => {
  const declare = (id: number, purposes: string[], by = 'Lily, legal') =>
    send('PUT', `/api/v1/write-keys/${id}/declared-consents`, { token: 'shop', body: { purposes, by } });

  it('hold for events that say nothing of consent, of each tracker, and are marked as the key’s word', async () => {
    const before = await sendEvent({ anonymousId: 'a' }, basic(openKey));
    expect(before).toMatchObject({ consents: ['service'], context: {} });
    const answer = await declare(keys.open, ['profiling', 'marketing', 'profiling']);
    expect(answer).toMatchObject({
      status: 200,
      body: {
        declared_consents: ['profiling', 'marketing'],
        declared_by: 'Lily, legal',
        declared_at: expect.any(String),
      },
    });
    later(6_000);
    const after = await sendEvent({ anonymousId: 'a' }, basic(openKey));
    expect(after).toMatchObject({
      consents: ['service', 'profiling', 'marketing'],
      context: { consent_source: 'key' },
    });
    const time = clock.now().getTime();
    const sensors = JSON.stringify({ type: 'track', event: 'seen', distinct_id: 'sensors', time, properties: {} });
    await app.send(`/sa?token=${openKey}`, `data=${encodeURIComponent(Buffer.from(sensors).toString('base64'))}`);
    const growingio = { eventType: 'CUSTOM', eventName: 'seen', deviceId: 'growingio', timestamp: time };
    await app.send(`/v3/projects/${openKey}/collect`, [growingio]);
    const rows = await eventRows(db, { event: 'seen' });
    expect(rows.map(({ consents }) => consents)).toEqual(Array(2).fill(['service', 'profiling', 'marketing']));
  });

  it('do not hold for an event with a word of its own, be it no', async () => {
    const context = { consent: { categoryPreferences: { profiling: false } } };
    expect(await sendEvent({ anonymousId: 'a', context }, basic(openKey))).toMatchObject({
      consents: ['service'],
      context: { consent_source: 'event' },
    });
    const management = { consentManagement: { allowedConsentIds: ['marketing'] } };
    expect(await sendEvent({ anonymousId: 'a', context: management }, basic(openKey))).toMatchObject({
      consents: ['service', 'marketing'],
    });
  });

  it('hold for a person’s token as far as every key of the client declares them', async () => {
    await declare(keys.client, ['profiling', 'marketing']);
    const sub = await addSubject(db);
    app.tokens.set('declared', { sub, client_id: 'website', channel: 'website' });
    later(6_000);
    expect((await sendEvent({}, bearer('declared'))).consents).toEqual(['service', 'profiling', 'marketing']);
    await db('write_keys').insert({ key_hash: 'x', kind: 'client', name: 'Second', client_ids: ['website'] });
    later(6_000);
    expect((await sendEvent({}, bearer('declared'))).consents).toEqual(['service']);
    await declare(keys.client, []);
  });

  it('are audited, and taken back by declaring none', async () => {
    await declare(keys.open, [], 'Tom, legal');
    later(6_000);
    expect((await sendEvent({ anonymousId: 'a' }, basic(openKey))).consents).toEqual(['service']);
    const entries = await db('audit_entries').where({ action: 'write_key.consents_declared' }).orderBy('id');
    expect([entries[0], entries.at(-1)]).toMatchObject([
      { actor_id: 'shop', details: { by: 'Lily, legal', write_key_id: keys.open } },
      { actor_id: 'shop', details: { by: 'Tom, legal', purposes: [] } },
    ]);
  });

  it.each([
    [{ purposes: ['everything'], by: 'x' }, 400],
    [{ purposes: ['service'], by: 'x' }, 400],
    [{ purposes: ['profiling'] }, 400],
    [{ purposes: ['profiling'], by: '' }, 400],
  ])('%j → %i', async (body, status) => {
    expect(
      await send('PUT', `/api/v1/write-keys/${keys.open}/declared-consents`, { token: 'shop', body }),
    ).toMatchObject({ status });
  });

  it('404 for a key that is not there', async () => {
    expect((await declare(99_999, [])).status).toBe(404);
    expect((await send('PUT', '/api/v1/write-keys/x/declared-consents', { token: 'shop', body: {} })).status).toBe(404);
  });
});

describe('F16: a person who took a purpose back', () => {
  const withdraw = (subject_id: string, purpose = 'marketing') =>
    db('consents').insert({
      subject_id,
      purpose,
      version: '1',
      is_granted: false,
      channel: 'website',
      at: clock.now(),
    });
  const both = agreed('profiling', 'marketing');
  let sub: string;
  let anonymousId: string;
  beforeAll(async () => {
    sub = await addSubject(db);
    anonymousId = fresh();
    await agree(db, sub, 'marketing');
    await bindAnonymous(db, { anonymous_id: anonymousId, subject_id: sub, method: 'token' });
    app.tokens.set('withdrawn', { sub, client_id: 'app', channel: 'app' });
    clock.set(new Date(Date.now() + 1_000).toISOString());
  });

  it('is not recorded for it again, by token, by a bound device, by a server; for the rest as before', async () => {
    expect((await sendEvent({ anonymousId, ...both }, basic(clientKey))).consents).toEqual([
      'service',
      'profiling',
      'marketing',
    ]);
    await withdraw(sub);
    later(1_000);
    const events = [
      await sendEvent(both, bearer('withdrawn')),
      await sendEvent({ anonymousId, ...both }, basic(clientKey)),
      await sendEvent({ userId: sub, ...both }, basic(serverKey)),
    ];
    for (const { consents, context } of events) {
      expect(consents).toEqual(['service', 'profiling']);
      expect(context).toEqual({ consent_source: 'event', consents_withdrawn: ['marketing'] });
    }
    const { rows } = await db.raw(
      `select count(*) as n from recorded_events where subject_id = ? and context \\? 'consents_withdrawn'`,
      [sub],
    );
    expect(rows[0].n).toBe(3);
  });

  it('keeps what was collected before, however late it comes', async () => {
    const timestamp = new Date(clock.now().getTime() - 60_000).toISOString();
    expect((await sendEvent({ timestamp, ...both }, bearer('withdrawn'))).consents).toEqual([
      'service',
      'profiling',
      'marketing',
    ]);
  });

  it('leaves strangers alone, and visitors of whom nobody knows', async () => {
    const other = await addSubject(db);
    expect((await sendEvent({ userId: other, ...both }, basic(serverKey))).consents).toContain('marketing');
    expect((await sendEvent({ anonymousId: fresh(), ...both }, basic(clientKey))).consents).toContain('marketing');
  });

  it('is recorded for it again after agreeing again', async () => {
    later(1_000);
    await db('consents').insert({
      subject_id: sub,
      purpose: 'marketing',
      version: '1',
      is_granted: true,
      channel: 'website',
      at: clock.now(),
    });
    later(1_000);
    expect((await sendEvent(both, bearer('withdrawn'))).consents).toEqual(['service', 'profiling', 'marketing']);
  });

  it('is one person over all subs: a no said under an absorbed sub counts, and a later yes too', async () => {
    const [survivor, absorbed] = [await addSubject(db), await addSubject(db)];
    await agree(db, survivor, 'marketing');
    later(1_000);
    await withdraw(absorbed);
    await absorb(db, absorbed, survivor);
    later(1_000);
    for (const userId of [survivor, absorbed])
      expect((await sendEvent({ userId, ...both }, basic(serverKey))).consents).toEqual(['service', 'profiling']);
    await db('consents').insert({
      subject_id: survivor,
      purpose: 'marketing',
      version: '1',
      is_granted: true,
      channel: 'app',
      at: clock.now(),
    });
    later(1_000);
    expect((await sendEvent({ userId: absorbed, ...both }, basic(serverKey))).consents).toContain('marketing');
  });

  it('gets nothing for it either that was held until they appeared', async () => {
    const [found, external_id] = [await addSubject(db), '+8613900139077'];
    later(1_000);
    await withdraw(found);
    // That very moment is not before it.
    const timestamp = clock.now().toISOString();
    later(1_000);
    const held = (consent: object) => ({
      event: 'order_paid',
      context: { ...consent, externalIds: [{ id: external_id, type: 'phone' }] },
    });
    const messageIds = [fresh(), fresh(), fresh()];
    const before = new Date(clock.now().getTime() - 60_000).toISOString();
    const batch = [
      held(both.context),
      { ...held(agreed('marketing').context), timestamp },
      { ...held(both.context), timestamp: before },
    ];
    const sent = batch.map((event, n) => ({ type: 'track', messageId: messageIds[n], ...event }));
    expect((await app.send('/v1/batch', { batch: sent }, basic(serverKey))).body.rejected).toEqual([]);
    await db('identities').insert({
      ...keyOf(seal, { kind: 'phone', issuer: '', external_id }),
      subject_id: found,
      verified_at: db.fn.now(),
      last_used_at: db.fn.now(),
    });
    expect(await claimHeldEvents({ db, log }, found)).toBe(3);
    const rows = await Promise.all(messageIds.map((message_id) => eventRows(db, { message_id })));
    const marked = { consent_source: 'event', consents_withdrawn: ['marketing'] };
    expect(rows.flat()).toMatchObject([
      { subject_id: found, consents: ['service', 'profiling'], context: marked },
      { subject_id: found, consents: ['service'], context: marked },
      { subject_id: found, consents: ['service', 'profiling', 'marketing'] },
    ]);
  });

  it('is not counted for a purpose that the key declares either', async () => {
    await db('write_keys')
      .where({ id: keys.open })
      .update({ declared_consents: ['marketing'] });
    await withdraw(sub);
    later(6_000);
    await bindAnonymous(db, { anonymous_id: 'declared device', subject_id: sub, method: 'token' });
    later(1_000);
    expect(await sendEvent({ anonymousId: 'declared device' }, basic(openKey))).toMatchObject({
      consents: ['service'],
      context: { consent_source: 'key', consents_withdrawn: ['marketing'] },
    });
  });
});
