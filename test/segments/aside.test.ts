/** A person whom the database refuses, made so by a trigger: the others go on, and when the fault is gone the person catches up. */
import type { Knex } from 'knex';
import { describe, expect, it, vi } from 'vitest';
import { countSetAside, setAside, takeBack } from '../../src/segments/aside-store.ts';
import { lockPeople, shareRound, whatIsWaiting } from '../../src/segments/queue.ts';
import { absorb, addSubject, agree } from '../events/harness.ts';
import { segmentsWorld } from './world.ts';

const world = await segmentsWorld();
const { db, create, does, members, settle, later, build } = world;

const minute = 60_000;

/** Whatever is written of these subjects there is refused until it is dropped. @param code SQLSTATE */
async function refuse(sub: string | string[], table: string, code = 'P0001'): Promise<() => Promise<void>> {
  const subs = [sub].flat().map((one) => `'${one}'`);
  await db.raw(`
    create or replace function refuse_${table}() returns trigger language plpgsql as $$
    begin
      if new.subject_id in (${subs}) then raise exception 'a fault in the rows of one person' using errcode = '${code}'; end if;
      return new;
    end $$;
    create or replace trigger refused before insert or update on ${table} for each row execute function refuse_${table}()`);
  return async () => void (await db.raw(`drop trigger refused on ${table}`));
}

const asideOf = (subject_id: string) => db('evaluations_set_aside').where({ subject_id }).first();
const isWaiting = async () => (await whatIsWaiting(db, world.clock.now())).people;

describe('F17: somebody who cannot be evaluated', () => {
  it('keeps nobody else waiting, is tried again later each time, and catches up when the fault is gone', async () => {
    const [bad, good, later_on] = [await addSubject(db), await addSubject(db), await addSubject(db)];
    await create({ key: 'readers', where: { event: 'article_viewed', count: { gte: 2 } } });
    await settle();
    const allow = await refuse(bad, 'segment_states');
    for (const sub of [bad, good, bad, good]) await does(sub, 'article_viewed');
    await settle();
    expect(await members('readers')).toEqual([good]);
    expect(await asideOf(bad)).toMatchObject({ tries: 1, error: 'a fault in the rows of one person' });

    // Passed over: the next round is one transaction for everybody again, and idle is idle though notes are left.
    for (const sub of [bad, later_on, later_on]) await does(sub, 'article_viewed');
    expect(await world.round()).toBe(2);
    expect(await members('readers')).toEqual([good, later_on].sort());
    expect(await isWaiting()).toBe(false);
    expect(await db('subject_activity').where({ subject_id: bad })).not.toEqual([]);

    await later(minute);
    expect(await asideOf(bad)).toMatchObject({ tries: 2 });
    await later(minute);
    expect(await asideOf(bad)).toMatchObject({ tries: 2 });
    await later(minute);
    expect(await asideOf(bad)).toMatchObject({ tries: 3 });
    expect(await countSetAside(db)).toMatchObject({ people: 1, since: new Date('2026-11-26T04:00:00Z') });

    await allow();
    await later(4 * minute);
    expect(await asideOf(bad)).toBeUndefined();
    expect(await members('readers')).toEqual([bad, good, later_on].sort());
    const counted = await db('profile_counts').where({ subject_id: bad, event: 'article_viewed' }).first();
    expect(counted.n).toBe(3);
    expect(await db('subject_activity').where({ subject_id: bad })).toEqual([]);
  });

  it('F16: leaves at once what they withdrew from, all of it when they are deleted, and nothing of what they did goes out', async () => {
    const bad = await addSubject(db);
    await agree(db, bad, 'marketing');
    const seen = { per: 'sku', all: [{ event: 'seen', count: { gte: 1 } }] };
    await create({ key: 'offered', purpose: 'marketing', where: seen });
    await create({ key: 'served', where: seen });
    const context = { consent: { categoryPreferences: { marketing: true } } };
    await does(bad, 'seen', { context, properties: { sku: 'a' } });
    await settle();
    const allow = await refuse(bad, 'profile_counts');
    await does(bad, 'seen');
    await settle();
    expect(await members('offered')).toEqual([bad]);
    const before = await asideOf(bad);
    await create({ key: 'being-made', purpose: 'marketing', where: seen });

    const withdrawal = { subject_id: bad, purpose: 'marketing', version: '1', channel: 'website' };
    await db('consents').insert({ ...withdrawal, is_granted: false });
    expect(await isWaiting()).toBe(true);
    await world.round();
    expect(await members('offered')).toEqual([]);
    expect(await members('served')).toEqual([bad]);
    expect(await asideOf(bad)).toEqual({ ...before, changes: ['consents'] });
    // Newer than what the statement of a build may have seen.
    const found = await db('segment_states').where({ subject_id: bad }).orderBy('build_id').select('is_member');
    expect(found).toEqual([{ is_member: true }, { is_member: false }]);
    expect(await isWaiting()).toBe(false);
    const exit = { change: 'exited', reason: 'consent', matched: null };
    const changes = () => db('segment_changes').where({ subject_id: bad }).orderBy('id', 'desc');
    expect((await changes())[0]).toMatchObject(exit);
    const told = db('outbox').where({ subject_id: bad, topic: 'segment.exited' }).orderBy('id', 'desc');
    expect((await told.first()).payload).not.toHaveProperty('matched');

    // Where not even that can be written it is tried again with all else, and nobody waits.
    const allowLog = await refuse(bad, 'segment_changes');
    await db('subjects').where({ id: bad }).update({ status: 'deleted' });
    await world.round();
    expect(await isWaiting()).toBe(false);
    await allowLog();
    await later(minute);
    expect(await members('served')).toEqual([]);
    expect(await asideOf(bad)).toMatchObject({ tries: 2, changes: ['consents', 'subjects'] });
    await allow();
  });

  it('F16: is left to whoever is at it, and what changed meanwhile stays noted; it counts for whom they have become', async () => {
    const [sub, survivor] = [await addSubject(db), await addSubject(db)];
    await agree(db, survivor, 'marketing');
    await create({ key: 'invited', purpose: 'marketing', where: { not: { event: 'never' } } });
    await settle();
    const [at, due_at] = [world.clock.now(), new Date(world.clock.now().getTime() + 60 * minute)];
    await db('evaluations_set_aside').insert({ subject_id: sub, since: at, due_at, error: '' });
    await absorb(db, sub, survivor);
    await world.round();
    expect(await members('invited')).toContain(survivor);
    const withdrawal = { subject_id: sub, purpose: 'marketing', version: '1', channel: 'website' };
    await db('consents').insert({ ...withdrawal, is_granted: false });
    const noted = () => db('subject_changes').where({ subject_id: sub });
    for (const hold of [
      (trx: Knex.Transaction) => lockPeople(trx, [survivor]),
      (trx: Knex.Transaction) => takeBack(trx, sub),
    ]) {
      const trx = await db.transaction();
      await hold(trx);
      await world.round();
      await trx.rollback();
      expect(await noted()).toHaveLength(1);
    }
    await world.round();
    expect(await noted()).toEqual([]);
    expect(await members('invited')).not.toContain(survivor);
    await later(60 * minute);
    expect(await asideOf(sub)).toBeUndefined();
  });

  it('counts once, though two processes fail with them at once', async () => {
    const fault = { subject_id: await addSubject(db), error: 'refused', at: world.clock.now() };
    expect([await setAside(db, fault), await setAside(db, fault)]).toEqual([1, null]);
    await later(minute);
  });

  it('keeps nobody from being tried again, whatever goes wrong', async () => {
    const [bad, good] = [await addSubject(db), await addSubject(db)];
    await settle();
    // Not about rows: in a round it would be everybody's.
    const allow = await refuse([bad, good], 'profile_counts');
    for (const sub of [bad, good]) await does(sub, 'returned');
    await settle();
    await refuse(bad, 'profile_counts', '42883');
    await later(minute);
    expect(await asideOf(bad)).toMatchObject({ tries: 2 });
    expect(await asideOf(good)).toBeUndefined();
    await allow();
    await later(2 * minute);
    expect(await asideOf(bad)).toBeUndefined();
  });

  it('for want of memory, locks or room to sort is one person, not everybody', async () => {
    const [bad, good] = [await addSubject(db), await addSubject(db)];
    await settle();
    const allow = await refuse(bad, 'profile_counts', '53400');
    for (const sub of [bad, good]) await does(sub, 'compared');
    await settle();
    expect(await db('profile_counts').where({ event: 'compared' }).select('subject_id')).toEqual([
      { subject_id: good },
    ]);
    expect(await asideOf(bad)).toMatchObject({ tries: 1 });
    await allow();
    await later(minute);
  });

  it('because somebody else is at it is left to them, and no round is spent on it', async () => {
    const sub = await addSubject(db);
    await create({ key: 'this-minute', where: { event: 'tapped', within: '1m' } });
    await does(sub, 'tapped');
    await settle();
    const other = await db.transaction();
    await lockPeople(other, [sub]);
    world.clock.set(new Date(world.clock.now().getTime() + minute).toISOString());
    expect(await world.round()).toBe(0);
    await other.commit();
    expect(await world.round()).toBe(1);
    expect(await members('this-minute')).toEqual([]);
  });

  it('whose moment has come does not hold up the moments of others', async () => {
    const [bad, good] = [await addSubject(db), await addSubject(db)];
    await create({ key: 'this-hour', where: { event: 'searched', within: '1h' } });
    for (const sub of [bad, good]) await does(sub, 'searched');
    await settle();
    const allow = await refuse(bad, 'segment_changes');
    await later(60 * minute);
    expect(await members('this-hour')).toEqual([bad]);
    expect(await isWaiting()).toBe(false);
    await allow();
    await later(minute);
    expect(await members('this-hour')).toEqual([]);
  });

  it('whose profile cannot be written is set aside too', async () => {
    const [bad, good] = [await addSubject(db), await addSubject(db)];
    await settle();
    const allow = await refuse(bad, 'profile_counts');
    for (const sub of [bad, good]) await does(sub, 'shared');
    await settle();
    expect(await db('profile_counts').where({ event: 'shared' }).select('subject_id')).toEqual([{ subject_id: good }]);
    await allow();
    await later(minute);
    expect(await db('profile_counts').where({ event: 'shared' })).toHaveLength(2);
  });

  it.each(['segment_built', 'segment_states'])('stops no build by a row of %s', async (table) => {
    const event = `downloaded_${table}`;
    const [bad, good] = [await addSubject(db), await addSubject(db)];
    for (const sub of [bad, good]) await does(sub, event);
    await settle();
    const allow = await refuse(bad, table);
    await create({ key: event.replaceAll('_', '-'), where: { event } });
    await build();
    const key = event.replaceAll('_', '-');
    const { status } = await db('segment_builds as b')
      .join('segments as s', 's.live_build_id', 'b.id')
      .where({ 's.key': key })
      .first('b.status');
    expect(status).toBe('live');
    // The statement's row alone was refused: asked by themselves, both are members.
    expect(await members(key)).toEqual(table === 'segment_built' ? [bad, good].sort() : [good]);
    await allow();
    await later(minute);
    expect(await members(key)).toEqual([bad, good].sort());
  });

  it('because of too long a history is asked about alone, by the database, a minute later', async () => {
    const [long, short] = [await addSubject(db), await addSubject(db)];
    const where = {
      per: 'sku',
      all: [{ event: 'scrolled', count: { gte: 3 }, within: '1h' }, { not: { event: 'order_paid' } }],
    };
    await create({ key: 'scrollers', where });
    await settle();
    await does(short, 'scrolled', { properties: { sku: 's' } });
    await settle();
    // More than is held of one person.
    await db.raw(
      `insert into events (id, received_at, "timestamp", subject_id, source_id, message_key, type, event, channel, trust, properties, context)
       select uuid_v7(), e.received_at, e."timestamp", :long::uuid, e.source_id, uuid_v7(), e.type, e.event, e.channel, e.trust,
              jsonb_build_object('sku', case when n % 3 = 0 then 'a' else n::text end), e.context
         from events e, generate_series(1, 50000) n where e.subject_id = :short::uuid and e.event = 'scrolled'`,
      { long, short },
    );
    for (const sub of [long, short]) await does(sub, 'scrolled', { properties: { sku: 's' } });
    expect(await world.round()).toBe(2);
    expect(await isWaiting()).toBe(false);
    expect(await asideOf(long)).toMatchObject({ tries: 0 });
    expect(await countSetAside(db)).toMatchObject({ people: 0 });
    await does(short, 'scrolled', { properties: { sku: 's' } });
    await settle();
    expect(await members('scrollers')).toEqual([short]);
    await later(minute);
    expect(await members('scrollers')).toEqual([long, short].sort());
    const matched = await db('segment_members').where({ segment_key: 'scrollers' }).select('subject_id', 'matched');
    expect(Object.fromEntries(matched.map((row) => [row.subject_id, row.matched]))).toEqual({
      [long]: { sku: ['a'] },
      [short]: { sku: ['s'] },
    });
    // Rests then, so that no round reads it all again with the next event. What they say of it themselves does not wait.
    expect(await asideOf(long)).toMatchObject({ tries: 0 });
    await does(long, 'scrolled', { properties: { sku: 's' } });
    expect(await world.round()).toBe(0);
    await db('personalisation_choices').insert({ subject_id: long, is_on: false, channel: 'website' });
    await world.round();
    expect(await members('scrollers')).toEqual([short]);
    await later(60 * minute);
    await later(minute);
    expect(await members('scrollers')).toEqual([]);
    expect(await asideOf(long)).toMatchObject({ tries: 0 });
    await later(5 * minute);
    expect(await asideOf(long)).toBeUndefined();
  });

  it('takes long, and a build that waits for that keeps no round waiting', async () => {
    const sub = await addSubject(db);
    await settle();
    await create({ key: 'pressed', where: { event: 'pressed' } });
    const long = await db.transaction();
    await shareRound(long);
    const building = build();
    await vi.waitUntil(() => db('pg_locks').where({ locktype: 'advisory', granted: false }).first());
    await does(sub, 'pressed');
    // As long as the other is under way.
    await world.round();
    expect(await db('profile_counts').where({ subject_id: sub, event: 'pressed' })).toHaveLength(1);
    await long.commit();
    await building;
    expect(await members('pressed')).toEqual([sub]);
  });

  it('is nobody where the database is at fault: the round is left as it was', async () => {
    const sub = await addSubject(db);
    await settle();
    await does(sub, 'clicked');
    await db.raw(`
      create function refuse_everybody() returns trigger language plpgsql as $$
      begin raise exception 'shutting down' using errcode = '57P01'; end $$;
      create trigger refused before insert on profile_counts for each row execute function refuse_everybody()`);
    await expect(world.round()).rejects.toThrow('shutting down');
    expect(await asideOf(sub)).toBeUndefined();
    await db.raw('drop trigger refused on profile_counts');
    await settle();
    expect(await db('profile_counts').where({ subject_id: sub })).toHaveLength(1);
  });
});
