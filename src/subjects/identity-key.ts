/** How an identity is stored: phone and e-mail sealed and found by a keyed hash (rule 9), all others as they are. */
import { type Identity, type IdentityKind, reviewerIssuer } from '../connectors/contract.ts';
import { maskEmail } from '../connectors/email-address.ts';
import { maskPhone } from '../connectors/phone-number.ts';
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

/** Enough to recognise one's own, too little to use: an openid is what messages and payments are sent by. */
export function maskIdentity(kind: IdentityKind, value: string): string {
  if (kind === 'phone') return maskPhone(value);
  if (kind === 'email') return maskEmail(value);
  return value.length < 12 ? '****' : `${value.slice(0, 4)}****${value.slice(-2)}`;
}

/** The same of a stored row. */
export function hintOf(seal: Seal, row: { kind: IdentityKind; lookup: string; sealed: string | null }): string {
  return maskIdentity(row.kind, openExternalId(seal, row));
}

export function isSameKey(a: IdentityKey, b: IdentityKey): boolean {
  return a.kind === b.kind && a.issuer === b.issuer && a.lookup === b.lookup;
}

/** The account of a reviewer: others know the code that opens it, so nobody and nothing is joined with it. */
export function isReviewers(held: { issuer: string }[]): boolean {
  return held.some(({ issuer }) => issuer === reviewerIssuer);
}
