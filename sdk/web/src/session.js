/**
 * Who is signed in on this site without a server: code flow with PKCE at Heyi, as a public client.
 *
 * Tokens are kept in localStorage: all tabs are signed in together, a reload signs nobody out, and what was recorded for a person
 * can be sent as theirs later. A script that an attacker brings into the page could read them there; it could as well use them from
 * memory, so what protects is a strict Content-Security-Policy. Short access tokens and refresh tokens that rotate, and end when a
 * used one comes back, bound the damage. Who needs more signs people in on a server and keeps tokens from browsers altogether.
 *
 * @import { Heyi, Options } from '../types.d.ts'
 * @typedef {{ sub: string, access_token: string, expires_at: number, refresh_token?: string, id_token: string }} Held
 * @typedef {ReturnType<typeof createSession>} Session
 */
import { createStorage, locked, parse, randomHex } from './storage.js';

const key = 'heyi.session';
const pendingKey = 'heyi.sign_in.';
/** A token that ends sooner is renewed first. */
const marginMs = 60_000;
/** Waits before the repeats of a refresh whose answer was lost; Heyi allows them for 30 seconds. */
const repeatsMs = [0, 1000, 4000];

/** @param {string} code @param {string} [message] @param {number} [status] */
const failure = (code, message = code, status) => Object.assign(new Error(`heyi: ${message}`), { code, status });

/**
 * @param {{ issuer: string, client: Options['signIn'], grantParameters: () => Record<string, string> }} options
 *   grantParameters: what goes with the code, so that the visit before joins the person
 */
export function createSession({ issuer, client, grantParameters }) {
  // Signing in is asked for by the person: it needs no consent to remember it.
  const storage = createStorage();
  /** @type {Promise<Held> | undefined} */
  let renewal;
  /** @type {((person: { sub: string } | null) => void)[]} */
  let listeners = [];

  /** Read each time: another tab may have renewed it, or signed out. @returns {Held | null} */
  const read = () => (client ? parse(storage.get(key)) : null);
  const person = () => {
    const held = read();
    return held && { sub: held.sub };
  };
  const tell = () => {
    for (const listener of listeners) listener(person());
  };
  addEventListener('storage', (event) => {
    const subOf = (/** @type {string | null} */ text) => parse(text)?.sub;
    if (event.key === key && subOf(event.oldValue) !== subOf(event.newValue)) tell();
  });

  /** @param {Held | null} held */
  function keep(held) {
    const before = read();
    if (held) storage.set(key, JSON.stringify(held));
    else storage.remove(key);
    if (before?.sub === held?.sub) return;
    // Somebody else signed in over it: that sign-in and its bindings end too.
    if (before && held) revoke(before);
    tell();
  }

  function settings() {
    if (!client) throw failure('no_client', 'createHeyi was given no `signIn`.');
    return client;
  }

  /** @param {Record<string, string>} parameters */
  async function tokenRequest(parameters) {
    const body = new URLSearchParams({ client_id: settings().clientId, ...parameters });
    const answer = await fetch(`${issuer}/token`, { method: 'POST', body, credentials: 'omit' }).catch(() => {
      throw failure('network', `${issuer}/token cannot be reached.`);
    });
    const said = await answer.json().catch(() => ({}));
    if (answer.ok) return said;
    throw failure(said.error ?? 'unexpected', said.error_description ?? `HTTP ${answer.status}`, answer.status);
  }

  /** Its grant ends, and with it the binding of the anonymous id. @param {Held} held */
  async function revoke({ refresh_token, access_token }) {
    const body = new URLSearchParams({ token: refresh_token ?? access_token, client_id: settings().clientId });
    await fetch(`${issuer}/revoke`, { method: 'POST', body, credentials: 'omit', keepalive: true }).catch(() => {});
  }

  /** @param {string} stale the access token that is no longer good @returns {Promise<Held>} */
  async function renew(stale) {
    for (let turn = 0; ; turn++) {
      await new Promise((resolve) => setTimeout(resolve, repeatsMs[turn]));
      const held = read();
      // Another tab was first.
      if (held && held.access_token !== stale) return held;
      if (!held?.refresh_token) return over(held);
      try {
        const { refresh_token } = held;
        const renewed = heldOf(await tokenRequest({ grant_type: 'refresh_token', refresh_token }));
        // Signed out, or another person, while we waited.
        if (read()?.refresh_token !== refresh_token) continue;
        const kept = { ...held, ...renewed };
        keep(kept);
        return kept;
      } catch (error) {
        const { code, status } = /** @type {ReturnType<typeof failure>} */ (error);
        if (code === 'invalid_grant') return over(held);
        const mayPass = code === 'network' || status === 429 || (status ?? 0) >= 500;
        if (!mayPass || turn === repeatsMs.length - 1) throw error;
      }
    }
  }

  /** @param {Held | null} held @returns {never} */
  function over(held) {
    if (held && read()?.access_token === held.access_token) keep(null);
    throw failure('signed_out', 'The sign-in is over.');
  }

  const lives = (/** @type {Held} */ held) => held.expires_at - Date.now() > marginMs;

  /** @param {string} [refused] an access token that a server did not take @returns {Promise<Held>} */
  async function current(refused) {
    const held = read();
    if (!held) throw failure('signed_out', 'Nobody is signed in.');
    if (lives(held) && held.access_token !== refused) return held;
    renewal ??= locked('heyi.session', () => renew(held.access_token)).finally(() => {
      renewal = undefined;
    });
    return renewal;
  }

  return {
    person,
    /** @param {(person: { sub: string } | null) => void} listener */
    onChange(listener) {
      listeners.push(listener);
      return () => {
        listeners = listeners.filter((other) => other !== listener);
      };
    },

    /**
     * The token of exactly this person; null when they are not signed in here any more. Rejects when that cannot be told now.
     *
     * @param {string} sub
     * @param {string} [refused]
     */
    async tokenFor(sub, refused) {
      if (read()?.sub !== sub) return null;
      try {
        const held = await current(refused);
        return held.sub === sub ? held.access_token : null;
      } catch (error) {
        if (/** @type {{ code?: string }} */ (error).code === 'signed_out') return null;
        throw error;
      }
    },
    /** Without waiting: undefined when it would have to be renewed. @param {string | undefined} sub */
    tokenNow(sub) {
      const held = read();
      if (!sub || held?.sub !== sub) return null;
      return held.expires_at > Date.now() ? held.access_token : undefined;
    },

    /** @type {Heyi['signIn']} */
    async signIn({ returnTo = location.href, parameters } = {}) {
      const { clientId, redirectUri, scope = 'openid offline_access' } = settings();
      if (!crypto.subtle) throw failure('insecure_context', 'Signing in needs https.');
      const [state, nonce, verifier] = [randomHex(), randomHex(), randomHex() + randomHex()];
      try {
        sessionStorage.setItem(pendingKey + state, JSON.stringify({ nonce, verifier, returnTo }));
      } catch {
        throw failure('storage_unavailable', 'This browser lets the site remember nothing.');
      }
      const digest = await crypto.subtle.digest('SHA-256', new TextEncoder().encode(verifier));
      location.assign(
        `${issuer}/authorize?${new URLSearchParams({
          client_id: clientId,
          response_type: 'code',
          redirect_uri: redirectUri,
          scope,
          state,
          nonce,
          code_challenge: btoa(String.fromCharCode(...new Uint8Array(digest))).replace(/[+/=]/g, (letter) =>
            letter === '+' ? '-' : letter === '/' ? '_' : '',
          ),
          code_challenge_method: 'S256',
          ...(document.documentElement.lang && { ui_locales: document.documentElement.lang }),
          ...parameters,
        })}`,
      );
    },

    /** @type {Heyi['finishSignIn']} */
    async finishSignIn() {
      const { clientId, redirectUri } = settings();
      const answer = new URLSearchParams(location.search);
      const pending = takePending(answer.get('state'));
      // Only what this tab asked for: a link with somebody else's code must not sign anybody in (RFC 9700 section 4.7).
      if (!pending) return null;
      history.replaceState(history.state, '', location.pathname);
      // RFC 9207: the answer is from whom we asked.
      if (answer.get('iss') && answer.get('iss') !== issuer) throw failure('issuer_mismatch');
      if (!answer.get('code'))
        throw failure(answer.get('error') ?? 'unexpected', answer.get('error_description') ?? undefined);
      const tokens = await tokenRequest({
        grant_type: 'authorization_code',
        code: answer.get('code') ?? '',
        redirect_uri: redirectUri,
        code_verifier: pending.verifier,
        ...grantParameters(),
      });
      const claims = claimsOf(tokens.id_token);
      if (claims.iss !== issuer || claims.aud !== clientId || claims.nonce !== pending.nonce)
        throw failure('invalid_token', 'The ID token is of another sign-in.');
      keep({ ...heldOf(tokens), sub: claims.sub, id_token: tokens.id_token });
      return { sub: claims.sub, returnTo: pending.returnTo };
    },

    accessToken: async () => (await current()).access_token,

    /** @type {Heyi['fetch']} */
    async fetch(input, init = {}) {
      const send = (/** @type {string} */ token) => {
        const headers = new Headers(init.headers);
        headers.set('authorization', `Bearer ${token}`);
        return fetch(input, { ...init, headers });
      };
      const { access_token } = await current();
      const answer = await send(access_token);
      return answer.status === 401 ? send((await current(access_token)).access_token) : answer;
    },

    /** Here, and its tokens at Heyi. Resolves to where the sign-in at Heyi itself ends. */
    async end() {
      const held = read();
      if (!held) return null;
      keep(null);
      await revoke(held);
      const { clientId, postLogoutRedirectUri = `${location.origin}/` } = settings();
      return `${issuer}/logout?${new URLSearchParams({
        client_id: clientId,
        id_token_hint: held.id_token,
        post_logout_redirect_uri: postLogoutRedirectUri,
      })}`;
    },
  };
}

/** Once. @param {string | null} state @returns {{ nonce: string, verifier: string, returnTo: string } | null} */
function takePending(state) {
  try {
    const pending = parse(sessionStorage.getItem(pendingKey + state));
    sessionStorage.removeItem(pendingKey + state);
    return pending;
  } catch {
    return null;
  }
}

/** @param {{ access_token: string, expires_in: number, refresh_token?: string }} tokens */
function heldOf({ access_token, expires_in, refresh_token }) {
  return { access_token, expires_at: Date.now() + expires_in * 1000, ...(refresh_token && { refresh_token }) };
}

/** It came from Heyi over TLS, so its signature needs no check (OpenID Connect Core 3.1.3.7, 6). @param {string} idToken */
function claimsOf(idToken) {
  const payload = String(idToken.split('.')[1]).replace(/-/g, '+').replace(/_/g, '/');
  return JSON.parse(new TextDecoder().decode(Uint8Array.from(atob(payload), (letter) => letter.charCodeAt(0))));
}
