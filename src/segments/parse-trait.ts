/** Trait nodes, read from JSON. */
import { parseDuration } from '../behaviour/duration.ts';
import { type Fields, fault, needed, type Place, type Reading, readOneOf, readText } from '../behaviour/faults.ts';
import { calendarUnits } from '../behaviour/language.ts';
import { parseDate, parseMoment } from '../behaviour/moment.ts';
import { readValue } from '../behaviour/parse-match.ts';
import { type TraitNode, type TraitOp, traitOps } from './definition.ts';

export const traitFields = ['trait', 'op', 'value'];

export function readTrait(
  reading: Reading,
  place: Place,
  fields: Fields,
  { isTrait }: { isTrait?(name: string): boolean },
): TraitNode {
  const [trait, op, value] = ['trait', 'op', 'value'].map((name) => needed(reading, place, fields, name));
  const name = trait ? readText(reading, trait, 200) : '';
  if (trait && name && isTrait && !isTrait(name)) fault(reading, trait, 'unknown_trait');
  const read = op ? readOneOf(reading, op, traitOps) : 'exists';
  return { trait: name, op: read, value: op && value ? readTraitValue(reading, value, read) : '' };
}

function readTraitValue(reading: Reading, place: Place, op: TraitOp): TraitNode['value'] {
  switch (op) {
    case 'in_last':
    case 'in_next':
    case 'anniversary_in':
      return readRange(reading, place, op);
    case 'gt':
    case 'gte':
    case 'lt':
    case 'lte': {
      const { json } = place;
      if (typeof json !== 'string') return readValue(reading, place, op);
      if (parseDate(json) === null && parseMoment(json) === null) fault(reading, place, 'bad_date');
      return json;
    }
    default:
      return readValue(reading, place, op);
  }
}

const periods = calendarUnits.map((unit) => `this_${unit}`);

function readRange(reading: Reading, place: Place, op: TraitOp): string {
  const { json } = place;
  const length = typeof json === 'string' ? parseDuration(json) : null;
  if (typeof json === 'string' && (length !== null || periods.includes(json))) {
    if (op === 'anniversary_in' && /[mh]$/.test(json) && length !== null) fault(reading, place, 'not_days');
    return json;
  }
  fault(reading, place, 'bad_period', { possible: periods.join(', ') });
  return '0d';
}
