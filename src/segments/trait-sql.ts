/** What a Trait node says of everybody's values. A date is read from text that was looked at first, so that nothing raises. */
import { calendarOf, dateOfDay, firstDay, periodOfDay } from '../behaviour/calendar.ts';
import { day, lengthOf } from '../behaviour/duration.ts';
import type { CalendarUnit } from '../behaviour/language.ts';
import { instantOf } from '../behaviour/moment.ts';
import { comparators, valueHolds } from '../behaviour/sql/conditions.ts';
import type { Unit } from '../behaviour/sql/relations.ts';
import { never, type Scope, type Statement } from '../behaviour/sql/statement.ts';
import { isThere } from '../behaviour/sql/values.ts';
import { moment, span } from '../behaviour/sql/windows.ts';
import type { TraitNode } from './definition.ts';

/** SQL that selects subject_id, value (JSON) and due (infinity: never another by time alone), each subject once, of a trait. */
export type TraitSource = (q: Statement, name: string, scope: Scope) => string;

export const declaredTrait: TraitSource = (q, name) =>
  `select subject_id, value, ${never} as due from current_traits where name = ${q.param(name, 'text')}`;

export function traitUnit(q: Statement, node: TraitNode, traitOf: TraitSource): Unit {
  const otherwise = node.op === 'exists' && node.value === false;
  return {
    otherwise,
    // More than a tag, less than events.
    reach: day,
    relation(scope) {
      const { holds, due } = answerOf(q, node);
      const people = scope.among ? ` join ${scope.among} r on r.subject_id = t.subject_id` : '';
      const name = q.part(
        `select * from (
           select subject_id, (${holds}) is true as holds, least(${due}, trait_due) as due from (
             select t.subject_id, t.value, t.due as trait_due, ${instantIn(q, 't.value')} as instant
               from (${traitOf(q, node.trait, scope)}) t${people}) v) a
          where holds <> ${otherwise} or due < ${never}`,
      );
      return { name, otherwise };
    },
  };
}

type Sql = { holds: string; due: string };

function answerOf(q: Statement, { op, value }: TraitNode): Sql {
  if (op === 'exists') return { holds: `${isThere('value')} is ${value === true}`, due: never };
  if (op === 'in_last' || op === 'in_next') return inRange(q, op, String(value));
  if (op === 'anniversary_in') return anniversary(q, String(value));
  const wanted = op === 'ne' || op in comparators ? instantOf(value, calendarOf(q.tz)) : null;
  if (wanted === null) return { holds: valueHolds(q, 'value', op, value), due: never };
  if (op === 'ne') return { holds: `${isThere('value')} and (instant = ${moment(q, wanted)}) is not true`, due: never };
  return { holds: `instant ${comparators[op as keyof typeof comparators]} ${moment(q, wanted)}`, due: never };
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
  if (unit === 'year' || days >= 365) return { holds: 'instant is not null', due: never };
  const tz = q.param(q.tz, 'text');
  const starts = (date: string) => `((${date})::timestamp at time zone ${tz})`;
  const period = unit && periodOfDay(unit, today);
  const next = nextAnniversary(q, unit && period !== null ? firstDay(unit, period) : today);
  if (unit && period !== null) {
    const holds = `${next} < ${dateText(q, firstDay(unit, period + 1))}`;
    const later = starts(`date_trunc(${q.param(unit, 'text')}, (${next})::timestamp)::date`);
    return {
      holds,
      due: `coalesce(case when ${holds} then ${moment(q, calendar.startOf(unit, period + 1))} else ${later} end, ${never})`,
    };
  }
  const holds = `${next} - ${dateText(q, today)} <= ${q.param(days, 'integer')}`;
  return {
    holds,
    due: `coalesce(case when ${holds} then ${starts(`${next} + 1`)} else ${starts(`${next} - ${q.param(days, 'integer')}`)} end, ${never})`,
  };
}

/** The first date from a day on with the month and day of `instant`; 29 February is the 28th, in every year. */
function nextAnniversary(q: Statement, earliest: number): string {
  const date = `(instant at time zone ${q.param(q.tz, 'text')})`;
  const month = `extract(month from ${date})::integer`;
  const dayOfMonth = `(extract(day from ${date})::integer - case when extract(month from ${date}) = 2 and extract(day from ${date}) = 29 then 1 else 0 end)`;
  const { year } = dateOfDay(earliest);
  const inYear = (of: number) => `make_date(${q.param(of, 'integer')}, ${month}, ${dayOfMonth})`;
  return `case when ${inYear(year)} >= ${dateText(q, earliest)} then ${inYear(year)} else ${inYear(year + 1)} end`;
}

function dateText(q: Statement, of: number): string {
  const { year, month, date } = dateOfDay(of);
  return q.param([year, month, date].map((part) => String(part).padStart(2, '0')).join('-'), 'date');
}

const leapYear = '([0-9]{2}(0[48]|[2468][048]|[13579][26])|(0[48]|[2468][048]|[13579][26])00)';
const existingDate = `(?!0000)([0-9]{4}-((0[13578]|1[02])-(0[1-9]|[12][0-9]|3[01])|(0[469]|11)-(0[1-9]|[12][0-9]|30)|02-(0[1-9]|1[0-9]|2[0-8]))|${leapYear}-02-29)`;
const timeOfDay = '[Tt]([01][0-9]|2[0-3]):[0-5][0-9]:[0-5][0-9](\\.[0-9]+)?([Zz]|[+-](0[0-9]|1[0-5]):[0-5][0-9])';

/** The moment that a JSON string names, null of anything else: a date is its first moment. PostgreSQL raises on a date that is none. */
function instantIn(q: Statement, value: string): string {
  const text = `(${value} #>> '{}')`;
  const milliseconds = `regexp_replace(${text}, ${q.param('(\\.[0-9]{3})[0-9]+', 'text')}, ${q.param('\\1', 'text')})`;
  return `case when jsonb_typeof(${value}) = 'string' then case
    when ${text} ~ ${q.param(`^${existingDate}$`, 'text')} then ${text}::date::timestamp at time zone ${q.param(q.tz, 'text')}
    when ${text} ~ ${q.param(`^${existingDate}${timeOfDay}$`, 'text')} then ${milliseconds}::timestamptz end end`;
}
