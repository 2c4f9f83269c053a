/** Questions about events, read from JSON and brought into one form. */
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
  readDuration,
  readList,
  readNumber,
  readPath,
  readTrue,
} from './faults.ts';
import {
  type AggregateOf,
  aggregates,
  type BehaviourNode,
  type Comparison,
  comparisons,
  type EventNode,
  type Match,
  type PerNode,
  type SequenceNode,
  type SequenceStep,
} from './language.ts';
import { matchFields, readMatch } from './parse-match.ts';
import { readWindow, windowFields } from './parse-window.ts';

const mostSteps = 10;

export const behaviourFields = {
  event: [...matchFields, ...windowFields, ...aggregates],
  sequence: ['sequence', 'in', 'same', ...windowFields],
  per: ['per', 'all'],
};

/** @param kind what its fields show it to be @param place counted by `enter` already */
export function readBehaviour(reading: Reading, place: Place, kind: keyof typeof behaviourFields): BehaviourNode {
  const fields = fieldsOf(reading, place, behaviourFields[kind]) ?? {};
  if (kind === 'per') return readPer(reading, place, fields);
  return kind === 'sequence' ? readSequence(reading, place, fields) : readEvent(reading, place, fields);
}

function readEvent(reading: Reading, place: Place, fields: Fields): EventNode {
  const stated = aggregates.filter((name) => fields[name]);
  if (stated.length > 1) fault(reading, place, 'aggregate_two', { names: stated.join(', ') });
  const [aggregate] = stated;
  const field = aggregate && fields[aggregate];
  return {
    ...readMatch(reading, place, fields),
    ...readWindow(reading, place, fields),
    ...(field && { [aggregate]: readAggregate(reading, field, aggregate) }),
  };
}

function readAggregate(reading: Reading, place: Place, aggregate: (typeof aggregates)[number]): unknown {
  if (aggregate === 'first' || aggregate === 'last') return readTrue(reading, place);
  if (aggregate === 'count' || aggregate === 'days') {
    const fields = fieldsOf(reading, place, comparisons);
    return fields && readComparison(reading, place, fields);
  }
  const names = ['of', ...(aggregate === 'sum' ? ['minus'] : []), ...comparisons];
  const fields = fieldsOf(reading, place, names);
  return fields && readAggregateOf(reading, place, fields);
}

function readAggregateOf(
  reading: Reading,
  place: Place,
  fields: Fields,
): AggregateOf & { minus?: Match & { of: string } } {
  return given({
    of: readOf(reading, place, fields),
    minus: fields.minus && readMinus(reading, fields.minus),
    ...readComparison(reading, place, fields),
  });
}

/** What a sum has taken off. */
export function readMinus(reading: Reading, place: Place): (Match & { of: string }) | undefined {
  const fields = fieldsOf(reading, place, ['of', ...matchFields]);
  return fields ? { ...readMatch(reading, place, fields), of: readOf(reading, place, fields) } : undefined;
}

export function readOf(reading: Reading, place: Place, fields: Fields): string {
  const of = needed(reading, place, fields, 'of');
  return of ? readPath(reading, of) : '';
}

function readComparison(reading: Reading, place: Place, fields: Fields): Comparison {
  const stated = comparisons.flatMap((name) => {
    const field = fields[name];
    return field ? [[name, readNumber(reading, field)] as const] : [];
  });
  if (!stated.length) fault(reading, place, 'compares_nothing', { possible: comparisons.join(', ') });
  return Object.fromEntries(stated);
}

function readSequence(reading: Reading, place: Place, fields: Fields): SequenceNode {
  const { in: within, same } = fields;
  const steps = needed(reading, place, fields, 'sequence');
  const sequence = steps ? readSteps(reading, steps) : [];
  return given({
    sequence,
    in: within && readDuration(reading, within),
    same: same && readPath(reading, same),
    ...readWindow(reading, place, fields),
  });
}

function readSteps(reading: Reading, place: Place): SequenceStep[] {
  const count = Array.isArray(place.json) ? place.json.length : 0;
  const steps = readList(reading, place, mostSteps, (element): SequenceStep => {
    const { json } = element;
    const isNo = typeof json === 'object' && json !== null && Object.hasOwn(json, 'no');
    const fields = fieldsOf(reading, element, isNo ? ['no', 'for'] : matchFields);
    if (!fields || !enter(reading, deeper(element))) return { event: '' };
    if (!fields.no) return readMatch(reading, element, fields);
    if (fields.for && !element.path.endsWith(`[${count - 1}]`)) fault(reading, fields.for, 'for_not_last');
    const refused = fieldsOf(reading, fields.no, matchFields);
    return given({
      no: refused ? readMatch(reading, fields.no, refused) : { event: '' },
      for: fields.for && readDuration(reading, fields.for),
    });
  });
  const [first] = steps;
  if (first && 'no' in first) fault(reading, { path: `${place.path}[0]` }, 'starts_with_no');
  return steps;
}

function readPer(reading: Reading, place: Place, fields: Fields): PerNode {
  const per = needed(reading, place, fields, 'per');
  const all = needed(reading, place, fields, 'all');
  const members = all ? readList(reading, all, mostElements, (element) => readMember(reading, deeper(element))) : [];
  if (all && members.length && members.every((member) => 'not' in member)) fault(reading, all, 'only_negated');
  return { per: per ? readPath(reading, per) : '', all: members };
}

const noMember: EventNode = { event: '' };

function readMember(reading: Reading, place: Place): PerNode['all'][number] {
  if (!enter(reading, place)) return noMember;
  const { json } = place;
  const has = (name: string) => typeof json === 'object' && json !== null && Object.hasOwn(json, name);
  if (has('not')) {
    const fields = fieldsOf(reading, place, ['not']);
    if (!fields?.not || !enter(reading, deeper(fields.not))) return { not: noMember };
    const negated = fieldsOf(reading, fields.not, behaviourFields.event);
    return { not: negated ? readEvent(reading, fields.not, negated) : noMember };
  }
  const fields = fieldsOf(reading, place, behaviourFields[has('sequence') ? 'sequence' : 'event']);
  if (!fields) return noMember;
  return has('sequence') ? readSequence(reading, place, fields) : readEvent(reading, place, fields);
}
