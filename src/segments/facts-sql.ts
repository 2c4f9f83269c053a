/** What people are and have, besides what they did, as parts of the statement of sql.ts. None of it changes by time alone. */
import type { Unit } from '../behaviour/sql/relations.ts';
import { never, type Relation, type Scope, type Statement } from '../behaviour/sql/statement.ts';
import { currentVersion, type PurposeName, purposes } from '../consent/consent.ts';
import type { HasNode } from './definition.ts';

/** Sought among those who are left: it is true of most people. */
const last = Number.MAX_VALUE;

/**
 * Who of a part (as `r`; null: of all people), or of all people as `s`, may be a member: active, agreed to the purpose, personalised. In two
 * halves, because the newest word of who absorbed nobody is found by index or by hash, as suits how many are asked about.
 */
export function mayBe(q: Statement, columns: string, among: string | null): string {
  const people = among ? `${among} r join standing_subjects s on s.subject_id = r.subject_id` : 'standing_subjects s';
  const personalised = 'not exists (select from unpersonalised u where u.subject_id = s.subject_id)';
  if (q.purpose === 'service') return `select ${columns} from ${people} where ${personalised}`;
  const halves = ['lone_agreements', 'merged_agreements'].map(
    (agreements) => `select ${columns} from ${people} join ${agreements} a on a.subject_id = s.subject_id
      where ${isAgreed(q, q.purpose)} and ${personalised}`,
  );
  return halves.join(' union all ');
}

function isAgreed(q: Statement, purpose: string): string {
  const version = Object.hasOwn(purposes, purpose) ? currentVersion(purpose as PurposeName) : '';
  return `a.purpose = ${q.param(purpose, 'text')} and a.version = ${q.param(version, 'text')}`;
}

export function hasUnit(q: Statement, node: Exclude<HasNode, { segment: string }>): Unit {
  if ('tag' in node) {
    const where = `f.tag = ${q.param(node.tag, 'text')}`;
    return unit(0, ({ among }) => q.part(listed('current_tags', where, among)));
  }
  if ('identity' in node) {
    const issuer = node.issuer === undefined ? '' : ` and f.issuer = ${q.param(node.issuer, 'text')}`;
    const where = `f.kind = ${q.param(node.identity, 'text')}${issuer}`;
    return unit(last, ({ among }) => q.part(listed('member_identities', where, among)));
  }
  if ('consent' in node) return node.consent === 'service' ? everyone(q) : consentUnit(q, node.consent);
  const { percent, salt } = node.sample;
  const drawn = `('x' || substr(md5(${q.param(salt, 'text')} || ':' || s.subject_id), 1, 8))::bit(32)::bigint::float8`;
  return unit(last, ({ among }) =>
    q.part(
      `select s.subject_id, true as holds, ${never} as due from ${among ?? 'standing_subjects'} s
        where ${drawn} / 4294967296 * 100 < ${q.param(percent, 'float8')}`,
    ),
  );
}

/** Whom a list names. */
export function listUnit(q: Statement, key: string): Unit {
  const where = `f.segment_key = ${q.param(key, 'text')}`;
  return unit(0, ({ among }) => q.part(listed('segment_list_members', where, among)));
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
    const people = among ? ` join ${among} r on r.subject_id = a.subject_id` : '';
    const halves = ['lone_agreements', 'merged_agreements'].map(
      (agreements) =>
        `select a.subject_id, true as holds, ${never} as due from ${agreements} a${people} where ${isAgreed(q, purpose)}`,
    );
    return q.part(halves.join(' union all '));
  });
}

function unit(reach: number, part: (scope: Scope) => string): Unit {
  return { otherwise: false, reach, relation: (scope): Relation => ({ name: part(scope), otherwise: false }) };
}

function listed(view: string, where: string, among: string | null): string {
  const people = among ? ` join ${among} r on r.subject_id = f.subject_id` : '';
  return `select distinct f.subject_id, true as holds, ${never} as due from ${view} f${people} where ${where}`;
}
