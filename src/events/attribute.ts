/**
 * Whose an event is and how far that is trusted. A claim is never the subject:
 *
 *   speaker   event names                          subject                              trust
 *   token     nobody, or the token's own sub       the token's                          token
 *   token     another userId                       nobody, whatever is bound later      claimed
 *   client    anything                             that of the bound anonymous id,      bound
 *                                                  else nobody yet                      claimed
 *   server    an existing sub                      it                                   server
 *   server    external ids                         the first of them that is known      server
 *   server    somebody nobody knows yet            held 30 days for them                server
 *   server    an anonymous id alone                that of the binding, if any          server
 *
 * The binding itself is looked up by the statement that stores the event.
 */
import type { Knex } from 'knex';
import type { Catalogue } from './catalogue.ts';
import type { Incoming, RejectionCode } from './normalise.ts';
import { type IdentityKey, type KeyOf, type Known, lookUp, nobody } from './people.ts';
import type { Speaker } from './speaker.ts';
import type { Trust } from './trust.ts';

export type Attribution = {
  subject_id: string | null;
  trust: Trust;
  is_attributable: boolean;
  counts: boolean;
  claimed_user_id: string | null;
  held?: IdentityKey[] | undefined;
};

export type Attribute = (incoming: Incoming) => Attribution | { rejection: RejectionCode };

type Services = { db: Knex; keyOf: KeyOf; catalogue: Catalogue };

/** Looks up everybody the batch names, at once, and answers for each event. */
export async function attributor(services: Services, speaker: Speaker, batch: Incoming[]): Promise<Attribute> {
  const known = speaker.kind === 'server' ? await lookUp(services, batch) : nobody;
  return (incoming) => {
    const found = decide(speaker, incoming, known);
    if ('rejection' in found) return found;
    const { subject_id, is_attributable } = found;
    // Without subject it counts for nobody until a binding reaches it, and then its subject is known by the binding.
    const trust = subject_id === null && is_attributable && found.trust === 'claimed' ? 'bound' : found.trust;
    return { ...found, counts: services.catalogue.counts(incoming.event, trust, speaker.catalogue) };
  };
}

type Found = Omit<Attribution, 'counts'>;

function decide(speaker: Speaker, incoming: Incoming, known: Known): Found | { rejection: RejectionCode } {
  const { user_id, anonymous_id } = incoming;
  if (speaker.kind === 'token') {
    const foreign = user_id !== undefined && user_id !== speaker.sub;
    return foreign
      ? { subject_id: null, trust: 'claimed', is_attributable: false, claimed_user_id: user_id }
      : { subject_id: speaker.sub, trust: 'token', is_attributable: true, claimed_user_id: null };
  }
  if (user_id === undefined && anonymous_id === undefined && !incoming.external_ids.length)
    return { rejection: 'identity_missing' };
  if (speaker.kind === 'server') return decideForServer(incoming, known);
  // External ids are a server's word: alone, from a public key, they name nobody.
  if (user_id === undefined && anonymous_id === undefined) return { rejection: 'identity_missing' };
  return { subject_id: null, trust: 'claimed', is_attributable: true, claimed_user_id: user_id ?? null };
}

function decideForServer(incoming: Incoming, known: Known): Found | { rejection: RejectionCode } {
  const { user_id, external_ids } = incoming;
  const status = user_id === undefined ? undefined : known.subjects.get(user_id.toLowerCase());
  if (status === 'deleted') return { rejection: 'subject_deleted' };
  const keys = external_ids.flatMap(known.keysOf);
  const subject_id =
    status !== undefined ? (user_id?.toLowerCase() ?? null) : (keys.map(known.subjectOf).find(Boolean) ?? null);
  const found = {
    subject_id,
    trust: 'server' as const,
    claimed_user_id: subject_id === null ? (user_id ?? null) : null,
  };
  if (subject_id !== null || (user_id === undefined && !external_ids.length))
    return { ...found, is_attributable: true };
  // It names a person: whoever the anonymous id is bound to is not asked.
  return { ...found, is_attributable: false, held: keys };
}
