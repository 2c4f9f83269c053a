/**
 * Random definitions asked about random people, at random instants. The evaluator over events in hand and the SQL statement both say
 * what the oracle says, and say no later than it turns when it may be another; the evaluator needs no more than it asks for.
 *
 * SEGMENTS_SEED=<n> repeats a run, SEGMENTS_RUNS=<n> asks more.
 */
import fc, { type Arbitrary } from 'fast-check';
import type { Knex } from 'knex';
import { expect, it } from 'vitest';
import { compileComputed } from '../../src/behaviour/computed.ts';
import type { ComputedNode } from '../../src/behaviour/language.ts';
import { computedSql } from '../../src/behaviour/sql/computed.ts';
import { rfmTraits } from '../../src/profiles/rfm.ts';
import { systemTraits } from '../../src/profiles/system-traits.ts';
import type { ComputedTrait } from '../../src/profiles/trait.ts';
import type { Segment } from '../../src/segments/definition.ts';
import { type CompiledSegment, compileSegment } from '../../src/segments/evaluate.ts';
import { isTouchedBy, needsOf } from '../../src/segments/needs.ts';
import { parseSegment } from '../../src/segments/parse.ts';
import type { Person } from '../../src/segments/person.ts';
import { answerFor, compileToSql } from '../../src/segments/sql.ts';
import { testDatabase } from '../helpers/database.ts';
import { definitions, rfms, type Written, workings } from './definitions.ts';
import { type Matched, membersAt } from './oracle.ts';
import type { Rfm, Working, World } from './oracle-world.ts';
import { type Known, makeGroups } from './pool.ts';
import { base, day, durations, lengthOf, minute } from './vocabulary.ts';

const seed = Number(process.env.SEGMENTS_SEED ?? 20_261_126);
const runs = Number(process.env.SEGMENTS_RUNS ?? 60);

const { db } = await testDatabase();

const groups = await makeGroups(db, seed, 18);
const everybody = groups.flatMap(({ people }) => people);

/** Segments that others look through, the second through the first; one gives a tag by rule. */
const keys = ['one', 'two'];
const paid: Written = {
  version: 1,
  key: 'paid',
  name: 'paid',
  purpose: 'service',
  tz: 'Asia/Shanghai',
  where: { event: 'order_paid', within: '30d' },
};
const tagRules = [{ tag: 'cold', segment: paid.key }];
const referred = [
  ...fc.sample(fc.tuple(definitions('one'), definitions('two', ['one'])), { seed, numRuns: 1 }).flat(),
  paid,
];

/** What definitions look through: the segments referred to, and traits that are worked out. */
type Worked = { own: Working[]; rfm: Rfm };
type Options = ReturnType<typeof optionsOf>;
function optionsOf({ own, rfm }: Worked) {
  const traits = new Map(rfmTraits(rfm).map((trait) => [trait.name, trait as Pick<ComputedTrait, 'question' | 'sql'>]));
  for (const { name, definition, tz } of [...systemTraits.map((trait) => ({ ...trait, tz: 'Asia/Shanghai' })), ...own])
    traits.set(name, {
      question: compileComputed(definition as ComputedNode, tz),
      sql: computedSql(definition as ComputedNode, tz),
    });
  const compiled = new Map<string, CompiledSegment>();
  const options = {
    segmentOf: (key: string) => compiled.get(key),
    traitOf: (name: string) => traits.get(name),
    segmentsTagging: (of: string) => tagRules.filter(({ tag }) => tag === of).map(({ segment }) => segment),
  };
  for (const other of referred) compiled.set(other.key, compileSegment(read(other), options));
  return options;
}

/** As it is kept: every definition here is one. */
function read(definition: Written): Segment {
  const parsed = parseSegment(definition, { canonicalName: (name) => name });
  if ('segment' in parsed) return parsed.segment;
  throw new Error(`${JSON.stringify(definition)} is refused: ${JSON.stringify(parsed.faults)}`);
}

/** As long after something happened as a window reaches: there answers turn. */
type Instant = { group: number; event: number; duration: string; off: number };
const instants: Arbitrary<Instant[]> = fc.array(
  fc.record({
    group: fc.nat(groups.length - 1),
    event: fc.nat(99),
    duration: fc.constantFrom(...durations, '0d', '10h', '1d'),
    off: fc.constantFrom(0, 0, -1, 1, minute),
  }),
  { minLength: 1, maxLength: 2 },
);

function momentOf({ group, event, duration, off }: Instant): number {
  const { events } = groups[group]?.world ?? { events: [] };
  return (events[event % (events.length || 1)]?.timestamp ?? base) + lengthOf(duration) + off;
}

type Answer = { isMember: boolean; matched: Matched; dueAt: number | null };
type Right = Pick<Answer, 'isMember' | 'matched'>;

function oracleOf(world: World, definition: Written, sub: string): (t: number) => Right {
  const known = new Map<number, Right>();
  const alone = { ...world, subjects: world.subjects.filter((one) => one.sub === sub) };
  return (t) => {
    const matched = membersAt(alone, [definition, ...referred], t)
      .get(definition.key)
      ?.get(sub);
    const right = known.get(t) ?? { isMember: matched !== undefined, matched: matched ?? {} };
    known.set(t, right);
    return right;
  };
}

const iso = (t: number) => new Date(t).toISOString();
const show = ({ isMember, matched }: Right) => `${isMember ? 'in' : 'out'} ${JSON.stringify(matched)}`;
const text = ({ isMember, matched }: Right) => JSON.stringify([isMember, Object.entries(matched).sort()]);
const isAlike = (a: Right, b: Right) => text(a) === text(b);

/** What is wrong with an answer at t, if anything. */
function faultOf(answer: Answer, oracle: (t: number) => Right, t: number): string | undefined {
  const right = oracle(t);
  if (!isAlike(answer, right)) return `says ${show(answer)} at ${iso(t)}, the oracle ${show(right)}`;
  const { dueAt } = answer;
  if (dueAt !== null && dueAt <= t) return `is due at ${iso(dueAt)}, asked at ${iso(t)}`;
  const until = dueAt ?? t + 500 * day;
  const turned = [until - 1, Math.floor((until + t) / 2)].find((later) => later > t && !isAlike(oracle(later), right));
  if (!turned) return undefined;
  return `says ${show(right)} at ${iso(t)} until ${dueAt && iso(dueAt)}; at ${iso(turned)} it is ${show(oracle(turned))}`;
}

const answerOf = (compiled: CompiledSegment, person: Person, t: number): Answer => {
  const { matched, ...answer } = compiled.evaluate(person, t);
  return { ...answer, matched: matched ?? {} };
};

/** Events, fields and traits that it does not ask for, or says that they do not touch it, change nothing. */
function faultOfNeeds({ compiled, options, person, t }: Asked): string | undefined {
  const { names, since, fields, traits } = needsOf([compiled], t, options);
  const only = (record: Record<string, unknown>, wanted: string[] | '*') =>
    Object.fromEntries(Object.entries(record).filter(([name]) => wanted === '*' || wanted.includes(name)));
  const needed = person.events
    .filter(({ event, timestamp }) => (names === '*' || names.includes(event)) && (since === null || timestamp > since))
    .map((event) => ({
      ...event,
      properties: only(event.properties, fields.properties),
      context: only(event.context, fields.context),
    }));
  const touching = person.events.filter((event) => isTouchedBy(compiled, event, options));
  const known = new Map([...person.traits].filter(([name]) => traits === '*' || traits.includes(name)));
  for (const [events, at] of [
    [needed, t],
    [needed, t + 40 * day],
    [touching, t],
  ] as const) {
    const less = { ...person, events, traits: known };
    const [fewer, all] = [answerOf(compiled, less, at), answerOf(compiled, person, at)];
    if (!isAlike(fewer, all)) return `from what it needs says ${show(fewer)} at ${iso(at)}, from all ${show(all)}`;
  }
  return undefined;
}

async function answersOfSql(
  trx: Knex,
  { definition, options, t }: Pick<Asked, 'definition' | 'options' | 't'>,
): Promise<(sub: string) => Answer> {
  const segmentOf = (key: string) => options.segmentOf(key)?.segment;
  const { sql, bindings } = compileToSql(read(definition), { ...options, at: new Date(t), segmentOf });
  const { rows } = await trx.raw(sql, bindings as never);
  const bySub = new Map<string, { is_member: boolean; matched: Matched | null; due_at: Date | null }>();
  for (const row of rows) {
    if (bySub.has(row.subject_id)) throw new Error(`two rows of ${row.subject_id}`);
    bySub.set(row.subject_id, row);
  }
  return (sub) => {
    const row = bySub.get(sub);
    return { isMember: row?.is_member ?? false, matched: row?.matched ?? {}, dueAt: row?.due_at?.getTime() ?? null };
  };
}

/** The statement that asks about nobody else. */
async function answerOfOne(
  { definition, options, t }: Pick<Asked, 'definition' | 'options' | 't'>,
  sub: string,
): Promise<Answer> {
  const segmentOf = (key: string) => options.segmentOf(key)?.segment;
  const at = new Date(t);
  const { matched, ...answer } = await db.transaction((trx) =>
    answerFor(trx, read(definition), { ...options, segmentOf, at, only: sub, timeout: 10_000 }),
  );
  return { ...answer, matched: matched ?? {} };
}

type Asked = {
  definition: Written;
  compiled: CompiledSegment;
  options: Options;
  known: Known;
  person: Person;
  t: number;
};

async function faultIn(asked: Asked, ofSql: (sub: string) => Answer) {
  const { definition, compiled, known, person, t } = asked;
  const oracle = oracleOf(known.world, definition, person.sub);
  const inHand = faultOf(answerOf(compiled, person, t), oracle, t) ?? faultOfNeeds(asked);
  if (inHand) return `The evaluator ${inHand}`;
  const inSql = faultOf(ofSql(person.sub), oracle, t);
  return inSql && `The statement ${inSql}`;
}

/** A fault with as few of the person's events as show it. */
async function told(asked: Asked): Promise<string> {
  const { definition, known, person } = asked;
  const faultWith = (ids: string[]) =>
    db
      .transaction(async (trx) => {
        const ours = known.world.events.map(({ id }) => id);
        await trx('events').whereIn('id', ours).whereNotIn('id', ids).delete();
        const kept = <T extends { id: string }>(events: T[]) => events.filter(({ id }) => ids.includes(id));
        const world = { ...known.world, events: kept(known.world.events) };
        const less = { ...asked, known: { ...known, world }, person: { ...person, events: kept(person.events) } };
        throw new Found((await faultIn(less, await answersOfSql(trx, asked))) ?? '');
      })
      .catch((error) => (error instanceof Found ? error.message : Promise.reject(error)));
  let ids = known.world.events.map(({ id }) => id);
  for (const id of ids) {
    const fewer = ids.filter((other) => other !== id);
    if (await faultWith(fewer)) ids = fewer;
  }
  const { events: _, ...world } = known.world;
  return [
    `SEGMENTS_SEED=${seed}: ${await faultWith(ids)}`,
    ...[definition, ...(/"(segment|tag)"/.test(JSON.stringify(definition)) ? referred : [])].map((one) =>
      JSON.stringify(one),
    ),
    `of ${person.sub} in ${JSON.stringify(world)}`,
    ...known.world.events
      .filter(({ id }) => ids.includes(id))
      .map((event) => JSON.stringify({ ...event, timestamp: iso(event.timestamp) })),
  ].join('\n');
}
/** Thrown out of a transaction that is to leave nothing. */
class Found extends Error {}

it(`${runs} definitions are answered by both as the oracle answers them`, { timeout: 3_600_000 }, async () => {
  const outcomes: Record<string, [number, number]> = {};
  const worked = fc.record({
    own: fc.uniqueArray(workings, { selector: ({ name }) => name, minLength: 1 }),
    rfm: rfms,
  });
  const property = fc.asyncProperty(definitions('asked', keys), instants, worked, async (definition, given, worked) => {
    const options = optionsOf(worked);
    const compiled = compileSegment(read(definition), options);
    for (const t of [...given.map(momentOf), base]) {
      const ofSql = await answersOfSql(db, { definition, options, t });
      const [one] = fc.sample(fc.constantFrom(...everybody), { seed: t, numRuns: 1 });
      if (one) expect(await answerOfOne({ definition, options, t }, one.sub)).toEqual(ofSql(one.sub));
      for (const group of groups) {
        const known = { ...group, world: { ...group.world, workings: worked.own, rfm: worked.rfm, tagRules } };
        for (const person of known.people) {
          const asked = { definition, compiled, options, known, person, t };
          if (await faultIn(asked, ofSql)) throw new Error(await told(asked));
          if (!compiled.barOf(person)) count(outcomes, definition, ofSql(person.sub).isMember);
        }
      }
    }
  });
  await fc.assert(property, { seed, numRuns: runs });
  if (process.env.SEGMENTS_RUNS) console.log(outcomes);
  for (const kind of ['all', 'any', 'not', 'per', 'event', 'sequence']) {
    const [no = 0, yes = 0] = outcomes[kind] ?? [];
    expect(Math.min(no, yes) / (no + yes), `${kind}: one answer alone proves little`).toBeGreaterThan(0.01);
  }
});

function count(outcomes: Record<string, [number, number]>, { where }: Written, isMember: boolean): void {
  const kinds = [
    'per',
    'sequence',
    'event',
    'all',
    'any',
    'not',
    'trait',
    'tag',
    'segment',
    'consent',
    'identity',
    'sample',
  ];
  const kind = kinds.find((name) => name in where) ?? '';
  outcomes[kind] ??= [0, 0];
  outcomes[kind][isMember ? 1 : 0]++;
}
