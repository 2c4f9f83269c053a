/**
 * Heyi as an OpenID provider, seen from the shop: openid-client, unmodified. Discovery happens at the first use, because the
 * shop may be started before Heyi; a failed discovery is tried again the next time.
 */
import * as oidc from 'openid-client';
import type { Clock } from '../../clock.ts';
import type { Pending, Person } from './sessions.ts';
import type { Settings } from './settings.ts';

export type Provider = {
  /** Where to send the browser, and what must be remembered until it is back. */
  signIn(input: { return_to: string; language: string }): Promise<{ url: URL; state: string; pending: Pending }>;
  /**
   * Redeems the code. `anonymousId` joins what this browser did before, to which the person must have agreed: `consents` says
   * what they agreed to on our pages. @throws what openid-client throws
   */
  redeem(
    currentUrl: URL,
    input: { state: string; pending: Pending; anonymousId: string | undefined; consents: string[] },
  ): Promise<Person>;
  /** A token that lives at least another minute. Renews it in place; one renewal at a time per person. */
  freshToken(person: Person): Promise<string>;
  /** Who holds this access token; undefined when Heyi refuses it. */
  subjectOf(accessToken: string): Promise<string | undefined>;
  userinfo(person: Person): Promise<oidc.UserInfoResponse>;
  signOutUrl(person: Person, language: string): Promise<URL>;
  /** Client-credentials token for the management API. */
  machineToken(): Promise<string>;
  forgetMachineToken(): void;
};

const scope = 'openid profile phone email offline_access';

export function createProvider(settings: Settings): Provider {
  const { issuer, clock, machine } = settings;
  const website = lazily(() => discover(issuer, settings.clientId, settings.clientSecret));
  const backend = lazily(() => discover(issuer, machine.client_id, machine.client_secret));
  const renewals = new WeakMap<Person, Promise<string>>();
  let machineToken: { value: string; until: number } | undefined;
  return {
    async signIn({ return_to, language }) {
      const [state, nonce, code_verifier] = [oidc.randomState(), oidc.randomNonce(), oidc.randomPKCECodeVerifier()];
      const authorize = oidc.buildAuthorizationUrl(await website(), {
        redirect_uri: `${settings.url}/callback`,
        scope,
        state,
        nonce,
        code_challenge: await oidc.calculatePKCECodeChallenge(code_verifier),
        code_challenge_method: 'S256',
        ui_locales: language,
      });
      return { url: authorize, state, pending: { nonce, code_verifier, return_to } };
    },
    async redeem(currentUrl, { state, pending, anonymousId, consents }) {
      const tokens = await oidc.authorizationCodeGrant(
        await website(),
        currentUrl,
        { expectedState: state, expectedNonce: pending.nonce, pkceCodeVerifier: pending.code_verifier },
        {
          ...(anonymousId && { anonymous_id: anonymousId }),
          ...(consents.length && { consents: consents.join(' ') }),
        },
      );
      const claims = tokens.claims();
      if (!claims || !tokens.id_token) throw new Error('The token answer has no ID token.');
      const person: Person = { sub: claims.sub, ...held(tokens, clock), id_token: tokens.id_token };
      if (anonymousId) person.anonymous_id = anonymousId;
      return person;
    },
    freshToken(person) {
      if (person.expires_at - clock.now().getTime() > 60_000) return Promise.resolve(person.access_token);
      let renewal = renewals.get(person);
      if (!renewal) {
        renewal = website()
          .then((config) => renew(config, person, clock))
          .finally(() => renewals.delete(person));
        renewals.set(person, renewal);
      }
      return renewal;
    },
    async subjectOf(accessToken) {
      try {
        return (await oidc.fetchUserInfo(await website(), accessToken, oidc.skipSubjectCheck)).sub;
      } catch (error) {
        if (error instanceof oidc.WWWAuthenticateChallengeError) return undefined;
        throw error;
      }
    },
    async userinfo(person) {
      return oidc.fetchUserInfo(await website(), await this.freshToken(person), person.sub);
    },
    async signOutUrl(person, language) {
      return oidc.buildEndSessionUrl(await website(), {
        post_logout_redirect_uri: `${settings.url}/signed-out`,
        id_token_hint: person.id_token,
        ui_locales: language,
      });
    },
    async machineToken() {
      if (machineToken && machineToken.until > clock.now().getTime()) return machineToken.value;
      const tokens = await oidc.clientCredentialsGrant(await backend(), {
        resource: `${issuer}/api`,
        scope: 'subjects:read subjects:write',
      });
      const seconds = Math.max(0, (tokens.expires_in ?? 60) - 60);
      machineToken = { value: tokens.access_token, until: clock.now().getTime() + seconds * 1000 };
      return machineToken.value;
    },
    forgetMachineToken() {
      machineToken = undefined;
    },
  };
}

function discover(issuer: string, clientId: string, secret: string): Promise<oidc.Configuration> {
  // Plain http is for a developer's loopback address; openid-client refuses it unless told.
  const execute = issuer.startsWith('http:') ? [oidc.allowInsecureRequests] : [];
  return oidc.discovery(new URL(issuer), clientId, undefined, oidc.ClientSecretBasic(secret), { execute, timeout: 10 });
}

/** One attempt at a time; only a success is kept. */
function lazily<T>(make: () => Promise<T>): () => Promise<T> {
  let made: Promise<T> | undefined;
  return () => {
    made ??= make().catch((error) => {
      made = undefined;
      throw error;
    });
    return made;
  };
}

function held(tokens: oidc.TokenEndpointResponse, clock: Clock) {
  return {
    access_token: tokens.access_token,
    expires_at: clock.now().getTime() + (tokens.expires_in ?? 0) * 1000,
    ...(tokens.refresh_token && { refresh_token: tokens.refresh_token }),
  };
}

async function renew(config: oidc.Configuration, person: Person, clock: Clock): Promise<string> {
  if (!person.refresh_token) throw new Error('There is no refresh token.');
  const tokens = await oidc.refreshTokenGrant(config, person.refresh_token);
  Object.assign(person, held(tokens, clock), tokens.id_token && { id_token: tokens.id_token });
  return person.access_token;
}

/** Heyi said that this sign-in is over: any other failure (network, 503) leaves it as it is. */
export function isSignInOver(error: unknown): boolean {
  if (error instanceof oidc.ResponseBodyError) return error.error === 'invalid_grant';
  return error instanceof oidc.WWWAuthenticateChallengeError && error.status === 401;
}

/** The person said no, or the provider did: for the page that explains it. */
export function refusalOf(error: unknown): string | undefined {
  return error instanceof oidc.AuthorizationResponseError ? error.error : undefined;
}
