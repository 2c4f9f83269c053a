/**
 * What speaks against two subjects being one person (identity rules 6 and 7). A rule joins two of them only when this finds nothing;
 * whatever it finds is the evidence of a case.
 */
import type { Knex } from 'knex';
import { areSeparate } from './case-store.ts';
import { conflictsOf, refusalOf } from './merge.ts';
import { membersOf, wereParted } from './merge-store.ts';
import { type IdentityKey, type IdentityRow, identitiesOfSubject } from './store.ts';

export type Contradiction = {
  reason:
    | 'differing_identity'
    | 'not_active'
    | 'staff'
    | 'reviewer'
    | 'parted_before'
    | 'called_separate'
    | 'quiet_number';
  kind?: string;
  issuer?: string;
};

/** Between two that stand. */
export async function contradictionsBetween(trx: Knex, one: string, other: string): Promise<Contradiction[]> {
  const refusal = await refusalOf(trx, one, other);
  if (refusal) return [{ reason: refusal === 'staff' || refusal === 'reviewer' ? refusal : 'not_active' }];
  const [ours, theirs] = [await membersOf(trx, one), await membersOf(trx, other)];
  if (await wereParted(trx, ours, theirs)) return [{ reason: 'parted_before' }];
  if (await areSeparate(trx, ours, theirs)) return [{ reason: 'called_separate' }];
  const conflicts = conflictsOf(await identitiesOfSubject(trx, one), await identitiesOfSubject(trx, other));
  return conflicts.map(({ kind, issuer }) => ({ reason: 'differing_identity', kind, issuer }));
}

/** Against this subject being the one who proves these identities. */
export function contradictionsWith(held: IdentityRow[], keys: IdentityKey[]): Contradiction[] {
  return keys.flatMap(({ kind, issuer, lookup }) =>
    held.some(
      (other) =>
        other.kind === kind && other.issuer === issuer && other.lookup !== lookup && other.superseded_at === null,
    )
      ? [{ reason: 'differing_identity' as const, kind, issuer }]
      : [],
  );
}
