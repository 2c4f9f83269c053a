/** Which fields a node of a definition has in the builder's form, as far as its other fields ask for them. */
import { aggregates, calendarUnits, comparisons, conditionOps } from '../behaviour/language.ts';
import { purposes } from '../consent/consent.ts';
import { builtinChannels } from '../events/builtin-catalogue.ts';
import { trusts } from '../events/trust.ts';
import { traitOps } from '../segments/definition.ts';
import type { Draft, DraftKind } from './segment-draft.ts';

/** Of a length of time. */
export const units: readonly string[] = ['m', 'h', 'd', 'w'];

export type Control = {
  name: string;
  type: 'text' | 'number' | 'select' | 'area' | 'length';
  /** Of a select: values; `words` is where their words are in the locale files. */
  options?: readonly string[];
  words?: string;
  /** What is known, to choose from while typing. */
  list?: 'events' | 'properties' | 'traits' | 'segments' | 'anniversaries';
  /** Other fields come and go with its value. */
  shapes?: true;
};

const select = (name: string, options: readonly string[], more: Partial<Control> = {}): Control => ({
  name,
  type: 'select',
  options,
  words: `admin.builder.${name}`,
  ...more,
});
const text = (name: string, list?: Control['list']): Control => ({ name, type: 'text', ...(list && { list }) });
/** A length of time: a number and its unit. */
const length = (name: string): Control => ({ name, type: 'length' });

const match = [text('event', 'events'), select('channel', ['', ...builtinChannels], { words: 'admin.channel' })];
const rarer = [
  select('trust', ['', ...trusts], { words: 'admin.trust' }),
  text('unless_event', 'events'),
  text('unless_same', 'properties'),
];
const formOps = conditionOps.flatMap((op) => (op === 'exists' ? ['exists', 'missing'] : [op]));
const identities = ['phone', 'email', 'wechat_openid', 'wechat_unionid', 'oidc', 'member_no'];

/** @param values undefined: every field that such a node may have */
export function controls(kind: DraftKind, values: Draft['values'] | undefined): Control[] {
  const when = (isShown: boolean, ...shown: Control[]) => (values === undefined || isShown ? shown : []);
  const { window = '', aggregate = '', op = '' } = values ?? {};
  const windows = [
    select('window', ['', 'within', 'calendar', 'between', 'range'], { shapes: true }),
    ...when(window === 'within', length('within')),
    ...when(window === 'between', length('from'), length('to')),
    ...when(window === 'calendar', select('unit', calendarUnits), text('offset')),
    ...when(window === 'range', text('after'), text('before')),
  ];
  const isCompared = aggregate !== '' && aggregate !== 'first' && aggregate !== 'last';
  const hasPath = isCompared && aggregate !== 'count' && aggregate !== 'days';
  const isOpen = op !== 'exists' && op !== 'missing';
  switch (kind) {
    case 'event':
      return [
        ...match,
        select('aggregate', ['', ...aggregates], { shapes: true }),
        ...when(hasPath, text('of', 'properties')),
        ...when(isCompared, select('op', comparisons, { words: 'admin.builder.compare' }), text('value')),
        ...when(isCompared, select('op2', ['', ...comparisons], { words: 'admin.builder.compare', shapes: true })),
        ...when(isCompared && Boolean(values?.op2), text('value2')),
        ...when(aggregate === 'sum', text('minus_event', 'events'), text('minus_of', 'properties')),
        ...windows,
        ...rarer,
      ];
    case 'sequence':
      return [length('in'), text('same', 'properties'), ...windows];
    case 'step':
      return [...match, ...rarer];
    case 'no':
      return [...match, length('for'), ...rarer];
    case 'where':
    case 'item':
      return [
        text('property', 'properties'),
        select('op', formOps, { words: 'admin.builder.operator', shapes: true }),
        ...when(isOpen, text('value')),
      ];
    case 'trait': {
      const ops = traitOps.flatMap((one) => (one === 'exists' ? ['exists', 'missing'] : [one]));
      return [
        text('trait', 'traits'),
        select('op', ops, { words: 'admin.builder.operator', shapes: true }),
        ...when(isOpen, comparedWith(op)),
      ];
    }
    case 'per':
      return [text('per', 'properties')];
    case 'tag':
      return [text('tag')];
    case 'segment':
      return [text('segment', 'segments')];
    case 'consent':
      return [select('consent', ['service', ...Object.keys(purposes)], { words: 'admin.purpose' })];
    case 'identity':
      return [select('identity', identities, { words: 'admin.kind' }), text('issuer')];
    case 'sample':
      return [{ name: 'percent', type: 'number' }, text('salt')];
    case 'json':
      return [{ name: 'json', type: 'area' }];
    default:
      return [];
  }
}

function comparedWith(op: string): Control {
  if (op === 'in_last' || op === 'in_next') return length('value');
  return text('value', op === 'anniversary_in' ? 'anniversaries' : undefined);
}

/** Fields of a node that most leave empty, behind a fold. */
export const foldable = new Set([
  'trust',
  'unless_event',
  'unless_same',
  'minus_event',
  'minus_of',
  'op2',
  'value2',
  'issuer',
]);
