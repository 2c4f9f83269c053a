/**
 * The only place where proven identities become a subject (identity rule 3).
 *
 *   one proof              its subject, or a new one
 *   WeChat, then phone     WeChat known, phone free      → the phone joins                       linked
 *                          both known, one subject       → nothing to do                         unchanged
 *                          both known, two subjects      → WeChat's subject, a case is stored    conflict
 *                          phone known, WeChat free      → WeChat joins the phone's subject      linked
 *                          … that already has another
 *                            person's WeChat identity    → a new subject, a case is stored       conflict
 *                          both free                     → a new subject with both               linked
 *
 * An identity never moves here: merging is done by staff or by rule, elsewhere. Connectors prove, login/ and oidc/ ask.
 */
import type { Knex } from 'knex';
import { recordAudit } from '../audit/audit.ts';
import type { Identity, IdentityKind, Proof } from '../connectors/contract.ts';
import type { Database } from '../database.ts';
import { fail } from '../errors.ts';
import type { Seal } from '../seal.ts';
import { keyOf, sealExternalId } from './identity-key.ts';
import {
  findOwners,
  type IdentityKey,
  identityKeysOf,
  insertIdentity,
  insertSubject,
  lockIdentities,
  type OwnedIdentity,
  openCase,
  readSubject,
  touch,
} from './store.ts';

export type LinkStatus = 'linked' | 'unchanged' | 'conflict';

export type ResolveInput = {
  /** The proof that decides the subject first: the WeChat login before the phone. */
  proofs: [Proof, ...Proof[]];
  /** False: an unknown person is refused instead of becoming a new subject. */
  create: boolean;
  context: {
    channel: string;
    client_id?: string | undefined;
    ip?: string | undefined;
    request_id?: string | undefined;
  };
};

export type Resolution = {
  sub: string;
  created: boolean;
  /** Kinds that this sign-in added to the subject. */
  linked: IdentityKind[];
  /** What became of the second proof; undefined when there was one proof. */
  phone_status?: LinkStatus;
};

type Services = { db: Database; seal: Seal };

/** One proof with where its identities stand. */
type Standing = {
  identities: { identity: Identity; key: IdentityKey; owner: string | undefined }[];
  subject: string | undefined;
};

/** @throws unknown_person (create is false) | subject_suspended */
export async function resolveSubject({ db, seal }: Services, input: ResolveInput): Promise<Resolution> {
  const keys = input.proofs.flatMap((proof) => proof.identities.map((identity) => keyOf(seal, identity)));
  const owners = await findOwners(db, keys);
  const settled = await settledSubject(db, input, keys, owners);
  if (settled) return settled;
  return db.transaction(async (trx) => {
    await lockIdentities(trx, keys);
    return decide({ trx, seal, input }, standings(seal, input.proofs, await findOwners(trx, keys)));
  });
}

/** The usual sign-in: everything is known and one person's. No lock, and mostly no write. */
async function settledSubject(
  db: Database,
  input: ResolveInput,
  keys: IdentityKey[],
  owners: OwnedIdentity[],
): Promise<Resolution | undefined> {
  const [first] = owners;
  if (!first || owners.length < keys.length || owners.some((owner) => owner.subject_id !== first.subject_id))
    return undefined;
  assertStanding(first);
  if (owners.some((owner) => !owner.used_recently)) await touch(db, first.subject_id, keys);
  return {
    sub: first.subject_id,
    created: false,
    linked: [],
    ...(input.proofs.length > 1 && { phone_status: 'unchanged' as const }),
  };
}

function assertStanding({ status }: { status: string | undefined }): void {
  if (status !== 'active') throw fail('subject_suspended');
}

function standings(seal: Seal, proofs: Proof[], owners: OwnedIdentity[]): Standing[] {
  const same = (a: IdentityKey, b: IdentityKey) => a.kind === b.kind && a.issuer === b.issuer && a.lookup === b.lookup;
  return proofs.map((proof) => {
    const identities = proof.identities.map((identity) => {
      const key = keyOf(seal, identity);
      return { identity, key, owner: owners.find((owner) => same(owner, key))?.subject_id };
    });
    return { identities, subject: identities.find(({ owner }) => owner)?.owner };
  });
}

type Deciding = { trx: Knex.Transaction; seal: Seal; input: ResolveInput };

async function decide(deciding: Deciding, [first, ...others]: Standing[]): Promise<Resolution> {
  const { trx, input } = deciding;
  if (!first) throw new Error('a sign-in needs a proof');
  const known = first.subject ?? (await joinable(trx, first, others));
  if (!known && !input.create) throw fail('unknown_person');
  // The one who signs in must stand; whoever else holds one of the identities may be suspended, and gets a case.
  if (known) assertStanding({ status: (await readSubject(trx, known))?.status });
  const sub = known ?? (await createSubject(deciding));
  const linked = await attachProof(deciding, sub, first);
  let phone_status: LinkStatus | undefined;
  for (const other of others) phone_status = await linkProof(deciding, { sub, created: !known }, first, other, linked);
  await touch(
    trx,
    sub,
    [...first.identities, ...others.flatMap((other) => other.identities)]
      .filter(({ owner }) => owner === sub)
      .map(({ key }) => key),
  );
  return { sub, created: !known, linked, ...(phone_status && { phone_status }) };
}

/** The subject of a later proof that a first proof without a subject may join: the one registered by phone on the website. */
async function joinable(trx: Knex, first: Standing, others: Standing[]): Promise<string | undefined> {
  for (const { subject } of others) {
    if (subject && !(await contradicts(trx, subject, first))) return subject;
  }
  return undefined;
}

/** A differing identity of the same kind and issuer: two people, as far as anybody can tell (rule 7). */
async function contradicts(trx: Knex, subject: string, proof: Standing): Promise<boolean> {
  const held = await identityKeysOf(trx, subject);
  return proof.identities.some(({ key }) =>
    held.some((other) => other.kind === key.kind && other.issuer === key.issuer && other.lookup !== key.lookup),
  );
}

async function createSubject({ trx, input }: Deciding): Promise<string> {
  const sub = await insertSubject(trx, cleanProfile(input.proofs[0].profile));
  await recordAudit(trx, {
    ...actor(sub, input),
    action: 'subject.created',
    details: { channel: input.context.channel },
  });
  return sub;
}

/**
 * Gives the subject what is free of a proof it stands behind. A unionid that came late is added here (rule 4); one that is
 * somebody else's opens a case and the sign-in goes on.
 */
async function attachProof(deciding: Deciding, sub: string, proof: Standing): Promise<IdentityKind[]> {
  const linked: IdentityKind[] = [];
  for (const { identity, key, owner } of proof.identities) {
    if (owner === sub) continue;
    if (owner) await storeCase(deciding, { sub, other: owner, key, reason: 'late_unionid' });
    else {
      await attach(deciding, sub, identity);
      linked.push(identity.kind);
    }
  }
  return linked;
}

async function linkProof(
  deciding: Deciding,
  { sub, created }: { sub: string; created: boolean },
  first: Standing,
  other: Standing,
  linked: IdentityKind[],
): Promise<LinkStatus> {
  const taken = other.identities.find(({ owner }) => owner && owner !== sub);
  if (taken?.owner) {
    await storeCase(deciding, { sub, other: taken.owner, key: taken.key, reason: 'proven_together' });
    return 'conflict';
  }
  if (other.subject === sub) return first.subject === sub ? 'unchanged' : 'linked';
  // A second number would make two people out of one proof: the person changes it on the account page instead.
  if (!created && (await contradicts(deciding.trx, sub, other))) return 'conflict';
  linked.push(...(await attachProof(deciding, sub, other)));
  return 'linked';
}

async function attach({ trx, seal, input }: Deciding, subject_id: string, identity: Identity): Promise<void> {
  const id = await insertIdentity(trx, {
    ...keyOf(seal, identity),
    subject_id,
    sealed: sealExternalId(seal, identity),
  });
  const details = { identity_id: id, kind: identity.kind, issuer: identity.issuer };
  await recordAudit(trx, { ...actor(subject_id, input), action: 'identity.linked', details });
}

type Contradiction = { sub: string; other: string; key: IdentityKey; reason: string };

async function storeCase({ trx, input }: Deciding, { sub, other, key, reason }: Contradiction): Promise<void> {
  const { id, is_new } = await openCase(trx, { ...key, reason, subject_id: sub, other_subject_id: other });
  if (!is_new) return;
  const details = { case_id: id, other_subject_id: other, kind: key.kind, reason };
  await recordAudit(trx, { ...actor(sub, input), action: 'link_case.opened', details });
}

function actor(sub: string, { context }: ResolveInput) {
  const { client_id, ip, request_id } = context;
  return { actor_kind: 'person' as const, actor_id: sub, subject_id: sub, client_id, ip, request_id };
}

/** Names come from strangers: control and direction marks out, 64 characters at most (threat C16); pictures are https only (C17). */
function cleanProfile(profile: Proof['profile']): { nickname?: string; picture?: string } {
  const nickname = [...(profile?.nickname ?? '').replace(/[\p{Cc}\p{Cf}\p{Cs}]/gu, '').trim()].slice(0, 64).join('');
  const picture = profile?.picture?.startsWith('https://') ? profile.picture : undefined;
  return { ...(nickname && { nickname }), ...(picture && { picture }) };
}
