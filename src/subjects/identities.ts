/** Giving a subject an identity and taking one away: the row, the record, the message to others, and the word to the person. */
import type { Knex } from 'knex';
import type { Identity } from '../connectors/contract.ts';
import { publish } from '../outbox.ts';
import type { Seal } from '../seal.ts';
import { type Actor, type Notice, notify, recordFor, type SendJobs } from './actor.ts';
import { hintOf, keyOf, maskIdentity, sealExternalId } from './identity-key.ts';
import { deleteIdentity, identitiesOfSubject, insertIdentity, settleCurrent } from './store.ts';

export type IdentityServices = { trx: Knex.Transaction; seal: Seal; jobs: SendJobs };

/** The subject is locked or new, and the identity is nobody's. `tells`: the person hears of it on their other channels. */
export async function attach(
  { trx, seal, jobs }: IdentityServices,
  {
    sub,
    identity,
    actor,
    reason,
    tells,
    is_vouched = false,
  }: { sub: string; identity: Identity; actor: Actor; reason?: string; tells: boolean; is_vouched?: boolean },
): Promise<string> {
  const { kind, issuer, external_id } = identity;
  const id = await insertIdentity(trx, {
    ...keyOf(seal, identity),
    subject_id: sub,
    sealed: sealExternalId(seal, identity),
    is_vouched,
  });
  const details = { identity_id: id, kind, issuer, ...(reason && { reason }) };
  await recordFor(trx, actor, { action: 'identity.linked', subject_id: sub, details });
  await publish(trx, { topic: 'identity.linked', subject_id: sub, payload: details });
  const hint = maskIdentity(kind, external_id);
  if (tells) await notify({ trx, jobs }, { sub, what: 'identity_linked', kind, hint, not_to: id });
  return id;
}

type Detaching = { sub: string; identity_id: string; actor: Actor; reason?: string | undefined; what?: Notice['what'] };

/** False when this subject holds no such identity. */
export async function detach(
  { trx, seal, jobs }: IdentityServices,
  { sub, identity_id, actor, reason, what = 'identity_unlinked' }: Detaching,
): Promise<boolean> {
  const row = (await identitiesOfSubject(trx, sub)).find(({ id }) => id === identity_id);
  if (!row) return false;
  const { kind, issuer } = row;
  // What was taken away hears of it too; a number that changed hands is a stranger's by now.
  const former = what === 'identity_unlinked' && row.sealed !== null ? { former: row.sealed } : {};
  await notify({ trx, jobs }, { sub, what, kind, hint: hintOf(seal, row), ...former });
  await deleteIdentity(trx, identity_id);
  await settleCurrent(trx, [sub]);
  const details = { identity_id, kind, issuer, ...(reason && { reason }) };
  await recordFor(trx, actor, {
    action: what === 'phone_detached' ? 'identity.disowned' : 'identity.unlinked',
    subject_id: sub,
    details,
  });
  await publish(trx, { topic: 'identity.unlinked', subject_id: sub, payload: details });
  return true;
}
