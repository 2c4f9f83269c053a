/**
 * Ways of signing in that are added and removed on purpose, by the person on the account page or by staff. An identity never moves:
 * one that is somebody else's is refused, and merging is another question (identity rule 7).
 */
import type { Knex } from 'knex';
import type { Identity, IdentityKind, Proof } from '../connectors/contract.ts';
import { inTransaction } from '../database.ts';
import { fail } from '../errors.ts';
import type { Seal } from '../seal.ts';
import type { Actor, SendJobs } from './actor.ts';
import { contradictionsWith } from './contradictions.ts';
import { attach, detach } from './identities.ts';
import { isReviewers, isSameKey, keyOf, maskIdentity } from './identity-key.ts';
import {
  findOwners,
  type IdentityKey,
  identitiesOfSubject,
  isStaff,
  lockIdentities,
  lockSubjects,
  type OwnedIdentity,
  readSubject,
} from './store.ts';

export type LinkServices = { db: Knex; seal: Seal; jobs: SendJobs };

export type LinkInput = {
  sub: string;
  /** Proven by the person in this very step. */
  proof: Proof;
  actor: Actor;
  /** The one of this kind that the subject has goes: the person changes their number or address. */
  replace?: boolean;
};

export type Linked = { linked: IdentityKind[] };

/**
 * `identity_taken` carries a masked hint of the identity that was proven, and nothing of the account that has it (threat D9).
 * @throws identity_taken | identity_contradicts | subject_suspended
 */
export async function linkProof(services: LinkServices, { sub, proof, actor, replace }: LinkInput): Promise<Linked> {
  return link(services, { sub, identities: proof.identities, actor, replace, tells: true });
}

/**
 * Staff or a program of the company vouches for it (a member number, an id of another system). It signs in whoever proves it.
 * @throws not_found | forbidden | identity_taken | identity_contradicts | subject_suspended
 */
export async function linkExternal(
  services: LinkServices,
  { sub, identity, actor, reason }: { sub: string; identity: Identity; actor: Actor; reason: string },
): Promise<Linked> {
  return link(services, { sub, identities: [identity], actor, reason, tells: true, is_vouched: true });
}

type Linking = {
  sub: string;
  identities: Identity[];
  actor: Actor;
  replace?: boolean | undefined;
  reason?: string;
  tells: boolean;
  /** Nobody has proven it yet. */
  is_vouched?: boolean;
};

async function link({ db, seal, jobs }: LinkServices, linking: Linking): Promise<Linked> {
  const { sub, identities, actor, replace, reason, tells, is_vouched = false } = linking;
  const keys = identities.map((identity) => keyOf(seal, identity));
  return inTransaction(db, async (trx) => {
    const services = { trx, seal, jobs };
    await lockIdentities(trx, keys);
    await lockSubjects(trx, [sub]);
    await assertStands(trx, sub);
    await assertMayTouch(trx, sub, actor);
    const owners = await findOwners(trx, keys);
    refuseTaken(owners, sub, identities, seal);
    const linked: IdentityKind[] = [];
    for (const identity of identities) {
      const key = keyOf(seal, identity);
      if (owners.some((owner) => isSameKey(owner, key))) continue;
      const rivals = await rivalsOf(trx, sub, key, owners);
      if (isReviewers(await identitiesOfSubject(trx, sub)) || (rivals.length && !replace))
        throw fail('identity_contradicts', { fields: { kind: identity.kind } });
      await attach(services, { sub, identity, actor, tells, is_vouched, ...(reason && { reason }) });
      for (const identity_id of rivals) await detach(services, { sub, identity_id, actor, reason: 'replaced' });
      linked.push(identity.kind);
    }
    return { linked };
  });
}

/** @throws not_found | subject_suspended */
async function assertStands(trx: Knex, sub: string): Promise<void> {
  const row = await readSubject(trx, sub);
  if (!row || row.subject_id !== sub) throw fail('not_found');
  if (row.status !== 'active') throw fail('subject_suspended');
}

/**
 * Whoever can sign in as somebody who works in the console has their role, so programs leave them alone as they do when merging
 * (threat D17); which of the staff may, the console knows. @throws forbidden
 */
async function assertMayTouch(trx: Knex, sub: string, { actor_kind }: Actor): Promise<void> {
  if (actor_kind === 'client' && (await isStaff(trx, [sub])))
    throw fail('forbidden', { message: 'This person works in the console, where an owner changes how they sign in.' });
}

function refuseTaken(owners: OwnedIdentity[], sub: string, identities: Identity[], seal: Seal): void {
  const taken = owners.find(({ subject_id }) => subject_id !== sub);
  const identity = taken && identities.find((candidate) => isSameKey(keyOf(seal, candidate), taken));
  if (!identity) return;
  const { kind, external_id } = identity;
  throw fail('identity_taken', { fields: { kind, hint: maskIdentity(kind, external_id) } });
}

/** Current ones of the same kind and issuer. A second openid of an app is one person's when its known unionid comes with it. */
async function rivalsOf(trx: Knex, sub: string, key: IdentityKey, owners: OwnedIdentity[]): Promise<string[]> {
  if (key.kind === 'wechat_openid' && owners.some(({ kind }) => kind === 'wechat_unionid')) return [];
  const held = await identitiesOfSubject(trx, sub);
  if (!contradictionsWith(held, [key]).length) return [];
  return held
    .filter((row) => row.kind === key.kind && row.issuer === key.issuer && row.superseded_at === null)
    .map(({ id }) => id);
}

/** Kinds by which a person can prove who they are; a member number alone opens nothing. */
const waysIn = new Set<IdentityKind>(['phone', 'email', 'wechat_openid', 'wechat_unionid', 'oidc']);

export type UnlinkInput = { sub: string; identity_id: string; actor: Actor; reason?: string };

/** The last way in stays, also when two are removed at the same moment (threat D10). @throws not_found | forbidden | last_identity */
export async function unlinkIdentity({ db, seal, jobs }: LinkServices, input: UnlinkInput): Promise<void> {
  const { sub, identity_id } = input;
  await inTransaction(db, async (trx) => {
    await lockSubjects(trx, [sub]);
    const held = await identitiesOfSubject(trx, sub);
    const row = held.find(({ id }) => id === identity_id);
    if (!row) throw fail('not_found');
    await assertMayTouch(trx, sub, input.actor);
    const left = held.filter(({ id, kind }) => id !== identity_id && waysIn.has(kind));
    if (!left.length && waysIn.has(row.kind)) throw fail('last_identity');
    await detach({ trx, seal, jobs }, input);
  });
}

/**
 * WeChat says that this identity is no more (the person closed their WeChat account, or took the authorisation back): it goes even
 * when it was the last one. False when nobody has it.
 */
export async function withdrawIdentity(
  { db, seal, jobs }: LinkServices,
  { identity, actor, reason }: { identity: Identity; actor: Actor; reason: string },
): Promise<{ sub: string; was_last: boolean } | undefined> {
  const key = keyOf(seal, identity);
  return inTransaction(db, async (trx) => {
    await lockIdentities(trx, [key]);
    const [owner] = await findOwners(trx, [key]);
    if (!owner) return undefined;
    const sub = owner.subject_id;
    await lockSubjects(trx, [sub]);
    const left = (await identitiesOfSubject(trx, sub)).filter(({ id, kind }) => id !== owner.id && waysIn.has(kind));
    await detach({ trx, seal, jobs }, { sub, identity_id: owner.id, actor, reason });
    return { sub, was_last: !left.length };
  });
}
