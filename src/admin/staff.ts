/**
 * Who may enter the admin console and as what: the first administrator by a one-time link, others by the e-mail they prove.
 * Owns the tables staff and staff_invitations. There is no default password and no way in once an owner exists (threat D22).
 */
import { randomBytes } from 'node:crypto';
import type { Knex } from 'knex';
import { recordAudit } from '../audit/audit.ts';
import { parseEmail } from '../connectors/email-address.ts';
import type { Database } from '../database.ts';
import { fail } from '../errors.ts';
import type { Seal } from '../seal.ts';
import { findByIdentity, identitiesOf } from '../subjects/subjects.ts';
import type { Role } from './permissions.ts';

type Services = { db: Database; seal: Seal };

const hashToken = (seal: Seal, token: string) => seal.hash(token, 'staff invitation');
const hashEmail = (seal: Seal, email: string) => seal.hash(email, 'staff e-mail');

/** The role of a person today; absorbed subjects keep what their survivor has. */
export async function roleOf(db: Knex, sub: string): Promise<Role | undefined> {
  const row = await db('staff').where({ subject_id: sub }).first('role');
  return row?.role;
}

/**
 * A fresh link for the first administrator, or undefined once there is an owner. Links of earlier starts end with it: only
 * the newest printed one works.
 */
export async function firstAdminLink({ db, seal }: Services, publicUrl: string): Promise<string | undefined> {
  if (await db('staff').where({ role: 'owner' }).first('subject_id')) return undefined;
  const token = randomBytes(24).toString('base64url');
  await db.transaction(async (trx) => {
    await trx('staff_invitations').whereNotNull('token_hash').whereNull('used_at').delete();
    await trx('staff_invitations').insert({ token_hash: hashToken(seal, token), role: 'owner' });
  });
  return `${publicUrl}/admin/setup/${token}`;
}

export async function isInvitation({ db, seal }: Services, token: string): Promise<boolean> {
  const row = await db('staff_invitations')
    .where({ token_hash: hashToken(seal, token) })
    .whereNull('used_at')
    .first('id');
  return row !== undefined;
}

/** Makes the person the owner by the one-time link: spent in the same transaction, so of two at once one wins. @throws not_found */
export async function acceptInvitation({ db, seal }: Services, token: string, sub: string): Promise<Role> {
  return db.transaction(async (trx) => {
    const spent = await trx('staff_invitations')
      .where({ token_hash: hashToken(seal, token) })
      .whereNull('used_at')
      .update({ used_at: trx.fn.now() })
      .returning('role');
    if (!spent[0]) throw fail('not_found');
    await grant(trx, { sub, role: spent[0].role, by: 'first-administrator link' });
    return spent[0].role;
  });
}

/** Applies roles that wait for an e-mail this person has proven. */
export async function acceptEmailInvitations({ db, seal }: Services, sub: string): Promise<void> {
  const identities = await identitiesOf({ db, seal }, sub);
  for (const { kind, external_id } of identities) {
    if (kind !== 'email') continue;
    await db.transaction(async (trx) => {
      const [invitation] = await trx('staff_invitations')
        .where({ email_lookup: hashEmail(seal, external_id) })
        .delete()
        .returning('role');
      if (invitation) await grant(trx, { sub, role: invitation.role, by: 'heyi admin grant' });
    });
  }
}

/**
 * `heyi admin grant`: now, when the e-mail is known; else at that person's first sign-in to the console.
 * @throws email_invalid
 */
export async function grantByEmail(
  services: Services,
  email: string,
  role: Role,
): Promise<{ sub: string | null; pending: boolean }> {
  const { db, seal } = services;
  const external_id = parseEmail(email);
  const sub = await findByIdentity(services, { kind: 'email', issuer: '', external_id });
  if (sub) {
    await db.transaction((trx) => grant(trx, { sub, role, by: 'heyi admin grant' }));
    return { sub, pending: false };
  }
  await db('staff_invitations')
    .insert({ email_lookup: hashEmail(seal, external_id), role })
    .onConflict('email_lookup')
    .merge(['role']);
  return { sub: null, pending: true };
}

async function grant(trx: Knex.Transaction, { sub, role, by }: { sub: string; role: Role; by: string }): Promise<void> {
  await trx('staff')
    .insert({ subject_id: sub, role, granted_by: by })
    .onConflict('subject_id')
    .merge(['role', 'granted_by']);
  await recordAudit(trx, {
    action: 'staff.granted',
    actor_kind: 'system',
    actor_id: by,
    subject_id: sub,
    details: { role },
  });
}
