/** Windows, read from JSON. */
import { isTimeZone } from './calendar.ts';
import { parseDuration } from './duration.ts';
import {
  type Fields,
  fault,
  fieldsOf,
  given,
  needed,
  type Place,
  type Reading,
  readDuration,
  readList,
  readNumber,
  readOneOf,
} from './faults.ts';
import { type CalendarUnit, calendarUnits, type Window } from './language.ts';
import { parseMoment } from './moment.ts';

export const windowFields = ['within', 'between', 'calendar', 'after', 'before'] as const;

export function readWindow(reading: Reading, place: Place, fields: Fields): Window {
  const { after, before, within, between, calendar } = fields;
  const kinds = windowFields.filter((name) => fields[name]);
  if (kinds.length > 1 && !(kinds.length === 2 && after && before)) {
    fault(reading, place, 'window_two', { names: kinds.join(', ') });
  }
  const window = given({
    within: within && readDuration(reading, within),
    between: between && readBetween(reading, between),
    calendar: calendar && readCalendar(reading, calendar),
    after: after && readMoment(reading, after),
    before: before && readMoment(reading, before),
  });
  if (after && before && Date.parse(window.after ?? '') >= Date.parse(window.before ?? '')) {
    fault(reading, before, 'order_of_moments');
  }
  return window;
}

function readBetween(reading: Reading, place: Place): [string, string] | undefined {
  if (!Array.isArray(place.json) || place.json.length !== 2) {
    fault(reading, place, 'not_pair');
    return undefined;
  }
  const [from = '', to = ''] = readList(reading, place, 2, (element) => readDuration(reading, element));
  const [oldest, newest] = place.json.map((text) => (typeof text === 'string' ? parseDuration(text) : null));
  if (typeof oldest === 'number' && typeof newest === 'number' && oldest <= newest)
    fault(reading, place, 'between_order');
  return [from, to];
}

/** As far back as a duration may reach, and some. */
const furthestOffset = -4000;

function readCalendar(reading: Reading, place: Place): { unit: CalendarUnit; offset?: number } | undefined {
  const fields = fieldsOf(reading, place, ['unit', 'offset']);
  if (!fields) return undefined;
  const unit = needed(reading, place, fields, 'unit');
  const offset = fields.offset ? readNumber(reading, fields.offset) : 0;
  if (fields.offset && (!Number.isInteger(offset) || offset > 0 || offset < furthestOffset)) {
    fault(reading, fields.offset, 'not_past', { least: furthestOffset });
  }
  return given({
    unit: unit ? readOneOf(reading, unit, calendarUnits) : 'day',
    offset: offset === 0 ? undefined : offset,
  });
}

function readMoment(reading: Reading, place: Place): string {
  const { json } = place;
  if (typeof json === 'string' && parseMoment(json) !== null) return json;
  fault(reading, place, 'bad_moment');
  return '';
}

export const usualTimeZone = 'Asia/Shanghai';

export function readTimeZone(reading: Reading, place: Place): string {
  if (typeof place.json === 'string' && isTimeZone(place.json)) return place.json;
  fault(reading, place, 'unknown_time_zone');
  return usualTimeZone;
}
