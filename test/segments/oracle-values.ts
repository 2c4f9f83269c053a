/** The oracle's values: exact numbers, paths, conditions, days and windows. Slow and obvious; shares nothing with src. */
import type { Cmp, Cond, Fields, Json, Scalar, Unit, Window } from './oracle-world.ts';

// Numbers, exactly

export type Exact = { over: bigint; under: bigint };

export function exact(text: string | number): Exact {
  const [, sign, whole = '', fraction = '', power = '0'] =
    /^(-?)(\d+)(?:\.(\d+))?(?:e([+-]?\d+))?$/.exec(String(text)) ?? [];
  const shift = Number(power) - fraction.length;
  const digits = BigInt(`${sign}${whole}${fraction}`);
  return shift >= 0
    ? { over: digits * 10n ** BigInt(shift), under: 1n }
    : { over: digits, under: 10n ** BigInt(-shift) };
}

/** Of a JSON number or a plain decimal; of anything else undefined. */
export function numeric(value: Json | undefined): Exact | undefined {
  if (typeof value === 'number') return exact(value);
  return typeof value === 'string' && /^-?\d{1,20}(\.\d{1,10})?$/.test(value) ? exact(value) : undefined;
}

export const compare = (a: Exact, b: Exact) =>
  Number(a.over * b.under > b.over * a.under) - Number(a.over * b.under < b.over * a.under);
export const plus = (a: Exact, b: Exact): Exact => ({
  over: a.over * b.under + b.over * a.under,
  under: a.under * b.under,
});
export const minus = (a: Exact, b: Exact): Exact => plus(a, { over: -b.over, under: b.under });

export function meets(value: Exact, cmp: Cmp): boolean {
  const against = (bound: number | undefined, allowed: number[]) =>
    bound === undefined || allowed.includes(compare(value, exact(bound)));
  return (
    against(cmp.gte, [0, 1]) &&
    against(cmp.gt, [1]) &&
    against(cmp.lte, [0, -1]) &&
    against(cmp.lt, [-1]) &&
    against(cmp.eq, [0])
  );
}

// Paths

/** Everything the path reaches, null too. */
function reachedBy(path: string, root: Fields): Json[] {
  let reached: Json[] = [root];
  for (const segment of path.split('.')) {
    const isList = segment.endsWith('[]');
    const name = isList ? segment.slice(0, -2) : segment;
    reached = reached.flatMap((value) =>
      typeof value === 'object' && value !== null && !Array.isArray(value) && Object.hasOwn(value, name)
        ? [value[name] as Json]
        : [],
    );
    if (isList) reached = reached.flatMap((value) => (Array.isArray(value) ? value : []));
  }
  return reached;
}

type HasFields = { properties: Fields; context: Fields };

const rootOf = (path: string, { properties, context }: HasFields): Fields =>
  path.split('.')[0] === 'context' ? { context } : properties;

const isValue = (value: Json) => value !== null;

/** The values of a path. */
export const reach = (path: string, event: HasFields) => reachedBy(path, rootOf(path, event)).filter(isValue);

/** Values of events held against each other: a number is never a string; an object or a list is like nothing. */
export const isSame = (a: Json, b: Json) => typeof a !== 'object' && typeof a === typeof b && a === b;

export function different(values: Json[]): Scalar[] {
  const seen: Scalar[] = [];
  for (const value of values)
    if (typeof value !== 'object' && !seen.some((other) => isSame(other, value))) seen.push(value);
  return seen;
}

const typesInOrder = ['boolean', 'number', 'string'];

/** By code points; of the same text a boolean before a number before a string. */
export function byText(a: Scalar, b: Scalar): number {
  const points = (value: Scalar) => [...String(value)].map((character) => character.codePointAt(0) ?? 0);
  const [left, right] = [points(a), points(b)];
  const differing = left.findIndex((point, at) => point !== right[at]);
  if (differing >= 0) return (left[differing] ?? 0) - (right[differing] ?? -1);
  return left.length - right.length || typesInOrder.indexOf(typeof a) - typesInOrder.indexOf(typeof b);
}

// Conditions

/** Whether a value that somebody sent is the one that the definition names. */
function equals(value: Json, named: Scalar): boolean {
  if (typeof named !== 'number') return isSame(value, named);
  const number = numeric(value);
  return number !== undefined && compare(number, exact(named)) === 0;
}

export function holdsOf(values: Json[], op: string, named: Scalar | Scalar[]): boolean {
  if (op === 'exists') return values.length > 0 === named;
  return values.some((value) => holdsOfOne(value, op, named));
}

function holdsOfOne(value: Json, op: string, named: Scalar | Scalar[]): boolean {
  const choices = Array.isArray(named) ? named : [named];
  const [choice = ''] = choices;
  const isOne = choices.some((one) => equals(value, one));
  switch (op) {
    case 'eq':
    case 'in':
      return isOne;
    case 'ne':
    case 'nin':
      return !isOne;
    case 'contains':
      if (Array.isArray(value)) return value.some((element) => equals(element, choice));
      return typeof value === 'string' && typeof choice === 'string' && value.includes(choice);
    case 'starts_with':
      return typeof value === 'string' && typeof choice === 'string' && value.startsWith(choice);
    case 'gt':
    case 'gte':
    case 'lt':
    case 'lte': {
      const number = numeric(value);
      return number !== undefined && typeof choice === 'number' && meets(number, { [op]: choice });
    }
    default:
      throw new Error(`no operator ${op}`);
  }
}

export function holdsCond(cond: Cond, reached: (path: string) => Json[]): boolean {
  if ('any' in cond) return cond.any.some((one) => holdsCond(one, reached));
  return holdsOf(reached(cond.property), cond.op, cond.value);
}

const pathsIn = (cond: Cond): string[] => ('any' in cond ? cond.any.flatMap(pathsIn) : [cond.property]);

/** One element of the list meets all. */
export function holdsItem(conds: Cond[], event: HasFields): boolean {
  const [path = ''] = conds.flatMap(pathsIn);
  const list = path.slice(0, path.indexOf('[]') + 2);
  return reachedBy(list, rootOf(list, event)).some((element) => {
    const own = (full: string): Json[] => reachedBy(full.replace(list, 'element'), { element }).filter(isValue);
    return conds.every((cond) => holdsCond(cond, own));
  });
}

// Days: whole numbers, 1970-01-01 is 0

const dayLength = 86_400_000;

export function dayNumber(year: number, month: number, day: number): number {
  return new Date(0).setUTCFullYear(year, month - 1, day) / dayLength;
}

const dateOf = (day: number) => new Date(day * dayLength);
const formats = new Map<string, Intl.DateTimeFormat>();

/** The day that a calendar on the wall shows in this time zone. */
export function dayIn(tz: string, moment: number): number {
  const format =
    formats.get(tz) ??
    new Intl.DateTimeFormat('en-US', { timeZone: tz, year: 'numeric', month: 'numeric', day: 'numeric' });
  formats.set(tz, format);
  const parts = Object.fromEntries(format.formatToParts(moment).map(({ type, value }) => [type, Number(value)]));
  return dayNumber(parts.year ?? 0, parts.month ?? 0, parts.day ?? 0);
}

/** First day of a period and of the one after it. */
export function period(unit: Unit, day: number, offset: number): [number, number] {
  const [year, month] = [dateOf(day).getUTCFullYear(), dateOf(day).getUTCMonth()];
  const months = (start: number, length: number): [number, number] => [
    dayNumber(year, start + offset * length + 1, 1),
    dayNumber(year, start + (offset + 1) * length + 1, 1),
  ];
  switch (unit) {
    case 'day':
      return [day + offset, day + offset + 1];
    case 'week': {
      const monday = day - ((dateOf(day).getUTCDay() + 6) % 7);
      return [monday + 7 * offset, monday + 7 * offset + 7];
    }
    case 'month':
      return months(month, 1);
    case 'quarter':
      return months(month - (month % 3), 3);
    case 'year':
      return months(0, 12);
  }
}

/** The first moment of a day in this time zone. */
function startOf(day: number, tz: string): number {
  let [before, at] = [(day - 2) * dayLength, (day + 2) * dayLength];
  while (at - before > 1) {
    const middle = Math.floor((before + at) / 2);
    if (dayIn(tz, middle) >= day) at = middle;
    else before = middle;
  }
  return at;
}

const written = new RegExp(
  '^(?<year>\\d{4})-(?<month>\\d\\d)-(?<date>\\d\\d)' +
    '(?<time>[Tt](?<hour>\\d\\d):(?<minute>\\d\\d):(?<second>\\d\\d)(?:\\.(?<fraction>\\d+))?' +
    '(?:[Zz]|(?<sign>[+-])(?<ahead>\\d\\d):(?<aheadMinute>\\d\\d)))?$',
);

/** A date of a trait or a definition: `2026-11-26` or RFC 3339. */
export function readDate(value: Json | undefined, tz: string): { moment: number; day: number } | undefined {
  const found = typeof value === 'string' ? written.exec(value)?.groups : undefined;
  if (!found) return undefined;
  const part = (name: string) => Number(found[name] ?? 0);
  const day = dayNumber(part('year'), part('month'), part('date'));
  const exists =
    part('year') > 0 &&
    dateOf(day).getUTCMonth() + 1 === part('month') &&
    dateOf(day).getUTCDate() === part('date') &&
    part('hour') < 24 &&
    [part('minute'), part('second'), part('aheadMinute')].every((of60) => of60 < 60) &&
    part('ahead') < 16;
  if (!exists) return undefined;
  if (!found.time) return { moment: startOf(day, tz), day };
  const offset = (found.sign === '-' ? -1 : 1) * (part('ahead') * 60 + part('aheadMinute'));
  const milliseconds = Number((found.fraction ?? '').slice(0, 3).padEnd(3, '0'));
  const seconds = (part('hour') * 60 + part('minute') - offset) * 60 + part('second');
  const moment = day * dayLength + seconds * 1000 + milliseconds;
  return { moment, day: dayIn(tz, moment) };
}

// Windows

export function lengthOf(duration: string): number {
  const [, amount, unit = ''] = /^(\d+)([mhdw])$/.exec(duration) ?? [];
  return Number(amount) * ({ m: 60_000, h: 3_600_000, d: dayLength, w: 7 * dayLength }[unit] ?? Number.NaN);
}

export function isInside(window: Window, moment: number, t: number, tz: string): boolean {
  if (moment > t) return false;
  if (window.within) return t - lengthOf(window.within) < moment;
  if (window.between) return t - lengthOf(window.between[0]) < moment && moment <= t - lengthOf(window.between[1]);
  if (window.calendar) {
    const [from, to] = period(window.calendar.unit, dayIn(tz, t), window.calendar.offset ?? 0);
    return from <= dayIn(tz, moment) && dayIn(tz, moment) < to;
  }
  return (
    (window.after === undefined || Date.parse(window.after) <= moment) &&
    (window.before === undefined || moment < Date.parse(window.before))
  );
}

/** Whether month and day of a date come back on one of the days from `first` to before `end`. */
export function comesBack(birthday: number, first: number, end: number): boolean {
  const leapless = (day: number) => {
    const text = dateOf(day).toISOString().slice(-19, -14);
    return text === '02-29' ? '02-28' : text;
  };
  for (let day = first; day < end; day++)
    if (dateOf(day).toISOString().slice(-19, -14) === leapless(birthday)) return true;
  return false;
}
