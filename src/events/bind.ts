/**
 * Which subject an anonymous id belongs to, by interval (identity rules 6.3; contract section 4):
 *
 *   ···· look-back ····|—— bound ——————————————|
 *      with consent    bound_at                ends: its grant, another subject, or thirty idle days
 *
 * The look-back is thirty days at most, never reaches into an earlier binding, and needs the profiling consent. What arrives after
 * the binding is attributed when it is stored; what lay there before is read through the interval. So a shared device splits cleanly.
 */
import type { Knex } from 'knex';
import { hasAgreed } from '../consent/consent.ts';
import { endBinding, endBindingsOfGrants, insertBinding, keepBinding, latestBinding, lockAnonymous } from './store.ts';

export type Binding = {
  anonymous_id: string;
  subject_id: string;
  /** What proved it: a token request, a server's identify, an ID token. */
  method: 'token' | 'server' | 'id_token';
  grant_id?: string | undefined;
  /** When it was proven, if that was before now: an event that was waiting to be sent. */
  at?: Date | undefined;
};

export async function bindAnonymous(db: Knex, binding: Binding): Promise<void> {
  const { anonymous_id, subject_id } = binding;
  if (!anonymous_id || anonymous_id.length > 200 || anonymous_id.includes('\0')) return;
  const looks_back = await hasAgreed(db, subject_id, 'profiling');
  await db.transaction(async (trx) => {
    await lockAnonymous(trx, anonymous_id);
    const latest = await latestBinding(trx, anonymous_id);
    if (latest?.is_active && latest.subject_id === subject_id) {
      await keepBinding(trx, latest.id, binding.grant_id ?? null);
      return;
    }
    const id = await insertBinding(trx, { ...binding, looks_back, not_before: latest?.until ?? null });
    if (latest?.is_active) await endBinding(trx, latest.id, id);
  });
}

/** Sessions or grants are over: their devices are nobody's from now on. */
export async function endBindings(db: Knex, grant_ids: string[]): Promise<void> {
  if (grant_ids.length) await endBindingsOfGrants(db, grant_ids);
}
