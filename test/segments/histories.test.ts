/**
 * Random histories with segments on: things happen to people while definitions are made, edited, paused, put away and looked through by
 * others, clocks move, and two evaluators, each with a pool of its own, work at once. Whenever they have come to rest, membership is
 * what the oracle says, what a backfill of that instant says, and what the log of changes adds up to.
 *
 * SEGMENTS_SEED=<n> repeats a run, with SEGMENTS_PATH=<path> the one history of it that failed; SEGMENTS_HISTORIES=<n> lives through more,
 * SEGMENTS_SHRINK=1 looks for the shortest that fails.
 */
import fc, { type Arbitrary } from 'fast-check';
import { expect, it } from 'vitest';
import { AppError } from '../../src/errors.ts';
import { catalogueReader } from '../../src/events/catalogue.ts';
import { createI18n } from '../../src/http/i18n.ts';
import type { RfmSettings } from '../../src/profiles/rfm.ts';
import {
  archiveSegment,
  changeList,
  createList,
  createSegment,
  editSegment,
  pauseSegment,
  resumeSegment,
} from '../../src/segments/segment.ts';
import { addTagRule, removeTagRule } from '../../src/segments/tag-rules.ts';
import { changeRfm, defineTrait, editTrait } from '../../src/segments/trait-change.ts';
import { anotherPool } from '../events/harness.ts';
import { testDatabase } from '../helpers/database.ts';
import { definitions, rfms, type Written, workings } from './definitions.ts';
import type { Node, Rfm, Working } from './oracle-world.ts';
import { type Group, groupSize, type Happening, happen, happenings, knownOf, newGroup } from './people.ts';
import { type Kept, prove, turnsAfter } from './rest.ts';
import { readWorld } from './stored.ts';
import { clip, Disagreement, inShort, keepWhole } from './told.ts';
import { workedOutNode } from './trait-nodes.ts';
import { base, durations, lengthOf, purposes, tags } from './vocabulary.ts';
import { evaluator } from './world.ts';

const seed = Number(process.env.SEGMENTS_SEED ?? 20_261_126);
const path = process.env.SEGMENTS_PATH;
const histories = path ? 1 : Number(process.env.SEGMENTS_HISTORIES ?? 8);

const { db, url } = await testDatabase();
let now = base;
const clock = { now: () => new Date(now) };
const services = { clock, readCatalogue: catalogueReader({ db, clock }), translate: createI18n().translator('en') };
const [one, other] = [evaluator(db, clock), evaluator(anotherPool(url), clock)];

/** Whoever has filled segment_built waits for this lock before it goes on. */
const held = 4711;
await db.raw(`
  create function wait_for_test() returns trigger language plpgsql as $$
  begin perform pg_advisory_xact_lock_shared(${held}); return null; end $$;
  create trigger wait_for_test after insert on segment_built for each statement execute function wait_for_test();`);

// What a history is made of

const groupCount = 2;
const keys = ['a', 'b', 'c', 'd', 'e'];

type Deed =
  | { is: 'happen'; what: { group: number; what: Happening }[]; andLook: boolean }
  /** At the same moment, while the evaluators work. */
  | { is: 'at once'; what: { group: number; what: Happening }[] }
  | { is: 'time'; ms: number }
  /** To one of the next moments at which a window may open or close. */
  | { is: 'turn'; next: number; off: number }
  /** To one of the next moments at which somebody is due. */
  | { is: 'due'; next: number; off: number }
  | { is: 'edit'; definition: Written }
  /** While a build has its answers and has not put them in place. */
  | { is: 'meanwhile'; definition: Written; what: { group: number; what: Happening }[] }
  | { is: 'pause' | 'resume' | 'archive'; key: string }
  | { is: 'tag rule'; key: string; tag: string; on: boolean }
  | { is: 'trait'; working: Working }
  | { is: 'rfm'; rfm: Rfm }
  | { is: 'list'; group: number; who: number; on: boolean }
  | { is: 'look'; andBack: boolean };

/** What becomes another when something else is defined anew. */
const through = (segments: readonly string[]) =>
  fc.oneof(
    fc.record({ segment: fc.constantFrom(...segments) }) as Arbitrary<Node>,
    fc.record({ tag: fc.constantFrom(...tags) }),
    workedOutNode,
  );
/** A segment looks only through those that come before it. */
const definitionAt = (at: number): Arbitrary<Written> => {
  const before = ['list', ...keys.slice(0, at)];
  return fc
    .record({
      written: definitions(keys[at] ?? '', before),
      other: through(before),
      how: fc.constantFrom('without', 'any', 'not', 'alone'),
    })
    .map(({ written, other, how }) => {
      const where = { without: written.where, any: { any: [written.where, other] }, not: { not: other }, alone: other };
      return { ...written, where: where[how] };
    });
};
const definition = fc.nat(keys.length - 1).chain(definitionAt);
const happening = fc.record({ group: fc.nat(groupCount - 1), what: happenings() });
const deed = fc.oneof(
  {
    weight: 16,
    arbitrary: fc
      .array(happening, { minLength: 1, maxLength: 4 })
      .chain((what) =>
        fc.record({ is: fc.constant('happen' as const), what: fc.constant(what), andLook: fc.boolean() }),
      ) as Arbitrary<Deed>,
  },
  {
    weight: 2,
    arbitrary: fc.array(happening, { minLength: 2, maxLength: 4 }).map((what) => ({ is: 'at once' as const, what })),
  },
  {
    weight: 1,
    arbitrary: fc
      .tuple(fc.constantFrom(...durations, '1m', '10h', '1d'), fc.constantFrom(0, 0, -1, 1))
      .map(([duration, off]) => ({ is: 'time' as const, ms: lengthOf(duration) + off })),
  },
  {
    weight: 6,
    arbitrary: fc.record({
      is: fc.constantFrom('turn' as const, 'due' as const),
      next: fc.oneof(fc.nat(5), fc.nat(50)),
      off: fc.constantFrom(0, 0, -1, 1),
    }),
  },
  { weight: 2, arbitrary: definition.map((edited) => ({ is: 'edit' as const, definition: edited })) },
  {
    weight: 2,
    arbitrary: fc.record({
      is: fc.constant('meanwhile' as const),
      definition,
      what: fc.array(happening, { minLength: 2, maxLength: 5 }),
    }),
  },
  {
    weight: 3,
    arbitrary: fc.record({
      is: fc.constantFrom('pause', 'pause', 'pause', 'resume', 'resume', 'archive'),
      key: fc.constantFrom(...keys),
    }) as Arbitrary<Deed>,
  },
  {
    weight: 1,
    arbitrary: fc.record({
      is: fc.constant('list' as const),
      group: fc.nat(groupCount - 1),
      who: fc.nat(groupSize - 1),
      on: fc.boolean(),
    }),
  },
  {
    weight: 2,
    arbitrary: fc.record({
      is: fc.constant('tag rule' as const),
      key: fc.constantFrom('list', ...keys),
      tag: fc.constantFrom(...tags),
      on: fc.constantFrom(true, true, false),
    }),
  },
  { weight: 2, arbitrary: workings.map((working) => ({ is: 'trait' as const, working })) },
  { weight: 1, arbitrary: rfms.map((rfm) => ({ is: 'rfm' as const, rfm })) },
  {
    weight: 6,
    arbitrary: fc.record({ is: fc.constant('look' as const), andBack: fc.constantFrom(false, false, false, true) }),
  },
);
const lives = fc.record({
  start: fc.tuple(...keys.map((_, at) => definitionAt(at))),
  listPurpose: fc.constantFrom(...purposes),
  deeds: fc.array(deed, { minLength: 20, maxLength: 50, size: 'max' }),
});

// A history under way

class History {
  readonly groups: Group[] = [];
  readonly segments = new Map<string, Kept>();
  readonly said: string[] = [];
  wasWatched = false;
  readonly prefix: string;

  constructor(prefix: string) {
    this.prefix = prefix;
  }

  /** Keys of segments are the product's for good: each history has its own. */
  named<T>(json: T): T {
    const text = JSON.stringify(json).replaceAll(/"(key|name|segment)":"(\w+)"/g, `"$1":"${this.prefix}-$2"`);
    return JSON.parse(text);
  }
  key(short: string): string {
    return `${this.prefix}-${short}`;
  }
}
let lived = 0;

async function live({
  start,
  listPurpose,
  deeds,
}: {
  start: Written[];
  listPurpose: string;
  deeds: Deed[];
}): Promise<void> {
  lived++;
  // Of whatever was lived through before it: it can be lived through again by itself.
  now = base;
  const history = new History(`h${lived}`);
  for (let n = 0; n < groupCount; n++) history.groups.push(await newGroup(db, clock.now()));
  const list = history.named({ key: 'list', name: 'list', purpose: listPurpose });
  await db.transaction((trx) => createList(trx, services, { kind: 'list', ...list }, 'test'));
  history.segments.set(list.key, {
    definition: list,
    inForce: list,
    status: 'active',
    members: new Map(),
    since: new Map(),
  });
  for (const written of start) await edit(history, written);
  try {
    for (const next of [...deeds, { is: 'look' as const, andBack: true }]) {
      now += 1000;
      history.said.push(`${clock.now().toISOString()} ${JSON.stringify(next)}`);
      await take(history, next);
    }
  } catch (error) {
    const [says, whole] = error instanceof Disagreement ? [error.message, error.whole] : [String(error), ''];
    const lately = history.said.slice(-8).map((line) => clip(line, 200));
    throw new Disagreement(inShort([says, 'Lately:', ...lately]), [...history.said, whole].join('\n'), error);
  } finally {
    await clear(history);
  }
}

async function take(history: History, next: Deed): Promise<void> {
  const inTransaction = db.transaction.bind(db);
  switch (next.is) {
    case 'happen':
      for (const { group, what } of next.what) await happen(db, groupOf(history, group), what, clock.now());
      if (next.andLook) await look(history);
      return;
    case 'at once': {
      history.wasWatched = true;
      const work = next.what.map(({ group, what }) => happen(db, groupOf(history, group), what, clock.now()));
      await Promise.all([...work, one.round(), other.round(), one.build()]);
      return;
    }
    case 'meanwhile': {
      history.wasWatched = true;
      await edit(history, next.definition);
      const held = await holdBuild();
      for (const { group, what } of next.what) await happen(db, groupOf(history, group), what, clock.now());
      while (await one.round());
      return held.release();
    }
    case 'time':
      now += next.ms;
      return;
    case 'turn': {
      const turns = turnsAfter(now + 1, await readWorld(db, knownOf(history.groups)));
      now = (turns[next.next] ?? now) + next.off;
      return;
    }
    case 'due': {
      const due = await db('segment_states')
        .where('due_at', '>', clock.now())
        .orderBy('due_at')
        .distinct('due_at')
        .limit(next.next + 1);
      now = (due.at(-1)?.due_at.getTime() ?? now) + next.off;
      return;
    }
    case 'edit':
      return edit(history, next.definition);
    case 'pause':
    case 'resume':
    case 'archive': {
      // What a paused segment keeps is what it had when the evaluators had come to rest.
      await look(history);
      const paused = [...history.segments].find(([, { status }]) => status === 'paused')?.[0];
      const key = (next.is === 'resume' ? paused : undefined) ?? history.key(next.key);
      const known = history.segments.get(key);
      if (!known) return;
      const act = { pause: pauseSegment, resume: resumeSegment, archive: archiveSegment }[next.is];
      const refusal = await inTransaction((trx) => act(trx, services, key)).catch(refused);
      if (refusal) return;
      if (next.is === 'archive') history.segments.delete(key);
      else known.status = next.is === 'pause' ? 'paused' : 'active';
      return;
    }
    case 'list': {
      const subs = [groupOf(history, next.group).subs[next.who] ?? ''];
      const change = { add: next.on ? subs : [], remove: next.on ? [] : subs, by: 'test' };
      await inTransaction((trx) => changeList(trx, services, history.key('list'), change));
      return;
    }
    case 'tag rule': {
      const rule = { tag: next.tag, segment: history.key(next.key) };
      await inTransaction(async (trx) => {
        if (next.on) await addTagRule(trx, services, { ...rule, by: 'test' });
        else await removeTagRule(trx, services, rule);
      }).catch(refused);
      return;
    }
    case 'trait': {
      const json = { ...next.working, title: { 'zh-CN': '测试', en: 'Test' } };
      await inTransaction(async (trx) => {
        const isKnown = await trx('trait_definitions').first('name').where({ name: next.working.name });
        if (isKnown) await editTrait(trx, services, next.working.name, json);
        else await defineTrait(trx, services, json, 'test');
      });
      return;
    }
    case 'rfm':
      return inTransaction((trx) => changeRfm(trx, services, next.rfm as RfmSettings, 'test'));
    case 'look':
      return look(history, next.andBack);
  }
}

async function look(history: History, andBack = false): Promise<void> {
  await settle();
  await prove({ db, clock }, history, { andBack, wasWatched: history.wasWatched });
  history.wasWatched = false;
}

/** The next build, if one is asked for, goes on from its answers when it is released. */
async function holdBuild(): Promise<{ release(): Promise<void> }> {
  const holding = await db.transaction();
  await holding.raw('select pg_advisory_xact_lock(?)', [held]);
  let isDone = false;
  const building = other.build().finally(() => {
    isDone = true;
  });
  const isHeld = async () =>
    (await db('pg_locks').where({ locktype: 'advisory', objid: held, granted: false }).first('pid')) !== undefined;
  while (!isDone && !(await isHeld()));
  return {
    async release() {
      await holding.commit();
      await building;
    },
  };
}

const groupOf = ({ groups }: History, at: number) => groups[at] as Group;
function refused(error: unknown): true {
  if (error instanceof AppError) return true;
  throw error;
}

/** Made when it is not there. */
async function edit(history: History, written: Written): Promise<void> {
  const definition = history.named(written);
  const { key } = definition;
  const known = history.segments.get(key);
  const was = await db('segments').first('status').where({ key });
  if (was?.status === 'archived') return;
  // Through a tag that a segment gives it may ask for itself.
  const refusal = await db
    .transaction(async (trx) => {
      if (was) await editSegment(trx, services, key, definition, 'test');
      else await createSegment(trx, services, definition, 'test');
    })
    .catch(refused);
  if (refusal) return;
  history.segments.set(key, {
    status: 'active',
    members: new Map(),
    since: new Map(),
    inForce: definition,
    ...known,
    definition,
  });
}

async function settle(): Promise<void> {
  for (let turn = 0; turn < 50; turn++) {
    await Promise.all([one.settle(), other.settle()]);
    const { rows } = await db.raw(
      `select exists (select from subject_activity) or exists (select from subject_changes)
              or exists (select from segment_states where due_at <= ?) or exists (select from segment_builds where status = 'building') as more`,
      [clock.now()],
    );
    if (!rows[0].more) return;
  }
  throw new Error('the evaluators never come to rest');
}

/** The next history is not to see the people, segments, rules and traits of this one. */
async function clear({ prefix, groups }: History): Promise<void> {
  await db('subjects').whereIn('id', knownOf(groups).subs).where({ status: 'active' }).update({ status: 'suspended' });
  for (const table of ['tag_rules', 'trait_definitions', 'rfm_settings']) await db(table).delete();
  await settle().catch(() => {});
  const left = await db('segments')
    .where('key', 'like', `${prefix}-%`)
    .whereNot({ status: 'archived' })
    .orderBy('id', 'desc');
  for (const { key } of left) await db.transaction((trx) => archiveSegment(trx, services, key)).catch(refused);
}

/** Of megabytes what somebody reads. */
function told(at: string | null, error: unknown): string {
  const { message, whole, stack, cause } = error instanceof Disagreement ? error : new Disagreement(String(error), '');
  const text = [message, stack, cause instanceof Error && cause.stack, whole].join('\n\n');
  const file = keepWhole(`heyi-history-${seed}-${String(at).replaceAll(':', '-')}.txt`, text);
  return `SEGMENTS_SEED=${seed} SEGMENTS_PATH=${at} lives through it again; the whole of it is in ${file}\n${message}`;
}

it(`${histories} random histories: live membership is what the oracle and a backfill say`, {
  timeout: 3_600_000,
}, async () => {
  // Shrinking lives through hundreds: only when it is asked for.
  const endOnFailure = process.env.SEGMENTS_SHRINK === undefined;
  const run = { seed, numRuns: histories, endOnFailure, ...(path && { path }) };
  const found = await fc.check(fc.asyncProperty(lives, live), run);
  if (found.failed) throw new Error(told(found.counterexamplePath, found.errorInstance));
  expect(await db('segment_changes').count().first()).not.toEqual({ count: 0 });
});
