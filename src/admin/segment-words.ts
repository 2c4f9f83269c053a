/** What a definition asks, in words: one phrase a node, in the reader's language. Pure; `t` has the sentences. */
import {
  type Condition,
  comparisons,
  type EventNode,
  type Match,
  type SequenceNode,
  type Window,
} from '../behaviour/language.ts';
import type { Language, Translate } from '../http/i18n.ts';
import { formatNumber, formatTime } from '../http/i18n.ts';
import type { Node } from '../segments/definition.ts';
import { propertyTitle, type Titles } from './titles.ts';

export type Words = {
  t: Translate;
  language: Language;
  titles: Titles;
};

export type Phrase = { text: string; parts: Phrase[] };

const leaf = (text: string): Phrase => ({ text, parts: [] });

/** `30d` → 30 天 */
function durationInWords({ t }: Pick<Words, 't'>, text: string): string {
  const [, count = '', unit = ''] = /^(\d+)([mhdw])$/.exec(text) ?? [];
  return count ? t(`admin.says.duration_${unit}`, { count: Number(count) }) : text;
}

export function phraseOf(words: Words, node: Node): Phrase {
  const { t } = words;
  const inner = (nodes: Node[]) => nodes.map((part) => phraseOf(words, part));
  if ('per' in node)
    return { text: t('admin.says.per', { path: propertyTitle(t, node.per) }), parts: inner(node.all as Node[]) };
  if ('all' in node) return { text: t('admin.says.all'), parts: inner(node.all) };
  if ('any' in node) return { text: t('admin.says.any'), parts: inner(node.any) };
  if ('not' in node) {
    const part = phraseOf(words, node.not);
    return part.parts.length
      ? { text: t('admin.says.not'), parts: [part] }
      : leaf(t('admin.says.not_one', { what: part.text }));
  }
  if ('event' in node) return leaf(eventInWords(words, node));
  if ('sequence' in node) return sequencePhrase(words, node);
  if ('trait' in node) {
    const value = typeof node.value === 'string' ? rangeInWords(words.t, node.value) : node.value;
    return leaf(
      t('admin.says.trait', { trait: traitTitle(words, node.trait), is: operatorInWords(words, node.op, value) }),
    );
  }
  if ('tag' in node) return leaf(t('admin.says.tag', { tag: node.tag }));
  if ('segment' in node) return leaf(t('admin.says.segment', { segment: words.titles.ofSegment(node.segment) }));
  if ('consent' in node) return leaf(t('admin.says.consent', { purpose: t(`admin.purpose.${node.consent}`) }));
  if ('identity' in node) {
    const kind = t(`admin.kind.${node.identity}`, { defaultValue: node.identity });
    return leaf(t(node.issuer ? 'admin.says.identity_of' : 'admin.says.identity', { kind, issuer: node.issuer }));
  }
  return leaf(t('admin.says.sample', { percent: node.sample.percent }));
}

/** On one line, as a list shows it. */
export function sentenceIn(words: Words, node: Node): string {
  const { t } = words;
  const flat = ({ text, parts }: Phrase, isTop: boolean): string => {
    if (!parts.length) return text;
    const inner = parts.map((part) => flat(part, false)).join(t('admin.says.join'));
    return t(isTop ? 'admin.says.top' : 'admin.says.nested', { text, inner });
  };
  return flat(phraseOf(words, node), true);
}

function sequencePhrase(words: Words, node: SequenceNode): Phrase {
  const { t } = words;
  const steps = node.sequence.map((step, index) => {
    if (!('no' in step))
      return leaf(t(index ? 'admin.says.then' : 'admin.says.begins', { what: matchInWords(words, step) }));
    const what = matchInWords(words, step.no);
    return leaf(
      step.for
        ? t('admin.says.no_for', { what, time: durationInWords(words, step.for) })
        : t('admin.says.no', { what }),
    );
  });
  const limits = [
    node.in && t('admin.says.in', { time: durationInWords(words, node.in) }),
    node.same && t('admin.says.same', { path: propertyTitle(t, node.same) }),
  ].filter(Boolean);
  const text = `${windowInWords(words, node)}${t('admin.says.sequence')}${limits.join('')}`;
  return { text, parts: steps };
}

function eventInWords(words: Words, node: EventNode): string {
  const { t } = words;
  const said = {
    when: windowInWords(words, node),
    what: matchInWords(words, node),
    less: node.sum?.minus
      ? t('admin.says.less', {
          event: namesInWords(words, node.sum.minus.event),
          of: propertyTitle(t, node.sum.minus.of),
        })
      : '',
  };
  if (node.first) return t('admin.says.first', said);
  if (node.last) return t('admin.says.last', said);
  for (const aggregate of ['days', 'distinct', 'sum', 'avg', 'min', 'max'] as const) {
    const stated = node[aggregate];
    if (!stated) continue;
    const of = 'of' in stated ? propertyTitle(t, stated.of) : '';
    const much = comparisonInWords(words, stated);
    return t(`admin.says.${aggregate}`, { ...said, of, much, count: mostIn(stated) });
  }
  const count = node.count ?? { gte: 1 };
  if (count.gte === 1 && Object.keys(count).length === 1) return t('admin.says.once', said);
  return t('admin.says.count', { ...said, much: comparisonInWords(words, count), count: mostIn(count) });
}

/** Of the numbers to compare with: whether it is one time or several. */
const mostIn = (stated: object) => Math.max(...Object.values(stated).filter((value) => typeof value === 'number'));

export function comparisonInWords({ t }: Words, stated: object): string {
  return comparisons
    .flatMap((op) => {
      const value = (stated as Record<string, unknown>)[op];
      return typeof value === 'number' ? [t(`admin.says.compare_${op}`, { value: formatNumber(value) })] : [];
    })
    .join(t('admin.says.and'));
}

function namesInWords({ t, titles }: Words, names: string | string[]): string {
  return [names]
    .flat()
    .map((name) => (name === '*' ? t('admin.says.anything') : titles.ofEvent(name)))
    .join(t('admin.says.or'));
}

function matchInWords(words: Words, { event, channel, trust, where, item, unless }: Match): string {
  const { t } = words;
  const channels = [channel ?? []].flat().map((name) => t(`admin.channel.${name}`, { defaultValue: name }));
  const conditions = [
    ...(where ?? []).map((one) => conditionInWords(words, one)),
    ...(item ?? []).map((one) => t('admin.says.item', { condition: conditionInWords(words, one) })),
    ...(trust ? [t('admin.says.trust', { trust: t(`admin.trust.${trust}`) })] : []),
    ...(unless
      ? [t('admin.says.unless', { event: namesInWords(words, unless.event), path: propertyTitle(t, unless.same) })]
      : []),
  ];
  return t('admin.says.match', {
    where: channels.length ? t('admin.says.on', { channels: channels.join(t('admin.says.or')) }) : '',
    event: namesInWords(words, event),
    conditions: conditions.length ? t('admin.says.conditions', { inner: conditions.join(t('admin.says.comma')) }) : '',
  });
}

function conditionInWords(words: Words, condition: Condition): string {
  const { t } = words;
  if ('any' in condition) return condition.any.map((one) => conditionInWords(words, one)).join(t('admin.says.or'));
  return t('admin.says.property', {
    property: propertyTitle(t, condition.property),
    is: operatorInWords(words, condition.op, condition.value),
  });
}

/** What is greater or less is an amount; what equals may be a number that names something. */
const amounts = ['gt', 'gte', 'lt', 'lte'];

function operatorInWords({ t }: Words, op: string, value: unknown): string {
  if (op === 'exists') return t(value === false ? 'admin.says.op_missing' : 'admin.says.op_exists');
  if (typeof value === 'number' && amounts.includes(op))
    return t(`admin.says.op_${op}`, { value: formatNumber(value) });
  return t(`admin.says.op_${op}`, { value: Array.isArray(value) ? value.join(t('admin.says.comma')) : value });
}

export function rangeInWords(t: Translate, text: string): string {
  return text.startsWith('this_')
    ? t(`admin.says.calendar_${text.slice(5)}`).toLowerCase()
    : durationInWords({ t }, text);
}

/** What is worked out has a title; of what companies usually say of people there are words. */
function traitTitle({ t, titles }: Words, name: string): string {
  return t(`admin.trait.${name}`, { defaultValue: titles.ofTrait(name) });
}

function windowInWords(words: Words, { within, between, calendar, after, before }: Window): string {
  const { t, language } = words;
  const at = (moment: string) => formatTime(language, new Date(moment));
  if (within) return t('admin.says.within', { time: durationInWords(words, within) });
  if (between)
    return t('admin.says.between', {
      from: durationInWords(words, between[0]),
      to: durationInWords(words, between[1]),
    });
  if (calendar) {
    const { unit, offset = 0 } = calendar;
    if (offset === 0 || offset === -1)
      return t('admin.says.during', { period: t(`admin.says.calendar_${unit}${offset ? '_last' : ''}`) });
    return t('admin.says.during', { period: t(`admin.says.calendar_${unit}_before`, { count: -offset }) });
  }
  if (after && before) return t('admin.says.range', { after: at(after), before: at(before) });
  if (after) return t('admin.says.after', { after: at(after) });
  return before ? t('admin.says.before', { before: at(before) }) : '';
}
