/** Which events are meant, and conditions on them, read from JSON. */
import { trusts } from '../events/trust.ts';
import { pathsOf } from './conditions.ts';
import {
  deeper,
  enter,
  type Fields,
  fault,
  fieldsOf,
  given,
  mostElements,
  needed,
  type Place,
  type Reading,
  readBoolean,
  readList,
  readNumber,
  readOneOf,
  readPath,
  readScalar,
  readText,
} from './faults.ts';
import { type Condition, type ConditionOp, conditionOps, type Match, type Scalar } from './language.ts';
import { listOf, parsePath } from './path.ts';

export const matchFields = ['event', 'channel', 'trust', 'where', 'item', 'unless'] as const;
/** As long as the name of an event can be. */
const longestName = 200;

export function readMatch(reading: Reading, place: Place, fields: Fields): Match {
  const { channel, trust, where, item, unless } = fields;
  const event = needed(reading, place, fields, 'event');
  return given({
    event: event ? readNames(reading, event) : '',
    channel: channel && oneOrMore(reading, channel, (one) => readText(reading, one, longestName)),
    trust: trust && readOneOf(reading, trust, trusts),
    where: where && readConditions(reading, where),
    item: item && readItem(reading, item),
    unless: unless && readUnless(reading, unless),
  });
}

function readUnless(reading: Reading, place: Place): Match['unless'] {
  const fields = fieldsOf(reading, place, ['event', 'same', 'where']);
  if (!fields) return undefined;
  const event = needed(reading, place, fields, 'event');
  const same = needed(reading, place, fields, 'same');
  const { where } = fields;
  return given({
    event: event ? readNames(reading, event) : '',
    same: same ? readPath(reading, same) : '',
    where: where && readConditions(reading, where),
  });
}

/** Canonical names, each once; `*` stands alone. */
function readNames(reading: Reading, place: Place): string | string[] {
  const names = oneOrMore(reading, place, (one) => reading.canonicalName(readText(reading, one, longestName)));
  if (Array.isArray(names) && names.includes('*')) fault(reading, place, 'names_with_any');
  return names;
}

function oneOrMore(reading: Reading, place: Place, read: (place: Place) => string): string | string[] {
  if (!Array.isArray(place.json)) return read(place);
  const all = [...new Set(readList(reading, place, mostElements, read))];
  const [only] = all;
  return only !== undefined && all.length === 1 ? only : all;
}

function readConditions(reading: Reading, place: Place): Condition[] {
  return readList(reading, place, mostElements, (element) => readCondition(reading, deeper(element)));
}

/** What an `item` compares lies in the elements of one list. */
function readItem(reading: Reading, place: Place): Condition[] {
  const before = reading.faults.length;
  const conditions = readConditions(reading, place);
  if (reading.faults.length > before) return conditions;
  const lists = pathsOf(conditions).map((path) => {
    const parsed = parsePath(path);
    const found = parsed && listOf(parsed);
    return found ? [found.list.root, ...found.list.steps].join('.') : null;
  });
  if (new Set(lists).size > 1 || lists.includes(null)) fault(reading, place, 'list_of_item');
  return conditions;
}

const nothing: Condition = { any: [] };

function readCondition(reading: Reading, place: Place): Condition {
  if (!enter(reading, place)) return nothing;
  const isAny = typeof place.json === 'object' && place.json !== null && Object.hasOwn(place.json, 'any');
  const fields = fieldsOf(reading, place, isAny ? ['any'] : ['property', 'op', 'value']);
  if (!fields) return nothing;
  if (fields.any) return { any: readConditions(reading, fields.any) };
  const property = needed(reading, place, fields, 'property');
  const op = needed(reading, place, fields, 'op');
  const value = needed(reading, place, fields, 'value');
  if (!property || !op || !value) return nothing;
  const read = readOneOf(reading, op, conditionOps);
  return { property: readPath(reading, property), op: read, value: readValue(reading, value, read) };
}

/** The value that an operator compares with. */
export function readValue(reading: Reading, place: Place, op: ConditionOp): Scalar | Scalar[] {
  switch (op) {
    case 'in':
    case 'nin':
      return readList(reading, place, mostElements, (element) => readScalar(reading, element));
    case 'gt':
    case 'gte':
    case 'lt':
    case 'lte':
      return readNumber(reading, place);
    case 'starts_with':
      return readText(reading, place);
    case 'exists':
      return readBoolean(reading, place);
    default:
      return readScalar(reading, place);
  }
}
