/**
 * Who a person is: look-ups by sub and by identity, and the claims that follow. A person is made and gains identities in
 * resolve.ts alone.
 */
import type { Knex } from 'knex';
import { type Identity, type IdentityKind, reviewerIssuer } from '../connectors/contract.ts';
import type { Database } from '../database.ts';
import type { Seal } from '../seal.ts';
import { keyOf, openExternalId } from './identity-key.ts';
import { findOwners, identitiesOfSubject, readSubject, type SubjectRow } from './store.ts';

export type Subject = {
  /** The subject that stands today: the survivor when the requested one was absorbed. */
  sub: string;
  requested_sub: string;
  status: SubjectRow['status'];
  merge_id: string | null;
  created_at: Date;
  last_sign_in_at: Date | null;
  nickname: string | null;
};

export type SubjectIdentity = {
  id: string;
  kind: IdentityKind;
  issuer: string;
  /** In clear: whoever shows it masks it unless the reader may see it. */
  external_id: string;
  created_at: Date;
  verified_at: Date;
  last_used_at: Date;
  /** Put second by a merge: it signs in, and is left out of claims and messages. */
  is_superseded: boolean;
  /** Given by staff or a program, and proven by nobody yet. */
  is_vouched: boolean;
};

const uuid = /^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$/;

/** Undefined for a sub that was never issued, and for text that is no sub at all. */
export async function currentSubject(db: Knex, sub: string): Promise<Subject | undefined> {
  const row = uuid.test(sub) ? await readSubject(db, sub) : undefined;
  if (!row) return undefined;
  const { subject_id, requested_id, ...rest } = row;
  const { status, merge_id, created_at, last_sign_in_at, nickname } = rest;
  return { sub: subject_id, requested_sub: requested_id, status, merge_id, created_at, last_sign_in_at, nickname };
}

type Services = { db: Database; seal: Seal };

/** The current sub of whoever proved this identity. */
export async function findByIdentity({ db, seal }: Services, identity: Identity): Promise<string | undefined> {
  const [owner] = await findOwners(db, [keyOf(seal, identity)]);
  return owner?.subject_id;
}

export async function identitiesOf({ db, seal }: Services, sub: string): Promise<SubjectIdentity[]> {
  const rows = await identitiesOfSubject(db, sub);
  return rows.map((row) => ({
    id: row.id,
    kind: row.kind,
    issuer: row.issuer,
    external_id: openExternalId(seal, row),
    created_at: row.created_at,
    verified_at: row.verified_at,
    last_used_at: row.last_used_at,
    is_superseded: row.superseded_at !== null,
    is_vouched: row.is_vouched,
  }));
}

/** Standard claims (OpenID Connect Core section 5.1); the engine leaves out those that the scope does not cover. */
export type Claims = {
  sub: string;
  nickname?: string;
  picture?: string;
  locale?: string;
  phone_number?: string;
  phone_number_verified?: boolean;
  email?: string;
  email_verified?: boolean;
  name?: string;
};

/** Undefined when the subject does not stand. */
export async function claimsOf({ db, seal }: Services, sub: string): Promise<Claims | undefined> {
  const row = await readSubject(db, sub);
  if (row?.status !== 'active') return undefined;
  const identities = await identitiesOf({ db, seal }, row.subject_id);
  const current = (wanted: IdentityKind) =>
    identities.find(({ kind, is_superseded }) => kind === wanted && !is_superseded);
  const [phone, email] = [current('phone'), current('email')];
  return {
    sub: row.subject_id,
    ...(row.nickname && { nickname: row.nickname, name: row.nickname }),
    ...(row.picture && { picture: row.picture }),
    ...(row.locale && { locale: row.locale }),
    // A reviewer's number was proven by nobody, nor was what the company vouched for.
    ...(phone && {
      phone_number: phone.external_id,
      phone_number_verified: phone.issuer !== reviewerIssuer && !phone.is_vouched,
    }),
    ...(email && { email: email.external_id, email_verified: !email.is_vouched }),
  };
}
