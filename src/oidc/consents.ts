/** What a person agreed to in the client's own pages, told with the token request: `consents=privacy@1 profiling@1`. */
import { type Consent, currentConsents, recordConsents } from '../consent/consent.ts';
import type { Database } from '../database.ts';
import { type EngineClient, ours } from './clients.ts';
import type { GrantContext } from './token-endpoint.ts';

export function channelOf({ channel, appid }: EngineClient): string {
  return channel ?? (appid ? 'miniprogram' : 'app');
}

/** A program sends its consents with every sign-in; what is in force already is not written again. */
export async function keepConsents(
  { db }: { db: Database },
  ctx: GrantContext,
  consents: Consent[],
  subject_id: string,
): Promise<void> {
  if (!consents.length) return;
  const client = ours(ctx.oidc.client);
  const known = await currentConsents(db, subject_id);
  const fresh = consents.filter(
    ({ purpose, version }) =>
      !known.some((consent) => consent.purpose === purpose && consent.version === version && consent.is_granted),
  );
  const { ip, requestId: request_id } = ctx.state;
  const evidence = { ip, request_id, client_id: client.clientId };
  await recordConsents(db, { subject_id, consents: fresh, channel: channelOf(client), evidence });
}
