/**
 * Sign-in by any other OpenID provider: a group's own accounts, another company's, an open one. Authorization code with PKCE, nonce and
 * `iss` (RFC 9700, RFC 9207); openid-client owns the protocol. Who somebody is, is the exact issuer and subject.
 *
 * The provider's word for an e-mail address is another matter: whoever runs it could name anybody's. It is believed only where the
 * operator says so (`trust_email`), and only when `email_verified` is true, the boolean (threat D7). Otherwise it is ignored.
 */
import {
  authorizationCodeGrant,
  buildAuthorizationUrl,
  type Configuration,
  calculatePKCECodeChallenge,
  fetchUserInfo,
  randomNonce,
  randomPKCECodeVerifier,
} from 'openid-client';
import { AppError, fail } from '../../errors.ts';
import { type CallbackInput, type ConnectorServices, defineConnector, type Proof } from '../contract.ts';
import { parseEmail } from '../email-address.ts';
import { type Outgoing, outgoingTo } from './outgoing.ts';
import { keepKeys, providerOf } from './provider.ts';
import { type UpstreamSettings, upstreamSettings } from './settings.ts';

const name = 'upstream-oidc';

export const upstreamOidc = defineConnector<UpstreamSettings>({
  kind: 'redirect',
  name,
  settings: upstreamSettings,
  key: ({ key }) => key,
  label: ({ label }) => label,
  callbackPath: ({ key }) => `/upstream/${key}/callback`,
  suits: () => 'yes' as const,
  // A provider may lead over any number of hosts before it shows a page.
  leadsTo: ({ issuer }) => [...new Set([new URL(issuer).origin, 'https:'])],
  async authorize(services, settings, { state, redirect_uri, locale }) {
    const provider = await providerOf(services, settings, outgoingTo(services.privateOrigins));
    const code_verifier = randomPKCECodeVerifier();
    const nonce = randomNonce();
    const url = buildAuthorizationUrl(provider, {
      redirect_uri,
      scope: settings.scope,
      state,
      nonce,
      code_challenge: await calculatePKCECodeChallenge(code_verifier),
      code_challenge_method: 'S256',
      ui_locales: locale,
    });
    return { url: url.href, keep: { code_verifier, nonce } };
  },
  async callback(services, settings, input) {
    const { query } = input;
    // Said by whom? An answer of another provider is no answer of this one, refusals included (RFC 9207).
    if (query.iss !== undefined && query.iss !== settings.issuer) throw fail('provider_answer_invalid');
    if (query.error || !query.code) {
      services.log.info(
        { connector: name, key: settings.key, error: query.error?.slice(0, 60) },
        'upstream-oidc: no code',
      );
      return undefined;
    }
    const outgoing = outgoingTo(services.privateOrigins);
    try {
      return await proofOf(services, settings, { ...input, outgoing });
    } catch (error) {
      throw explained(services, settings, { error, outgoing });
    }
  },
});

type Claims = Record<string, unknown>;

async function proofOf(
  services: ConnectorServices,
  settings: UpstreamSettings,
  { query, redirect_uri, keep, outgoing }: CallbackInput & { outgoing: Outgoing },
): Promise<Proof> {
  const provider = await providerOf(services, settings, outgoing);
  const url = new URL(redirect_uri);
  url.search = new URLSearchParams(query).toString();
  const { code_verifier: pkceCodeVerifier = '', nonce: expectedNonce = '' } = keep;
  // The state was this browser's own, or nobody would be here.
  const checks = { pkceCodeVerifier, expectedNonce, expectedState: query.state, idTokenExpected: true };
  const tokens = await authorizationCodeGrant(provider, url, checks);
  keepKeys(settings, provider);
  const idToken = tokens.claims();
  if (!idToken?.sub || idToken.sub.length > 255) throw fail('provider_answer_invalid');
  const userInfo = isEnough(settings, idToken)
    ? undefined
    : await askUserInfo(services, settings, { provider, access_token: tokens.access_token, sub: idToken.sub });
  const sources: Claims[] = [idToken, ...(userInfo ? [userInfo] : [])];
  const nickname = nicknameIn(sources);
  const email = settings.trust_email ? verifiedEmailIn(sources) : undefined;
  return {
    connector: name,
    identities: [
      { kind: 'oidc', issuer: settings.issuer, external_id: idToken.sub },
      ...(email ? [{ kind: 'email' as const, issuer: '', external_id: email }] : []),
    ],
    ...(nickname && { profile: { nickname } }),
    amr: ['federated'],
  };
}

function isEnough({ trust_email }: UpstreamSettings, claims: Claims): boolean {
  return claims.name !== undefined && (!trust_email || claims.email !== undefined);
}

type Asking = { provider: Configuration; access_token: string; sub: string };

/** Who it is, is proven by now: nobody is turned away because a name did not come. */
async function askUserInfo(
  { log }: ConnectorServices,
  { key }: UpstreamSettings,
  { provider, access_token, sub }: Asking,
): Promise<Claims | undefined> {
  if (!provider.serverMetadata().userinfo_endpoint) return undefined;
  try {
    return await fetchUserInfo(provider, access_token, sub);
  } catch (error) {
    log.info({ connector: name, key, code: codeOf(error) }, 'upstream-oidc: signed in without what userinfo would say');
    return undefined;
  }
}

/** Address and word for it from one source: half of each would be nobody's word. @returns normalised */
function verifiedEmailIn(sources: Claims[]): string | undefined {
  const { email, email_verified } = sources.find((claims) => claims.email !== undefined) ?? {};
  if (typeof email !== 'string' || email_verified !== true) return undefined;
  try {
    return parseEmail(email);
  } catch {
    return undefined;
  }
}

function nicknameIn(sources: Claims[]): string | undefined {
  const names = sources.flatMap((claims) => [claims.name, claims.nickname, claims.preferred_username]);
  const found = names.find((text): text is string => typeof text === 'string' && text !== '');
  return found && [...found].slice(0, 64).join('');
}

const ours = ['invalid_client', 'unauthorized_client', 'unsupported_grant_type', 'invalid_request'];

/** Codes only: descriptions and causes hold what was sent. */
function explained(
  { log }: ConnectorServices,
  { key }: UpstreamSettings,
  { error, outgoing }: { error: unknown; outgoing: Outgoing },
): AppError {
  if (error instanceof AppError) return error;
  const entry = { connector: name, key, code: codeOf(error) };
  if (outgoing.isAway()) {
    log.warn(entry, 'upstream-oidc: the provider does not answer');
    return fail('upstream_unavailable', { retryAfterSeconds: 5 });
  }
  if (ours.includes(entry.code)) {
    log.error(entry, 'upstream-oidc: the provider refuses us: check client_id and client_secret');
    return fail('connector_not_configured', { retryAfterSeconds: 60 });
  }
  log.warn(entry, 'upstream-oidc: an answer that proves nothing');
  return fail('provider_answer_invalid');
}

function codeOf(thrown: unknown): string {
  const { error, code, name: kind } = thrown as { error?: unknown; code?: unknown; name?: unknown };
  return String(error ?? code ?? kind).slice(0, 60);
}
