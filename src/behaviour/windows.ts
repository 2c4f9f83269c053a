/** Windows turned round: not which events lie in the window of an instant, but at which instants an event lies in the window. */
import { calendarOf } from './calendar.ts';
import { lengthOf } from './duration.ts';
import type { Window } from './language.ts';

export type CompiledWindow = {
  /** The first instant, and the first one that is past it, at which an event of this timestamp lies in the window; `Infinity` for never. */
  enters(timestamp: number): number;
  leaves(timestamp: number): number;
  /** Events up to this timestamp (included) lie in no window of this instant or a later one; null: all may. */
  since(at: number): number | null;
};

/** @param tz of the calendar's periods */
export function compileWindow({ within, between, calendar, after, before }: Window, tz: string): CompiledWindow {
  if (within !== undefined) return sliding(lengthOf(within), 0);
  if (between) return sliding(lengthOf(between[0]), lengthOf(between[1]));
  if (calendar) {
    const { unit, offset = 0 } = calendar;
    const { periodAt, startOf } = calendarOf(tz);
    return {
      enters: (timestamp) => Math.max(timestamp, startOf(unit, periodAt(unit, timestamp) - offset)),
      leaves: (timestamp) => startOf(unit, periodAt(unit, timestamp) - offset + 1),
      since: (at) => startOf(unit, periodAt(unit, at) + offset) - 1,
    };
  }
  const [from, to] = [
    after === undefined ? -Infinity : Date.parse(after),
    before === undefined ? Infinity : Date.parse(before),
  ];
  return {
    enters: (timestamp) => (from <= timestamp && timestamp < to ? timestamp : Infinity),
    leaves: () => Infinity,
    since: () => (after === undefined ? null : from - 1),
  };
}

/** at − oldest < timestamp ≤ at − newest */
function sliding(oldest: number, newest: number): CompiledWindow {
  return {
    enters: (timestamp) => timestamp + newest,
    leaves: (timestamp) => timestamp + oldest,
    since: (at) => at - oldest,
  };
}
