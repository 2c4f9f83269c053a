/** Dates and moments as definitions and traits write them. */
import { type Calendar, dateOfDay, dayOfDate } from './calendar.ts';

const dateGrammar = /^(\d{4})-(\d\d)-(\d\d)$/;
const momentGrammar = /^(\d{4}-\d\d-\d\d)T([01]\d|2[0-3]):[0-5]\d:[0-5]\d(\.\d+)?(Z|[+-](0\d|1[0-5]):[0-5]\d)$/i;

/** `2026-11-26` in days since 1970-01-01; null when it is none, as 30 February. */
export function parseDate(text: string): number | null {
  const [, year, month, date] = dateGrammar.exec(text)?.map(Number) ?? [];
  if (!year || month === undefined || date === undefined) return null;
  const day = dayOfDate(year, month, date);
  const real = dateOfDay(day);
  return real.year === year && real.month === month && real.date === date ? day : null;
}

/** RFC 3339, in milliseconds since 1970; what is finer is cut off. Offsets of 16 hours and more exist nowhere, and PostgreSQL refuses them. */
export function parseMoment(text: string): number | null {
  const [, date] = momentGrammar.exec(text) ?? [];
  return date === undefined || parseDate(date) === null ? null : Date.parse(text);
}

/** Either: a date is the first moment of its day in the time zone of the calendar. */
export function instantOf(value: unknown, { startOfDay }: Calendar): number | null {
  if (typeof value !== 'string') return null;
  const day = parseDate(value);
  return day === null ? parseMoment(value) : startOfDay(day);
}

/** The day of either, a moment's in the time zone of the calendar, in days since 1970-01-01. */
export function dayOf(value: unknown, { dayAt }: Calendar): number | null {
  if (typeof value !== 'string') return null;
  const moment = parseMoment(value);
  return moment === null ? parseDate(value) : dayAt(moment);
}
