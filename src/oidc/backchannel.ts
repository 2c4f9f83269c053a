/**
 * The end of everything a person is signed in to, told first: OpenID Connect Back-Channel Logout 1.0. After a merge nobody is signed in
 * as the absorbed subject from its commit on (account.ts: it does not stand); here its clients hear of it, with the sessions they
 * know, and then sessions and grants go. A client that does not answer holds nothing up for long (threat A38).
 */
import { setTimeout as wait } from 'node:timers/promises';
import type { Database } from '../database.ts';
import type { Jobs } from '../jobs.ts';
import type { Logger } from '../log.ts';
import type { Seal } from '../seal.ts';
import { sealContext } from './adapter.ts';
import type { Engine } from './engine.ts';
import { endAllOf } from './grants.ts';
import { type EndedArtifact, sessionsAndGrantsOf } from './store.ts';

type EngineClient = NonNullable<Awaited<ReturnType<Engine['Client']['find']>>>;
/** Not in the engine's types; its own sign-out page calls it too. */
type Informed = EngineClient & { backchannelLogout(sub: string, sid?: string): Promise<void> };

type Dependencies = {
  db: Database;
  seal: Seal;
  log: Logger;
  provider: Engine;
};

/** As subjects/ sends it: job `subject.ended`. */
type Ended = { sub: string; merge_id?: string; before: string };

export function handleEndedSubjects(deps: Dependencies & { jobs: Pick<Jobs, 'handle'> }): void {
  deps.jobs.handle('subject.ended', async (data) => endEverywhere(deps, data as Ended));
}

/** `before`: what was signed in later is of somebody who knows already. */
export async function endEverywhere(deps: Dependencies, { sub, before }: Ended): Promise<void> {
  const artifacts = await sessionsAndGrantsOf(deps.db, { sub, before });
  await Promise.all(informedOf(deps, artifacts).map((informed) => inform(deps, sub, informed)));
  await deps.db.transaction((trx) => endAllOf(trx, sub, { before }));
}

type Session = { authorizations?: Record<string, { sid?: string }> };

/** Each client with each session id it was given; without one for grants that no browser session stands behind. */
function informedOf(
  { seal }: Dependencies,
  artifacts: EndedArtifact[],
): { client_id: string; sid: string | undefined }[] {
  const sids = new Map<string, Set<string>>();
  for (const { model, id, payload_sealed, client_id } of artifacts) {
    if (model === 'Grant' && client_id) sids.set(client_id, sids.get(client_id) ?? new Set());
    if (model !== 'Session') continue;
    const { authorizations = {} }: Session = JSON.parse(seal.open(payload_sealed, sealContext(model, id)));
    for (const [client, { sid }] of Object.entries(authorizations))
      sids.set(client, (sids.get(client) ?? new Set()).add(sid ?? ''));
  }
  return [...sids].flatMap(([client_id, known]) =>
    known.size ? [...known].map((sid) => ({ client_id, sid: sid || undefined })) : [{ client_id, sid: undefined }],
  );
}

const pauses = [250, 1_000];

async function inform(
  { provider, log }: Dependencies,
  sub: string,
  { client_id, sid }: { client_id: string; sid: string | undefined },
): Promise<void> {
  const client = (await provider.Client.find(client_id)) as Informed | undefined;
  if (!client?.backchannelLogoutUri) return;
  for (let attempt = 0; ; attempt++) {
    try {
      await client.backchannelLogout(sub, sid);
      log.info({ client_id }, 'oidc: client was told of the end');
      return;
    } catch (error) {
      const pause = pauses[attempt];
      if (pause === undefined) {
        log.error({ client_id, reason: (error as Error).message }, 'oidc: client could not be told of the end');
        return;
      }
      await wait(pause);
    }
  }
}
