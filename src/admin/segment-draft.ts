/**
 * A definition as a form holds it: a tree of nodes, each with the texts of its fields. What a form cannot hold as it is (more than one
 * `any` of conditions, a `minus` with conditions of its own) is a node of JSON text, so that form and JSON are the same definition:
 * whatever would not come back as it went in is never shown as fields.
 */
import { isDeepStrictEqual } from 'node:util';
import { aggregates, comparisons, type Scalar } from '../behaviour/language.ts';
import { isRecord } from '../events/storable.ts';

export const nodeKinds = [
  'event',
  'sequence',
  'trait',
  'tag',
  'segment',
  'consent',
  'identity',
  'sample',
  'all',
  'any',
  'not',
  'per',
  'json',
] as const;
export const partKinds = ['where', 'item', 'step', 'no'] as const;
export type DraftKind = (typeof nodeKinds)[number] | (typeof partKinds)[number];

export type Draft = { kind: DraftKind; values: Record<string, string>; parts: Draft[] };

const pathed = ['distinct', 'sum', 'avg', 'min', 'max'];

type Json = Record<string, unknown>;

/** @param json no deeper than `measure` allows */
export function draftOf(json: unknown): Draft {
  const draft = isRecord(json) ? attempt(json) : undefined;
  return draft && isTypable(draft) && isDeepStrictEqual(jsonOf(draft), json) ? draft : jsonDraft(json);
}

const jsonDraft = (json: unknown): Draft => ({
  kind: 'json',
  values: { json: JSON.stringify(json, null, 2) ?? '' },
  parts: [],
});

/** A line of a form cannot hold a line break. */
const isTypable = ({ values }: Draft) => !Object.values(values).some((text) => /[\r\n]/.test(text));

export function emptyDraft(kind: DraftKind): Draft {
  const values: Record<string, string> =
    kind === 'event' ? { aggregate: 'count', op: 'gte', value: '1', window: 'within', within: '30d' } : {};
  const parts: Draft[] = kind === 'sequence' ? [emptyDraft('step'), emptyDraft('step')] : [];
  if (kind === 'sequence') Object.assign(values, { window: 'within', within: '30d' });
  if (kind === 'sample') Object.assign(values, { percent: '10' });
  return { kind, values, parts };
}

/** The definition that a draft stands for, whatever is wrong in it: the parser says what. */
export function jsonOf({ kind, values, parts }: Draft): unknown {
  const text = (name: string) => values[name] ?? '';
  const inner = () => parts.map(jsonOf);
  switch (kind) {
    case 'json':
      return parsed(text('json'));
    case 'all':
    case 'any':
      return { [kind]: inner() };
    case 'not':
      // Of an empty group the parser says that it is empty.
      return { not: parts[0] ? jsonOf(parts[0]) : { all: [] } };
    case 'per':
      return { per: text('per'), all: inner() };
    case 'event':
      return { ...matchOf(values, parts), ...windowOf(values), ...aggregateOf(values) };
    case 'sequence':
      return some({
        sequence: inner(),
        in: text('in') || undefined,
        same: text('same') || undefined,
        ...windowOf(values),
      });
    case 'step':
      return matchOf(values, parts);
    case 'no':
      return some({ no: matchOf(values, parts), for: text('for') || undefined });
    case 'where':
    case 'item':
      return { property: text('property'), ...operatorOf(values) };
    case 'trait':
      return { trait: text('trait'), ...operatorOf(values) };
    case 'identity':
      return some({ identity: text('identity'), issuer: text('issuer') || undefined });
    case 'sample':
      return { sample: { percent: numberOf(text('percent')), salt: text('salt') } };
    default:
      return { [kind]: text(kind) };
  }
}

function parsed(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    // Named by the parser as what it is: no object.
    return text;
  }
}

const some = (fields: Json): Json =>
  Object.fromEntries(Object.entries(fields).filter(([, value]) => value !== undefined));

const namesIn = (text: string) =>
  text
    .split(/[,，、]/)
    .map((name) => name.trim())
    .filter(Boolean);

function oneOrMore(text: string): string | string[] {
  const names = namesIn(text);
  return names.length > 1 ? names : (names[0] ?? '');
}

const numberOf = (text: string): number | string =>
  /^\s*-?\d+(\.\d+)?(e[+-]?\d+)?\s*$/i.test(text) ? Number(text) : text;

/** `5000` is a number, `true` a truth, `"5000"` a text that looks like one. */
function scalarOf(text: string): Scalar {
  if (text === 'true' || text === 'false') return text === 'true';
  if (/^".*"$/.test(text)) {
    const quoted = parsed(text);
    if (typeof quoted === 'string') return quoted;
  }
  return numberOf(text);
}

function matchOf(values: Record<string, string>, parts: Draft[]): Json {
  const conditions = (kind: DraftKind) => {
    const found = parts.filter((part) => part.kind === kind);
    return found.length ? found.map(jsonOf) : undefined;
  };
  const { event = '', channel, trust, unless_event, unless_same } = values;
  return some({
    event: oneOrMore(event),
    channel: channel ? oneOrMore(channel) : undefined,
    trust: trust || undefined,
    where: conditions('where'),
    item: conditions('item'),
    unless: unless_event || unless_same ? { event: oneOrMore(unless_event ?? ''), same: unless_same ?? '' } : undefined,
  });
}

function windowOf(values: Record<string, string>): Json {
  const { window, within = '', from = '', to = '', unit = '', offset, after, before } = values;
  if (window === 'within') return { within };
  if (window === 'between') return { between: [from, to] };
  if (window === 'calendar') return { calendar: some({ unit, offset: offset ? numberOf(offset) : undefined }) };
  if (window === 'range') return some({ after: after || undefined, before: before || undefined });
  return {};
}

function aggregateOf(values: Record<string, string>): Json {
  const { aggregate, of = '', op, value = '', op2, value2 = '', minus_event, minus_of } = values;
  if (!aggregate) return {};
  if (aggregate === 'first' || aggregate === 'last') return { [aggregate]: true };
  const minus =
    aggregate === 'sum' && (minus_event || minus_of)
      ? { event: oneOrMore(minus_event ?? ''), of: minus_of ?? '' }
      : undefined;
  return {
    [aggregate]: some({
      ...(pathed.includes(aggregate) && { of }),
      minus,
      ...(op && { [op]: numberOf(value) }),
      ...(op2 && { [op2]: numberOf(value2) }),
    }),
  };
}

const numeric = ['gt', 'gte', 'lt', 'lte'];
const ranges = ['in_last', 'in_next', 'anniversary_in'];

/** `missing` is how a form says `exists: false`. */
function operatorOf({ op = '', value = '' }: Record<string, string>): Json {
  if (op === 'exists' || op === 'missing') return { op: 'exists', value: op === 'exists' };
  if (op === 'in' || op === 'nin') return { op, value: namesIn(value).map(scalarOf) };
  if (numeric.includes(op)) return { op, value: numberOf(value) };
  return { op, value: ranges.includes(op) || op === 'starts_with' ? value : scalarOf(value) };
}

function attempt(json: Json): Draft | undefined {
  const has = (name: string) => Object.hasOwn(json, name);
  const node = (kind: DraftKind, values: Json, parts: Draft[] = []): Draft => ({
    kind,
    values: Object.fromEntries(
      Object.entries(values).flatMap(([name, value]) => (value === undefined ? [] : [[name, String(value)]])),
    ),
    parts,
  });
  if (has('per')) return node('per', { per: json.per }, listOf(json.all).map(draftOf));
  if (has('all')) return node('all', {}, listOf(json.all).map(draftOf));
  if (has('any')) return node('any', {}, listOf(json.any).map(draftOf));
  if (has('not')) return node('not', {}, [draftOf(json.not)]);
  if (has('event'))
    return node('event', { ...matchValues(json), ...windowValues(json), ...aggregateValues(json) }, conditionsOf(json));
  if (has('sequence')) {
    const steps = listOf(json.sequence).map((step): Draft => {
      const { no } = recordOf(step);
      if (no === undefined) return node('step', matchValues(recordOf(step)), conditionsOf(recordOf(step)));
      return node('no', { ...matchValues(recordOf(no)), for: recordOf(step).for }, conditionsOf(recordOf(no)));
    });
    return node('sequence', { in: json.in, same: json.same, ...windowValues(json) }, steps);
  }
  if (has('trait')) return node('trait', { trait: json.trait, ...operatorValues(json) });
  if (has('identity')) return node('identity', { identity: json.identity, issuer: json.issuer });
  if (has('sample')) {
    const { percent, salt } = recordOf(json.sample);
    return node('sample', { percent, salt });
  }
  const kind = (['tag', 'segment', 'consent'] as const).find(has);
  return kind && node(kind, { [kind]: json[kind] });
}

const listOf = (json: unknown): unknown[] => (Array.isArray(json) ? json : []);
const recordOf = (json: unknown): Json => (isRecord(json) ? json : {});
const namesText = (json: unknown) => (Array.isArray(json) ? json.join(', ') : json);

function conditionsOf(match: Json): Draft[] {
  return (['where', 'item'] as const).flatMap((kind) =>
    listOf(match[kind]).map((condition): Draft => {
      const { property } = recordOf(condition);
      return { kind, values: { property: String(property ?? ''), ...operatorValues(recordOf(condition)) }, parts: [] };
    }),
  );
}

function matchValues({ event, channel, trust, unless }: Json): Json {
  const values = { event: namesText(event), channel: namesText(channel), trust };
  if (!isRecord(unless)) return values;
  return { ...values, unless_event: namesText(unless.event), unless_same: unless.same };
}

function windowValues(json: Json): Json {
  if (json.within !== undefined) return { window: 'within', within: json.within };
  if (json.between !== undefined) {
    const [from, to] = listOf(json.between);
    return { window: 'between', from, to };
  }
  if (json.calendar !== undefined) {
    const { unit, offset } = recordOf(json.calendar);
    return { window: 'calendar', unit, offset };
  }
  if (json.after !== undefined || json.before !== undefined)
    return { window: 'range', after: json.after, before: json.before };
  return {};
}

function aggregateValues(json: Json): Json {
  const aggregate = aggregates.find((name) => json[name] !== undefined);
  if (!aggregate) return {};
  const stated = recordOf(json[aggregate]);
  const [first, second] = comparisons.filter((op) => stated[op] !== undefined);
  const minus = isRecord(stated.minus) && {
    minus_event: namesText(stated.minus.event),
    minus_of: stated.minus.of,
  };
  return {
    aggregate,
    of: stated.of,
    ...minus,
    ...(first && { op: first, value: stated[first] }),
    ...(second && { op2: second, value2: stated[second] }),
  };
}

function operatorValues({ op, value }: Json): Record<string, string> {
  if (op === 'exists') return { op: value === false ? 'missing' : 'exists' };
  const text = Array.isArray(value) ? value.map(scalarText).join(', ') : scalarText(value);
  const isWord = ranges.includes(String(op)) || op === 'starts_with';
  return { op: String(op ?? ''), value: isWord ? String(value) : text };
}

function scalarText(value: unknown): string {
  if (typeof value !== 'string') return JSON.stringify(value) ?? '';
  return scalarOf(value) === value ? value : JSON.stringify(value);
}
