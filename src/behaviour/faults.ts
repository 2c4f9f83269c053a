/**
 * Reading a definition that somebody sent. Each reader notes what is wrong, with the path where it is, and goes on with a stand-in, so
 * that all faults come back at once; what was read is used only when there are none.
 */
import { isRecord } from '../events/storable.ts';
import { parseDuration } from './duration.ts';
import type { Scalar } from './language.ts';
import { parsePath } from './path.ts';

/** What is wrong; the sentences are `segments.faults.*` of the locale files. */
export const faultCodes = [
  'aggregate_none',
  'aggregate_two',
  'bad_date',
  'bad_duration',
  'bad_key',
  'bad_moment',
  'bad_path',
  'bad_period',
  'bad_trait_name',
  'between_order',
  'compares_nothing',
  'empty_list',
  'for_not_last',
  'list_of_item',
  'missing',
  'names_with_any',
  'node_kind',
  'node_two',
  'not_boolean',
  'not_days',
  'not_list',
  'not_number',
  'not_object',
  'not_pair',
  'not_past',
  'not_percent',
  'not_scalar',
  'not_text',
  'not_true',
  'not_two_values',
  'not_version',
  'one_of',
  'only_negated',
  'order_of_moments',
  'refers_in_ring',
  'refers_to_itself',
  'starts_with_no',
  'taken_trait',
  'text_too_long',
  'too_deep',
  'too_large',
  'too_many',
  'too_many_nodes',
  'unknown_field',
  'unknown_segment',
  'unknown_time_zone',
  'unknown_trait',
  'unstorable',
  'window_two',
] as const;
export type FaultCode = (typeof faultCodes)[number];

export type Fault = {
  /** `where.all[0].within`; empty for the definition as a whole. */
  path: string;
  code: FaultCode;
  values: Record<string, string | number>;
};

export const mostLevels = 12;
const mostNodes = 200;
export const mostElements = 100;
/** More say no more. */
const mostFaults = 50;

/** A definition being read. */
export type Reading = {
  faults: Fault[];
  /** Nodes and conditions so far. */
  nodes: number;
  /** Our name for an event, whatever the sender calls it. */
  canonicalName(name: string): string;
};

/** Where in it: the value, its path, and how many nodes and conditions stand above. */
export type Place = { json: unknown; path: string; level: number };

export function startReading(canonicalName: (name: string) => string): Reading {
  return { faults: [], nodes: 0, canonicalName };
}

export function fault(
  reading: Reading,
  { path }: Pick<Place, 'path'>,
  code: FaultCode,
  values: Fault['values'] = {},
): void {
  if (reading.faults.length < mostFaults) reading.faults.push({ path, code, values });
}

export function below({ path, level }: Place, name: string, json: unknown): Place {
  return { json, path: path ? `${path}.${name}` : name, level };
}

export type Fields = { [name: string]: Place | undefined };

/** The fields of an object that are there; others than these are faults. Null when it is no object. */
export function fieldsOf(reading: Reading, place: Place, names: readonly string[]): Fields | null {
  const { json } = place;
  if (!isRecord(json)) {
    fault(reading, place, json === undefined ? 'missing' : 'not_object');
    return null;
  }
  const fields: Fields = Object.create(null);
  for (const [name, value] of Object.entries(json)) {
    const field = below(place, name, value);
    if (names.includes(name)) fields[name] = field;
    else fault(reading, { path: field.path.slice(0, 200) }, 'unknown_field', { possible: names.join(', ') });
  }
  return fields;
}

/** A field that has to be there; where it is not, the fault has its path. */
export function needed(reading: Reading, place: Place, fields: Fields, name: string): Place | null {
  const field = fields[name];
  if (!field) fault(reading, below(place, name, undefined), 'missing');
  return field ?? null;
}

/** One to `most` elements. */
export function readList<T>(reading: Reading, place: Place, most: number, read: (element: Place) => T): T[] {
  const { json, path, level } = place;
  if (!Array.isArray(json)) fault(reading, place, 'not_list');
  else if (!json.length) fault(reading, place, 'empty_list');
  else if (json.length > most) fault(reading, place, 'too_many', { most });
  else return json.map((element, index) => read({ json: element, path: `${path}[${index}]`, level }));
  return [];
}

/** Counts a node or condition and looks how deep it lies. False: go no further. */
export function enter(reading: Reading, place: Place): boolean {
  if (place.level > mostLevels) {
    fault(reading, place, 'too_deep', { most: mostLevels });
    return false;
  }
  reading.nodes++;
  if (reading.nodes === mostNodes + 1) fault(reading, place, 'too_many_nodes', { most: mostNodes });
  return reading.nodes <= mostNodes;
}

export function deeper(place: Place): Place {
  return { ...place, level: place.level + 1 };
}

export function readText(reading: Reading, place: Place, most = 1000): string {
  const { json } = place;
  if (typeof json !== 'string' || !json.trim()) fault(reading, place, 'not_text');
  else if (json.length > most) fault(reading, place, 'text_too_long', { most });
  else return json;
  return '';
}

export function readNumber(reading: Reading, place: Place): number {
  if (typeof place.json === 'number' && Number.isFinite(place.json)) return place.json;
  fault(reading, place, 'not_number');
  return 0;
}

export function readBoolean(reading: Reading, place: Place): boolean {
  if (typeof place.json !== 'boolean') fault(reading, place, 'not_boolean');
  return place.json === true;
}

export function readTrue(reading: Reading, place: Place): true {
  if (place.json !== true) fault(reading, place, 'not_true');
  return true;
}

export function isScalar(value: unknown): value is Scalar {
  return typeof value === 'string' || typeof value === 'boolean' || Number.isFinite(value);
}

export function readScalar(reading: Reading, place: Place): Scalar {
  if (isScalar(place.json)) return place.json;
  fault(reading, place, place.json === undefined ? 'missing' : 'not_scalar');
  return '';
}

export function readOneOf<T extends string>(reading: Reading, place: Place, possible: readonly T[]): T {
  const found = possible.find((one) => one === place.json);
  if (found === undefined) fault(reading, place, 'one_of', { possible: possible.join(', ') });
  return found ?? (possible[0] as T);
}

export function readDuration(reading: Reading, place: Place): string {
  const { json } = place;
  if (typeof json === 'string' && parseDuration(json) !== null) return json;
  fault(reading, place, 'bad_duration');
  return '0d';
}

export function readPath(reading: Reading, place: Place): string {
  const { json } = place;
  if (typeof json === 'string' && parsePath(json)) return json;
  fault(reading, place, 'bad_path');
  return '_';
}

/** Without the fields that are undefined, in the order they are given in: equal definitions are stored alike. */
export function given<T extends object>(fields: T): T {
  return Object.fromEntries(Object.entries(fields).filter(([, value]) => value !== undefined)) as T;
}
