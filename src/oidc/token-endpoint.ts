/**
 * The engine's grants at /token with what is ours around them: everything a request writes becomes one statement together with
 * the mark on the code or token it spends; a public client may repeat the refresh token it spent within the last 30 seconds
 * and gets the same successor; and an anonymous id is bound to whoever signed in.
 */
import type { TokenEndpointGrantContext } from 'oidc-provider';
import { recordAudit } from '../audit/audit.ts';
import type { Clock } from '../clock.ts';
import { type Consent, parseConsents } from '../consent/consent.ts';
import type { Database } from '../database.ts';
import { bindAnonymous } from '../events/bind.ts';
import type { Logger } from '../log.ts';
import { type AdapterDependencies, artifactId, loadToken } from './adapter.ts';
import { isPublic, ours } from './clients.ts';
import { keepConsents } from './consents.ts';
import { errors } from './engine.ts';
import { familyRemains } from './lifetimes.ts';
import { invalidGrant, invalidRequest, reach, toOAuthError } from './oauth-errors.ts';
import { words } from './scopes.ts';
import { deleteByGrant, saveArtifacts, spendAndSave } from './store.ts';
import { currentUnit, type LoadedToken, type Writes } from './unit.ts';

export type GrantContext = TokenEndpointGrantContext;
export type GrantHandler = (ctx: GrantContext) => void | Promise<void>;

export type TokenEndpointDependencies = AdapterDependencies & { clock: Clock; log: Logger };

/** Parameters of ours, which the engine must not strip. */
export const extraParameters: Record<string, string[]> = { authorization_code: ['anonymous_id', 'consents'] };

export function wrapGrant(deps: TokenEndpointDependencies, name: string, engine: GrantHandler): GrantHandler {
  if (name === 'authorization_code') return (ctx) => redeemCode(deps, engine, ctx);
  if (name === 'refresh_token') return (ctx) => refresh(deps, engine, ctx);
  if (name === 'client_credentials') return (ctx) => issueToMachine(engine, ctx);
  return engine;
}

/** Collects what `work` saves and writes it at once; false when what it spends was spent by another at the same moment. */
export async function inOneWrite(
  { db }: { db: Database },
  work: () => void | Promise<void>,
  keepsSuccessor = false,
): Promise<boolean> {
  const unit = currentUnit();
  if (!unit) throw new Error('a token request runs in a unit');
  const writes: Writes = { rows: [], spend: undefined, keepsSuccessor };
  unit.writes = writes;
  try {
    await work();
  } finally {
    unit.writes = undefined;
  }
  if (writes.spend) return reach(spendAndSave(db, { spend: writes.spend, rows: writes.rows }));
  await reach(saveArtifacts(db, writes.rows));
  return true;
}

async function redeemCode(deps: TokenEndpointDependencies, engine: GrantHandler, ctx: GrantContext): Promise<void> {
  const { params } = ctx.oidc;
  // RFC 6749 section 4.1.3: the address of the authorization request, again (threat A5).
  if (params.code !== undefined && params.redirect_uri === undefined) throw invalidGrant('redirect_uri is missing');
  const anonymousId = anonymousIdOf(params);
  const consents = consentsOf(ctx);
  const won = await inOneWrite(deps, () => engine(ctx));
  const { AuthorizationCode: code } = ctx.oidc.entities;
  const grantId = code?.grantId;
  if (!won) {
    // A code used twice is a stolen code: what the other one got ends with it (RFC 6749 section 4.1.2, threats A12, A13).
    if (grantId) await endGrant(deps, ctx, String(grantId), 'code_replayed');
    throw invalidGrant('authorization code already consumed');
  }
  // Before the anonymous id is bound: looking back needs the profiling consent.
  if (code?.accountId) await keepConsents(deps, ctx, consents, code.accountId);
  if (anonymousId && code?.accountId && grantId)
    await bind(deps, ctx, {
      anonymous_id: anonymousId,
      subject_id: code.accountId,
      grant_id: artifactId(String(grantId)),
    });
}

/**
 * Rotated at every use, by confidential clients too (the engine would wait for 70 % of the life). A spent token that comes
 * back ends the family, except from a public client within 30 seconds: a mini-program that goes to the background loses answers.
 */
async function refresh(deps: TokenEndpointDependencies, engine: GrantHandler, ctx: GrantContext): Promise<void> {
  const { params, client } = ctx.oidc;
  const value = params.refresh_token;
  const repeats = isPublic(ours(client));
  if (typeof value !== 'string') return engine(ctx);
  const token = await loadToken(deps, 'RefreshToken', artifactId(value));
  const isOwn = token?.payload.clientId === client.clientId;
  if (isOwn) assertFamilyLives(deps, token);
  if (isOwn && repeats && token.repeat) return repeat(deps, engine, ctx, token.repeat);
  if (isOwn && token.payload.consumed) await reportReplay(deps, ctx, token);
  if (await inOneWrite(deps, () => engine(ctx), repeats)) return;
  // Two at the same moment: the other one was first. The loser is a repeat, or a server's second thread that may try again.
  currentUnit()?.tokens.clear();
  const spent = repeats ? await loadToken(deps, 'RefreshToken', artifactId(value)) : undefined;
  if (!spent?.repeat) throw invalidGrant('refresh token already used');
  await repeat(deps, engine, ctx, spent.repeat);
}

/** The same successor, with a new access token. When the successor was used too, the engine takes this for the theft it is. */
async function repeat(
  deps: TokenEndpointDependencies,
  engine: GrantHandler,
  ctx: GrantContext,
  successor: string,
): Promise<void> {
  const token = await loadToken(deps, 'RefreshToken', artifactId(successor));
  if (token?.payload.consumed) await reportReplay(deps, ctx, token);
  ctx.oidc.params.refresh_token = successor;
  repeated.add(ctx);
  await inOneWrite(deps, () => engine(ctx));
}

const repeated = new WeakSet<object>();

/** The engine's `rotateRefreshToken`. */
export function rotates(ctx: object): boolean {
  return !repeated.has(ctx);
}

function assertFamilyLives({ clock }: TokenEndpointDependencies, { payload }: LoadedToken): void {
  if (familyRemains(Number(payload.iiat), clock.now()) <= 0) throw invalidGrant('refresh token is expired');
}

async function reportReplay(deps: TokenEndpointDependencies, ctx: GrantContext, { payload }: LoadedToken) {
  const grant_id = artifactId(String(payload.grantId));
  await report(deps, ctx, { action: 'grant.replayed', subject_id: payload.accountId, grant_id });
}

async function endGrant(deps: TokenEndpointDependencies, ctx: GrantContext, grantId: string, reason: string) {
  const grant_id = artifactId(grantId);
  await deleteByGrant(deps.db, grant_id);
  await ctx.oidc.provider.Grant.adapter.destroy(grantId);
  await report(deps, ctx, { action: `grant.${reason}`, subject_id: ctx.oidc.entities.Grant?.accountId, grant_id });
}

type Report = { action: string; subject_id: string | undefined; grant_id: string };

async function report(
  { db, log }: TokenEndpointDependencies,
  ctx: GrantContext,
  { action, subject_id, grant_id }: Report,
) {
  const client_id = ctx.oidc.client.clientId;
  const { ip, requestId: request_id } = ctx.state;
  log.warn({ request_id, client_id, grant_id, action }, 'oidc: used twice, the grant has ended');
  const entry = { actor_kind: 'client' as const, actor_id: client_id, client_id, subject_id, ip, request_id };
  await recordAudit(db, { ...entry, action, details: { grant_id } });
}

/** RFC 6749 section 3.3: all that the client may have when it names nothing; an error, not less, when it names more. */
async function issueToMachine(engine: GrantHandler, ctx: GrantContext): Promise<void> {
  const { params, client } = ctx.oidc;
  const allowed = ours(client).api_scopes;
  const asked = words(params.scope);
  const refused = asked.filter((scope) => !allowed.includes(scope));
  if (refused.length) throw new errors.InvalidScope('requested scope is not allowed', refused.join(' '));
  if (!asked.length) params.scope = allowed.join(' ') || undefined;
  await engine(ctx);
}

/** @throws invalid_request, before anything is spent */
export function anonymousIdOf({ anonymous_id }: Record<string, unknown>): string | undefined {
  if (anonymous_id === undefined || anonymous_id === '') return undefined;
  if (typeof anonymous_id === 'string' && /^[\x21-\x7e]{1,100}$/.test(anonymous_id)) return anonymous_id;
  throw invalidRequest('anonymous_id has up to 100 visible ASCII characters');
}

/** Our own websites ask on their own pages; what another company's client says a person agreed to is not believed. */
function consentsOf({ oidc }: GrantContext): Consent[] {
  const { consents } = oidc.params;
  if (typeof consents !== 'string' || ours(oidc.client).party !== 'first') return [];
  try {
    return parseConsents(consents);
  } catch (error) {
    throw toOAuthError(error);
  }
}

export type Binding = { anonymous_id: string; subject_id: string; grant_id: string };

/** The tokens are given already: a sign-in does not fail because behaviour could not be joined to it. */
export async function bind({ db, log }: TokenEndpointDependencies, ctx: GrantContext, binding: Binding): Promise<void> {
  try {
    await bindAnonymous(db, { ...binding, method: 'token' });
  } catch (error) {
    log.error({ request_id: ctx.state.requestId, err: error }, 'oidc: anonymous id was not bound');
  }
}
