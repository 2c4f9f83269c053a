/** What a Trait node says of a value at an instant. Where the values come from is profiles/. */
import { walk } from '../behaviour/answer.ts';
import { calendarOf, dateOfDay, dayOfDate, firstDay, periodOfDay } from '../behaviour/calendar.ts';
import { orders, valueTest } from '../behaviour/conditions.ts';
import { day, lengthOf } from '../behaviour/duration.ts';
import type { Answer, CalendarUnit } from '../behaviour/language.ts';
import { dayOf, instantOf } from '../behaviour/moment.ts';
import type { TraitNode } from './definition.ts';

/** How an answer follows from a value that stays as it is; `dueAt` is when time alone makes it another. */
export type TraitTest = (value: unknown, at: number) => Answer;

const no: Answer = { holds: false, dueAt: null };

/** @param tz of dates without a time and of calendar periods */
export function compileTrait({ op, value }: TraitNode, tz: string): TraitTest {
  if (op === 'exists') return (found) => ({ holds: isThere(found) === value, dueAt: null });
  const test = isDated(op) ? datedTest(op, String(value), tz) : still(op, value, tz);
  return (found, at) => (isThere(found) ? test(found, at) : no);
}

function isThere(value: unknown): boolean {
  return value !== null && value !== undefined;
}

/** What compares the value alone. */
function still(op: Exclude<TraitNode['op'], 'exists' | DatedOp>, value: TraitNode['value'], tz: string): TraitTest {
  const calendar = calendarOf(tz);
  const wanted = op === 'ne' || op in orders ? instantOf(value, calendar) : null;
  if (wanted === null) {
    const meets = valueTest(op, value);
    return (found) => ({ holds: meets(found), dueAt: null });
  }
  const meets = op === 'ne' ? (order: number) => order !== 0 : orders[op as keyof typeof orders];
  return (found) => {
    const instant = instantOf(found, calendar);
    return { holds: instant === null ? op === 'ne' : meets(instant - wanted), dueAt: null };
  };
}

const datedOps = ['in_last', 'in_next', 'anniversary_in'] as const;
type DatedOp = (typeof datedOps)[number];

function isDated(op: TraitNode['op']): op is DatedOp {
  return (datedOps as readonly string[]).includes(op);
}

/** @param range a duration, or `this_month` and the like */
function datedTest(op: DatedOp, range: string, tz: string): TraitTest {
  const calendar = calendarOf(tz);
  const unit = range.startsWith('this_') ? (range.slice('this_'.length) as CalendarUnit) : null;
  if (op === 'anniversary_in') {
    const returns = unit ? anniversaryWithin(unit, tz) : anniversaryWithinDays(lengthOf(range) / day, tz);
    return (found, at) => {
      const date = dayOf(found, calendar);
      return date === null ? no : walk(at, returns(date));
    };
  }
  const length = unit ? 0 : lengthOf(range);
  return (found, at) => {
    const date = instantOf(found, calendar);
    if (date === null) return no;
    const period = unit && calendar.periodAt(unit, date);
    const [from, until] =
      op === 'in_last'
        ? [date, unit && period !== null ? calendar.startOf(unit, period + 1) : date + length]
        : [unit && period !== null ? calendar.startOf(unit, period) : date - length, date];
    if (from >= until || at >= until) return no;
    return at < from ? { holds: false, dueAt: from } : { holds: true, dueAt: until };
  };
}

type AnniversaryStep = (date: number) => (at: number) => Answer;

/** @param days after today that count; 0 is today alone */
function anniversaryWithinDays(days: number, tz: string): AnniversaryStep {
  const { dayAt, startOfDay } = calendarOf(tz);
  return (date) => (at) => {
    const today = dayAt(at);
    const next = nextAnniversary(date, today);
    if (days >= 365) return { holds: true, dueAt: null };
    const holds = next - today <= days;
    return { holds, dueAt: startOfDay(holds ? next + 1 : next - days) };
  };
}

function anniversaryWithin(unit: CalendarUnit, tz: string): AnniversaryStep {
  const { dayAt, startOf } = calendarOf(tz);
  return (date) => (at) => {
    if (unit === 'year') return { holds: true, dueAt: null };
    const period = periodOfDay(unit, dayAt(at));
    const next = periodOfDay(unit, nextAnniversary(date, firstDay(unit, period)));
    return next === period
      ? { holds: true, dueAt: startOf(unit, period + 1) }
      : { holds: false, dueAt: startOf(unit, next) };
  };
}

/** The first day from `earliest` on with the month and day of `date`, 29 February being the 28th in every year. */
function nextAnniversary(date: number, earliest: number): number {
  const { month, date: dayOfMonth } = dateOfDay(date);
  const returning = month === 2 && dayOfMonth === 29 ? 28 : dayOfMonth;
  const { year } = dateOfDay(earliest);
  const thisYear = dayOfDate(year, month, returning);
  return thisYear >= earliest ? thisYear : dayOfDate(year + 1, month, returning);
}
