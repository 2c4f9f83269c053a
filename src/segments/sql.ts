/**
 * A definition as one SQL statement that answers for everybody: backfill and preview. What people did is behaviour/sql.ts; here are the
 * tree, traits and what people have, who may be a member at all, and what it says in the end.
 */
import type { Knex } from 'knex';
import type { PerNode, Scalar } from '../behaviour/language.ts';
import { firstValues } from '../behaviour/sql/per.ts';
import { allOf, negatedUnit, type Term, togetherUnit, type Unit } from '../behaviour/sql/relations.ts';
import { createStatement, never, type Relation, type Scope, type Statement } from '../behaviour/sql/statement.ts';
import { behaviourTerm } from '../behaviour/sql.ts';
import { limitTime } from '../database.ts';
import type { ComputedTrait } from '../profiles/trait.ts';
import type { HasNode, Node, Segment, TraitNode } from './definition.ts';
import type { Membership } from './evaluate.ts';
import { hasUnit, listUnit, mayBe, nobody } from './facts-sql.ts';
import { declaredTrait, traitUnit } from './trait-sql.ts';

export type SqlOptions = {
  at: Date;
  /** The definition in force under a key, a list too: its definition is itself, which means whom it names. */
  segmentOf(key: string): Segment | undefined;
  /** A trait that is worked out of events; undefined for a declared one. */
  traitOf?: (name: string) => Pick<ComputedTrait, 'question' | 'sql'> | undefined;
  /** Keys of the segments whose members carry the tag. */
  segmentsTagging?: (tag: string) => string[];
  /** This subject is all that is asked about; rows of others may be there besides. */
  only?: string;
};
export type CompiledSql = { sql: string; bindings: Record<string, unknown> };

/**
 * Rows `(subject_id, is_member, matched, due_at)` of who is a member now, and of who may become one by time alone; nobody else. `due_at` is
 * no later than the next moment at which the row may be another though nothing new became known; null: never.
 * @param segment validated
 */
export function compileToSql(segment: Segment, options: SqlOptions): CompiledSql {
  const q = createStatement({ at: options.at, tz: segment.tz, purpose: segment.purpose });
  const pers: NamedPer[] = [];
  const everybody: Scope = {
    keys: [],
    among: options.only === undefined ? null : { part: alone(q, options.only), keys: [] },
  };
  const { name } = standing(q, segment, { ...options, everybody, looked: new Map() }, everybody, [], pers);
  if (!pers.length) {
    return q.finish(
      `select subject_id, holds as is_member, null::jsonb as matched, nullif(due, ${never}) as due_at from ${name}`,
    );
  }
  // Grouped, not joined: see bothHold.
  const nulls = pers.map((_, at) => `null::jsonb[] as m${at}`);
  const rows = pers.map((per, at) => {
    const columns = nulls.with(at, 'matched').join(', ');
    return `select subject_id, null, null, values_due, ${columns} from ${per.name}`;
  });
  const all = `select subject_id, holds, due, null::timestamptz as values_due, ${nulls.join(', ')} from ${name}
    union all ${rows.join(' union all ')}`;
  const matched = pers.map((_, at) => `min(m${at}) as m${at}`);
  return q.finish(
    `select subject_id, holds as is_member, ${matchedOf(q, pers)} as matched,
            nullif(least(due, case when holds then values_due end), ${never}) as due_at
       from (select subject_id, bool_or(holds) as holds, min(due) as due, min(values_due) as values_due, ${matched.join(', ')}
               from (${all}) a group by subject_id having count(holds) > 0) b`,
  );
}

function alone(q: Statement, sub: string): string {
  return q.part(`select ${q.param(sub, 'uuid')} as subject_id`);
}

/** Of one person by the same statement, whose memory is the database's. @throws when it takes longer than `timeout` milliseconds (isTimedOut) */
export async function answerFor(
  trx: Knex.Transaction,
  segment: Segment,
  { only, timeout, ...options }: SqlOptions & { only: string; timeout: number },
): Promise<Membership> {
  const { sql, bindings } = compileToSql(segment, { ...options, only });
  await limitTime(trx, timeout);
  const { rows } = await trx.raw(`select * from (${sql}) answers where subject_id = :only::uuid`, {
    ...bindings,
    only,
  });
  await trx.raw(`reset statement_timeout`);
  const [row] = rows;
  return { isMember: row?.is_member ?? false, dueAt: row?.due_at?.getTime() ?? null, matched: row?.matched ?? null };
}

/** How many members, and some of them. @throws when it takes longer than `timeout` milliseconds (isTimedOut) */
export async function previewSql(
  db: Knex,
  { sql, bindings }: CompiledSql,
  { sample, timeout }: { sample: number; timeout: number },
): Promise<{ count: number; sample: { subject_id: string; matched: Record<string, Scalar[]> | null }[] }> {
  return db.transaction(
    async (trx) => {
      await limitTime(trx, timeout);
      const { rows } = await trx.raw(
        `select subject_id, matched, count(*) over ()::int as count from (${sql}) answers where is_member
          order by subject_id desc limit :sample`,
        { ...bindings, sample },
      );
      return {
        count: rows[0]?.count ?? 0,
        sample: rows.map(({ subject_id, matched }: (typeof rows)[number]) => ({ subject_id, matched })),
      };
    },
    { readOnly: true },
  );
}

/**
 * `looked`, by key: the segments that were looked through already. Where one is named first it is compiled for those people alone whom the
 * question is about (null: good for nowhere else); where it is named again, once more and for everybody, and that serves from then on.
 * Compiled anew wherever it is named, segments that name each other twice would double the statement with every one of them.
 */
type Compiling = SqlOptions & { everybody: Scope; looked: Map<string, Relation | null> };

type NamedPer = { path: string; name: string };

/**
 * Where in the tree a node stands. `any`: the outermost `any` above it, with the people whom that is about. A Per below one says its values
 * of all of these, who may be members by another part: so it is asked about more people than the other parts leave open.
 */
type Place = { isNegated: boolean; isBelowNot: boolean; any: { scope: Scope } | null };

/** Who meets the definition and may be a member; the others have no row. `pers` is filled. */
function standing(
  outer: Statement,
  segment: Segment,
  options: Compiling,
  scope: Scope,
  above: string[],
  pers: NamedPer[],
): Relation {
  const q = { ...outer, tz: segment.tz, purpose: segment.purpose };
  const terms = termsOf(segment.where, { isNegated: false, isBelowNot: false, any: null });
  const found = allOf(q, scope, terms);
  if (!found.otherwise) return { name: q.part(mayBe(q, 'r.subject_id, r.holds, r.due', found.name)), otherwise: false };
  const people = q.part(mayBe(q, 's.subject_id', scope.among?.part ?? null));
  const name = q.part(
    `select * from (select p.subject_id, coalesce(r.holds, true) as holds, coalesce(r.due, ${never}) as due
       from ${people} p left join ${found.name} r on r.subject_id = p.subject_id) a where holds or due < ${never}`,
  );
  return { name, otherwise: false };

  /** All of these terms hold when the node does; or does not, when it is negated. */
  function termsOf(node: Node, place: Place): Term[] {
    const { isNegated, isBelowNot, any } = place;
    if ('per' in node || 'event' in node || 'sequence' in node) {
      const term = behaviourTerm(q, node, isNegated, isBelowNot ? () => {} : keepPer);
      return [
        any && 'per' in node && !isBelowNot && !('node' in term)
          ? { ...term, relation: () => term.relation(any.scope) }
          : term,
      ];
    }
    if ('not' in node) return termsOf(node.not, { isNegated: !isNegated, isBelowNot: true, any });
    if ('all' in node || 'any' in node) {
      const [parts, isAny] = 'all' in node ? [node.all, false] : [node.any, true];
      if (isAny === isNegated) return parts.flatMap((part) => termsOf(part, place));
      // `any` holds unless all fail; a failing `all` fails unless all hold.
      const outermost = any ?? { scope: options.everybody };
      const unit = togetherUnit(
        q,
        parts.flatMap((part) => termsOf(part, { isNegated: !isNegated, isBelowNot, any: outermost })),
      );
      const relation = (scope: Scope) => {
        if (!any) outermost.scope = scope;
        return unit.relation(scope);
      };
      return [negatedUnit(q, { ...unit, relation })];
    }
    const unit = 'trait' in node ? unitOfTrait(node) : unitOf(node);
    return [isNegated ? negatedUnit(q, unit) : unit];
  }
  function keepPer({ per }: PerNode, { name }: Relation): void {
    pers.push({ path: per, name });
  }
  function unitOf(node: HasNode): Unit {
    if ('segment' in node) return memberUnit(node.segment);
    const given = hasUnit(q, node);
    const tagging = 'tag' in node ? (options.segmentsTagging?.(node.tag) ?? []) : [];
    if (!tagging.length) return given;
    const ways = [given, ...tagging.map(memberUnit)];
    return negatedUnit(
      q,
      togetherUnit(
        q,
        ways.map((way) => negatedUnit(q, way)),
      ),
    );
  }
  function unitOfTrait(node: TraitNode): Unit {
    const computed = options.traitOf?.(node.trait);
    const source = computed && { sql: computed.sql, onNothing: computed.question.onNothing };
    return traitUnit(q, node, source ?? declaredTrait(node.trait));
  }
  function memberUnit(key: string): Unit {
    const other = key === segment.key ? undefined : options.segmentOf(key);
    if (!other) return listUnit(q, key);
    if (above.includes(key)) return nobody(q);
    return {
      otherwise: false,
      reach: 0,
      relation: (scope) => {
        const known = options.looked.get(key);
        if (known) return known;
        const isFirst = known === undefined;
        const found = standing(outer, other, options, isFirst ? scope : options.everybody, [...above, segment.key], []);
        options.looked.set(key, isFirst ? null : found);
        return found;
      },
    };
  }
}

/** `{ path: [values] }` of who is a member; a path of several Pers holds the values of all. */
function matchedOf(q: Statement, pers: NamedPer[]): string {
  const together = (values: string[]) => values.map((value) => `coalesce(${value}, '{}')`).join(' || ');
  const paths = [...Map.groupBy(pers, ({ path }) => path)].map(([path, found]) => {
    const values = found.map((per) => `m${pers.indexOf(per)}`);
    const all =
      values.length > 1
        ? `(select ${firstValues('v')} from (select distinct unnest(${together(values)}) as v) u)`
        : values[0];
    return `${q.param(path, 'text')}, to_jsonb(${all})`;
  });
  if (!paths.length) return 'null::jsonb';
  return `case when holds then nullif(jsonb_strip_nulls(jsonb_build_object(${paths.join(', ')})), '{}') end`;
}
