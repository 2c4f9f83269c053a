import { createHash } from 'node:crypto';
import { describe, expect, test } from 'vitest';
import type { Node } from '../../src/segments/definition.ts';
import { createEvaluation } from '../../src/segments/evaluate.ts';
import { isTouchedBy, needsOf } from '../../src/segments/needs.ts';
import { compiled, day, did, now, personWith, template } from '../helpers/behaviour.ts';

const alone = { segmentOf: () => undefined };

describe('two of the templates', () => {
  const highIntent = compiled(template('web-high-intent-not-bought'));
  const viewed = (product_id: unknown, ago: number, price: unknown = 5000) =>
    did('product_viewed', ago, { product_id, price });

  test('high intent, not bought: names the product, and ends when the third view is 30 days old', () => {
    const seen = [
      viewed(7, 29),
      viewed(7, 3, '5000.00'),
      viewed(7, 2),
      viewed(8, 1),
      viewed(8, 1),
      viewed(8, 1, '4999.99'),
    ];
    expect(highIntent.evaluate(personWith(seen), now)).toEqual({
      isMember: true,
      dueAt: now + day,
      matched: { product_id: [7] },
    });
    expect(highIntent.evaluate(personWith(seen), now + day)).toEqual({ isMember: false, dueAt: null, matched: null });
  });

  test('the product bought leaves, another stays', () => {
    const seen = [7, 8].flatMap((id) => [viewed(id, 3), viewed(id, 2), viewed(id, 1)]);
    expect(highIntent.evaluate(personWith(seen), now).matched).toEqual({ product_id: [7, 8] });
    const bought = personWith([...seen, did('order_paid', 0, { product_id: 7 })]);
    expect(highIntent.evaluate(bought, now).matched).toEqual({ product_id: [8] });
  });

  test('repeat buyer: a refunded order does not count, and the second order keeps the member for 180 days', () => {
    const repeat = compiled(template('miniprogram-repeat-buyer'));
    const paid = (order_id: number, ago: number) => did('order_paid', ago, { order_id }, { channel: 'miniprogram' });
    const orders = [paid(1, 100), paid(2, 50), paid(2, 49)];
    expect(repeat.evaluate(personWith(orders), now)).toEqual({ isMember: true, dueAt: now + 80 * day, matched: null });
    const refunded = personWith([...orders, did('order_refunded', 1, { order_id: 1 })]);
    expect(repeat.evaluate(refunded, now).isMember).toBe(false);
    expect(needsOf([repeat], now, alone)).toEqual({
      names: ['order_paid', 'order_refunded'],
      since: now - 180 * day,
      fields: { properties: ['order_id'], context: [] },
      traits: [],
    });
    expect(isTouchedBy(repeat, { event: 'order_paid', channel: 'website' }, alone)).toBe(false);
    expect(isTouchedBy(repeat, { event: 'order_paid', channel: 'miniprogram' }, alone)).toBe(true);
    expect(isTouchedBy(repeat, { event: 'order_refunded', channel: 'website' }, alone)).toBe(true);
  });
});

describe('a member', () => {
  const did7 = (consents: string[]) => did('a', 1, {}, { consents });

  test('is active, has agreed and is personalised; only what was collected for the purpose counts', () => {
    const segment = compiled({ event: 'a' });
    const isMember = (...of: Parameters<typeof personWith>) => segment.evaluate(personWith(...of), now).isMember;
    expect(isMember([did7(['marketing'])])).toBe(true);
    expect(isMember([did7(['profiling', 'service'])])).toBe(false);
    expect(isMember([did7(['marketing'])], { agreed: new Set(['service']) })).toBe(false);
    expect(isMember([did7(['marketing'])], { isPersonalised: false })).toBe(false);
    expect(isMember([did7(['marketing'])], { isActive: false })).toBe(false);
    const service = compiled({ event: 'a' }, { purpose: 'service' });
    const person = personWith([did7([])], { agreed: new Set(['service']) });
    expect(service.evaluate(person, now).isMember).toBe(true);
    expect(service.evaluate({ ...person, isPersonalised: false }, now).isMember).toBe(false);
  });

  test('has a tag, a consent, an identity, and falls into a sample', () => {
    const person = personWith([], { tags: new Set(['vip']), identities: [{ kind: 'oidc', issuer: 'https://a' }] });
    const isMember = (where: Node) => compiled(where).evaluate(person, now).isMember;
    expect([isMember({ tag: 'vip' }), isMember({ tag: 'new' })]).toEqual([true, false]);
    expect([isMember({ consent: 'marketing' }), isMember({ consent: 'profiling' })]).toEqual([true, false]);
    expect([isMember({ identity: 'oidc' }), isMember({ identity: 'phone' })]).toEqual([true, false]);
    expect(isMember({ identity: 'oidc', issuer: 'https://a' })).toBe(true);
    expect(isMember({ identity: 'oidc', issuer: 'https://b' })).toBe(false);
    const sample = compiled({ sample: { percent: 25, salt: 'spring' } });
    const people = Array.from({ length: 200 }, (_, index) => personWith([], { sub: `sub-${index}` }));
    const quarter = people.filter(({ sub }) => createHash('md5').update(`spring:${sub}`).digest('hex') < '40');
    expect(people.filter((one) => sample.evaluate(one, now).isMember)).toEqual(quarter);
    expect(quarter.length).toBeGreaterThan(20);
    expect(isMember({ sample: { percent: 0, salt: 'a' } })).toBe(false);
    expect(isMember({ sample: { percent: 100, salt: 'a' } })).toBe(true);
  });

  test('of a segment is one of its own definition and purpose, and a list knows whom it names', () => {
    const other = compiled({ event: 'a', within: '2d' }, { key: 'other', purpose: 'profiling' });
    const inOther = compiled({ segment: 'other' }, {}, [other]);
    const profiled = { agreed: new Set(['marketing', 'profiling']) };
    expect(inOther.evaluate(personWith([did7(['profiling'])], profiled), now)).toEqual({
      isMember: true,
      dueAt: now + day,
      matched: null,
    });
    expect(inOther.evaluate(personWith([did7(['marketing'])], profiled), now).isMember).toBe(false);
    expect(inOther.evaluate(personWith([did7(['profiling'])]), now).isMember).toBe(false);
    expect(compiled({ not: { segment: 'other' } }, {}, [other]).evaluate(personWith([]), now).isMember).toBe(true);
    expect(inOther.evaluate(personWith([], { lists: new Set(['other']) }), now).isMember).toBe(false);
    const inList = compiled({ segment: 'staff' });
    expect(inList.evaluate(personWith([], { lists: new Set(['staff']) }), now).isMember).toBe(true);
    const options = { segmentOf: (key: string) => (key === 'other' ? other : undefined) };
    expect(needsOf([inOther], now, options)).toMatchObject({ names: ['a'], since: now - 2 * day });
    expect(isTouchedBy(inOther, { event: 'a', channel: 'app' }, options)).toBe(true);
    expect(isTouchedBy(inOther, { event: 'b', channel: 'app' }, options)).toBe(false);
  });

  test('cannot be made by segments that refer to each other', () => {
    const circle: ReturnType<typeof compiled>[] = [];
    circle.push(compiled({ segment: 'b' }, { key: 'a' }, circle), compiled({ segment: 'a' }, { key: 'b' }, circle));
    expect(circle.map((one) => one.evaluate(personWith([]), now).isMember)).toEqual([false, false]);
  });

  test('keeps the values of every per that nothing negates', () => {
    const per = (event: string, id: string) => ({ per: id, all: [{ event }] });
    const segment = compiled({
      all: [{ any: [per('a', 'id'), per('b', 'id'), per('c', 'sku')] }, { not: { all: [per('d', 'id')] } }],
    });
    const done = [did('a', 1, { id: 2 }), did('b', 1, { id: 10 }), did('b', 1, { id: 2 }), did('d', 1, { sku: 9 })];
    expect(segment.evaluate(personWith(done), now).matched).toEqual({ id: [10, 2] });
    expect(segment.evaluate(personWith([...done, did('c', 1, { sku: 'x' })]), now).matched).toEqual({
      id: [10, 2],
      sku: ['x'],
    });
    expect(segment.evaluate(personWith([...done, did('d', 1, { id: 9 })]), now)).toMatchObject({
      isMember: false,
      matched: null,
    });
    expect(compiled({ any: [per('z', 'id'), { event: 'a' }] }).evaluate(personWith(done), now).matched).toBeNull();
  });

  test('E5: a path that is called like a prototype is a name in `matched` too', () => {
    const segment = compiled({ per: '__proto__', all: [{ event: 'a' }] });
    const person = personWith([did('a', 1, JSON.parse('{"__proto__": "x"}'))]);
    expect(JSON.stringify(segment.evaluate(person, now).matched)).toBe('{"__proto__":["x"]}');
  });

  test('is asked for once where segments share a condition', () => {
    let reads = 0;
    const spied = did('a', 1);
    Object.defineProperty(spied, 'channel', {
      get() {
        reads++;
        return 'website';
      },
    });
    const evaluation = createEvaluation(personWith([spied]), now);
    const shared = { event: 'a', channel: 'website', count: { gte: 1 }, within: '2d' };
    for (const where of [
      shared,
      { not: { ...shared } },
      { all: [shared, { tag: 'vip' }] },
      { ...shared, within: '3d' },
    ])
      compiled(where).evaluateIn(evaluation);
    expect(reads).toBe(1);
    compiled(shared, { tz: 'UTC' }).evaluateIn(evaluation);
    expect(reads).toBe(1);
    compiled(shared, { purpose: 'service' }).evaluateIn(evaluation);
    expect(reads).toBe(2);
  });
});

test('days are those of the time zone of each definition, where several are asked at once', () => {
  const midnight = Date.parse('2026-11-26T00:00:00+08:00');
  const about = [1, 0].map((before) => did('a', 0, {}, { timestamp: midnight - before }));
  const evaluation = createEvaluation(personWith(about), now);
  const isOnTwoDays = (tz: string) => compiled({ event: 'a', days: { eq: 2 } }, { tz }).evaluateIn(evaluation).isMember;
  expect([isOnTwoDays('Asia/Shanghai'), isOnTwoDays('UTC')]).toEqual([true, false]);
});

describe('what is needed', () => {
  const needs = (where: Node) => needsOf([compiled(where)], now, alone);

  test('reach back to all that a value was seen by where what is in the window is cancelled by an event of another value', () => {
    const where = {
      per: 'order',
      all: [{ event: 'a', unless: { event: 'b', same: 'product' }, within: '9d' } as Node],
    };
    const done = [
      did('a', 40, { order: 2 }),
      did('a', 2, { order: 2, product: 7 }),
      did('b', 1, { order: 1, product: 7 }),
    ];
    expect(compiled(where).evaluate(personWith(done), now).matched).toEqual({ order: [2] });
    expect(needs(where).since).toBeNull();
  });

  test('are the names of every match, and the oldest event that any can see', () => {
    expect(needs({ tag: 'vip' })).toMatchObject({ names: [], since: now });
    expect(needs({ event: '*', within: '1d' })).toMatchObject({ names: '*', since: now - day });
    const sequence = {
      sequence: [{ event: 'a' }, { no: { event: 'b', unless: { event: 'c', same: 'id' } } }, { event: 'd' }],
    };
    expect(needs({ ...sequence, within: '3d', in: '2d' })).toMatchObject({
      names: ['a', 'b', 'c', 'd'],
      since: now - 5 * day,
    });
    expect(needs({ ...sequence, within: '3d' }).since).toBeNull();
    const net = { event: 'a', sum: { of: 'v', minus: { event: 'b', of: 'v' }, gte: 1 } };
    expect(needs({ ...net, between: ['9d', '2d'] })).toMatchObject({ names: ['a', 'b'], since: now - 9 * day });
    expect(needs({ event: 'a', first: true, within: '9d' }).since).toBeNull();
    expect(needs({ event: 'a', last: true, within: '9d' }).since).toBe(now - 9 * day);
    expect(needs({ event: 'a', calendar: { unit: 'month', offset: -1 } }).since).toBe(
      Date.parse('2026-10-01T00:00:00+08:00') - 1,
    );
    expect(needs({ event: 'a', before: '2026-10-01T00:00:00Z' }).since).toBeNull();
    expect(needs({ event: 'a', after: '2026-10-01T00:00:00Z' }).since).toBe(Date.parse('2026-10-01T00:00:00Z') - 1);
    const per = (node: object) => ({
      per: 'id',
      all: [{ event: 'a', within: '3d', ...node }, { not: { event: 'b', within: '9d' } }],
    });
    expect(needs(per({}))).toMatchObject({ names: ['a', 'b'], since: now - 9 * day });
    expect(needs(per({ count: { lt: 2 } })).since).toBeNull();
    expect(needs({ all: [{ event: 'a', within: '3d' }, { not: { event: 'b' } }] }).since).toBeNull();
    expect(
      needs({
        any: [
          { event: 'a', within: '9d' },
          { event: 'b', within: '3d' },
        ],
      }).since,
    ).toBe(now - 9 * day);
  });

  test('are the fields of every path, wherever it stands, and the traits', () => {
    const fields = (where: Node) => needs(where).fields;
    const eq = (property: string) => ({ property, op: 'eq' as const, value: 1 });
    expect(fields({ event: 'a' })).toEqual({ properties: [], context: [] });
    expect(
      fields({
        event: 'a',
        where: [{ any: [eq('b.c'), eq('context.campaign.source')] }],
        item: [eq('products[].sku')],
        unless: { event: 'x', same: 'id', where: [eq('why')] },
        sum: { of: 'total', minus: { event: 'y', of: 'back', where: [eq('of')] }, gte: 1 },
      }),
    ).toEqual({ properties: ['b', 'back', 'id', 'of', 'products', 'total', 'why'], context: ['campaign'] });
    expect(
      fields({ per: 'p', all: [{ sequence: [{ event: 'a' }, { no: { event: 'b', where: [eq('q')] } }], same: 'r' }] }),
    ).toEqual({
      properties: ['p', 'q', 'r'],
      context: [],
    });
    expect(fields({ event: 'a', where: [{ property: 'context', op: 'exists', value: true }] }).context).toBe('*');
    expect(
      fields({
        any: [
          { event: 'a', where: [eq('b')] },
          { event: 'a', where: [eq('c')] },
        ],
      }).properties,
    ).toEqual(['b', 'c']);
    const trait = (name: string): Node => ({ trait: name, op: 'eq', value: true });
    expect(needs({ any: [trait('vip'), trait('new')] }).traits).toEqual(['vip', 'new']);
  });

  test.each(['a', 'b', 'c', 'd'])('an event outside of it changes nothing: %s', (name) => {
    const where: Node = { sequence: [{ event: 'a' }, { no: { event: 'b' } }, { event: 'c' }], within: '3d', in: '2d' };
    const segment = compiled(where);
    const { names, since } = needs(where);
    const done = [did('a', 4.5), did('c', 2.9)];
    const isNeeded = names.includes(name);
    const before = segment.evaluate(personWith(done), now);
    const old = did(name, isNeeded ? 5 : 3);
    expect(isNeeded ? old.timestamp <= (since ?? 0) : true).toBe(true);
    expect(segment.evaluate(personWith([old, ...done]), now)).toEqual(before);
  });
});
