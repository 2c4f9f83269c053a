/**
 * Recency, frequency and monetary value (RFM): how long ago somebody bought, how often and for how much, each as a score from 1 to 5, and
 * the eight groups that retailers make of high and low. The thresholds are data; a score is 1 and one more for each threshold that is met.
 */
import { z } from 'zod';
import { combined, compileComputed } from '../behaviour/computed.ts';
import { day } from '../behaviour/duration.ts';
import type { Scalar, ValueNode } from '../behaviour/language.ts';
import { usualTimeZone } from '../behaviour/parse-window.ts';
import { type ComputedSql, computedSql } from '../behaviour/sql/computed.ts';
import { never, type Statement } from '../behaviour/sql/statement.ts';
import { moment, span } from '../behaviour/sql/windows.ts';
import type { ComputedTrait, Title } from './trait.ts';

const ordered = (isNext: (one: number, next: number) => boolean, sentence: string) =>
  z
    .array(z.number().positive().max(1e12))
    .length(4)
    .refine((all) => all.every((one, at) => at === 0 || isNext(all[at - 1] ?? 0, one)), sentence);
const rising = ordered((one, next) => one < next, 'must rise');
const score = z.int().min(2).max(5);

export const rfmSettings = z
  .strictObject({
    recency_days: ordered((one, next) => one > next, 'must fall')
      .refine((all) => all.every((days) => days <= 3650), 'must be at most 3650 days')
      .meta({ description: 'Bought within so many days: from the longest to the shortest.' }),
    frequency: rising.meta({ description: 'So many orders in the period.' }),
    monetary: rising.meta({ description: 'So much paid in the period, net of refunds.' }),
    period_days: z.int().min(1).max(3650).meta({ description: 'Of frequency and monetary value.' }),
    high: z
      .strictObject({ recency: score, frequency: score, monetary: score })
      .meta({ description: 'The score from which on each counts as high.' }),
  })
  .meta({ id: 'RfmSettings' });
export type RfmSettings = z.output<typeof rfmSettings>;

export const usualRfm: RfmSettings = {
  recency_days: [180, 90, 60, 30],
  frequency: [2, 3, 5, 8],
  monetary: [300, 1000, 3000, 8000],
  period_days: 365,
  high: { recency: 4, frequency: 3, monetary: 3 },
};

/** By recency, frequency and monetary value as bits: 7 is high in all. */
const rfmGroups: { code: string; title: Title }[] = [
  { code: 'general_win_back', title: { 'zh-CN': '一般挽留客户', en: 'General, to win back' } },
  { code: 'important_win_back', title: { 'zh-CN': '重要挽留客户', en: 'Important, to win back' } },
  { code: 'general_keep', title: { 'zh-CN': '一般保持客户', en: 'General, to keep' } },
  { code: 'important_keep', title: { 'zh-CN': '重要保持客户', en: 'Important, to keep' } },
  { code: 'general_develop', title: { 'zh-CN': '一般发展客户', en: 'General, to develop' } },
  { code: 'important_develop', title: { 'zh-CN': '重要发展客户', en: 'Important, to develop' } },
  { code: 'general_value', title: { 'zh-CN': '一般价值客户', en: 'General, of value' } },
  { code: 'important_value', title: { 'zh-CN': '重要价值客户', en: 'Important, of value' } },
];

type Scores = { recency: number; frequency: number; monetary: number };
const parts = ['recency', 'frequency', 'monetary', 'segment'] as const;
type Part = (typeof parts)[number];
/** What these are called as traits. */
export const rfmNames = parts.map((part) => `rfm_${part}` as const);
const titles: Record<Part, Title> = {
  recency: { 'zh-CN': 'RFM 最近购买（1–5）', en: 'RFM recency (1–5)' },
  frequency: { 'zh-CN': 'RFM 购买频次（1–5）', en: 'RFM frequency (1–5)' },
  monetary: { 'zh-CN': 'RFM 购买金额（1–5）', en: 'RFM monetary value (1–5)' },
  segment: { 'zh-CN': 'RFM 客户类型', en: 'RFM group' },
};

/** Who never bought has none of them. */
export function rfmTraits(settings: RfmSettings): ComputedTrait[] {
  const values = rfmParts(settings);
  const questions = values.map(({ question }) => question);
  const statements = values.map(({ sql }) => sql);
  return parts.map((part) => ({
    name: `rfm_${part}`,
    title: titles[part],
    origin: 'system',
    definition: null,
    question: combined(
      questions,
      (found, at) => scored(settings, part, found, at),
      `rfm ${part} ${JSON.stringify(settings)}`,
    ),
    sql: rfmSql(settings, part, statements),
  }));
}

function definitionsOf({ period_days }: RfmSettings): ValueNode[] {
  const within = `${period_days}d`;
  return [
    { event: 'order_paid', last: true },
    { event: 'order_paid', distinct: { of: 'order_id' }, within },
    { event: 'order_paid', sum: { of: 'total', minus: { event: 'order_refunded', of: 'total' } }, within },
  ];
}

export type Rfm = {
  recency: { score: number; last_order_at: string };
  frequency: { score: number; orders: number };
  monetary: { score: number; paid: number };
  group: { code: string; title: Title };
  period_days: number;
};

/** What the scores are of, in the order of explainRfm. */
export function rfmParts(settings: RfmSettings): Pick<ComputedTrait, 'question' | 'sql'>[] {
  return definitionsOf(settings).map((definition) => ({
    question: compileComputed(definition, usualTimeZone),
    sql: computedSql(definition, usualTimeZone),
  }));
}

/** The scores with what they are of; null for who never bought. @param values of rfmParts @param at milliseconds since 1970 */
export function explainRfm(settings: RfmSettings, values: (Scalar | null)[], at: number): Rfm | null {
  const [last, orders, paid] = values;
  if (typeof last !== 'string') return null;
  const scores = scoresOf(settings, { last, orders, paid }, at);
  const group = rfmGroups[groupOf(settings, scores)];
  if (!group) throw new Error('there are eight groups');
  return {
    recency: { score: scores.recency, last_order_at: last },
    frequency: { score: scores.frequency, orders: Number(orders) },
    monetary: { score: scores.monetary, paid: Number(paid) },
    group,
    period_days: settings.period_days,
  };
}

/** What the trait of this name says of somebody. */
export function rfmValue({ group, ...scores }: Rfm, name: string): Scalar {
  const part = parts.find((part) => name === `rfm_${part}`);
  if (!part) throw new Error(`${name} is no part of RFM`);
  return part === 'segment' ? group.code : scores[part].score;
}

type Values = { last: string; orders: Scalar | null | undefined; paid: Scalar | null | undefined };

function scoresOf(settings: RfmSettings, { last, orders, paid }: Values, at: number): Scores {
  return {
    recency: 1 + endsOf(settings, last, at).length,
    frequency: 1 + met(settings.frequency, orders),
    monetary: 1 + met(settings.monetary, paid),
  };
}

/** When the thresholds of recency that are met will be no more. */
function endsOf({ recency_days }: RfmSettings, last: string, at: number): number[] {
  return recency_days.map((days) => Date.parse(last) + days * day).filter((end) => end > at);
}

function scored(settings: RfmSettings, part: Part, [last, orders, paid]: (Scalar | null)[], at: number) {
  if (typeof last !== 'string') return { value: null, dueAt: null };
  const scores = scoresOf(settings, { last, orders, paid }, at);
  const ends = endsOf(settings, last, at);
  const value = part === 'segment' ? (rfmGroups[groupOf(settings, scores)]?.code ?? null) : scores[part];
  return { value, dueAt: ends.length ? Math.min(...ends) : null };
}

function met(thresholds: number[], value: Scalar | null | undefined): number {
  return thresholds.filter((threshold) => typeof value === 'number' && value >= threshold).length;
}

function groupOf({ high }: RfmSettings, { recency, frequency, monetary }: Scores): number {
  return (
    (recency >= high.recency ? 4 : 0) + (frequency >= high.frequency ? 2 : 0) + (monetary >= high.monetary ? 1 : 0)
  );
}

function rfmSql(settings: RfmSettings, part: Part, [last, orders, paid]: ComputedSql[]): ComputedSql {
  return (q, scope) => {
    if (!last || !orders || !paid) throw new Error('RFM has three parts');
    const now = moment(q, q.at.getTime());
    const ends = settings.recency_days.map((days) => `last_at + ${span(q, days * day)}`);
    const due = ends.map((end) => `case when ${end} > ${now} then ${end} end`);
    const value = {
      recency: 'to_jsonb(recency)',
      frequency: 'to_jsonb(frequency)',
      monetary: 'to_jsonb(monetary)',
      segment: groupSql(q, settings),
    }[part];
    return `select subject_id, case when last_at is not null then ${value} end as value, due from (
      select l.subject_id, last_at, 1${ends.map((end) => ` + (${end} > ${now})::integer`).join('')} as recency,
             ${scoreSql(q, settings.frequency, 'o.value')} as frequency, ${scoreSql(q, settings.monetary, 'p.value')} as monetary,
             least(l.due, coalesce(o.due, ${never}), coalesce(p.due, ${never}), ${due.join(', ')}) as due
        from (select subject_id, (value #>> '{}')::timestamptz as last_at, due from (${last(q, scope)}) x) l
        left join (${orders(q, scope)}) o on o.subject_id = l.subject_id
        left join (${paid(q, scope)}) p on p.subject_id = l.subject_id) r`;
  };
}

function scoreSql(q: Statement, thresholds: number[], value: string): string {
  const number = `coalesce(${value}, '0')::float8`;
  return `1${thresholds.map((threshold) => ` + (${number} >= ${q.param(threshold, 'float8')})::integer`).join('')}`;
}

function groupSql(q: Statement, { high }: RfmSettings): string {
  const bits = (['recency', 'frequency', 'monetary'] as const).map(
    (part, index) => `(${part} >= ${q.param(high[part], 'integer')})::integer * ${2 ** (2 - index)}`,
  );
  return `to_jsonb((${q.param(
    rfmGroups.map(({ code }) => code),
    'text[]',
  )})[1 + ${bits.join(' + ')}])`;
}
