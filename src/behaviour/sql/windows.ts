/** Windows as conditions on timestamps, and when time alone moves an event into one or out of it. */
import { mostAheadMs } from '../../events/event-time.ts';
import { calendarOf } from '../calendar.ts';
import { lengthOf } from '../duration.ts';
import type { Window } from '../language.ts';
import { and, never, type Statement } from './statement.ts';

export type WindowSql = {
  /** How far back it reaches, in milliseconds; infinite where it is open. */
  reach: number;
  /** That a timestamp is not before the window. */
  since(timestamp: string): string;
  /** That it is in the window, or later and may come into it. */
  begun(timestamp: string): string;
  /** That it is in the window now; of one that has begun. */
  within(timestamp: string): string;
  /** When one that is in the window leaves it by time alone: a lower bound, infinite for never and for null. */
  leaves(timestamp: string): string;
  /** When one that has begun and is not in the window comes into it: a lower bound, infinite for never and for null. */
  enters(timestamp: string): string;
  /** When an event that has begun was received at the earliest, in milliseconds since 1970; null: whenever. */
  receivedAfter: number | null;
};

export function windowSql(q: Statement, window: Window): WindowSql {
  if (window.within) return sliding(q, lengthOf(window.within), 0);
  if (window.between) return sliding(q, lengthOf(window.between[0]), lengthOf(window.between[1]));
  if (window.calendar) return calendar(q, window.calendar);
  return fixed(q, window);
}

export function moment(q: Statement, milliseconds: number): string {
  return q.param(new Date(milliseconds), 'timestamptz');
}

/** Of hours, not of days: a day of the calendar is not always 24 hours. */
export function span(q: Statement, milliseconds: number): string {
  return q.param(`${milliseconds / 1000} seconds`, 'interval');
}

function sliding(q: Statement, from: number, to: number): WindowSql {
  const now = q.at.getTime();
  const begins = moment(q, now - from);
  const ends = moment(q, now - to);
  return {
    reach: from,
    since: (timestamp) => `${timestamp} > ${begins}`,
    begun: (timestamp) => `${timestamp} > ${begins}`,
    within: (timestamp) => `${timestamp} <= ${ends}`,
    leaves: (timestamp) => `coalesce(${timestamp} + ${span(q, from)}, ${never})`,
    enters: (timestamp) => `coalesce(${timestamp} + ${span(q, to)}, ${never})`,
    receivedAfter: now - from - mostAheadMs,
  };
}

function calendar(q: Statement, { unit, offset = 0 }: NonNullable<Window['calendar']>): WindowSql {
  const now = q.at.getTime();
  const { periodAt, startOf } = calendarOf(q.tz);
  const period = periodAt(unit, now);
  const begins = startOf(unit, period + offset);
  const turns = (timestamp: string) =>
    `case when ${timestamp} is null then ${never} else ${moment(q, startOf(unit, period + 1))} end`;
  const begun = (timestamp: string) => `${timestamp} >= ${moment(q, begins)}`;
  return {
    reach: now - begins,
    since: begun,
    begun,
    within: (timestamp) =>
      offset < 0
        ? `${timestamp} < ${moment(q, startOf(unit, period + offset + 1))}`
        : `${timestamp} <= ${moment(q, now)}`,
    leaves: turns,
    enters: (timestamp) => (offset < 0 ? turns(timestamp) : `coalesce(${timestamp}, ${never})`),
    receivedAfter: begins - mostAheadMs,
  };
}

function fixed(q: Statement, { after, before }: Window): WindowSql {
  const since = (timestamp: string) => (after ? `${timestamp} >= ${q.param(new Date(after), 'timestamptz')}` : 'true');
  const until = (timestamp: string) => (before ? `${timestamp} < ${q.param(new Date(before), 'timestamptz')}` : 'true');
  return {
    reach: after ? Math.max(0, q.at.getTime() - Date.parse(after)) : Number.POSITIVE_INFINITY,
    since,
    begun: (timestamp) => and(since(timestamp), until(timestamp)),
    within: (timestamp) => `${timestamp} <= ${q.param(q.at, 'timestamptz')}`,
    leaves: () => never,
    enters: (timestamp) => `coalesce(${timestamp}, ${never})`,
    receivedAfter: after ? Date.parse(after) - mostAheadMs : null,
  };
}
