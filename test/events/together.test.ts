/** What is sent at the same time is stored together, and each request answers for itself. */
import { hash } from 'node:crypto';
import { describe, expect, it } from 'vitest';
import { testDatabase } from '../helpers/database.ts';
import { addSubject, basic, clientKey, eventsApp, openKey, seedKeys, serverKey } from './harness.ts';

const { db } = await testDatabase();
await seedKeys(db);
const app = await eventsApp(db);
const lily = await addSubject(db);

const keys = [clientKey, openKey, serverKey];
const track = (event: string) => ({ event, messageId: crypto.randomUUID(), anonymousId: 'anon', userId: lily });
const send = (event: string, key = clientKey) => app.send('/v1/track', track(event), basic(key));
const commitsOf = async (event: string) => {
  const { rows } = await db.raw(
    'select count(*) as n, count(distinct xmin::text) as commits from events where event = ?',
    [event],
  );
  return rows[0];
};

describe('single events of many requests and sources', () => {
  it('share commits', async () => {
    // Keys and catalogue are known by then.
    for (const key of keys) await send('warm', key);
    const trx = await db.transaction();
    // The table is locked until all have come and the first group is waiting for it.
    await trx.raw('lock table events in exclusive mode');
    const before = app.arrived();
    const sending = Array.from({ length: 120 }, (_, n) => send('many', keys[n % 3]));
    const waiting = `select count(*) as n from pg_locks where not granted and relation = 'events'::regclass`;
    while ((await trx.raw(waiting)).rows[0].n < 1 || app.arrived() - before < 120);
    await trx.rollback();
    const answers = await Promise.all(sending);
    expect(new Set(answers.map(({ status }) => status))).toEqual(new Set([200]));
    const { n, commits } = await commitsOf('many');
    expect(n).toBe(120);
    expect(commits).toBeLessThan(40);
  });

  it('are counted for the profile as often as they are stored', async () => {
    const sum = await db('subject_activity').where({ event: 'many', subject_id: lily }).sum('n as n').first();
    expect(Number(sum?.n)).toBe(40);
  });

  it('do not fail for one that the database refuses', async () => {
    await db.raw(`
      create function refuse_poison() returns trigger language plpgsql as
        $$ begin if new.event = 'poison' then raise 'no'; end if; return new; end $$;
      create trigger refuse_poison before insert on events for each row execute function refuse_poison();`);
    const sent = Array.from({ length: 40 }, (_, n) => (n % 10 === 5 ? 'poison' : 'neighbour'));
    const answers = await Promise.all(sent.map((event, n) => send(event, keys[n % 3])));
    expect(answers.map(({ status }) => status)).toEqual(sent.map((event) => (event === 'poison' ? 400 : 200)));
    expect((await commitsOf('neighbour')).n).toBe(36);
  });
});

describe('F5: events of one batch', () => {
  const batch = (events: Record<string, unknown>[], key = clientKey) =>
    app.send('/v1/batch', { batch: events.map((event) => ({ type: 'track', ...event })) }, basic(key));

  it('whose message ids are a text and its MD5 as a UUID are two, and end nobody’s batch', async () => {
    const asUuid = (md5: string) => md5.replace(/^(.{8})(.{4})(.{4})(.{4})(.{12})$/, '$1-$2-$3-$4-$5');
    const md5 = hash('md5', 'bar', 'hex');
    const ids = ['bar', asUuid(md5), asUuid(`${md5.slice(0, 12)}f${md5.slice(13)}`), 'innocent'];
    const answer = await batch(ids.map((messageId) => ({ ...track('colliding'), messageId })));
    expect(answer).toMatchObject({ status: 200, body: { rejected: [] } });
    const rows = await db('recorded_events').where({ event: 'colliding' }).select('message_id');
    expect(rows.map(({ message_id }) => message_id).sort()).toEqual(ids.sort());
  });

  it('whose message ids are two texts of one MD5 are one, and end nobody’s batch', async () => {
    const ids = ['A', 'E'].map(
      (letter) => `TEXTCOLLBYfGiJUETHQ4h${letter}cKSMd5zYpgqf1YRDhkmxHkhPWptrkoyz28wnI9V0aHeAuaKnak`,
    );
    expect(new Set(ids.map((id) => hash('md5', id))).size).toBe(1);
    await batch([...ids, 'neighbour'].map((messageId) => ({ ...track('twin'), messageId })));
    expect((await db('recorded_events').where({ event: 'twin' })).length).toBe(2);
  });
});

describe('what could end a field or a row', () => {
  const nasty = 'a\tb\nc\\N\\.\r\\tд"\'{},\u2028😀';
  it.each(['event', 'anonymousId', 'userId', 'messageId'])('is stored as it was sent in %s', async (field) => {
    const sent = { ...track('plain'), [field]: field === 'messageId' ? nasty.replace(/[\t\n\r]/g, '') : nasty };
    const properties = { [nasty]: [nasty, { deep: nasty }] };
    const answer = await app.send('/v1/track', { ...sent, properties }, basic(openKey));
    expect(answer.status).toBe(200);
    const [row] = await db('recorded_events')
      .whereJsonPath('properties', '$.*[1].deep', '=', nasty)
      .orderBy('id', 'desc');
    const { event, anonymous_id, claimed_user_id, message_id } = row;
    expect({ event, anonymousId: anonymous_id, userId: claimed_user_id, messageId: message_id }).toEqual({
      event: sent.event,
      anonymousId: sent.anonymousId,
      userId: sent.userId,
      messageId: sent.messageId,
    });
    expect(row.properties).toEqual(properties);
    await db('events').where({ id: row.id }).delete();
  });
});
