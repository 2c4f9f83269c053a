/** Event questions that need a scan of their own: what a later event cancels, how many different values, sums with something taken off. */
import type { EventNode, Match } from '../language.ts';
import { pathOf } from '../path.ts';
import {
  answers,
  dueOf,
  type EventQuestion,
  isMere,
  looksAt,
  meets,
  numberOf,
  sumOf,
  type Tally,
  tallyOf,
} from './aggregates.ts';
import { matches } from './conditions.ts';
import { eventColumns, eventsFrom, standingFrom } from './events.ts';
import { and, keyColumns, type Relation, type Scope, type Statement } from './statement.ts';
import { baseOf, isList, isScalar, valueAt, valuesFrom } from './values.ts';
import { type WindowSql, windowSql } from './windows.ts';

export function aloneOfEvents(q: Statement, scope: Scope, { node, isNegated }: EventQuestion): Relation {
  const window = windowSql(q, node);
  const { tally, from } = partsOf(q, scope, node, window);
  const keys = keyColumns(scope).join(', ');
  const grouped = `select ${keys}, ${tally.columns.join(', ')} from (${from}) e group by ${keys}`;
  return answers(
    q,
    scope,
    grouped,
    [{ ...tally, node, isNegated }],
    [node, ...(node.sum?.minus ? [node.sum.minus] : [])],
  );
}

type Parts = { tally: Tally; from: string };

function partsOf(q: Statement, scope: Scope, node: EventNode, window: WindowSql): Parts {
  if (node.distinct || node.days) return differentOf(q, scope, node, window);
  if (node.sum?.minus) return balanceOf(q, scope, node, window);
  const from = rowsOf(q, scope, node, node, window, 'e.properties, e.context');
  return { tally: tallyOf(q, node, window, { name: 't', where: 'true' }), from };
}

/** The events of a Match that stand, with what is selected besides. */
function rowsOf(
  q: Statement,
  scope: Scope,
  node: EventNode,
  match: Match,
  window: WindowSql,
  more: string,
  join = '',
): string {
  const receivedAfter = node.first ? null : window.receivedAfter;
  const since = node.first ? 'true' : window.since('e."timestamp"');
  const from = standingFrom(q, scope, match, { where: looksAt(window, node), since, receivedAfter, join });
  return `select ${eventColumns(scope)}, e."timestamp", ${more} ${from}`;
}

function differentOf(q: Statement, scope: Scope, node: EventNode, window: WindowSql): Parts {
  const comparison = node.distinct ?? node.days ?? {};
  const inside = window.within('e."timestamp"');
  const keys = keyColumns(scope).join(', ');
  const rows = node.distinct
    ? valueRows(q, scope, node, node.distinct.of, window)
    : rowsOf(q, scope, node, node, window, `(e."timestamp" at time zone ${q.param(q.tz, 'text')})::date as v`);
  const out = isMere(comparison) ? 'max' : 'min';
  const holds = meets(q, 't_n', comparison);
  return {
    from: `select ${keys}, v, max(e."timestamp") filter (where ${inside}) as last_in, min(e."timestamp") filter (where not (${inside})) as next
             from (${rows}) e group by ${keys}, v`,
    tally: {
      columns: ['count(last_in) as t_n', `${out}(last_in) as t_out`, 'min(next) as t_next'],
      holds,
      due: dueOf(comparison, holds, { falls: window.leaves('t_out'), rises: window.enters('t_next') }),
    },
  };
}

function valueRows(q: Statement, scope: Scope, node: EventNode, of: string, window: WindowSql): string {
  const path = pathOf(of);
  const value = q.alias();
  const base = baseOf('e', path);
  const source = isList(path.steps)
    ? `${valuesFrom(q, base, path.steps)} as ${value}`
    : `(select ${valueAt(q, base, path.steps)} as v) as ${value}`;
  const join = ` cross join lateral ${source}`;
  return `select * from (${rowsOf(q, scope, node, node, window, `${value}.v`, join)}) d where ${isScalar('v')}`;
}

/** What is taken off counts as less than nothing. */
function balanceOf(q: Statement, scope: Scope, node: EventNode, window: WindowSql): Parts {
  const { of, minus, ...comparison } = node.sum ?? { of: '' };
  const filter = (...tests: string[]) => ` filter (where ${and(...tests)})`;
  const tally = sumOf(q, comparison, window, { name: 't', filter, value: 'v' });
  const added = numberOf(q, of, 'sum');
  if (!minus) return { from: rowsOf(q, scope, node, node, window, `${added} as v`), tally };
  const taken = numberOf(q, minus.of, 'sum');
  if (node.unless || minus.unless) {
    const both = [
      rowsOf(q, scope, node, node, window, `${added} as v`),
      rowsOf(q, scope, node, minus, window, `-(${taken}) as v`),
    ];
    return { from: both.join(' union all '), tally };
  }
  const [isAdded, isTaken] = [matches(q, 'e', node), matches(q, 'e', minus)];
  const from = `select ${eventColumns(scope)}, e."timestamp",
      coalesce(case when ${isAdded} then ${added} end, 0) - coalesce(case when ${isTaken} then ${taken} end, 0) as v
    ${eventsFrom(q, scope, {
      where: and(looksAt(window, node), `(${isAdded} or ${isTaken})`),
      receivedAfter: window.receivedAfter,
    })}`;
  // Worked out once an event, not once for each of its uses.
  return { from: `${from} offset 0`, tally };
}
