/** What must be so whenever the evaluators of a history have come to rest. */
import type { Clock } from '../../src/clock.ts';
import type { Database } from '../../src/database.ts';
import type { Segment } from '../../src/segments/definition.ts';
import { explainMembership } from '../../src/segments/membership.ts';
import { readReferences } from '../../src/segments/rules.ts';
import { compileToSql } from '../../src/segments/sql.ts';
import { type Matched, mayBeMember, membersAt, membershipOf } from './oracle.ts';
import { readDate } from './oracle-values.ts';
import type { Definition, World } from './oracle-world.ts';
import { type Group, knownOf } from './people.ts';
import { readWorld } from './stored.ts';
import { brief, Disagreement, leastOf } from './told.ts';
import { day, durations, lengthOf } from './vocabulary.ts';

/** A segment as it should be. */
export type Kept = {
  definition: Definition;
  /** What others look through it by: a paused one is not asked its new definition until it goes on. */
  inForce: Definition;
  status: 'active' | 'paused';
  members: Map<string, Matched>;
  /** Since when each member is one, with the entry of the log that says so. */
  since: Map<string, { entry: string; at: number }>;
};
type Resting = { db: Database; clock: Clock };
type Looking = {
  /** With a backfill, which costs most of the time. */
  andBack: boolean;
  /** Rounds went on while things happened: who might not be a member for a moment may have left a paused segment. */
  wasWatched: boolean;
};
type Lived = { groups: Group[]; segments: Map<string, Kept> };

/** Live membership is what the oracle and a backfill of this instant say, and the log, the sizes, the outbox and the moments that come due fit it. */
export async function prove(
  resting: Resting,
  { groups, segments }: Lived,
  { andBack, wasWatched }: Looking,
): Promise<void> {
  const { db, clock } = resting;
  const t = clock.now().getTime();
  const known = knownOf(groups);
  const { subs } = known;
  for (const kept of segments.values()) if (kept.status === 'active') kept.inForce = kept.definition;
  const definitions = [...segments.values()].map(({ inForce }) => inForce);
  const world = await readWorld(db, known);
  const right = membersAt(world, definitions, t);
  const stored = await db('segment_members')
    .whereIn('segment_key', [...segments.keys()])
    .select('segment_key', 'subject_id', 'matched', 'entered_at');
  const log: Logged[] = await db('segment_changes as c')
    .join('segments as s', 's.id', 'c.segment_id')
    .whereIn('key', [...segments.keys()])
    .orderBy('c.id')
    .select('key', 'c.id', 'c.subject_id', 'c.change', 'c.reason', 'c.at', 'c.matched');
  const sizes = await db('current_segment_sizes as z')
    .join('segments as s', 's.id', 'z.segment_id')
    .select('key', 'size');
  for (const [key, kept] of segments) {
    const same = (what: string, found: Map<string, Matched>, expected: Map<string, Matched>) =>
      compare(resting, { key, what, kept, world, definitions }, found, expected);
    const members = stored.filter(({ segment_key }) => segment_key === key);
    const ours = members.filter(({ subject_id }) => subs.includes(subject_id));
    const live = new Map<string, Matched>(ours.map(({ subject_id, matched }) => [subject_id, matched ?? {}]));
    const expected =
      kept.status === 'paused' ? stillIn(world, kept, wasWatched ? live : kept.members) : (right.get(key) ?? new Map());
    await same('live membership', live, expected);
    if (andBack && kept.status === 'active' && kept.definition.where)
      await same('a backfill', await backfill(resting, kept.definition, subs), expected);
    kept.members = live;
    for (const sub of kept.since.keys()) if (!live.has(sub)) kept.since.delete(sub);
    const logged = replay(log.filter((entry) => entry.key === key && subs.includes(entry.subject_id)));
    await same(
      'the log',
      new Map([...logged.keys()].map((sub) => [sub, {}])),
      new Map([...live.keys()].map((sub) => [sub, {}])),
    );
    const since = new Map(ours.map(({ subject_id, entered_at }) => [subject_id, entered_at.getTime()]));
    for (const [sub, { entry, at, matched }] of logged) {
      if (at === t && !wasWatched && textOf(matched ?? {}) !== textOf(live.get(sub)))
        throw new Error(
          `${sub} is in ${key} by ${textOf(live.get(sub))}, and entered by ${textOf(matched ?? {})} as it is logged`,
        );
      const [now, was] = [since.get(sub) ?? Number.NaN, kept.since.get(sub)];
      // In a build that was made meanwhile they may have been found before it took its place.
      if (!(was?.entry === entry ? now === was.at : now <= at))
        throw new Error(`${sub} is in ${key} since ${now}, as entry ${entry} of ${at} does not say (${was?.at})`);
      kept.since.set(sub, { entry, at: now });
    }
    const size = sizes.find((one) => one.key === key)?.size ?? 0;
    if (size !== members.length) throw new Error(`${key} is said to have ${size} members, and has ${members.length}`);
  }
  const aside = await db('evaluations_set_aside').first('error');
  if (aside) throw new Error(`somebody could not be evaluated: ${aside.error}`);
  await proveTold(db, log);
  await proveExplained(resting, { right, segments, subs });
  await proveDue(resting, { world, definitions, right, segments, subs });
}

/** Of a paused one nobody is asked anything, but who may not be a member leaves it, and does not come back. */
function stillIn(world: World, { inForce, members }: Kept, seen: Map<string, Matched>): Map<string, Matched> {
  return new Map([...members].filter(([sub]) => mayBeMember(world, inForce, sub) && seen.has(sub)));
}

/** Whatever the log has of single people was told. */
async function proveTold(db: Database, log: Logged[]): Promise<void> {
  const keys = new Set(log.map(({ key }) => key));
  const told = await db('outbox')
    .whereIn('topic', ['segment.entered', 'segment.exited'])
    .select('topic', 'subject_id', 'payload');
  const logged = log.filter(({ reason }) => reason !== 'definition');
  const line = (key: string, sub: string, change: string, reason: string, matched: unknown) =>
    JSON.stringify([key, sub, change, reason, matched ?? null]);
  const [was, should] = [
    told
      .filter(({ payload }) => keys.has(payload.segment))
      .map(({ topic, subject_id, payload }) =>
        line(payload.segment, subject_id, topic.slice('segment.'.length), payload.reason, payload.matched),
      ),
    logged.map(({ key, subject_id, change, reason, matched }) => line(key, subject_id, change, reason, matched)),
  ].map((lines) => lines.sort());
  const missing = should?.find((one, at) => one !== was?.[at]);
  if (missing || was?.length !== should?.length)
    throw new Error(`the outbox has ${was?.length} messages, the log ${should?.length} entries: ${missing}`);
}

let asked = 0;

type Due = {
  world: World;
  definitions: Definition[];
  right: Map<string, Map<string, Matched>>;
  segments: Map<string, Kept>;
  subs: string[];
};

/** Of one of them in one of the segments. */
async function proveExplained(
  resting: Resting,
  { right, segments, subs }: Pick<Due, 'right' | 'segments' | 'subs'>,
): Promise<void> {
  const [key, kept] = [...segments][asked++ % segments.size] ?? [];
  const sub = subs[asked % subs.length];
  if (!key || !kept || !sub) return;
  const { sub: who, is_member, matched, entered_at, explanation } = await explainMembership(resting, key, sub);
  const [says, should] = [is_member ? textOf(matched ?? {}) : 'out', textOf(right.get(key)?.get(who))];
  const { reason, where, due_at } = explanation;
  const isTold =
    reason === 'conditions' ? where?.holds === false : is_member ? reason === null && where?.holds : where === null;
  if (
    says !== should ||
    !isTold ||
    (due_at && due_at <= resting.clock.now()) ||
    (entered_at && entered_at.getTime() !== kept.since.get(who)?.at)
  )
    throw new Error(
      `${key} explains ${who}, who should be ${should}, by ${JSON.stringify({ is_member, matched, entered_at, explanation })}`,
    );
}

/**
 * Until somebody is looked at again, time alone turns nothing: the oracle is asked right before that moment, and at some before it at which
 * something may turn. Whoever is not noted is not looked at again.
 */
async function proveDue({ db, clock }: Resting, { world, definitions, right, segments, subs }: Due): Promise<void> {
  const t = clock.now().getTime();
  const noted = await db('segment_states as t')
    .join('segments as s', 's.live_build_id', 't.build_id')
    .whereIn('subject_id', subs)
    .select('s.key', 'subject_id', 'due_at');
  const due = new Map(noted.map(({ key, subject_id, due_at }) => [`${key} ${subject_id}`, due_at?.getTime()]));
  const all = turnsAfter(t, world);
  for (const [key, { status, definition }] of segments) {
    if (status === 'paused' || !definition.where) continue;
    for (const { sub } of world.subjects) {
      const until = due.get(`${key} ${sub}`) ?? t + 500 * day;
      const turns = all.filter((at) => at < until);
      const some = Array.from({ length: 8 }, () => turns[(++asked * 7919) % (turns.length || 1)] ?? 0);
      const is = textOf(right.get(key)?.get(sub));
      for (const at of [until - 1, ...some].filter((at) => at > t)) {
        const then = textOf(membershipOf({ world, definitions, sub, t: at }, definition));
        if (then === is) continue;
        const [looked, turned] = [until, at].map((moment) => new Date(moment).toISOString());
        throw new Error(
          `${sub} is looked at for ${key} at ${looked}, and has turned by ${turned} from ${is} to ${then}: ${JSON.stringify(definition)}`,
        );
      }
    }
  }
}

/** Moments at which a window may open or close, in order. */
export function turnsAfter(t: number, { events, traits }: World): number[] {
  const ages = [...durations, '0d', '1d'].map(lengthOf);
  const dates = traits.flatMap(({ value }) => readDate(value, 'Asia/Shanghai')?.moment ?? []);
  const turns = [
    ...events.flatMap(({ timestamp }) => ages.map((age) => timestamp + age)),
    ...dates.flatMap((date) => ages.flatMap((age) => [date - age, date + age])),
  ];
  // Midnights of the time zones in which definitions are asked.
  for (let ahead = 0; ahead < 40; ahead++)
    for (const hours of [-8, 5, -5.5, -1, 0]) turns.push((Math.floor(t / day) + ahead) * day + hours * 3_600_000);
  return [...new Set(turns)].filter((at) => at > t).sort((a, b) => a - b);
}

const textOf = (matched: Matched | undefined) => (matched ? JSON.stringify(Object.entries(matched).sort()) : 'out');

type Compared = { key: string; what: string; kept: Kept; world: World; definitions: Definition[] };

async function compare(
  { db, clock }: Resting,
  { key, what, kept, world, definitions }: Compared,
  found: Map<string, Matched>,
  right: Map<string, Matched>,
): Promise<void> {
  for (const sub of new Set([...found.keys(), ...right.keys()])) {
    const [is, should] = [found.get(sub), right.get(sub)].map(textOf);
    if (is === should) continue;
    const now = await explainMembership({ db, clock }, key, sub).catch(String);
    const states = await db('segment_states as t')
      .join('segment_builds as b', 'b.id', 't.build_id')
      .join('segments as s', 's.id', 'b.segment_id')
      .where({ 's.key': key, subject_id: sub })
      .select('t.*', 'b.status', 'b.version');
    const log = await db('segment_changes as c')
      .join('segments as s', 's.id', 'c.segment_id')
      .where({ 's.key': key, subject_id: sub })
      .orderBy('c.id')
      .select('c.version', 'c.change', 'c.reason', 'c.at');
    const t = clock.now().getTime();
    const { definition, inForce, status } = kept;
    const asOracle = (one: World) => textOf(membershipOf({ world: one, definitions, sub, t }, inForce)) === should;
    const [first, ...others] = [inForce, ...definitions.filter((one) => one.key !== key)].map((one) =>
      brief(one, 1_000),
    );
    const isThrough = /"(segment|tag)":/.test(first ?? '');
    throw new Disagreement(
      [
        `${what} of ${key} (${status}) at ${clock.now().toISOString()} has ${sub} ${is}, and should have them ${should}`,
        `in force: ${first}`,
        ...(isThrough ? others.map((one) => `beside it: ${one}`) : []),
        ...(definition === inForce ? [] : [`to come: ${brief(definition)}`]),
        `kept: ${brief(states)}`,
        `logged: ${brief(log.slice(-4))}`,
        `the evaluator says now: ${brief(now, 1_000)}`,
        'The oracle needs for its answer:',
        ...leastOf(world, asOracle),
      ].join('\n'),
      JSON.stringify({ definitions, kept: { definition, inForce, status }, now, states, log, world }, null, 1),
    );
  }
}

async function backfill({ db, clock }: Resting, definition: Definition, subs: string[]): Promise<Map<string, Matched>> {
  const { sql, bindings } = compileToSql(definition as Segment, { at: clock.now(), ...(await readReferences(db)) });
  const { rows } = await db.raw(
    `select subject_id, matched from (${sql}) answers where is_member and subject_id = any (:subs::uuid[])`,
    { ...bindings, subs } as never,
  );
  return new Map(rows.map(({ subject_id, matched }: (typeof rows)[number]) => [subject_id, matched ?? {}]));
}

type Logged = {
  key: string;
  id: string;
  subject_id: string;
  change: string;
  reason: string;
  at: Date;
  matched: Matched | null;
};
type Entry = { entry: string; at: number; matched: Matched | null };

/** Who is in, by everybody's last entry; nobody enters twice or leaves twice. */
function replay(log: Logged[]): Map<string, Entry> {
  const members = new Map<string, Entry>();
  for (const { key, id, subject_id, change, reason, at, matched } of log) {
    if (members.has(subject_id) === (change === 'entered'))
      throw new Error(`${subject_id} ${change} ${key} twice, by ${reason} at ${at.toISOString()}`);
    if (change === 'entered') members.set(subject_id, { entry: id, at: at.getTime(), matched });
    else members.delete(subject_id);
  }
  return members;
}
