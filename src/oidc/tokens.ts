/**
 * Reads the tokens that our own APIs are shown. Each call looks whether the grant is still there, the person stands and the
 * client is enabled: a sign-out or a merge ends access now, not when the token expires.
 */
import { createLocalJWKSet, type JWK, type JWTPayload, jwtVerify } from 'jose';
import type { Clock } from '../clock.ts';
import type { Database } from '../database.ts';
import { stands } from './account.ts';
import { artifactId } from './adapter.ts';
import type { ClientDirectory } from './clients.ts';
import type { Engine } from './engine.ts';
import { signingAlgorithms } from './keys.ts';
import { apiResource, machineScopes, personScopes, words } from './scopes.ts';
import { findGrantStanding } from './store.ts';
import { currentUnit, inUnit } from './unit.ts';

export type AccessTokenInfo = {
  /** Unset for a machine client. */
  sub?: string;
  client_id: string;
  scopes: string[];
  channel: string | null;
};

export type TokenReader = {
  readAccessToken(bearer: string): Promise<AccessTokenInfo | undefined>;
  readIdToken(jwt: string): Promise<{ sub: string; client_id: string } | undefined>;
};

type ReaderDependencies = {
  db: Database;
  clock: Clock;
  provider: Engine;
  clients: ClientDirectory;
  keys: { keys: JWK[] };
  publicUrl: string;
  clockTolerance: number;
};

/** Ours are under 2 kB; nobody makes us parse a megabyte (threat A24). */
const longest = 8_192;

export function createTokenReader(deps: ReaderDependencies): TokenReader {
  const keySet = createLocalJWKSet(deps.keys);
  const verify = (jwt: string, options: { algorithms: string[]; audience?: string; typ?: string }) =>
    jwtVerify(jwt, keySet, {
      ...options,
      issuer: deps.publicUrl,
      clockTolerance: deps.clockTolerance,
      currentDate: deps.clock.now(),
      requiredClaims: ['sub', 'exp', 'iat', 'aud'],
    }).then(
      ({ payload, protectedHeader }) => ({ payload, typ: protectedHeader.typ }),
      () => undefined,
    );
  return {
    async readAccessToken(bearer) {
      if (bearer.length > longest) return undefined;
      if (!bearer.includes('.')) return inUnit(() => readOpaque(deps, bearer));
      // RFC 9068 section 4: type, algorithm, issuer, audience, expiry.
      const audience = apiResource(deps.publicUrl);
      const verified = await verify(bearer, { algorithms: ['ES256'], audience, typ: 'at+jwt' });
      return verified && readClaims(deps, verified.payload);
    },
    async readIdToken(jwt) {
      if (jwt.length > longest) return undefined;
      const verified = await verify(jwt, { algorithms: [...signingAlgorithms] });
      // An access or logout token is signed by the same keys; only an ID token has no type.
      if (!verified || verified.typ !== undefined) return undefined;
      const { sub, aud } = verified.payload;
      if (typeof aud !== 'string' || !sub || !(await deps.clients.find(aud))) return undefined;
      return (await stands(deps.db, sub)) ? { sub, client_id: aud } : undefined;
    },
  };
}

/** A token without audience is for /userinfo; a first-party client's opens the person's own APIs too. */
async function readOpaque({ provider, clients }: ReaderDependencies, bearer: string) {
  const token = await provider.AccessToken.find(bearer);
  if (!token?.isValid || token.aud !== undefined || !token.clientId || !token.grantId) return undefined;
  const client = (await clients.find(token.clientId))?.row;
  const unit = currentUnit();
  const hasGrant = unit?.grants.has(artifactId(token.grantId));
  if (client?.party !== 'first' || !hasGrant || !unit?.standing.get(token.accountId)) return undefined;
  const scopes = [...token.scopes, ...personScopes];
  return { sub: token.accountId, client_id: client.client_id, scopes, channel: client.channel };
}

async function readClaims(
  { db, clients }: ReaderDependencies,
  claims: JWTPayload,
): Promise<AccessTokenInfo | undefined> {
  const { sub, client_id, scope, grant_id } = claims;
  const client = typeof client_id === 'string' ? (await clients.find(client_id))?.row : undefined;
  if (!client || !sub) return undefined;
  const about = { client_id: client.client_id, channel: client.channel };
  const asked = words(scope);
  if (grant_id === undefined) {
    // What was taken from the client since counts too.
    const scopes = asked.filter((word) => machineScopes.includes(word) && client.api_scopes.includes(word));
    return sub === client.client_id ? { ...about, scopes } : undefined;
  }
  const standing = typeof grant_id === 'string' ? await findGrantStanding(db, grant_id) : undefined;
  if (!standing?.subject_stands || standing.subject_id !== sub || standing.client_id !== client.client_id)
    return undefined;
  return { ...about, sub, scopes: asked.filter((word) => personScopes.includes(word)) };
}
