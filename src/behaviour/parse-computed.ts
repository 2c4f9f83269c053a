/** Values worked out of events, read from JSON. */
import { enter, fault, fieldsOf, given, type Place, type Reading, readTrue } from './faults.ts';
import type { ComputedNode, ValueNode } from './language.ts';
import { readMinus, readOf } from './parse.ts';
import { matchFields, readMatch } from './parse-match.ts';
import { readWindow, windowFields } from './parse-window.ts';

const aggregates = ['count', 'days', 'first', 'last', 'distinct', 'most_frequent', 'avg', 'min', 'max', 'sum'] as const;
type Aggregate = (typeof aggregates)[number];
/** What can be divided. */
const numbers: readonly Aggregate[] = ['count', 'days', 'distinct', 'avg', 'min', 'max', 'sum'];
const valueFields = [...matchFields, ...windowFields, ...aggregates];
const nothing: ValueNode = { event: '', count: true };

/** One aggregate over the matches in a window, or `{ ratio: [one, another] }`. */
export function readComputed(reading: Reading, place: Place): ComputedNode {
  const { json } = place;
  const isRatio = typeof json === 'object' && json !== null && Object.hasOwn(json, 'ratio');
  if (!isRatio) return readValueNode(reading, place, aggregates);
  const ratio = fieldsOf(reading, place, ['ratio'])?.ratio;
  if (!ratio || !Array.isArray(ratio.json) || ratio.json.length !== 2) {
    fault(reading, ratio ?? place, 'not_two_values');
    return nothing;
  }
  const [above, below] = ratio.json.map((part, index) =>
    readValueNode(reading, { ...ratio, json: part, path: `${ratio.path}[${index}]` }, numbers),
  );
  return { ratio: [above ?? nothing, below ?? nothing] };
}

function readValueNode(reading: Reading, place: Place, possible: readonly Aggregate[]): ValueNode {
  const fields = enter(reading, place) && fieldsOf(reading, place, valueFields);
  if (!fields) return nothing;
  const stated = aggregates.filter((name) => fields[name]);
  if (stated.length > 1) fault(reading, place, 'aggregate_two', { names: stated.join(', ') });
  const [aggregate] = stated;
  const field = aggregate && fields[aggregate];
  if (!aggregate || !possible.includes(aggregate))
    fault(reading, field ?? place, 'aggregate_none', { possible: possible.join(', ') });
  return {
    ...readMatch(reading, place, fields),
    ...readWindow(reading, place, fields),
    ...(field && { [aggregate]: readAggregate(reading, field, aggregate) }),
  };
}

function readAggregate(reading: Reading, place: Place, aggregate: Aggregate): unknown {
  if (aggregate === 'count' || aggregate === 'days') return readTrue(reading, place);
  const isMoment = (aggregate === 'first' || aggregate === 'last') && typeof place.json === 'boolean';
  if (isMoment) return readTrue(reading, place);
  const fields = fieldsOf(reading, place, aggregate === 'sum' ? ['of', 'minus'] : ['of']);
  if (!fields) return { of: '_' };
  return given({
    of: readOf(reading, place, fields),
    minus: fields.minus && readMinus(reading, fields.minus),
  });
}
