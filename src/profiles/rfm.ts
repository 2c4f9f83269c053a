/**
 * Recency, frequency and monetary value (RFM): how long ago somebody bought, how often and for how much, each as a score from 1 to 5, and
 * the eight groups that retailers make of high and low. The thresholds are data; a score is 1 and one more for each threshold that is met.
 */
import { combined, compileComputed } from '../behaviour/computed.ts';
import { day } from '../behaviour/duration.ts';
import type { Scalar } from '../behaviour/language.ts';
import { usualTimeZone } from '../behaviour/parse-window.ts';
import { type ComputedSql, computedSql } from '../behaviour/sql/computed.ts';
import { never, type Statement } from '../behaviour/sql/statement.ts';
import { moment, span } from '../behaviour/sql/windows.ts';
import type { ComputedTrait } from './computed.ts';
import type { Title } from './system-traits.ts';

export type RfmSettings = {
  /** Bought within so many days: from the longest to the shortest. */
  recency_days: number[];
  /** So many orders in the period, rising. */
  frequency: number[];
  /** So much paid in the period, net of refunds, rising. */
  monetary: number[];
  /** Of frequency and monetary value, in days. */
  period_days: number;
  /** The score from which on each counts as high. */
  high: { recency: number; frequency: number; monetary: number };
};

export const usualRfm: RfmSettings = {
  recency_days: [180, 90, 60, 30],
  frequency: [2, 3, 5, 8],
  monetary: [300, 1000, 3000, 8000],
  period_days: 365,
  high: { recency: 4, frequency: 3, monetary: 3 },
};

/** By recency, frequency and monetary value as bits: 7 is high in all. */
export const rfmGroups: { code: string; title: Title }[] = [
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
type Part = keyof Scores | 'segment';
const titles: Record<Part, Title> = {
  recency: { 'zh-CN': 'RFM 最近购买（1–5）', en: 'RFM recency (1–5)' },
  frequency: { 'zh-CN': 'RFM 购买频次（1–5）', en: 'RFM frequency (1–5)' },
  monetary: { 'zh-CN': 'RFM 购买金额（1–5）', en: 'RFM monetary value (1–5)' },
  segment: { 'zh-CN': 'RFM 客户分群', en: 'RFM group' },
};

/** Who never bought has none of them. */
export function rfmTraits(settings: RfmSettings): ComputedTrait[] {
  const within = `${settings.period_days}d`;
  const definitions = [
    { event: 'order_paid', last: true as const },
    { event: 'order_paid', distinct: { of: 'order_id' }, within },
    { event: 'order_paid', sum: { of: 'total', minus: { event: 'order_refunded', of: 'total' } }, within },
  ];
  const questions = definitions.map((definition) => compileComputed(definition, usualTimeZone));
  const parts = definitions.map((definition) => computedSql(definition, usualTimeZone));
  return (['recency', 'frequency', 'monetary', 'segment'] as const).map((part) => ({
    name: `rfm_${part}`,
    title: titles[part],
    origin: 'system',
    definition: null,
    question: combined(
      questions,
      (values, at) => scored(settings, part, values, at),
      `rfm ${part} ${JSON.stringify(settings)}`,
    ),
    sql: rfmSql(settings, part, parts),
  }));
}

function scored(settings: RfmSettings, part: Part, [last, orders, paid]: (Scalar | null)[], at: number) {
  if (typeof last !== 'string') return { value: null, dueAt: null };
  const ends = settings.recency_days.map((days) => Date.parse(last) + days * day).filter((end) => end > at);
  const scores: Scores = {
    recency: 1 + ends.length,
    frequency: 1 + met(settings.frequency, orders),
    monetary: 1 + met(settings.monetary, paid),
  };
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
