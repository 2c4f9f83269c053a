/** Which clients hear of the end of sessions and grants (OpenID Connect Back-Channel Logout 1.0), and by which session id. */
import type { Seal } from '../seal.ts';
import { artifactId, sealContext } from './adapter.ts';
import type { EndedArtifact } from './store.ts';

/** `sid` is left out where no browser session stands behind a grant: all of the person's sessions at this client. */
export type Informed = { client_id: string; sid?: string };

/** Job `session.ended`. */
export type EndedSessions = { sub: string; informed: Informed[] };

type Authorizations = Record<string, { sid?: string; grantId?: string }>;

function authorizationsIn(seal: Seal, { id, payload_sealed }: Pick<EndedArtifact, 'id' | 'payload_sealed'>) {
  const { authorizations = {} }: { authorizations?: Authorizations } = JSON.parse(
    seal.open(payload_sealed, sealContext('Session', id)),
  );
  return authorizations;
}

/** Ids of the grants that were given from this browser session. */
export function grantsIn(seal: Seal, session: Pick<EndedArtifact, 'id' | 'payload_sealed'>): string[] {
  return Object.values(authorizationsIn(seal, session)).flatMap(({ grantId }) =>
    grantId ? [artifactId(grantId)] : [],
  );
}

/** Each client with each session id it was given; without one for grants that no browser session stands behind. */
export function informedOf(seal: Seal, artifacts: EndedArtifact[]): Informed[] {
  const sids = new Map<string, Set<string>>();
  for (const artifact of artifacts) {
    const { model, client_id } = artifact;
    if (model === 'Grant' && client_id) sids.set(client_id, sids.get(client_id) ?? new Set());
    if (model !== 'Session') continue;
    for (const [client, { sid }] of Object.entries(authorizationsIn(seal, artifact)))
      sids.set(client, (sids.get(client) ?? new Set()).add(sid ?? ''));
  }
  return [...sids].flatMap(([client_id, known]) =>
    known.size ? [...known].map((sid) => ({ client_id, ...(sid && { sid }) })) : [{ client_id }],
  );
}
