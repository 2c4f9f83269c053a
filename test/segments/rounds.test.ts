/** What evaluators hold while they work, what they leave to each other, and what becomes of what changes meanwhile. */
import type { Knex } from 'knex';
import { describe, expect, it, vi } from 'vitest';
import { evaluateLong, evaluatePeople } from '../../src/segments/evaluate-people.ts';
import { lockPeople, shareRound, stopRounds, whatIsWaiting } from '../../src/segments/queue.ts';
import { createRulesReader, type Rule } from '../../src/segments/rules.ts';
import { archiveSegment, pauseSegment } from '../../src/segments/segment.ts';
import { startEvaluating } from '../../src/segments/worker.ts';
import { addSubject, agree, anotherPool, log } from '../events/harness.ts';
import { evaluator, segmentsWorld } from './world.ts';

const world = await segmentsWorld();
const { db, clock, create, edit, does, members, settle, later, build, services } = world;
const other = evaluator(anotherPool(world.url), clock);

const isAwaited = () =>
  vi.waitUntil(
    async () =>
      (await db.raw(`select from pg_stat_activity where wait_event_type = 'Lock' and datname = current_database()`))
        .rowCount > 0,
    { timeout: 10_000, interval: 10 },
  );

/** Work that has to wait until this transaction is over. */
async function waitsFor(holding: Knex.Transaction, work: () => Promise<unknown>): Promise<void> {
  let isDone = false;
  const working = work().then(() => {
    isDone = true;
  });
  await isAwaited().finally(() => holding.commit());
  expect(isDone).toBe(false);
  await working;
}

async function holding(hold: (trx: Knex.Transaction) => Promise<unknown>): Promise<Knex.Transaction> {
  const trx = await db.transaction();
  await hold(trx);
  return trx;
}

const buildOf = (key: string) =>
  db('segment_builds as b')
    .join('segments as s', 's.id', 'b.segment_id')
    .where({ key })
    .orderBy('b.id', 'desc')
    .first('b.id', 'b.status', 'b.error');
const statesOf = async (key: string) => db('segment_states').where({ build_id: (await buildOf(key)).id });

/** Whatever a statement finds for a build is refused. @param code SQLSTATE */
async function refuseBuilt(code: string): Promise<() => Promise<void>> {
  await db.raw(`
    create function refuse_built() returns trigger language plpgsql as $$
    begin raise exception 'refused' using errcode = '${code}'; end $$;
    create trigger refused before insert on segment_built for each statement execute function refuse_built()`);
  return async () => void (await db.raw('drop function refuse_built cascade'));
}

describe('a round', () => {
  it('waits for whoever looks at the same person, and for whoever has stopped all rounds', async () => {
    const sub = await addSubject(db);
    await create({ key: 'two-taps', where: { event: 'tapped', count: { gte: 2 } } });
    await settle();
    for (const hold of [(trx: Knex.Transaction) => lockPeople(trx, [sub]), stopRounds]) {
      await does(sub, 'tapped');
      await waitsFor(await holding(hold), world.round);
    }
    expect(await members('two-taps')).toEqual([sub]);
  });

  it('is over before a segment is paused or put away, and before the rows of a build go', async () => {
    await create({ key: 'in-use', where: { event: 'used' } });
    await settle();
    await waitsFor(await holding(shareRound), () => db.transaction((trx) => pauseSegment(trx, services, 'in-use')));
    await waitsFor(await holding(shareRound), () => db.transaction((trx) => archiveSegment(trx, services, 'in-use')));
    expect(await whatIsWaiting(db, clock.now())).toMatchObject({ builds: true });
    await waitsFor(await holding(shareRound), build);
    expect(await whatIsWaiting(db, clock.now())).toMatchObject({ builds: false });
  });

  it('takes out who comes due in a build that is no more, and is done with it', async () => {
    const subject_id = await addSubject(db);
    await settle();
    const { id: build_id } = await buildOf('in-use');
    await db('segment_states').insert({ build_id, subject_id, is_member: false, due_at: clock.now() });
    expect(await world.round()).toBe(1);
    expect(await world.round()).toBe(0);
  });

  it('keeps who they are, and looks again in a minute, where a definition cannot be asked', async () => {
    const sub = await addSubject(db);
    await create({ key: 'faulty', where: { event: 'done' } });
    await does(sub, 'done');
    await settle();
    await db.transaction(async (trx) => {
      const rules = await createRulesReader({ log })(trx);
      const fail = () => {
        throw new Error('a fault of ours');
      };
      const faulty = [...rules.byBuild.values()]
        .filter(({ segment_key }) => segment_key === 'faulty')
        .map((rule): Rule => ({ ...rule, compiled: { ...rule.compiled, evaluateIn: fail } }));
      const asked = new Map([[sub, { rules: new Set(faulty), reason: 'event' }]]);
      await evaluatePeople({ trx, log, rules, at: clock.now() }, asked);
    });
    const in_a_minute = new Date(clock.now().getTime() + 60_000);
    expect(await statesOf('faulty')).toMatchObject([{ subject_id: sub, is_member: true, due_at: in_a_minute }]);
    await later(60_000);
    expect(await statesOf('faulty')).toMatchObject([{ subject_id: sub, is_member: true, due_at: null }]);
  });

  it('F16: sees who withdrew while their long history was looked through, and asks nothing of a segment that is paused', async () => {
    const sub = await addSubject(db);
    await agree(db, sub, 'marketing');
    const where = { event: 'walked' };
    await create({ key: 'walkers', purpose: 'marketing', where });
    await create({ key: 'strollers', where });
    await create({ key: 'resting', where });
    await does(sub, 'walked', { context: { consent: { categoryPreferences: { marketing: true } } } });
    await settle();
    await db.transaction((trx) => pauseSegment(trx, services, 'resting'));
    // A statement that has begun stops at the first event it sees.
    const { rows } = await db.raw(`select pg_get_viewdef('subject_events') as text`);
    const view = rows[0].text.replace(/;\s*$/, '');
    await db.raw(`
      create function wait_for_test() returns boolean language plpgsql as $$
      begin perform pg_advisory_xact_lock_shared(4711); return true; end $$;
      create or replace view subject_events as ${view} and wait_for_test()`);
    const looking = () =>
      db.transaction(async (trx) => {
        const rules = await createRulesReader({ log })(trx);
        const asked = new Map([[sub, { rules: new Set(rules.byBuild.values()), reason: 'event' }]]);
        await evaluateLong({ trx, log, rules, at: clock.now() }, asked);
      });
    await waitsFor(
      await holding(async (trx) => {
        await trx.raw('select pg_advisory_xact_lock(4711)');
        const said = { subject_id: sub, purpose: 'marketing', version: '1', channel: 'website' };
        await trx('consents').insert({ ...said, is_granted: false, at: new Date(Date.now() + 1000) });
      }),
      looking,
    );
    const found = await Promise.all(['walkers', 'strollers', 'resting'].map(members));
    expect(found).toEqual([[], [sub], [sub]]);
    await db.raw(`create or replace view subject_events as ${view}`);
    await settle();
  });
});

describe('a build', () => {
  it('is made by one process; given up meanwhile, it takes no place and leaves nothing behind', async () => {
    const [early, late] = [await addSubject(db), await addSubject(db)];
    await does(early, 'came_early');
    await does(late, 'came_late');
    await settle();
    await create({ key: 'comers', where: { event: 'came_early' } });
    const { id: build_id } = await buildOf('comers');
    // The first one comes to a halt where it would write of this person.
    const trx = await holding((trx) => trx('segment_states').insert({ build_id, subject_id: early, is_member: false }));
    const building = build();
    await isAwaited();
    expect(await other.build()).toBe(false);
    await edit('comers', { where: { event: 'came_late' } });
    expect(await other.build()).toBe(true);
    expect(await members('comers')).toEqual([late]);
    await trx.rollback();
    await building;
    expect(await members('comers')).toEqual([late]);
    expect(await db('segment_states').where({ build_id })).toEqual([]);
  });

  it('that fails says so and is not made again, and nobody writes of it any more', async () => {
    const sub = await addSubject(db);
    await create({ key: 'fails', where: { event: 'failing' } });
    await does(sub, 'failing');
    await world.round();
    const allow = await refuseBuilt('42883');
    expect(await build()).toBe(true);
    await allow();
    expect(await buildOf('fails')).toMatchObject({ status: 'failed', error: expect.stringContaining('evaluated') });
    await does(sub, 'failing');
    await world.round();
    expect(await statesOf('fails')).toEqual([]);
    expect(await build()).toBe(false);
    expect(await whatIsWaiting(db, clock.now())).toMatchObject({ builds: false });
  });

  it('that has to ask one by one asks everybody, portion after portion, and waits for whoever is looked at', async () => {
    const { rows } = await db.raw(
      'insert into subjects (id) select uuid_v7() from generate_series(1, 501) returning id',
    );
    await settle();
    await create({ key: 'everybody', where: { not: { event: 'never' } } });
    const allow = await refuseBuilt('P0001');
    await waitsFor(await holding((trx) => lockPeople(trx, [rows[500].id])), build);
    await allow();
    const [standing] = await db('standing_subjects').count({ n: '*' });
    expect(await members('everybody')).toHaveLength(Number(standing?.n));
  });
});

it('a worker builds, looks at who did something, at who was set aside, and at who comes due, each when it is time', async () => {
  const [aside, sub] = [await addSubject(db), await addSubject(db)];
  await settle();
  const now = clock.now();
  await db('evaluations_set_aside').insert({
    subject_id: aside,
    since: now,
    due_at: new Date(now.getTime() + 1),
    error: '',
  });
  const waiting = (milliseconds: number) => whatIsWaiting(db, new Date(now.getTime() + milliseconds));
  const hour = 3_600_000;
  const worker = startEvaluating({ db, clock, log });
  const become = (subs: string[]) =>
    vi.waitUntil(async () => (await members('workers')).join() === subs.toSorted().join(), { timeout: 10_000 });
  await create({ key: 'workers', where: { event: 'worked', within: '1h' } });
  await vi.waitUntil(async () => (await buildOf('workers')).status === 'live', { timeout: 10_000 });
  for (const one of [aside, sub]) await does(one, 'worked');
  await become([sub]);
  expect([await waiting(0), await waiting(1)]).toMatchObject([{ tries: false }, { tries: true }]);
  clock.set(new Date(now.getTime() + 1).toISOString());
  await become([aside, sub]);
  expect([await waiting(hour - 1), await waiting(hour)]).toMatchObject([{ people: false }, { people: true }]);
  clock.set(new Date(now.getTime() + hour).toISOString());
  await become([]);
  await worker.stop();
});
