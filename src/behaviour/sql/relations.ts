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
    const among = { part: relation.name, keys: scope.keys.map(({ column }) => column) };
    return bothHold(q, scope, relation, unit.relation({ ...scope, among }));
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
  let rest = sharing;
  while (rest.length) {
    // What leaves nobody out saves nothing by going first: it joins a scan that does, or all of it is one.
    const first = rest.find(({ question }) => !otherwiseOf([question]));
    const most = first ? first.reach * further : Number.POSITIVE_INFINITY;
    const together = rest.filter(({ reach }) => reach <= most);
    const questions = together.map(({ question }) => question);
    units.push({
      otherwise: otherwiseOf(questions),
      reach: first?.reach ?? Math.max(...together.map(({ reach }) => reach)),
      relation: (scope) => allOfEvents(q, scope, questions),
    });
    rest = rest.filter(({ reach }) => reach > most);
  }
  return units;
}

/**
 * Of two of which the first leaves out whoever answers false for ever. Grouped, not joined: PostgreSQL guesses how many rows an aggregate
 * leaves, and after a guess of one it would join a hundred thousand with as many by comparing each with each.
 */
function bothHold(q: Statement, scope: Scope, one: Relation, other: Relation): Relation {
  const keys = keyColumns(scope).join(', ');
  const name = q.part(
    `select ${keys}, holds, due from (
       select ${keys}, bool_and(holds) as holds,
              case when bool_and(holds) then min(due) else max(due) filter (where not holds) end as due
         from (select ${keys}, holds, due, true as is_one from ${one.name}
               union all select ${keys}, holds, due, false from ${other.name}) a
        group by ${keys} having bool_or(is_one)${other.otherwise ? '' : ' and not bool_and(is_one)'}) b
      where holds or due < ${never}`,
  );
  return { name, otherwise: false };
}

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
