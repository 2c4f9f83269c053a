import { describe, expect, test } from 'vitest';
import type { TraitNode } from '../../src/segments/definition.ts';
import { compileTrait } from '../../src/segments/traits.ts';
import { day } from '../helpers/behaviour.ts';

const moment = (text: string) => Date.parse(text.length > 10 ? text : `${text}T00:00:00+08:00`);
const now = '2026-11-26T10:00:00+08:00';

function answer(op: TraitNode['op'], wanted: TraitNode['value'], value: unknown, at = now, tz = 'Asia/Shanghai') {
  return compileTrait({ trait: 't', op, value: wanted }, tz)(value, moment(at));
}
const holds = (...of: Parameters<typeof answer>) => answer(...of).holds;

describe('a trait', () => {
  test('is compared as a value of an event is', () => {
    expect(holds('eq', 7, '7.0')).toBe(true);
    expect(holds('in', ['gold', 'silver'], 'gold')).toBe(true);
    expect(holds('contains', 'red', ['red', 'blue'])).toBe(true);
    expect(holds('gt', 7, 'seven')).toBe(false);
    expect(holds('ne', 'gold', 7)).toBe(true);
    for (const missing of [null, undefined]) {
      expect(holds('ne', 'gold', missing)).toBe(false);
      expect(holds('exists', false, missing)).toBe(true);
      expect(holds('exists', true, missing)).toBe(false);
    }
    expect(holds('exists', true, '')).toBe(true);
  });

  test('that is a date is compared as one, its midnight being that of the zone', () => {
    expect(holds('eq', '2026-11-26', '2026-11-25T16:00:00Z')).toBe(true);
    expect(holds('eq', '2026-11-26', '2026-11-26T00:00:00Z', now, 'UTC')).toBe(true);
    expect(holds('ne', '2026-11-26', '2026-11-25T16:00:00Z')).toBe(false);
    expect(holds('ne', '2026-11-26', 'soon')).toBe(true);
    expect(holds('gt', '2026-11-26', '2026-11-26T00:00:00.001+08:00')).toBe(true);
    expect(holds('lte', '2026-11-26T00:00:00+08:00', '2026-11-26')).toBe(true);
    for (const none of [
      '2026-02-30',
      '2026-13-01',
      '2026-11-26T24:00:00Z',
      '2026-11-26T10:00:60Z',
      '2026-11-26T10:00',
      '0000-01-01',
      '2026-11-26T10:00:00+16:00',
      20261126,
    ])
      expect(holds('gt', '0001-01-01', none), String(none)).toBe(false);
  });

  test.each([
    ['in_last', '7d', '2026-11-19T10:00:00.001+08:00', true, 1],
    ['in_last', '7d', '2026-11-19T10:00:00+08:00', false, null],
    ['in_last', '7d', now, true, 7 * day],
    ['in_last', '7d', '2026-11-26T10:00:01+08:00', false, 1000],
    ['in_next', '7d', now, false, null],
    ['in_next', '7d', '2026-12-03T10:00:00+08:00', true, 7 * day],
    ['in_next', '7d', '2026-12-03T10:00:00.001+08:00', false, 1],
    ['in_last', 'this_month', '2026-11-01', true, moment('2026-12-01') - moment(now)],
    ['in_last', 'this_month', '2026-11-30', false, moment('2026-11-30') - moment(now)],
    ['in_next', 'this_week', '2026-11-29', true, moment('2026-11-29') - moment(now)],
    ['in_next', 'this_week', '2026-11-30', false, null],
    ['in_next', 'this_year', '2027-03-01', false, moment('2027-01-01') - moment(now)],
    ['in_last', 'this_day', '2026-11-26', true, moment('2026-11-27') - moment(now)],
    ['in_last', 'this_quarter', '2026-09-30T23:59:59+08:00', false, null],
  ] as const)('%s %s of %s', (op, range, value, expected, inMilliseconds) => {
    const dueAt = inMilliseconds === null ? null : moment(now) + inMilliseconds;
    expect(answer(op, range, value)).toEqual({ holds: expected, dueAt });
  });

  test.each([
    ['7d', '1990-11-26', true, '2026-11-27'],
    ['7d', '1990-12-03', true, '2026-12-04'],
    ['7d', '1990-12-04', false, '2026-11-27'],
    ['7d', '1990-11-25', false, '2027-11-18'],
    ['0d', '1990-11-26T23:00:00+08:00', true, '2026-11-27'],
    ['0d', '1990-11-26T15:59:59Z', true, '2026-11-27'],
    ['0d', '1990-11-26T16:00:00Z', false, '2026-11-27'],
    ['this_month', '1990-11-01', true, '2026-12-01'],
    ['this_month', '1992-02-29', false, '2027-02-01'],
    ['this_week', '1990-11-30', false, '2026-11-30'],
    ['this_week', '1990-11-23', true, '2026-11-30'],
    ['this_quarter', '1990-12-31', true, '2027-01-01'],
    ['this_year', '1990-12-31', true, null],
    ['3650d', '1990-12-31', true, null],
  ])('anniversary_in %s of %s', (range, value, expected, due) => {
    expect(answer('anniversary_in', range, value)).toEqual({
      holds: expected,
      dueAt: due === null ? null : moment(due),
    });
  });

  test('of 29 February comes back on the 28th, in a leap year too', () => {
    const on = (at: string) => holds('anniversary_in', '0d', '2000-02-29', `${at}T12:00:00+08:00`);
    expect(['2027-02-27', '2027-02-28', '2027-03-01', '2028-02-28', '2028-02-29'].map(on)).toEqual([
      false,
      true,
      false,
      true,
      false,
    ]);
  });

  test('comes back over the turn of the year', () => {
    const at = '2026-12-30T12:00:00+08:00';
    expect(answer('anniversary_in', '7d', '1990-01-06', at)).toEqual({ holds: true, dueAt: moment('2027-01-07') });
    expect(holds('anniversary_in', 'this_week', '1990-01-03', at)).toBe(true);
    expect(holds('anniversary_in', 'this_week', '1990-01-04', at)).toBe(false);
  });
});
