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
import type { Engine } from './engine.ts';
import { endAllOf } from './grants.ts';
import { type EndedSessions, type Informed, informedOf } from './informed.ts';
import { sessionsAndGrantsOf } from './store.ts';

type EngineClient = NonNullable<Awaited<ReturnType<Engine['Client']['find']>>>;
/** Not in the engine's types; its own sign-out page calls it too. */
type InformedClient = EngineClient & { backchannelLogout(sub: string, sid?: string): Promise<void> };

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

/** What ended already, because somebody ended it here: a browser, an application, everything else (grants.ts). */
export function handleEndedSessions(deps: Dependencies & { jobs: Pick<Jobs, 'handle'> }): void {
  deps.jobs.handle('session.ended', async (data) => {
    const { sub, informed } = data as EndedSessions;
    await Promise.all(informed.map((client) => inform(deps, sub, client)));
  });
}

/** `before`: what was signed in later is of somebody who knows already. */
export async function endEverywhere(deps: Dependencies, { sub, before }: Ended): Promise<void> {
  const artifacts = await sessionsAndGrantsOf(deps.db, sub, { before });
  await Promise.all(informedOf(deps.seal, artifacts).map((client) => inform(deps, sub, client)));
  await deps.db.transaction((trx) => endAllOf(trx, sub, { before }));
}

const pauses = [250, 1_000];

async function inform({ provider, log }: Dependencies, sub: string, { client_id, sid }: Informed): Promise<void> {
  const client = (await provider.Client.find(client_id)) as InformedClient | undefined;
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
