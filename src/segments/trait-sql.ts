/** What a Trait node says of everybody's values. A date is read from text that was looked at first, so that nothing raises. */
import { calendarOf, dateOfDay, firstDay, periodOfDay } from '../behaviour/calendar.ts';
import { day, lengthOf } from '../behaviour/duration.ts';
import type { CalendarUnit, Scalar } from '../behaviour/language.ts';
import { instantOf } from '../behaviour/moment.ts';
import type { ComputedSql } from '../behaviour/sql/computed.ts';
import { comparators, valueHolds } from '../behaviour/sql/conditions.ts';
import type { Unit } from '../behaviour/sql/relations.ts';
import { never, type Statement } from '../behaviour/sql/statement.ts';
import { isThere } from '../behaviour/sql/values.ts';
import { moment, span } from '../behaviour/sql/windows.ts';
import type { TraitNode } from './definition.ts';
import { isAmong } from './facts-sql.ts';
import { compileTrait } from './traits.ts';

/** Where the values of a trait come from, and what it is of whoever has no row there. */
export type TraitSource = { sql: ComputedSql; onNothing: Scalar | null };

export function declaredTrait(name: string): TraitSource {
  return {
    sql: (q) => `select subject_id, value, ${never} as due from current_traits where name = ${q.param(name, 'text')}`,
    onNothing: null,
  };
}

export function traitUnit(q: Statement, node: TraitNode, { sql, onNothing }: TraitSource): Unit {
  const otherwise = compileTrait(node, q.tz)(onNothing, q.at.getTime()).holds;
  return {
    otherwise,
    // More than a tag, less than events.
    reach: day,
    relation(scope) {
      const { holds, due, from = '' } = answerOf(q, node);
      const asked = scope.among ? ` where ${isAmong('t', scope.among.part)}` : '';
      const name = q.part(
        `select * from (
           select subject_id, (${holds}) is true as holds, least(${due}, trait_due) as due from (
             select t.subject_id, t.value, t.due as trait_due from (${sql(q, scope)}) t${asked}) v${from}) a
          where holds <> ${otherwise} or due < ${never}`,
      );
      return { name, otherwise };
    },
  };
}

/** `from` joins what is worked out of the value once, for both: PostgreSQL would write it out at each place. */
type Sql = { holds: string; due: string; from?: string };

function answerOf(q: Statement, { op, value }: TraitNode): Sql {
  if (op === 'exists') return { holds: `${isThere('value')} is ${value === true}`, due: never };
  if (op === 'in_last' || op === 'in_next') return { ...inRange(q, op, String(value)), from: instant(q) };
  if (op === 'anniversary_in') return anniversary(q, String(value));
  const wanted = op === 'ne' || op in comparators ? instantOf(value, calendarOf(q.tz)) : null;
  if (wanted === null) return { holds: valueHolds(q, 'value', op, value), due: never };
  const at = moment(q, wanted);
  const holds =
    op === 'ne'
      ? `${isThere('value')} and (instant = ${at}) is not true`
      : `instant ${comparators[op as keyof typeof comparators]} ${at}`;
  return { holds, due: never, from: instant(q) };
}

function once(column: string, value: string): string {
  return ` cross join lateral (select ${value} as ${column} offset 0) as of_${column}`;
}

/** A range is a duration, or `this_month` and the like. */
function unitOf(range: string): CalendarUnit | null {
  return range.startsWith('this_') ? (range.slice('this_'.length) as CalendarUnit) : null;
}

function inRange(q: Statement, op: 'in_last' | 'in_next', range: string): Sql {
  const at = q.at.getTime();
  const now = moment(q, at);
  const unit = unitOf(range);
  const { periodAt, startOf } = calendarOf(q.tz);
  const [begins, ends] = unit
    ? [moment(q, startOf(unit, periodAt(unit, at))), moment(q, startOf(unit, periodAt(unit, at) + 1))]
    : ['', ''];
  const length = unit ? '' : span(q, lengthOf(range));
  if (op === 'in_last') {
    const holds = unit
      ? `instant >= ${begins} and instant <= ${now}`
      : `instant > ${now} - ${length} and instant <= ${now}`;
    const leaves = unit ? ends : `instant + ${length}`;
    return { holds, due: `case when ${holds} then ${leaves} when instant > ${now} then instant else ${never} end` };
  }
  const [holds, enters] = unit
    ? [`instant > ${now} and instant < ${ends}`, ends]
    : [`instant > ${now} and instant <= ${now} + ${length}`, `instant - ${length}`];
  return { holds, due: `case when ${holds} then instant when instant > ${now} then ${enters} else ${never} end` };
}

function anniversary(q: Statement, range: string): Sql {
  const calendar = calendarOf(q.tz);
  const today = calendar.dayAt(q.at.getTime());
  const unit = unitOf(range);
  const days = unit ? 0 : lengthOf(range) / day;
  if (unit === 'year' || days >= 365) return { holds: 'instant is not null', due: never, from: instant(q) };
  const tz = q.param(q.tz, 'text');
  const starts = (date: string) => `((${date})::timestamp at time zone ${tz})`;
  const period = unit && periodOfDay(unit, today);
  const from = instant(q) + nextAnniversary(q, unit && period !== null ? firstDay(unit, period) : today);
  const [holds, ends, begins] =
    unit && period !== null
      ? [
          `next < ${dateText(q, firstDay(unit, period + 1))}`,
          moment(q, calendar.startOf(unit, period + 1)),
          starts(`date_trunc(${q.param(unit, 'text')}, next::timestamp)::date`),
        ]
      : [
          `next - ${dateText(q, today)} <= ${q.param(days, 'integer')}`,
          starts('next + 1'),
          starts(`next - ${q.param(days, 'integer')}`),
        ];
  return { holds, due: `coalesce(case when ${holds} then ${ends} else ${begins} end, ${never})`, from };
}

/** `next`: the first date from a day on with the month and day of `instant`; 29 February is the 28th, in every year. */
function nextAnniversary(q: Statement, earliest: number): string {
  const { year } = dateOfDay(earliest);
  const inYear = (of: number) =>
    `make_date(${q.param(of, 'integer')}, month, case when month = 2 and day = 29 then 28 else day end)`;
  return (
    once('local', `instant at time zone ${q.param(q.tz, 'text')}`) +
    once('month', 'extract(month from local)::integer') +
    once('day', 'extract(day from local)::integer') +
    once('this_year', inYear(year)) +
    once('next', `case when this_year >= ${dateText(q, earliest)} then this_year else ${inYear(year + 1)} end`)
  );
}

function dateText(q: Statement, of: number): string {
  const { year, month, date } = dateOfDay(of);
  return q.param([year, month, date].map((part) => String(part).padStart(2, '0')).join('-'), 'date');
}

const leapYear = '([0-9]{2}(0[48]|[2468][048]|[13579][26])|(0[48]|[2468][048]|[13579][26])00)';
const existingDate = `(?!0000)([0-9]{4}-((0[13578]|1[02])-(0[1-9]|[12][0-9]|3[01])|(0[469]|11)-(0[1-9]|[12][0-9]|30)|02-(0[1-9]|1[0-9]|2[0-8]))|${leapYear}-02-29)`;
const timeOfDay = '[Tt]([01][0-9]|2[0-3]):[0-5][0-9]:[0-5][0-9](\\.[0-9]+)?([Zz]|[+-](0[0-9]|1[0-5]):[0-5][0-9])';

/** `instant`: the moment that the value names, null of anything but such a string: a date is its first moment. PostgreSQL raises on a date that is none. */
function instant(q: Statement): string {
  const text = `(value #>> '{}')`;
  const milliseconds = `regexp_replace(${text}, ${q.param('(\\.[0-9]{3})[0-9]+', 'text')}, ${q.param('\\1', 'text')})`;
  return once(
    'instant',
    `case when jsonb_typeof(value) = 'string' then case
       when ${text} ~ ${q.param(`^${existingDate}$`, 'text')} then ${text}::date::timestamp at time zone ${q.param(q.tz, 'text')}
       when ${text} ~ ${q.param(`^${existingDate}${timeOfDay}$`, 'text')} then ${milliseconds}::timestamptz end end`,
  );
}
