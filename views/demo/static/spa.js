/** A single-page application's sign-in (public client): code and PKCE in the browser, tokens in this page's memory only. */
import { data, text } from './data.js';

const key = 'demo.spa';
const base64url = (bytes) =>
  btoa(String.fromCharCode(...bytes))
    .replaceAll('+', '-')
    .replaceAll('/', '_')
    .replaceAll('=', '');
const random = () => base64url(crypto.getRandomValues(new Uint8Array(32)));
const redirect_uri = `${data.url}/spa/callback`;
const out = document.getElementById('spa-out');

async function begin() {
  const [state, nonce, code_verifier] = [random(), random(), random()];
  sessionStorage.setItem(key, JSON.stringify({ state, nonce, code_verifier }));
  const digest = await crypto.subtle.digest('SHA-256', new TextEncoder().encode(code_verifier));
  const authorize = new URL(`${data.issuer}/authorize`);
  authorize.search = new URLSearchParams({
    client_id: data.spa_client_id,
    response_type: 'code',
    redirect_uri,
    scope: 'openid profile',
    state,
    nonce,
    code_challenge: base64url(new Uint8Array(digest)),
    code_challenge_method: 'S256',
    ui_locales: data.language,
  });
  location.assign(authorize);
}

/** Only a code that this tab asked for is redeemed; any other is shown as received and left alone. */
async function finish() {
  const answer = new URLSearchParams(location.search);
  const started = JSON.parse(sessionStorage.getItem(key) ?? 'null');
  if (answer.get('error')) return say('spa.refused', answer.get('error'));
  if (!answer.get('code')) return say('spa.no_code');
  if (!started || started.state !== answer.get('state')) return say('spa.received');
  sessionStorage.removeItem(key);
  history.replaceState(null, '', '/spa/callback');
  const body = new URLSearchParams({
    grant_type: 'authorization_code',
    client_id: data.spa_client_id,
    code: answer.get('code'),
    redirect_uri,
    code_verifier: started.code_verifier,
  });
  const response = await fetch(`${data.issuer}/token`, { method: 'POST', body });
  const tokens = await response.json();
  if (!response.ok) return say('spa.refused', tokens.error);
  const claims = JSON.parse(
    new TextDecoder().decode(
      Uint8Array.from(atob(tokens.id_token.split('.')[1].replaceAll('-', '+').replaceAll('_', '/')), (c) =>
        c.charCodeAt(0),
      ),
    ),
  );
  if (claims.nonce !== started.nonce) return say('spa.refused', 'nonce');
  say('spa.signed_in', claims.sub);
}

function say(sentence, more = '') {
  out.textContent = `${text(sentence)} ${more}`.trim();
}

document.getElementById('spa-begin')?.addEventListener('click', begin);
if (location.pathname === '/spa/callback') finish().catch((error) => say('spa.refused', error.message));
