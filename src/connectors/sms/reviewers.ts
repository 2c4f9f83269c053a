/**
 * Numbers for the reviewers of WeChat and of app stores (审核员体验账号): no message is sent to them, a fixed code signs in.
 *
 * Whoever knows the code can sign in, so it opens nothing but a subject of its own: the identity it proves is of another issuer than
 * every real number, it is joined with no other (Proof.stands_alone), and a number that is somebody's is neither listed nor served.
 */
import { randomInt } from 'node:crypto';
import type { Knex } from 'knex';
import { type AuditEntry, recordAudit } from '../../audit/audit.ts';
import type { Database } from '../../database.ts';
import { fail } from '../../errors.ts';
import type { Seal } from '../../seal.ts';
import { type ConnectorServices, type Proof, type Purpose, reviewerIssuer } from '../contract.ts';
import { maskPhone, parsePhone } from '../phone-number.ts';
import {
  allReviewers,
  deleteReviewer,
  findReviewer,
  insertOrReplaceReviewer,
  type ReviewerRow,
  readReviewer,
} from './store.ts';

const context = 'reviewer_numbers';
const hashOf = (seal: Seal, phone: string) => seal.hash(phone, context);

type Services = Pick<ConnectorServices, 'db' | 'seal' | 'isSomebodys'>;

/** What a one-time code is stored for in place of a number: says whose it is, and by which number it was limited. */
export type ReviewerCode = { recipient: string; code: string };

/**
 * Undefined for a number that gets a real message: because it is not listed, because it has become somebody's meanwhile, and for
 * every purpose but signing in, so that nobody adds it to an account of theirs.
 */
export async function reviewerCode(
  services: Services,
  phone: string,
  purpose: Purpose,
): Promise<ReviewerCode | undefined> {
  const { db, seal } = services;
  if (purpose !== 'login' && purpose !== 'otp') return undefined;
  const row = await findReviewer(db, hashOf(seal, phone));
  if (!row || (await services.isSomebodys(asNumber(phone)))) return undefined;
  return { recipient: `${context} ${row.id} ${phone}`, code: seal.open(row.code_sealed, context) };
}

const asNumber = (phone: string) => ({ kind: 'phone' as const, issuer: '', external_id: phone });

/** The number by which limits count. */
export const numberOf = (recipient: string) => recipient.split(' ').at(-1) ?? recipient;

/** Undefined for an ordinary number. @throws code_expired when it was taken off the list since, or is somebody's by now */
export async function proveReviewer(services: Services, recipient: string): Promise<Proof | undefined> {
  const [, id, phone] = /^reviewer_numbers (\S+) (\+\d+)$/.exec(recipient) ?? [];
  if (!id || !phone) return undefined;
  const { db } = services;
  if (!(await readReviewer(db, id)) || (await services.isSomebodys(asNumber(phone)))) throw fail('code_expired');
  await recordAudit(db, { action: 'reviewer.used', actor_kind: 'person', details: { reviewer_id: id } });
  const identity = { kind: 'phone' as const, issuer: reviewerIssuer, external_id: phone };
  return { connector: 'sms', identities: [identity], stands_alone: true };
}

// For operators

export type Operator = Pick<AuditEntry, 'actor_kind' | 'actor_id'>;

export type NewReviewer = { phone: string; days: number; code?: string | undefined; note?: string | undefined };

export type Reviewer = { id: string; phone: string; note: string | null; expires_at: Date; is_expired: boolean };

const mostDays = 90;

/** The code is told here and never again. @throws phone_invalid | invalid_fields | conflict (the number is somebody's) */
export async function addReviewer(
  { db, seal, isSomebodys }: { db: Knex.Transaction; seal: Seal } & Pick<Services, 'isSomebodys'>,
  { phone: typed, days, code = newCode(), note }: NewReviewer,
  operator: Operator,
): Promise<{ id: string; phone: string; code: string; expires_at: Date }> {
  const phone = parsePhone(typed);
  const faults = {
    ...(!(Number.isInteger(days) && days >= 1 && days <= mostDays) && { days: `is a number from 1 to ${mostDays}` }),
    ...(!/^\d{6}$/.test(code) && { code: 'is six digits' }),
  };
  if (Object.keys(faults).length) throw fail('invalid_fields', { fields: faults });
  if (await isSomebodys(asNumber(phone))) {
    const message =
      'This number is somebody’s way of signing in. Take one that nobody uses, such as a SIM card of the company.';
    throw fail('conflict', { message });
  }
  const { id, expires_at } = await insertOrReplaceReviewer(db, {
    phone_hash: hashOf(seal, phone),
    phone_sealed: seal.seal(phone, context),
    code_sealed: seal.seal(code, context),
    note: note ?? null,
    days,
  });
  await recordAudit(db, { ...operator, action: 'reviewer.added', details: { reviewer_id: id, days } });
  return { id, phone: maskPhone(phone), code, expires_at };
}

const newCode = () => String(randomInt(1_000_000)).padStart(6, '0');

export async function listReviewers({ db, seal }: { db: Database; seal: Seal }): Promise<Reviewer[]> {
  return (await allReviewers(db)).map((row) => listed(seal, row));
}

function listed(seal: Seal, row: ReviewerRow & { is_expired: boolean }): Reviewer {
  const { id, phone_sealed, note, expires_at, is_expired } = row;
  return { id, phone: maskPhone(seal.open(phone_sealed, context)), note, expires_at, is_expired };
}

/** Codes that wait to be typed end with it; a session goes on until it is ended. @throws phone_invalid | not_found */
export async function removeReviewer(
  { db, seal }: { db: Knex.Transaction; seal: Seal },
  typed: string,
  operator: Operator,
): Promise<{ id: string; phone: string }> {
  const phone = parsePhone(typed);
  const id = await deleteReviewer(db, hashOf(seal, phone));
  if (!id) throw fail('not_found', { message: 'This number is not on the list.' });
  await recordAudit(db, { ...operator, action: 'reviewer.removed', details: { reviewer_id: id } });
  return { id, phone: maskPhone(phone) };
}
