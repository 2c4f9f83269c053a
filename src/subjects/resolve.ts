/**
 * The only place where proven identities become a subject (identity rule 3).
 *
 *   one proof              its subject, or a new one; a phone that was quiet for long, from an unknown device   second_proof_needed
 *                          … "this was never me"                → the number leaves the old account, a new subject
 *   WeChat, then phone     WeChat known, phone free             → the phone joins                                linked
 *                          both known, one subject              → nothing to do                                  unchanged
 *                          both known, two subjects             → they merge when nothing contradicts            linked
 *                          … something does                     → WeChat's subject, a case is stored             conflict
 *                          phone known, WeChat free             → WeChat joins the phone's subject               linked
 *                          … that already has another
 *                            person's WeChat identity           → a new subject, a case is stored                conflict
 *                          both free                            → a new subject with both                        linked
 *   a unionid, late        free                                 → added
 *                          somebody else's                      → they merge when nothing contradicts, else a case; sign-in goes on
 *
 * What contradicts is contradictions.ts, merging merge.ts. Connectors prove, login/ and oidc/ ask.
 */
import type { Knex } from 'knex';
import type { Identity, IdentityKind, Proof } from '../connectors/contract.ts';
import { type Database, inTransaction } from '../database.ts';
import { fail } from '../errors.ts';
import type { Seal } from '../seal.ts';
import { type Actor, recordFor, type SendJobs } from './actor.ts';
import { type CaseEvidence, openCase, wasDismissed } from './case-store.ts';
import { type Contradiction, contradictionsBetween, contradictionsWith } from './contradictions.ts';
import { deviceHash, isKnownDevice, rememberDevice } from './devices.ts';
import { attach, detach } from './identities.ts';
import { isSameKey, keyOf } from './identity-key.ts';
import { mergeLocked, survivorOf } from './merge.ts';
import { cleanProfile } from './profile.ts';
import {
  findOwners,
  type IdentityKey,
  identitiesOfSubject,
  insertSubject,
  lockIdentities,
  lockSubjects,
  type OwnedIdentity,
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
  /** What this browser or app carries to be known again; secret to it. */
  device?: string | undefined;
  /** "This was never me": of a number that was quiet for long, the old account is not this person's. */
  disown?: boolean | undefined;
};

export type Resolution = {
  sub: string;
  created: boolean;
  /** Kinds that this sign-in added to the subject. */
  linked: IdentityKind[];
  /** What became of the second proof; undefined when there was one proof. */
  phone_status?: LinkStatus;
  /** Set when two subjects became one in this sign-in. */
  merge_id?: string;
};

export type ResolveServices = { db: Database; seal: Seal; jobs: SendJobs };

/** One identity that was proven, and whose it is. */
type Stand = { identity: Identity; key: IdentityKey; owner: OwnedIdentity | undefined };
/** One proof with where its identities stand. */
type Standing = { stands: Stand[]; subject: string | undefined };

/** @throws unknown_person (create is false) | subject_suspended | second_proof_needed */
export async function resolveSubject(services: ResolveServices, input: ResolveInput): Promise<Resolution> {
  const { db, seal } = services;
  const device = input.device === undefined ? undefined : deviceHash(seal, input.device);
  const keys = input.proofs.flatMap((proof) => proof.identities.map((identity) => keyOf(seal, identity)));
  const settled = await settledSubject(db, input, keys, device);
  const resolution =
    settled ?? (await inTransaction(db, (trx) => decideLocked({ ...services, trx, input, device }, keys)));
  if (device !== undefined) await rememberDevice(db, resolution.sub, device);
  return resolution;
}

/** The usual sign-in: everything is known and one person's. No lock, and mostly no write. */
async function settledSubject(
  db: Database,
  input: ResolveInput,
  keys: IdentityKey[],
  device: string | undefined,
): Promise<Resolution | undefined> {
  const owners = await findOwners(db, keys);
  const [first] = owners;
  if (!first || owners.length < keys.length || owners.some((owner) => owner.subject_id !== first.subject_id))
    return undefined;
  if (owners.every(({ is_quiet }) => is_quiet) && !(await isKnown(db, first.subject_id, device))) return undefined;
  assertStanding(first);
  // A merge at the same moment locks the same rows: whoever loses tries again.
  if (owners.some((owner) => !owner.used_recently))
    await inTransaction(db, (trx) => touch(trx, first.subject_id, keys));
  return {
    sub: first.subject_id,
    created: false,
    linked: [],
    ...(input.proofs.length > 1 && { phone_status: 'unchanged' as const }),
  };
}

async function isKnown(db: Knex, sub: string, device: string | undefined): Promise<boolean> {
  return device !== undefined && (await isKnownDevice(db, sub, device));
}

function assertStanding({ status }: { status: string | undefined }): void {
  if (status !== 'active') throw fail('subject_suspended');
}

type Deciding = ResolveServices & { trx: Knex.Transaction; input: ResolveInput; device: string | undefined };

/** Who holds what can change until both the identities and the people who hold them are locked. */
async function decideLocked(deciding: Deciding, keys: IdentityKey[]): Promise<Resolution> {
  const { trx, seal, input } = deciding;
  await lockIdentities(trx, keys);
  const peopleOf = (owners: OwnedIdentity[]) => [...new Set(owners.map(({ subject_id }) => subject_id))].sort();
  for (let locked: string[] = []; ; ) {
    const owners = await findOwners(trx, keys);
    const people = peopleOf(owners);
    if (people.every((sub) => locked.includes(sub))) return decide(deciding, standingsOf(seal, input.proofs, owners));
    await lockSubjects(trx, people);
    locked = people;
  }
}

function standingsOf(seal: Seal, proofs: Proof[], owners: OwnedIdentity[]): Standing[] {
  return proofs.map((proof) => {
    const stands = proof.identities.map((identity) => {
      const key = keyOf(seal, identity);
      return { identity, key, owner: owners.find((owner) => isSameKey(owner, key)) };
    });
    return { stands, subject: stands.find(({ owner }) => owner)?.owner?.subject_id };
  });
}

async function decide(deciding: Deciding, [first, ...others]: Standing[]): Promise<Resolution> {
  const { trx, input } = deciding;
  if (!first) throw new Error('a sign-in needs a proof');
  const disowned = await disown(deciding, [first, ...others]);
  const known = first.subject ?? (await joinable(deciding, first, others));
  if (!known && !input.create) throw fail('unknown_person');
  // The one who signs in must stand; whoever else holds one of the identities may be suspended, and gets a case.
  if (known) assertStanding({ status: (await readSubject(trx, known))?.status });
  if (known) await assertNotRecycled(deciding, known, [first, ...others]);
  const state: State = { sub: known ?? (await createSubject(deciding)), created: !known, linked: [] };
  await attachProof(deciding, state, first, 'late_unionid');
  let phone_status: LinkStatus | undefined;
  for (const other of others) phone_status = await linkProof(deciding, state, first, other);
  await touch(trx, state.sub, await heldKeys(deciding, state.sub, [first, ...others]));
  if (disowned)
    await recordFor(trx, actorOf(state.sub, input), { action: 'subject.disowned_former', subject_id: state.sub });
  const { sub, created, linked, merge_id } = state;
  return { sub, created, linked, ...(phone_status && { phone_status }), ...(merge_id && { merge_id }) };
}

type State = { sub: string; created: boolean; linked: IdentityKind[]; merge_id?: string };

/** What this sign-in proved and the subject holds in the end. */
async function heldKeys({ trx }: Deciding, sub: string, standings: Standing[]): Promise<IdentityKey[]> {
  const held = await identitiesOfSubject(trx, sub);
  return standings
    .flatMap(({ stands }) => stands.map(({ key }) => key))
    .filter((key) => held.some((row) => isSameKey(row, key)));
}

// Rule 6: numbers that change hands

/** True when all that speaks for this subject is a number that nobody used for long. */
function isOnlyQuiet(sub: string, standings: Standing[]): boolean {
  const supporting = standings.flatMap(({ stands }) => stands).filter(({ owner }) => owner?.subject_id === sub);
  return supporting.length > 0 && supporting.every(({ owner }) => owner?.is_quiet);
}

/** The old account does not open, and says nothing of itself. @throws second_proof_needed */
async function assertNotRecycled({ trx, device }: Deciding, sub: string, standings: Standing[]): Promise<void> {
  if (isOnlyQuiet(sub, standings) && !(await isKnown(trx, sub, device))) throw fail('second_proof_needed');
}

/** Takes the number from the old account, which keeps everything else and is told on its other channels (threat B18). */
async function disown(deciding: Deciding, standings: Standing[]): Promise<boolean> {
  const { trx, input, jobs, seal, device } = deciding;
  const [standing] = standings;
  const former = standing?.subject;
  if (!input.disown || !standing || !former || !isOnlyQuiet(former, standings) || (await isKnown(trx, former, device)))
    return false;
  for (const stand of standing.stands) {
    if (stand.owner?.subject_id !== former) continue;
    const actor: Actor = { ...actorOf(former, input), actor_kind: 'system', actor_id: 'number changed hands' };
    await detach({ trx, seal, jobs }, { sub: former, identity_id: stand.owner.id, actor, what: 'phone_detached' });
    stand.owner = undefined;
  }
  standing.subject = undefined;
  return true;
}

// Joining

/** The subject of a later proof that a first proof without a subject may join: the one registered by phone on the website. */
async function joinable(deciding: Deciding, first: Standing, others: Standing[]): Promise<string | undefined> {
  for (const { subject } of others) {
    if (subject && !(await contradictionsOfJoining(deciding, subject, first, others)).length) return subject;
  }
  return undefined;
}

async function contradictionsOfJoining(
  { trx, device }: Deciding,
  subject: string,
  first: Standing,
  standings: Standing[],
): Promise<Contradiction[]> {
  const found = contradictionsWith(await identitiesOfSubject(trx, subject), keysOf(first));
  if (isOnlyQuiet(subject, standings) && !(await isKnown(trx, subject, device))) found.push({ reason: 'quiet_number' });
  return found;
}

const keysOf = ({ stands }: Standing) => stands.map(({ key }) => key);

async function createSubject({ trx, input }: Deciding): Promise<string> {
  const sub = await insertSubject(trx, cleanProfile(input.proofs[0].profile));
  const details = { channel: input.context.channel };
  await recordFor(trx, actorOf(sub, input), { action: 'subject.created', subject_id: sub, details });
  return sub;
}

/**
 * Gives the subject what is free of a proof it stands behind. A unionid that came late is added here (rule 4); when it is
 * somebody else's, the two are one person unless something contradicts, and then the sign-in goes on with a case.
 */
async function attachProof(deciding: Deciding, state: State, proof: Standing, reason: string): Promise<void> {
  for (const { identity, key, owner } of proof.stands) {
    const holder = owner && (await currentHolder(deciding, owner));
    if (holder === state.sub) continue;
    if (holder) await join(deciding, state, { other: holder, key, reason, standings: [proof] });
    else if (await fits(deciding, state.sub, key)) await add(deciding, state, identity);
  }
}

/** A merge earlier in this very sign-in may have brought it here. */
async function currentHolder({ trx }: Deciding, owner: OwnedIdentity): Promise<string | undefined> {
  return (await findOwners(trx, [owner]))[0]?.subject_id;
}

/**
 * An openid of the same app that comes with a known unionid is the same person's (a migrated mini-program gives new ones). Of
 * everything else a second one contradicts: the app was bound to another platform account under the same name, say.
 */
async function fits({ trx, input }: Deciding, sub: string, key: IdentityKey): Promise<boolean> {
  if (key.kind === 'wechat_openid') return true;
  const found = contradictionsWith(await identitiesOfSubject(trx, sub), [key]);
  if (!found.length) return true;
  const details = { kind: key.kind, issuer: key.issuer };
  await recordFor(trx, actorOf(sub, input), { action: 'identity.contradicted', subject_id: sub, details });
  return false;
}

async function add({ trx, seal, jobs, input }: Deciding, state: State, identity: Identity): Promise<void> {
  // A new account has nobody to warn.
  const tells = !state.created;
  await attach({ trx, seal, jobs }, { sub: state.sub, identity, actor: actorOf(state.sub, input), tells });
  state.linked.push(identity.kind);
}

async function linkProof(deciding: Deciding, state: State, first: Standing, other: Standing): Promise<LinkStatus> {
  const { trx } = deciding;
  const before = state.linked.length;
  const taken = other.stands.find(({ owner }) => owner);
  const holder = taken?.owner && (await currentHolder(deciding, taken.owner));
  if (taken && holder && holder !== state.sub) {
    const reason = 'proven_together';
    return join(deciding, state, { other: holder, key: taken.key, reason, standings: [first, other] });
  }
  // A second number would make two people out of one proof: the person changes it on the account page instead.
  const held = await identitiesOfSubject(trx, state.sub);
  if (!holder && !state.created && contradictionsWith(held, keysOf(other)).length) return 'conflict';
  await attachProof(deciding, state, other, 'proven_together');
  const isNew = state.created || state.linked.length > before || first.subject !== state.sub;
  return isNew ? 'linked' : 'unchanged';
}

type Joining = { other: string; key: IdentityKey; reason: string; standings: Standing[] };

/** Two subjects whose identities were proven in one go (rule 7). */
async function join(deciding: Deciding, state: State, joining: Joining): Promise<'linked' | 'conflict'> {
  const { trx, seal, jobs, input, device } = deciding;
  const { other, key, reason } = joining;
  const found = await contradictionsBetween(trx, state.sub, other);
  if (isOnlyQuiet(other, joining.standings) && !(await isKnown(trx, other, device)))
    found.push({ reason: 'quiet_number' });
  if (found.length) {
    await storeCase(deciding, { sub: state.sub, other, key, reason, found });
    return 'conflict';
  }
  const { survivor, absorbed } = await survivorOf(trx, state.sub, other);
  const merge = await mergeLocked(
    { trx, seal, jobs },
    { survivor, absorbed, reason, basis: 'rule', actor: actorOf(survivor, input) },
  );
  Object.assign(state, { sub: survivor, merge_id: merge.id, created: false });
  return 'linked';
}

type Case = { sub: string; other: string; key: IdentityKey; reason: string; found: Contradiction[] };

async function storeCase({ trx, input }: Deciding, { sub, other, key, reason, found }: Case): Promise<void> {
  const evidence: CaseEvidence = {
    proven: input.proofs.flatMap(({ identities }) => identities.map(({ kind }) => kind)),
    channel: input.context.channel,
    ...(input.context.client_id && { client_id: input.context.client_id }),
    contradictions: found,
  };
  const stored = { ...key, reason, subject_id: sub, other_subject_id: other, evidence };
  if (await wasDismissed(trx, stored)) return;
  const { id, is_new } = await openCase(trx, stored);
  if (!is_new) return;
  const details = { case_id: id, other_subject_id: other, kind: key.kind, reason };
  await recordFor(trx, actorOf(sub, input), { action: 'link_case.opened', subject_id: sub, details });
}

function actorOf(sub: string, { context }: ResolveInput): Actor {
  const { client_id, ip, request_id } = context;
  return { actor_kind: 'person', actor_id: sub, client_id, ip, request_id };
}
