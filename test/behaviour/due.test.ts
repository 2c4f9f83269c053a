import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { allOf, anyOf } from '../../src/behaviour/answer.ts';
import { compileBehaviour } from '../../src/behaviour/evaluate.ts';
import { factsOf } from '../../src/behaviour/facts.ts';
import type { BehaviourEvent, BehaviourNode } from '../../src/behaviour/language.ts';
import type { Node } from '../../src/segments/definition.ts';
import { compiled, day, did, hour, now, personWith } from '../helpers/behaviour.ts';

// Small numbers of names and values, so that things meet; half-days, so that boundaries coincide.
const event = fc
  .record({
    event: fc.constantFrom('a', 'b', 'c'),
    halfDays: fc.integer({ min: -3, max: 24 }),
    id: fc.constantFrom(1, 2, '1'),
    price: fc.constantFrom(1, 2.5, '0.1', '3', 'x'),
  })
  .map(({ event, halfDays, id, price }) => did(event, halfDays / 2, { id, price }));
const events = fc.array(event, { maxLength: 14 });

const name = fc.constantFrom('a', 'b', ['a', 'b'], '*');
const match = fc.oneof(
  { weight: 3, arbitrary: fc.record({ event: name }) },
  fc.record({ event: name, unless: fc.record({ event: fc.constantFrom('b', 'c'), same: fc.constant('id') }) }),
  fc.record({ event: name, where: fc.constant([{ property: 'price', op: 'gte' as const, value: 2 }]) }),
);
const window = fc.oneof(
  fc.constant({}),
  fc.constantFrom('1d', '36h', '5d').map((within) => ({ within })),
  fc.constantFrom<[string, string]>(['5d', '1d'], ['60h', '0d']).map((between) => ({ between })),
  fc.record({
    calendar: fc.record({ unit: fc.constantFrom('day' as const, 'week' as const), offset: fc.constantFrom(0, -1) }),
  }),
  fc.constant({ after: new Date(now - 4 * day).toISOString(), before: new Date(now + day / 2).toISOString() }),
);
const comparison = fc.oneof(
  fc.integer({ min: 0, max: 4 }).map((gte) => ({ gte })),
  fc.integer({ min: 0, max: 4 }).map((lt) => ({ lt })),
  fc.integer({ min: 0, max: 3 }).map((eq) => ({ eq })),
);
const of = (path: string) => comparison.map((bounds) => ({ of: path, ...bounds }));
const aggregate = fc.oneof(
  fc.record({ count: comparison }),
  fc.record({ days: comparison }),
  fc.record({ distinct: of('id') }),
  fc.record({ avg: of('price') }),
  fc.record({ min: of('price') }),
  fc.record({ max: of('price') }),
  fc.record({
    sum: fc.tuple(of('price'), match).map(([sum, minus]) => ({ ...sum, minus: { ...minus, of: 'price' } })),
  }),
  fc.constantFrom({ first: true as const }, { last: true as const }),
);
const eventNode = fc.tuple(match, window, aggregate).map((parts) => Object.assign({}, ...parts) as BehaviourNode);
const sequence = fc
  .record({
    first: match,
    between: fc.option(match, { nil: undefined }),
    second: match,
    last: fc.option(fc.record({ no: match, for: fc.constantFrom('1d', '12h', undefined) }), { nil: undefined }),
    within: fc.constantFrom(undefined, '1d', '4d'),
    same: fc.constantFrom(undefined, 'id'),
    window,
  })
  .map(({ first, between, second, last, within, same, window }): BehaviourNode => {
    const steps = [first, ...(between ? [{ no: between }] : []), second, ...(last ? [last] : [])];
    return JSON.parse(JSON.stringify({ sequence: steps, in: within, same, ...window }));
  });
const per = fc
  .tuple(fc.oneof(eventNode, sequence), eventNode, fc.boolean())
  .map(
    ([member, other, isNegated]) => ({ per: 'id', all: [member, isNegated ? { not: other } : other] }) as BehaviourNode,
  );
const behaviour = fc.oneof(
  { weight: 4, arbitrary: eventNode },
  { weight: 3, arbitrary: sequence },
  { weight: 3, arbitrary: per },
);
const trait = fc.constantFrom<Node>(
  { trait: 'date', op: 'in_last', value: '36h' },
  { trait: 'date', op: 'in_next', value: 'this_week' },
  { trait: 'date', op: 'anniversary_in', value: '2d' },
  { trait: 'date', op: 'anniversary_in', value: 'this_week' },
);
const node = fc.letrec<{ node: Node }>((tie) => ({
  node: fc.oneof(
    { maxDepth: 2 },
    behaviour,
    trait,
    fc.record({ all: fc.array(tie('node'), { minLength: 1, maxLength: 3 }) }),
    fc.record({ any: fc.array(tie('node'), { minLength: 1, maxLength: 3 }) }),
    fc.record({ not: tie('node') }),
  ),
})).node;

const instant = fc.integer({ min: -4, max: 30 }).map((halfDays) => now - (halfDays * day) / 2);
/** Every half day from after `at` to before `until`, and the last moment before it. */
function between(at: number, until: number | null): number[] {
  const end = until ?? at + 40 * day;
  const steps = Array.from({ length: 80 }, (_, step) => at + (step + 1) * (day / 2)).filter((moment) => moment < end);
  return end - 1 > at ? [...steps, end - 1] : steps;
}

const sorted = (done: BehaviourEvent[]) => personWith(done).events;

const runs = 500;

describe('the moment at which an answer turns', () => {
  test('of a question about events is exact: until then it stands, and then it is another', () => {
    fc.assert(
      fc.property(events, fc.oneof(eventNode, sequence), instant, (done, question, at) => {
        const facts = factsOf(sorted(done));
        const { answer } = compileBehaviour(question, 'Asia/Shanghai');
        const { holds, dueAt } = answer(facts, at);
        const turned = between(at, dueAt).filter((moment) => answer(facts, moment).holds !== holds);
        return !turned.length && (dueAt === null || answer(facts, dueAt).holds !== holds);
      }),
      { numRuns: runs },
    );
  });

  test('of a whole definition is never too late, for the matched values neither', () => {
    fc.assert(
      fc.property(
        events,
        node,
        instant,
        fc.constantFrom('2026-11-24', '1990-11-28', '2026-11-28T10:00:00+08:00'),
        (done, where, at, value) => {
          const segment = compiled(where);
          const person = personWith(done, { traits: new Map([['date', value]]) });
          const { isMember, matched, dueAt } = segment.evaluate(person, at);
          const values = JSON.stringify(matched);
          const turned = between(at, dueAt).filter((moment) => {
            const later = segment.evaluate(person, moment);
            return later.isMember !== isMember || JSON.stringify(later.matched) !== values;
          });
          return !turned.length && (dueAt ?? Infinity) > at;
        },
      ),
      { numRuns: runs },
    );
  });

  test('of joined answers waits for all that are in the way, and no longer than the first that may fall', () => {
    const yes = (dueAt: number | null) => ({ holds: true, dueAt });
    const no = (dueAt: number | null) => ({ holds: false, dueAt });
    expect(allOf([yes(3), yes(2), yes(null)])).toEqual(yes(2));
    expect(allOf([yes(1), no(3), no(5)])).toEqual(no(5));
    expect(allOf([yes(1), no(3), no(null)])).toEqual(no(null));
    expect(allOf([])).toEqual(yes(null));
    expect(anyOf([no(3), no(2)])).toEqual(no(2));
    expect(anyOf([no(1), yes(3), yes(5)])).toEqual(yes(5));
    expect(anyOf([yes(null), yes(1)])).toEqual(yes(null));
    expect(anyOf([])).toEqual(no(null));
  });

  const dueOf = (question: BehaviourNode, done: BehaviourEvent[], at = now) =>
    compileBehaviour(question, 'Asia/Shanghai').answer(factsOf(sorted(done)), at);
  test('of a count is when the oldest that is needed leaves; what does not hold waits for nothing', () => {
    const done = [did('a', 9), did('a', 5), did('a', 3), did('a', 1)];
    expect(dueOf({ event: 'a', count: { gte: 2 }, within: '10d' }, done)).toEqual({
      holds: true,
      dueAt: now + 7 * day,
    });
    expect(dueOf({ event: 'a', count: { gte: 5 }, within: '10d' }, done)).toEqual({ holds: false, dueAt: null });
    expect(dueOf({ event: 'a', count: { lt: 2 }, within: '10d' }, done)).toEqual({
      holds: false,
      dueAt: now + 7 * day,
    });
    expect(dueOf({ event: 'a', count: { gte: 4 } }, done)).toEqual({ holds: true, dueAt: null });
    expect(dueOf({ event: 'a', between: ['4d', '2d'] }, done)).toEqual({ holds: true, dueAt: now + 3 * day });
    expect(dueOf({ event: 'a', count: { gte: 5 } }, [...done, did('a', -0.1)])).toEqual({
      holds: false,
      dueAt: now + day / 10,
    });
  });

  test('of different values is when the last event of one leaves', () => {
    const done = [did('a', 9, { id: 1 }), did('a', 5, { id: 2 }), did('a', 3, { id: 1 })];
    expect(dueOf({ event: 'a', distinct: { of: 'id', gte: 2 }, within: '10d' }, done)).toEqual({
      holds: true,
      dueAt: now + 5 * day,
    });
  });

  test('of a step that is to be cancelled is when it is', () => {
    const kept = { sequence: [{ event: 'paid', unless: { event: 'refunded', same: 'id' } }, { event: 'sent' }] };
    const done = [did('paid', 2, { id: 1 }), did('sent', 1), did('refunded', -0.5, { id: 1 })];
    expect(dueOf(kept, done)).toEqual({ holds: true, dueAt: now + 12 * hour });
  });

  test('of a step that must not follow is when the time has passed', () => {
    const cart = { sequence: [{ event: 'cart_added' }, { no: { event: 'order_paid' }, for: '24h' }], within: '7d' };
    const added = [did('cart_added', 0.5)];
    expect(dueOf(cart, added)).toEqual({ holds: false, dueAt: now + 12 * hour });
    expect(dueOf(cart, added, now + 12 * hour)).toEqual({ holds: true, dueAt: now + 6.5 * day });
    expect(dueOf(cart, [...added, did('order_paid', 0.1)])).toEqual({ holds: false, dueAt: null });
  });
});
