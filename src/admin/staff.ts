/**
 * Who may enter the admin console and as what: the first administrator by a one-time link, others by the e-mail they prove.
 * Owns the tables staff and staff_invitations. There is no default password and no way in once an owner exists (threat D22).
 */
import { randomBytes } from 'node:crypto';
import type { Knex } from 'knex';
import { recordAudit } from '../audit/audit.ts';
import { maskEmail, parseEmail } from '../connectors/email-address.ts';
import type { Database } from '../database.ts';
import { fail } from '../errors.ts';
import type { Seal } from '../seal.ts';
import type { Actor } from '../subjects/actor.ts';
import { findByIdentity, identitiesOf } from '../subjects/subjects.ts';
import type { Role } from './permissions.ts';
import { endSessionsOf } from './sessions.ts';

type Services = { db: Database; seal: Seal };

const hashToken = (seal: Seal, token: string) => seal.hash(token, 'staff invitation');
const hashEmail = (seal: Seal, email: string) => seal.hash(email, 'staff e-mail');

/** The role of a person today. */
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

/** Dead as soon as there is an owner, however they became one (threat D22). */
export async function isInvitation({ db, seal }: Services, token: string): Promise<boolean> {
  const row = await db('staff_invitations')
    .where({ token_hash: hashToken(seal, token) })
    .whereNull('used_at')
    .first('id');
  return row !== undefined && !(await db('staff').where({ role: 'owner' }).first('subject_id'));
}

/** Makes the person the owner by the one-time link: spent in the same transaction, so of two at once one wins. @throws not_found */
export async function acceptInvitation({ db, seal }: Services, token: string, sub: string): Promise<Role> {
  return db.transaction(async (trx) => {
    await lockStaff(trx);
    const spent = await trx('staff_invitations')
      .where({ token_hash: hashToken(seal, token) })
      .whereNull('used_at')
      .update({ used_at: trx.fn.now() })
      .returning('role');
    if (!spent[0] || (await trx('staff').where({ role: 'owner' }).first('subject_id'))) throw fail('not_found');
    await grant(trx, { sub, role: spent[0].role, by: bySystem(firstLink) });
    return spent[0].role;
  });
}

/**
 * Applies roles that wait for an e-mail this person has proven. One that somebody else vouched for is nobody's proof: whoever may link
 * addresses could otherwise make an accomplice the person whom an owner invites (threat D17).
 */
export async function acceptEmailInvitations({ db, seal }: Services, sub: string): Promise<void> {
  const identities = await identitiesOf({ db, seal }, sub);
  for (const { kind, external_id, is_vouched } of identities) {
    if (kind !== 'email' || is_vouched) continue;
    await db.transaction(async (trx) => {
      await lockStaff(trx);
      const [invitation] = await trx('staff_invitations')
        .where({ email_lookup: hashEmail(seal, external_id) })
        .delete()
        .returning(['role', 'invited_by']);
      if (invitation) await grant(trx, { sub, role: invitation.role, by: inviter(invitation.invited_by) });
    });
  }
}

const shell = 'heyi admin grant';
const firstLink = 'first-administrator link';

const inviter = (invited_by: string): Actor =>
  invited_by === shell ? bySystem(shell) : { actor_kind: 'staff', actor_id: invited_by };

function bySystem(actor_id: string): Actor {
  return { actor_kind: 'system', actor_id };
}

/**
 * Now, when the e-mail is known; else at that person's first sign-in to the console. From a shell (`heyi admin grant`), or by an owner.
 * @throws email_invalid | last_owner
 */
export async function grantByEmail(
  services: Services,
  email: string,
  role: Role,
  by: Actor = bySystem(shell),
): Promise<{ sub: string | null; pending: boolean }> {
  const { db, seal } = services;
  const external_id = parseEmail(email);
  const sub = await whoProved(services, external_id);
  if (sub) {
    await setRole(db, { sub, role, by });
    return { sub, pending: false };
  }
  const invitation = {
    email_lookup: hashEmail(seal, external_id),
    email_hint: maskEmail(external_id),
    role,
    invited_by: by.actor_id ?? shell,
  };
  await db.transaction(async (trx) => {
    await trx('staff_invitations').insert(invitation).onConflict('email_lookup').merge(['role', 'invited_by']);
    await recordAudit(trx, { ...by, action: 'staff.invited', details: { role, hint: invitation.email_hint } });
  });
  return { sub: null, pending: true };
}

async function whoProved(services: Services, email: string): Promise<string | undefined> {
  const sub = await findByIdentity(services, { kind: 'email', issuer: '', external_id: email });
  const held = sub ? await identitiesOf(services, sub) : [];
  return held.some(({ kind, external_id, is_vouched }) => kind === 'email' && external_id === email && !is_vouched)
    ? sub
    : undefined;
}

export type StaffMember = { sub: string; role: Role; granted_at: Date; granted_by: string };

/** What gave a role where no member of staff did. */
export const givenBy = (granted_by: string): 'first_link' | 'shell' | undefined =>
  granted_by === firstLink ? 'first_link' : granted_by === shell ? 'shell' : undefined;

export async function listStaff(db: Knex): Promise<StaffMember[]> {
  return db('staff').select('subject_id as sub', 'role', 'granted_at', 'granted_by').orderBy('granted_at');
}

export type Invitation = { id: string; role: Role; email_hint: string | null; created_at: Date };

/** Roles that wait for their person, without the first administrator's link. */
export async function listInvitations(db: Knex): Promise<Invitation[]> {
  return db('staff_invitations')
    .select('id', 'role', 'email_hint', 'created_at')
    .whereNotNull('email_lookup')
    .orderBy('created_at');
}

/** False when it was accepted or taken back already. */
export async function takeBackInvitation(db: Database, id: string, by: Actor): Promise<boolean> {
  return db.transaction(async (trx) => {
    const [row] = await trx('staff_invitations').where({ id }).whereNotNull('email_lookup').delete().returning('*');
    if (!row) return false;
    const details = { role: row.role, hint: row.email_hint };
    await recordAudit(trx, { ...by, action: 'staff.invitation_removed', details });
    return true;
  });
}

/** The same role again changes nothing. @throws last_owner */
export async function setRole(db: Knex, { sub, role, by }: { sub: string; role: Role; by: Actor }): Promise<void> {
  await db.transaction(async (trx) => {
    await lockStaff(trx);
    const before = await roleOf(trx, sub);
    if (before === role) return;
    if (before === 'owner') await keepAnOwner(trx, sub);
    await grant(trx, { sub, role, by });
  });
}

/** Out at once: every request asks for the role. @throws last_owner */
export async function removeRole(db: Knex, { sub, by }: { sub: string; by: Actor }): Promise<void> {
  await db.transaction(async (trx) => {
    await lockStaff(trx);
    const role = await roleOf(trx, sub);
    if (!role) return;
    if (role === 'owner') await keepAnOwner(trx, sub);
    await trx('staff').where({ subject_id: sub }).delete();
    await endSessionsOf(trx, sub);
    await recordAudit(trx, { ...by, action: 'staff.removed', subject_id: sub, details: { role } });
  });
}

/** Two owners who remove each other at the same moment must not leave the house without one. */
async function lockStaff(trx: Knex.Transaction): Promise<void> {
  await trx.raw(`select pg_advisory_xact_lock(hashtextextended('staff', 1))`);
}

/** Without one, whoever reads the log of the next start would be offered the house. One who cannot sign in is none. @throws last_owner */
async function keepAnOwner(trx: Knex, leaving: string): Promise<void> {
  const other = await trx('staff as s')
    .join('current_subjects as c', 'c.requested_id', 's.subject_id')
    .where({ 's.role': 'owner', 'c.status': 'active' })
    .whereNot({ 's.subject_id': leaving })
    .whereRaw('c.subject_id = s.subject_id')
    .first('s.subject_id');
  if (!other) throw fail('last_owner');
}

async function grant(trx: Knex.Transaction, { sub, role, by }: { sub: string; role: Role; by: Actor }): Promise<void> {
  await trx('staff')
    .insert({ subject_id: sub, role, granted_by: by.actor_id ?? by.actor_kind })
    .onConflict('subject_id')
    .merge(['role', 'granted_by']);
  await recordAudit(trx, { ...by, action: 'staff.granted', subject_id: sub, details: { role } });
}
