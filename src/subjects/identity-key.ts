/** How an identity is stored: phone and e-mail sealed and found by a keyed hash (rule 9), all others as they are. */
import type { Identity } from '../connectors/contract.ts';
import type { Seal } from '../seal.ts';
import type { IdentityKey } from './store.ts';

const sealedKinds = new Set(['phone', 'email']);
const context = 'identities';

export function keyOf(seal: Seal, { kind, issuer, external_id }: Identity): IdentityKey {
  return { kind, issuer, lookup: sealedKinds.has(kind) ? seal.hash(external_id, `identity ${kind}`) : external_id };
}

export function sealExternalId(seal: Seal, { kind, external_id }: Identity): string | null {
  return sealedKinds.has(kind) ? seal.seal(external_id, context) : null;
}

export function openExternalId(seal: Seal, row: { lookup: string; sealed: string | null }): string {
  return row.sealed === null ? row.lookup : seal.open(row.sealed, context);
}
