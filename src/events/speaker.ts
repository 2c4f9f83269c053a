/**
 * Who is speaking, told by the Authorization header, or by `writeKey` in the body:
 *
 *   Bearer <access token of a person>   token    its subject, its client
 *   Basic <write key>:                  client   a public key: speaks for anonymous ids
 *                                       server   a secret key: may name any person
 *
 * What that makes of an event is attribute.ts.
 */
import { fail } from '../errors.ts';
import type { CatalogueOverride } from './catalogue.ts';
import { usualPerMinute } from './quota.ts';
import type { WriteKeys } from './write-keys.ts';

type Source = {
  /** Message ids are unique within it. */
  source_id: number;
  catalogue: CatalogueOverride;
  events_per_minute: number;
  /** Of events that name none. */
  channel: string;
  /** Purposes of events that say nothing of consent. */
  declared_consents: string[];
  /** Websites that may speak so; empty when none is registered. */
  origins: string[];
};
export type Speaker = Source &
  ({ kind: 'token'; sub: string } | { kind: 'client'; client_ids: string[] } | { kind: 'server' });

export type TokenReader = (
  bearer: string,
) => Promise<{ sub?: string | undefined; client_id: string; scopes: string[]; channel: string | null } | undefined>;

type Services = { writeKeys: WriteKeys; readToken: TokenReader };

/** What the header of this name says. @throws unauthorized | forbidden | unknown_write_key */
export async function speakerOfCredential(services: Services, { scheme, credential }: Credential): Promise<Speaker> {
  if (scheme === 'bearer') return speakerOfToken(services, credential);
  if (scheme === 'basic') return speakerOfKey(services, credential);
  throw fail('unauthorized');
}

export type Credential = { scheme: string; credential: string };

/** Of Basic the key alone. However the header spells it: whoever could write one credential in many ways would have many turns (threat F17). */
export function credentialIn(header: string): Credential {
  const [, scheme = '', credential = ''] = /^(\S+) +(\S+) *$/.exec(header) ?? [];
  if (scheme.toLowerCase() !== 'basic') return { scheme: scheme.toLowerCase(), credential };
  const [key = ''] = Buffer.from(credential, 'base64').toString('utf8').split(':', 1);
  return { scheme: 'basic', credential: key };
}

/** @throws unauthorized | forbidden (another program was let read, not speak for the person) */
async function speakerOfToken({ writeKeys, readToken }: Services, bearer: string): Promise<Speaker> {
  const token = await readToken(bearer);
  // A program's token has no person: programs use a server key.
  if (!token?.sub) throw fail('unauthorized');
  if (!token.scopes.includes('events:write')) throw fail('forbidden');
  const source = await writeKeys.tokenSource(token.client_id);
  const channel = token.channel ?? source.channel ?? 'server';
  return { kind: 'token', sub: token.sub, ...source, source_id: source.id, channel };
}

/** @throws unknown_write_key */
export async function speakerOfKey({ writeKeys }: Pick<Services, 'writeKeys'>, key: unknown): Promise<Speaker> {
  const known = typeof key === 'string' && key !== '' ? await writeKeys.find(key) : undefined;
  if (!known) throw fail('unknown_write_key');
  const { id: source_id, catalogue, origins, client_ids, declared_consents } = known;
  const events_per_minute = known.events_per_minute ?? usualPerMinute;
  const channel = known.channel ?? 'server';
  const source = { source_id, catalogue, events_per_minute, origins, declared_consents, channel };
  return known.kind === 'server' ? { kind: 'server', ...source } : { kind: 'client', client_ids, ...source };
}
