/** The oracle's traits that are worked out: docs/profiles.md, "What is worked out", by enumerating and filtering. */
import { has, select } from './oracle-matches.ts';
import {
  byText,
  compare,
  dayIn,
  different,
  type Exact,
  exact,
  isInside,
  lengthOf,
  minus,
  numeric,
  plus,
  reach,
} from './oracle-values.ts';
import type { Json, Rfm, StoredEvent, ValueNode, Working, World } from './oracle-world.ts';

type Asked = {
  world: World;
  sub: string;
  t: number /** In order, of the purpose, none later than t. */;
  events: StoredEvent[];
};

const usualZone = 'Asia/Shanghai';
const paid: ValueNode = { event: 'order_paid', sum: { of: 'total', minus: { event: 'order_refunded', of: 'total' } } };
const orders: ValueNode = { event: 'order_paid', distinct: { of: 'order_id' } };
const ofEveryProfile: Record<string, Working['definition']> = {
  first_seen_at: { event: '*', first: true },
  last_seen_at: { event: '*', last: true },
  events_total: { event: '*', count: true },
  locale: { event: '*', last: { of: 'context.locale' } },
  orders_count: orders,
  orders_total: paid,
  average_order: { ratio: [paid, orders] },
  first_order_at: { event: 'order_paid', first: true },
  last_order_at: { event: 'order_paid', last: true },
};

/** Null: there is no value. Undefined: no trait of this name is worked out. */
export function workedOut(name: string, asked: Asked): Json | undefined {
  const { world, sub } = asked;
  if (name === 'created_at') return iso(world.subjects.find((subject) => subject.sub === sub)?.createdAt ?? 0);
  if (name.startsWith('rfm_')) return scoreOf(name.slice('rfm_'.length), asked);
  const own = world.workings.find((working) => working.name === name);
  const definition = own?.definition ?? ofEveryProfile[name];
  const tz = own?.tz ?? usualZone;
  if (!definition) return undefined;
  if (!('ratio' in definition)) return worthOf(definition, asked, tz);
  const [above, below] = definition.ratio.map((node) => worthOf(node, asked, tz));
  return typeof above === 'number' && typeof below === 'number' && below !== 0 ? above / below : null;
}

const iso = (moment: number) => new Date(moment).toISOString();

function worthOf(node: ValueNode, { events, t }: Asked, tz: string): Json {
  const inWindow = (event: StoredEvent) => isInside(node, event.timestamp, t, tz);
  const matches = select(node, events).filter(inWindow);
  const numbers = (of: string, from = matches): Exact[] =>
    from
      .flatMap((event) => reach(of, event))
      .map(numeric)
      .filter((number) => number !== undefined);
  const total = (of: string, from = matches) => numbers(of, from).reduce(plus, exact(0));
  const valuesOf = (event: StoredEvent, of: string) => different(reach(of, event)).sort(byText);
  const edge = node.first ?? node.last;
  if (edge) {
    const inTurn = node.first ? matches : matches.toReversed();
    if (edge === true) return inTurn[0] ? iso(inTurn[0].timestamp) : null;
    return inTurn.flatMap((event) => valuesOf(event, edge.of))[0] ?? null;
  }
  if (node.days) return new Set(matches.map(({ timestamp }) => dayIn(tz, timestamp))).size;
  if (node.distinct) return different(matches.flatMap((event) => reach(node.distinct?.of ?? '', event))).length;
  if (node.most_frequent) {
    const { of } = node.most_frequent;
    const values = different(matches.flatMap((event) => reach(of, event))).sort(byText);
    const times = values.map((value) => matches.filter((event) => has(event, of, value)).length);
    return values[times.indexOf(Math.max(...times))] ?? null;
  }
  if (node.sum) {
    const off = node.sum.minus;
    const less = off ? total(off.of, select(off, events).filter(inWindow)) : exact(0);
    return nearest(minus(total(node.sum.of), less));
  }
  if (node.avg) {
    const n = numbers(node.avg.of).length;
    return n > 0 ? nearest(total(node.avg.of)) / n : null;
  }
  if (node.min ?? node.max) {
    const sorted = numbers((node.min ?? node.max)?.of ?? '').sort(compare);
    const found = sorted.at(node.min ? 0 : -1);
    return found ? nearest(found) : null;
  }
  return matches.length;
}

/** The number of JSON nearest to what was summed exactly. Here all that is summed has a power of ten below the line. */
const nearest = ({ over, under }: Exact) => Number(`${over}e-${String(under).length - 1}`);

// Recency, frequency, monetary value

const usual: Rfm = {
  recency_days: [180, 90, 60, 30],
  frequency: [2, 3, 5, 8],
  monetary: [300, 1000, 3000, 8000],
  period_days: 365,
  high: { recency: 4, frequency: 3, monetary: 3 },
};

function scoreOf(part: string, asked: Asked): Json {
  const { world, t, events } = asked;
  const { recency_days, frequency, monetary, period_days, high } = world.rfm ?? usual;
  const within = `${period_days}d`;
  const bought = select({ event: 'order_paid' }, events);
  if (bought.length === 0) return null;
  const score = (met: boolean[]) => 1 + met.filter(Boolean).length;
  const scores = {
    recency: score(recency_days.map((n) => bought.some(({ timestamp }) => t - lengthOf(`${n}d`) < timestamp))),
    frequency: score(frequency.map((n) => Number(worthOf({ ...orders, within }, asked, usualZone)) >= n)),
    monetary: score(monetary.map((n) => Number(worthOf({ ...paid, within }, asked, usualZone)) >= n)),
  };
  if (part !== 'segment') return scores[part as keyof typeof scores];
  const [isRecent, isFrequent] = [scores.recency >= high.recency, scores.frequency >= high.frequency];
  const what = isRecent ? (isFrequent ? 'value' : 'develop') : isFrequent ? 'keep' : 'win_back';
  return `${scores.monetary >= high.monetary ? 'important' : 'general'}_${what}`;
}
