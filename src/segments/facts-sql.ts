/** What people are and have, besides what they did, as parts of the statement of sql.ts. None of it changes by time alone. */
import type { Unit } from '../behaviour/sql/relations.ts';
import { and, never, type Relation, type Scope, type Statement } from '../behaviour/sql/statement.ts';
import { currentVersion, type PurposeName, purposes } from '../consent/consent.ts';
import type { HasNode } from './definition.ts';

/** Sought among those who are left: it is true of most people. */
const last = Number.MAX_VALUE;

/** Who of a part (as `r`; null: of all people), or of all people as `s`, may be a member: active, agreed to the purpose, personalised. */
export function mayBe(q: Statement, columns: string, among: string | null): string {
  const [people, who] = among
    ? [`${among} r join standing_subjects s on s.subject_id = r.subject_id`, 'r']
    : ['standing_subjects s', 's'];
  const personalised = `not ${isAmong(who, 'unpersonalised')}`;
  if (q.purpose === 'service') return `select ${columns} from ${people} where ${personalised}`;
  return agreeing(q, q.purpose, { columns, people, who, where: personalised });
}

type Asked = { columns: string; people: string; who: string; where: string };

/**
 * Those of the people (by the alias `who`) who agree to a purpose. In two halves: the newest word of who absorbed nobody is found by index
 * or by hash, as suits how many are asked about; the few others are looked up one by one.
 */
function agreeing(q: Statement, purpose: string, { columns, people, who, where }: Asked): string {
  const version = Object.hasOwn(purposes, purpose) ? currentVersion(purpose as PurposeName) : '';
  const [of, current] = [q.param(purpose, 'text'), q.param(version, 'text')];
  return `select ${columns} from ${people} join lone_agreements a on a.subject_id = ${who}.subject_id
     where a.purpose = ${of} and a.version = ${current} and ${where}
    union all
    select ${columns} from ${people} cross join lateral (
        select c.version, c.is_granted from current_consents c where c.subject_id = ${who}.subject_id and c.purpose = ${of} offset 0) a
     where ${isAmong(who, 'absorbing_subjects')} and a.version = ${current} and a.is_granted and ${where}`;
}

/**
 * Looked up in a hash, however many PostgreSQL expects on either side: as a join it may compare each with each, after a guess of one. The
 * test for true keeps it from becoming one.
 */
export function isAmong(alias: string, part: string): string {
  return `((${alias}.subject_id in (select p.subject_id from ${part} p)) is true)`;
}

export function hasUnit(q: Statement, node: Exclude<HasNode, { segment: string }>): Unit {
  if ('tag' in node) {
    const where = `f.tag = ${q.param(node.tag, 'text')}`;
    return unit(0, (scope) => q.part(listed('current_tags', where, scope)));
  }
  if ('identity' in node) {
    const issuer = node.issuer === undefined ? '' : ` and f.issuer = ${q.param(node.issuer, 'text')}`;
    const where = `f.kind = ${q.param(node.identity, 'text')}${issuer}`;
    return unit(last, (scope) => q.part(listed('member_identities', where, scope)));
  }
  if ('consent' in node) return node.consent === 'service' ? everyone(q) : consentUnit(q, node.consent);
  const { percent, salt } = node.sample;
  const drawn = `('x' || substr(md5(${q.param(salt, 'text')} || ':' || s.subject_id), 1, 8))::bit(32)::bigint::float8`;
  return unit(last, ({ among }) =>
    q.part(
      `select s.subject_id, true as holds, ${never} as due from ${among?.part ?? 'standing_subjects'} s
        where ${drawn} / 4294967296 * 100 < ${q.param(percent, 'float8')}`,
    ),
  );
}

/** Whom a list names. */
export function listUnit(q: Statement, key: string): Unit {
  const where = `f.segment_key = ${q.param(key, 'text')}`;
  return unit(0, (scope) => q.part(listed('segment_list_members', where, scope)));
}

export function nobody(q: Statement): Unit {
  return unit(0, () => q.part(noRows));
}

function everyone(q: Statement): Unit {
  return { otherwise: true, reach: last, relation: () => ({ name: q.part(noRows), otherwise: true }) };
}

const noRows = `select null::uuid as subject_id, true as holds, ${never} as due where false`;

function consentUnit(q: Statement, purpose: string): Unit {
  return unit(last, ({ among }) => {
    const people = `${among?.part ?? 'standing_subjects'} s`;
    const columns = `s.subject_id, true as holds, ${never} as due`;
    return q.part(agreeing(q, purpose, { columns, people, who: 's', where: 'true' }));
  });
}

function unit(reach: number, part: (scope: Scope) => string): Unit {
  return { otherwise: false, reach, relation: (scope): Relation => ({ name: part(scope), otherwise: false }) };
}

function listed(view: string, where: string, { among }: Scope): string {
  const asked = among ? isAmong('f', among.part) : 'true';
  return `select distinct f.subject_id, true as holds, ${never} as due from ${view} f where ${and(where, asked)}`;
}
