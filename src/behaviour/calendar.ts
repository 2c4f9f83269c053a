/**
 * Days, weeks and longer periods of a time zone as whole numbers, so that moving by periods is arithmetic. The starts of days come from
 * Temporal, which knows of days of 23 hours and of days that begin at one o'clock, and are remembered.
 */
import { day as dayLength } from './duration.ts';
import type { CalendarUnit } from './language.ts';

export type Calendar = {
  /** Days since 1970-01-01 of the date at this instant. */
  dayAt(instant: number): number;
  /** The first instant of a day. */
  startOfDay(day: number): number;
  /** The period an instant lies in, counted from 1970 (weeks from the Monday before). */
  periodAt(unit: CalendarUnit, instant: number): number;
  startOf(unit: CalendarUnit, period: number): number;
};

const calendars = new Map<string, Calendar>();
/** Some 50 years of days. */
const mostRemembered = 20_000;

/** @param tz an IANA name that `isTimeZone` accepts */
export function calendarOf(tz: string): Calendar {
  const known = calendars.get(tz) ?? createCalendar(tz);
  calendars.set(tz, known);
  return known;
}

const ianaName = /^[A-Z][A-Za-z_]*\/[A-Za-z0-9_+/-]+$/;

/** Names with a continent, and UTC: what is shorter (`CST`, `EST`, `+08:00`) means one thing here and another in PostgreSQL. */
export function isTimeZone(name: string): boolean {
  if (name === 'UTC') return true;
  if (!ianaName.test(name)) return false;
  try {
    new Intl.DateTimeFormat('en', { timeZone: name });
    return true;
  } catch {
    return false;
  }
}

function createCalendar(tz: string): Calendar {
  const starts = new Map<number, number>();
  function startOfDay(day: number): number {
    const known = starts.get(day);
    if (known !== undefined) return known;
    const { year, month, date } = dateOfDay(day);
    const start = new Temporal.PlainDate(year, month, date).toZonedDateTime(tz).epochMilliseconds;
    if (starts.size >= mostRemembered) starts.clear();
    starts.set(day, start);
    return start;
  }
  function dayAt(instant: number): number {
    let day = Math.floor(instant / dayLength);
    while (startOfDay(day) > instant) day--;
    while (startOfDay(day + 1) <= instant) day++;
    return day;
  }
  return {
    dayAt,
    startOfDay,
    periodAt: (unit, instant) => periodOfDay(unit, dayAt(instant)),
    startOf: (unit, period) => startOfDay(firstDay(unit, period)),
  };
}

export function dateOfDay(day: number): { year: number; month: number; date: number } {
  const at = new Date(day * dayLength);
  return { year: at.getUTCFullYear(), month: at.getUTCMonth() + 1, date: at.getUTCDate() };
}

/** Days since 1970-01-01; month 13 is January of the next year. */
export function dayOfDate(year: number, month: number, date: number): number {
  // Not Date.UTC, which takes a year below 100 for one of the twentieth century.
  return new Date(0).setUTCFullYear(year, month - 1, date) / dayLength;
}

/** 1970-01-01 was a Thursday. */
const daysSinceMonday = 3;

export function periodOfDay(unit: CalendarUnit, day: number): number {
  if (unit === 'day') return day;
  if (unit === 'week') return Math.floor((day + daysSinceMonday) / 7);
  const { year, month } = dateOfDay(day);
  return (year - 1970) * perYear[unit] + Math.floor(((month - 1) * perYear[unit]) / 12);
}

export function firstDay(unit: CalendarUnit, period: number): number {
  if (unit === 'day') return period;
  if (unit === 'week') return period * 7 - daysSinceMonday;
  return dayOfDate(1970, 1 + (period * 12) / perYear[unit], 1);
}

const perYear = { month: 12, quarter: 4, year: 1 };
