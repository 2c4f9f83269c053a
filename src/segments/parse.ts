/** A segment read from JSON: every fault at once, and what is right in one form. What it may say is docs/decisions/0021. */
import {
  deeper,
  enter,
  type Fault,
  fault,
  fieldsOf,
  given,
  mostElements,
  needed,
  type Place,
  type Reading,
  readList,
  readNumber,
  readOneOf,
  readText,
  startReading,
} from '../behaviour/faults.ts';
import { measure } from '../behaviour/measure.ts';
import { behaviourFields, readBehaviour } from '../behaviour/parse.ts';
import { readTimeZone, usualTimeZone } from '../behaviour/parse-window.ts';
import { purposes } from '../consent/consent.ts';
import type { Translate } from '../http/i18n.ts';
import type { HasNode, Node, Segment } from './definition.ts';
import { readTrait, traitFields } from './parse-trait.ts';

export const segmentPurposes = ['service', ...Object.keys(purposes)];

export type ParseOptions = {
  /** Our name for an event, whatever the sender calls it. */
  canonicalName(name: string): string;
  /** Segments that can be referred to; without them any key may be. */
  segmentKeys?: ReadonlySet<string>;
  /** Without it any trait may be named. */
  isTrait?(name: string): boolean;
};

export function parseSegment(json: unknown, options: ParseOptions): { segment: Segment } | { faults: Fault[] } {
  const tooMuch = measure(json);
  if (tooMuch) return { faults: [tooMuch] };
  const reading = startReading(options.canonicalName);
  const segment = readSegment(reading, json, options);
  return segment && !reading.faults.length ? { segment } : { faults: reading.faults };
}

/** A fault as one sentence in the reader's language, without its path. */
export function sentenceOf({ code, values }: Fault, translate: Translate): string {
  return translate(`segments.faults.${code}`, values);
}

function readSegment(reading: Reading, json: unknown, options: ParseOptions): Segment | null {
  const place: Place = { json, path: '', level: 1 };
  const fields = fieldsOf(reading, place, ['version', 'key', 'name', 'purpose', 'tz', 'where']);
  if (!fields) return null;
  const [version, key, name, purpose, where] = (['version', 'key', 'name', 'purpose', 'where'] as const).map((field) =>
    needed(reading, place, fields, field),
  );
  if (version && version.json !== 1) fault(reading, version, 'not_version');
  const own = key ? readKey(reading, key) : '';
  return {
    version: 1,
    key: own,
    name: name ? readText(reading, name, 100) : '',
    purpose: purpose ? readOneOf(reading, purpose, segmentPurposes) : '',
    tz: fields.tz ? readTimeZone(reading, fields.tz) : usualTimeZone,
    where: where ? readNode(reading, where, { ...options, own }) : nowhere,
  };
}

function readKey(reading: Reading, place: Place): string {
  if (typeof place.json === 'string' && /^[a-z0-9][a-z0-9_-]{0,99}$/.test(place.json)) return place.json;
  fault(reading, place, 'bad_key');
  return '';
}

type NodeOptions = ParseOptions & { own: string };

/** By which of these it has one knows what a node is; a Per has `all` too. */
const fieldsOfKind = {
  per: behaviourFields.per,
  all: ['all'],
  any: ['any'],
  not: ['not'],
  event: behaviourFields.event,
  sequence: behaviourFields.sequence,
  trait: traitFields,
  tag: ['tag'],
  segment: ['segment'],
  consent: ['consent'],
  identity: ['identity', 'issuer'],
  sample: ['sample'],
};
type Kind = keyof typeof fieldsOfKind;
const kinds = Object.keys(fieldsOfKind) as Kind[];

const nowhere: Node = { any: [] };

function readNode(reading: Reading, place: Place, options: NodeOptions): Node {
  if (!enter(reading, place)) return nowhere;
  const kind = kindOf(reading, place);
  if (!kind) return nowhere;
  if (kind === 'per' || kind === 'event' || kind === 'sequence') return readBehaviour(reading, place, kind);
  const fields = fieldsOf(reading, place, fieldsOfKind[kind]) ?? {};
  const field = fields[kind];
  if (!field) return nowhere;
  const inner = (part: Place) => readNode(reading, deeper(part), options);
  if (kind === 'all') return { all: readList(reading, field, mostElements, inner) };
  if (kind === 'any') return { any: readList(reading, field, mostElements, inner) };
  if (kind === 'not') return { not: inner(field) };
  if (kind === 'trait') return readTrait(reading, place, fields, options);
  if (kind === 'identity') {
    const issuer = fields.issuer && readText(reading, fields.issuer, 200);
    return given({ identity: readText(reading, field, 100), issuer });
  }
  return readHas(reading, field, kind, options);
}

function kindOf(reading: Reading, place: Place): Kind | null {
  const { json } = place;
  if (typeof json !== 'object' || json === null || Array.isArray(json)) {
    fault(reading, place, 'not_object');
    return null;
  }
  const found = kinds.filter((kind) => Object.hasOwn(json, kind) && !(kind === 'all' && Object.hasOwn(json, 'per')));
  const [kind] = found;
  if (!kind) fault(reading, place, 'node_kind', { possible: kinds.join(', ') });
  else if (found.length > 1) fault(reading, place, 'node_two', { names: found.join(', ') });
  return found.length === 1 && kind ? kind : null;
}

type SimpleKind = 'tag' | 'segment' | 'consent' | 'sample';

function readHas(reading: Reading, field: Place, kind: SimpleKind, { own, segmentKeys }: NodeOptions): HasNode {
  switch (kind) {
    case 'tag':
      return { tag: readText(reading, field, 100) };
    case 'consent':
      return { consent: readOneOf(reading, field, segmentPurposes) };
    case 'segment': {
      const key = readKey(reading, field);
      if (key && key === own) fault(reading, field, 'refers_to_itself');
      else if (key && segmentKeys && !segmentKeys.has(key)) fault(reading, field, 'unknown_segment');
      return { segment: key };
    }
    case 'sample': {
      const fields = fieldsOf(reading, field, ['percent', 'salt']) ?? {};
      const percent = needed(reading, field, fields, 'percent');
      const salt = needed(reading, field, fields, 'salt');
      const share = percent ? readNumber(reading, percent) : 0;
      if (percent && (share < 0 || share > 100)) fault(reading, percent, 'not_percent');
      return { sample: { percent: share, salt: salt ? readText(reading, salt, 100) : '' } };
    }
  }
}
