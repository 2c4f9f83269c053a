/** The name and picture a person came with: cleaned on the way in, and forgotten when they say so where they gave them. */
import type { Knex } from 'knex';
import type { Proof } from '../connectors/contract.ts';
import { type Actor, recordFor } from './actor.ts';
import { forgetFilledProfile, membersOf } from './merge-store.ts';
import { fillProfile, setProfile } from './store.ts';

/** Names come from strangers: control and direction marks out, 64 characters at most (threat C16); pictures are https only (C17). */
export function cleanProfile(profile: Proof['profile']): { nickname?: string; picture?: string } {
  const nickname = [...(profile?.nickname ?? '').replace(/[\p{Cc}\p{Cf}\p{Cs}]/gu, '').trim()].slice(0, 64).join('');
  const picture = profile?.picture?.startsWith('https://') ? profile.picture : undefined;
  return { ...(nickname && { nickname }), ...(picture && { picture }) };
}

/** What a known person lacks is taken from the sign-in at hand; what they have stays. */
export async function completeProfile(db: Knex, sub: string, profile: Proof['profile']): Promise<void> {
  const cleaned = cleanProfile(profile);
  if (Object.keys(cleaned).length) await fillProfile(db, sub, cleaned);
}

/**
 * Under every sub this person has, and in the undo log too: deletion outranks it. Which connector a name came from is not kept, so
 * all of it goes; the next sign-in, or the person, gives a new one.
 */
export async function forgetProfile(
  trx: Knex.Transaction,
  { sub, actor, reason }: { sub: string; actor: Actor; reason: string },
): Promise<void> {
  const subs = await membersOf(trx, sub);
  for (const member of subs) await setProfile(trx, member, { nickname: null, picture: null });
  await forgetFilledProfile(trx, subs);
  await recordFor(trx, actor, { action: 'subject.profile_forgotten', subject_id: sub, details: { reason } });
}
