/**
 * Answers put together. `all` starts from what answers false for everybody else, narrowest first, and asks the rest only about those who
 * are left: nobody's events are read for a question that was already settled. `any` is the `not` of an `all` of `not`s.
 */
import { allOfEvents, type EventQuestion, reachOf, sharesScan, withoutEvents } from './aggregates.ts';
import { aloneOfEvents } from './alone.ts';
import { keyColumns, never, type Relation, type Scope, type Statement } from './statement.ts';

/** Something to ask about everybody, or about those in the scope. */
export type Unit = {
  /** The answer for whoever has no row in the relation. */
  otherwise: boolean;
  /** How far back it reads events, in milliseconds: what reads least goes first. */
  reach: number;
  relation(scope: Scope): Relation;
};
export type Term = EventQuestion | Unit;

export function otherwiseOf(terms: Term[]): boolean {
  return terms.every((term) => ('node' in term ? withoutEvents(term.node) !== term.isNegated : term.otherwise));
}

/** How far back the narrowest of them reads, of those that all others can start from. */
export function narrowest(q: Statement, terms: Term[]): number {
  const starts = unitsOf(q, terms).filter(({ otherwise }) => !otherwise);
  return Math.min(Number.POSITIVE_INFINITY, ...starts.map(({ reach }) => reach));
}

export function allOf(q: Statement, scope: Scope, terms: Term[]): Relation {
  const units = unitsOf(q, terms);
  const narrowing = units.filter(({ otherwise }) => !otherwise).sort((a, b) => a.reach - b.reach);
  const [first, ...rest] = [...narrowing, ...units.filter(({ otherwise }) => otherwise)];
  if (!first || (!narrowing.length && rest.length)) {
    return noneFails(
      q,
      scope,
      units.map((unit) => unit.relation(scope)),
    );
  }
  return rest.reduce((relation, unit) => {
    return bothHold(q, scope, relation, unit.relation({ ...scope, among: relation.name }));
  }, first.relation(scope));
}

export function negated(q: Statement, scope: Scope, { name, otherwise }: Relation): Relation {
  const keys = keyColumns(scope).join(', ');
  return { name: q.part(`select ${keys}, not holds as holds, due from ${name}`), otherwise: !otherwise };
}

export function negatedUnit(q: Statement, unit: Unit): Unit {
  return { ...unit, otherwise: !unit.otherwise, relation: (scope) => negated(q, scope, unit.relation(scope)) };
}

/** That all of these hold. */
export function togetherUnit(q: Statement, terms: Term[]): Unit {
  return {
    otherwise: otherwiseOf(terms),
    reach: Math.max(0, ...unitsOf(q, terms).map(({ reach }) => reach)),
    relation: (scope) => allOf(q, scope, terms),
  };
}

/** How much further back a question may look to share a scan: reading that much more costs less than reading the same again. */
const further = 2;

function unitsOf(q: Statement, terms: Term[]): Unit[] {
  const units: Unit[] = [];
  const sharing: { question: EventQuestion; reach: number }[] = [];
  for (const term of terms) {
    if (!('node' in term)) units.push(term);
    else if (sharesScan(term.node)) sharing.push({ question: term, reach: reachOf(q, term.node) });
    else {
      units.push({
        otherwise: otherwiseOf([term]),
        reach: reachOf(q, term.node),
        relation: (scope) => aloneOfEvents(q, scope, term),
      });
    }
  }
  sharing.sort((a, b) => a.reach - b.reach);
  while (sharing.length) {
    const most = (sharing[0]?.reach ?? 0) * further;
    const count = sharing.filter(({ reach }) => reach <= most).length;
    const together = sharing.splice(0, count).map(({ question }) => question);
    units.push({
      otherwise: otherwiseOf(together),
      reach: most / further,
      relation: (scope) => allOfEvents(q, scope, together),
    });
  }
  return units;
}

/** Of two of which the first leaves out whoever answers false for ever. */
function bothHold(q: Statement, scope: Scope, one: Relation, other: Relation): Relation {
  const keys = keyColumns(scope);
  const join = other.otherwise ? 'left join' : 'join';
  const name = q.part(
    `select ${keys.join(', ')}, h1 and h2 as holds, ${dueOfBoth} as due from (
       select ${keys.map((key) => `a.${key}`).join(', ')}, a.holds as h1, a.due as d1,
              coalesce(b.holds, true) as h2, coalesce(b.due, ${never}) as d2
         from ${one.name} a ${join} ${other.name} b on ${keys.map((key) => `b.${key} = a.${key}`).join(' and ')}) c
      where h1 and h2 or ${dueOfBoth} < ${never}`,
  );
  return { name, otherwise: false };
}

const dueOfBoth = `case when h1 and h2 then least(d1, d2) when h1 then d2 when h2 then d1 else greatest(d1, d2) end`;

/** Of relations that each hold rows of those alone who fail, or will. */
function noneFails(q: Statement, scope: Scope, relations: Relation[]): Relation {
  const keys = keyColumns(scope).join(', ');
  const rows = relations.map(({ name }) => `select ${keys}, holds, due from ${name}`).join(' union all ');
  const name = q.part(
    `select ${keys}, bool_and(holds) as holds,
            case when bool_and(holds) then min(due) else max(due) filter (where not holds) end as due
       from (${rows || `select null::uuid as subject_id, true as holds, ${never} as due where false`}) a group by ${keys}`,
  );
  return { name, otherwise: true };
}

/** Answers about values become answers about their subjects: one value is enough. `also` selects more of the group. */
export function anyValue(q: Statement, scope: Scope, { name }: Relation, also = ''): Relation {
  const keys = keyColumns(scope).join(', ');
  const part = q.part(
    `select ${keys}, bool_or(holds) as holds,
            case when bool_or(holds) then max(due) filter (where holds) else min(due) end as due${also}
       from ${name} group by ${keys}`,
  );
  return { name: part, otherwise: false };
}
