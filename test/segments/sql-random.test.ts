/**
 * The statement against the evaluator over events in hand. Both must say the same of everybody, and the statement must be due no later.
 * SEED, WORLDS and DEFINITIONS look for more.
 */
import fc from 'fast-check';
import { expect, test } from 'vitest';
import { compileSegment } from '../../src/segments/evaluate.ts';
import type { Person } from '../../src/segments/person.ts';
import { compileToSql } from '../../src/segments/sql.ts';
import { now, personWith, segment } from '../helpers/behaviour.ts';
import { testDatabase } from '../helpers/database.ts';
import { newSub, putPeople } from '../helpers/population.ts';
import { events, facts, node } from '../helpers/random-definitions.ts';

const { db } = await testDatabase();
const seed = Number(process.env.SEED ?? 26);
const worlds = Number(process.env.WORLDS ?? 4);
const definitions = Number(process.env.DEFINITIONS ?? 50);

/** What `segment` refers to: one about everybody who did not, of another purpose, and one through that. */
const others = [
  segment({ not: { event: 'a', within: '2d' } }, { key: 'all-but', purpose: 'service', tz: 'UTC' }),
  segment({ any: [{ segment: 'all-but' }, { tag: 'old' }] }, { key: 'other' }),
];

const segmentOf = (key: string) => others.find((one) => one.key === key);
const compiledOf = (key: string) => {
  const other = segmentOf(key);
  return other && compileSegment(other, { segmentOf: compiledOf });
};

type Done = typeof events extends fc.Arbitrary<infer T> ? T : never;
type Facts = typeof facts extends fc.Arbitrary<infer T> ? T : never;
let ids = 0;

/** In the database, and in hand. */
async function meet(world: [Done, Facts][]): Promise<Person[]> {
  const people = world.map(([{ list, order }, known]) => {
    const base = ids;
    ids += list.length;
    const done = list.map((event, index) => ({
      ...event,
      id: `00000000-0000-7000-a000-${String(base + (order[index] ?? 0)).padStart(12, '0')}`,
    }));
    const { traits, agreed, status, tags, lists, ...same } = known;
    const consents = agreed.map((purpose) => ({ purpose }));
    const put = { sub: newSub(), ...known, consents, events: done };
    const person = personWith(done, {
      ...same,
      sub: put.sub,
      isActive: status === 'active',
      agreed: new Set(['service', ...agreed]),
      tags: new Set(tags),
      lists: new Set(lists),
      trait: (name) => ({ value: (traits as Record<string, unknown>)[name], dueAt: null }),
    });
    return { put, person };
  });
  await putPeople(
    db,
    people.map(({ put }) => put),
  );
  return people.map(({ person }) => person);
}

type Row = { subject_id: string; is_member: boolean; matched: unknown; due_at: Date | null };

test.each(
  fc
    .sample(fc.array(fc.tuple(events, facts), { minLength: 6, maxLength: 6 }), { seed, numRuns: worlds })
    .map((world, at) => ({ world, at })),
)('random definitions have the same members, values and no later dues: world $at', async ({ world, at }) => {
  const people = await meet(world);
  await fc.assert(
    fc.asyncProperty(node, fc.constantFrom('marketing', 'marketing', 'service'), async (where, purpose) => {
      const definition = segment(where, { purpose });
      const { sql, bindings } = compileToSql(definition, { at: new Date(now), segmentOf });
      const { rows }: { rows: Row[] } = await db.raw(sql, bindings);
      const answers = Map.groupBy(rows, ({ subject_id }) => subject_id);
      const compiled = compileSegment(definition, { segmentOf: compiledOf });
      for (const person of people) {
        const { isMember, matched, dueAt } = compiled.evaluate(person, now);
        const [row, ...more] = answers.get(person.sub) ?? [];
        const told = JSON.stringify(person);
        expect(more, told).toEqual([]);
        expect({ isMember: row?.is_member ?? false, matched: row?.matched ?? null }, told).toEqual({
          isMember,
          matched,
        });
        if (dueAt !== null) expect(row?.due_at?.getTime() ?? Infinity, told).toBeLessThanOrEqual(dueAt);
        if (row) expect(row.is_member || row.due_at !== null, told).toBe(true);
        expect(row?.due_at?.getTime() ?? Infinity, told).toBeGreaterThan(now);
      }
    }),
    { seed: seed + at, numRuns: definitions },
  );
});
