/**
 * Steps in order, by running maxima over the events of a person in their order. An event completes the first k steps when a chain of k - 1
 * lies before it that no `{no}` has come after; the chain that began last is the one to keep, and the latest event before it ends that one
 * (one that ends later never began earlier).
 */
import { lengthOf } from '../duration.ts';
import type { Match, SequenceNode } from '../language.ts';
import { pathOf } from '../path.ts';
import { matches } from './conditions.ts';
import { eventColumns, eventsFrom, stands, untilCancelled } from './events.ts';
import { anyValue, type Unit } from './relations.ts';
import { and, keyColumns, never, type Scope, type Statement } from './statement.ts';
import { span, type WindowSql, windowSql } from './windows.ts';

type Flag = { name: string; match: Match; isNo: boolean };
type Plan = {
  flags: Flag[];
  /** The flag of each positive step with those of the `{no}` right before it. */
  steps: { is: string; gap: string[] }[];
  trailing: { is: string; length: number | null }[];
};

export function sequenceUnit(q: Statement, node: SequenceNode): Unit {
  const plan = planOf(node);
  const window = windowSql(q, node);
  const between = node.in === undefined ? Number.POSITIVE_INFINITY : lengthOf(node.in);
  const reach = plan.steps.length > 1 ? window.reach + between : window.reach;
  return {
    otherwise: false,
    reach,
    relation(scope) {
      if (node.same === undefined) return { name: completed(q, scope, node, plan, window, scope), otherwise: false };
      const column = `k${scope.keys.length + 1}`;
      const values = { ...scope, keys: [...scope.keys, { column, path: pathOf(node.same) }] };
      return anyValue(q, scope, { name: completed(q, values, node, plan, window, scope), otherwise: false });
    },
  };
}

function planOf(node: SequenceNode): Plan {
  const plan: Plan = { flags: [], steps: [], trailing: [] };
  for (const [at, step] of node.sequence.entries()) {
    const is = `m${at}`;
    plan.flags.push({ name: is, match: 'no' in step ? step.no : step, isNo: 'no' in step });
    if ('no' in step) plan.trailing.push({ is, length: step.for === undefined ? null : lengthOf(step.for) });
    else {
      plan.steps.push({ is, gap: plan.trailing.map((no) => no.is) });
      plan.trailing = [];
    }
  }
  return plan;
}

/** A part with the answers. `outer` is the scope in which a later event cancels: not only events of the same value do. */
function completed(
  q: Statement,
  scope: Scope,
  node: SequenceNode,
  { flags, steps, trailing }: Plan,
  window: WindowSql,
  outer: Scope,
): string {
  const keys = keyColumns(scope).join(', ');
  const ordered = `partition by ${keys} order by "timestamp", id`;
  const before = `over (${ordered} rows between unbounded preceding and 1 preceding)`;
  const last = steps.length - 1;
  let rows = `select *, row_number() over (${ordered}) as pos, case when ${steps[0]?.is} then "timestamp" end as f0
    from (${flaggedRows(q, scope, rowsOf(q, node, { flags, steps, trailing }, window), outer)}) e`;
  steps.slice(1).forEach(({ is, gap }, at) => {
    const chain = `max(f${at}) ${before}`;
    const latest = (flag: string) => `max(case when ${flag} then pos end) ${before}`;
    const unbroken = gap.length
      ? ` and ${latest(`f${at} is not null`)} >= coalesce(${latest(gap.join(' or '))}, 0)`
      : '';
    rows = `select *, case when ${is}${unbroken} then ${chain} end as f${at + 1} from (${rows}) s${at}`;
  });
  const tests = [`f${last} is not null`];
  if (node.in !== undefined) tests.push(`"timestamp" - f${last} <= ${span(q, lengthOf(node.in))}`);
  const following: string[] = [];
  const lengths: string[] = [];
  trailing.forEach(({ is, length }, at) => {
    if (length === null) {
      following.push(`max(case when ${is} then pos end) over (partition by ${keys}) as no${at}`);
      tests.push(`pos >= coalesce(no${at}, 0)`);
    } else {
      following.push(`min(case when ${is} then "timestamp" end) over (partition by ${keys} order by "timestamp" desc, id desc
        rows between unbounded preceding and 1 preceding) as no${at}`);
      tests.push(`coalesce(no${at} > "timestamp" + ${span(q, length)}, true)`);
      lengths.push(`"timestamp" + ${span(q, length)}`);
    }
  });
  if (following.length) rows = `select *, ${following.join(', ')} from (${rows}) n`;
  const now = q.param(q.at, 'timestamptz');
  const inside = window.within('"timestamp"');
  const starts = `case when ${inside} then "timestamp" else ${window.enters('"timestamp"')} end`;
  const answer = `select ${keys}, coalesce(bool_or(begins <= ${now}), false) as holds,
      least(case when bool_or(begins <= ${now}) then max(leaves) filter (where begins <= ${now}) else min(begins) end,
            min("timestamp") filter (where "timestamp" > ${now}), ${never}) as due
    from (select ${keys}, "timestamp", ${window.leaves('"timestamp"')} as leaves,
                 case when ${and(...tests, window.begun('"timestamp"'))} then greatest(${[starts, ...lengths].join(', ')}) end as begins
            from (${rows}) w) c
    group by ${keys}`;
  return q.part(
    `select * from (${untilCancelled(
      q,
      { scope, outer },
      flags.map(({ match }) => match),
      answer,
    )}) a where holds or due < ${never}`,
  );
}

type Rows = { flags: Flag[]; since: string; receivedAfter: number | null };

/** The first step may lie before the window, but not further than all steps may be apart. */
function rowsOf(q: Statement, node: SequenceNode, { flags, steps }: Plan, window: WindowSql): Rows {
  const { receivedAfter } = window;
  if (steps.length === 1) return { flags, since: window.since('e."timestamp"'), receivedAfter };
  if (node.in === undefined) return { flags, since: 'true', receivedAfter: null };
  const between = span(q, lengthOf(node.in));
  return {
    flags,
    since: window.since(`e."timestamp" + ${between}`),
    receivedAfter: receivedAfter && receivedAfter - lengthOf(node.in),
  };
}

/** Every event that is a step, with a column for each step that it is. None is one yet that is later than now. */
function flaggedRows(q: Statement, scope: Scope, { flags, since, receivedAfter }: Rows, outer: Scope): string {
  const now = q.param(q.at, 'timestamptz');
  const isNow = `e."timestamp" <= ${now}`;
  const all = flags.map((flag) => ({ ...flag, test: matches(q, 'e', flag.match) }));
  if (!all.some(({ match }) => match.unless)) {
    const where = and(since, `(${all.map(({ test }) => `(${test})`).join(' or ')})`);
    return `select ${eventColumns(scope)}, e."timestamp", e.id, ${all.map(({ name, test }) => `(${and(isNow, test)}) is true as ${name}`).join(', ')}
      ${eventsFrom(q, scope, { where, receivedAfter })}`;
  }
  const rows = all.map(({ match, isNo, test }, at) => {
    const where = and(since, test, stands(q, isNo ? scope : outer, match, receivedAfter));
    const columns = all.map(({ name }, other) => `${other === at ? isNow : 'false'} as ${name}`);
    return `select ${eventColumns(scope)}, e."timestamp", e.id, ${columns.join(', ')}
      ${eventsFrom(q, scope, { where, receivedAfter })}`;
  });
  const columns = [...keyColumns(scope), '"timestamp"', 'id'].join(', ');
  return `select ${columns}, ${all.map(({ name }) => `bool_or(${name}) as ${name}`).join(', ')} from (${rows.join(' union all ')}) u group by ${columns}`;
}
