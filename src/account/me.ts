/** What the routes of a person's own API share. The token is the person's, and says through which of our applications they speak. */
import type { Clock } from '../clock.ts';
import type { Connectors } from '../connectors/contract.ts';
import type { Database } from '../database.ts';
import { fail } from '../errors.ts';
import type { Limits } from '../http/limits.ts';
import { type Caller, routeFactory } from '../http/routes.ts';
import type { LoginClient } from '../oidc/provider.ts';
import type { Seal } from '../seal.ts';

export type MeServices = {
  db: Database;
  clock: Clock;
  seal: Seal;
  limits: Limits;
  publicUrl: string;
  connectors: Pick<Connectors, 'appLink'>;
  clientOf(client_id: string): Promise<LoginClient | undefined>;
};

export const meRoute = routeFactory<MeServices>();

/** @throws unauthorized */
export function personOf({ sub }: Caller): string {
  if (sub === undefined) throw fail('unauthorized');
  return sub;
}
