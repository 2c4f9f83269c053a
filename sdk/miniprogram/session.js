/**
 * Who is signed in, and their tokens. A mini-program in the background loses answers: a refresh that was not answered is
 * repeated with the same token, which Heyi answers again with the same successor for 30 seconds.
 */
const key = 'heyi.session';
const grantType = 'urn:ietf:params:oauth:grant-type:token-exchange';
/** A token that ends sooner is renewed first. */
const marginMs = 60000;
/** Waits before the repeats of a refresh; their sum stays well under the 30 seconds. */
const repeats = [0, 1000, 4000];

function createSession({ issuer, clientId, http }) {
  let current = wx.getStorageSync(key) || null;
  let renewal = null;
  const listeners = [];

  function keep(tokens) {
    current = tokens;
    if (tokens) wx.setStorageSync(key, tokens);
    else wx.removeStorageSync(key);
    for (const listener of listeners) listener(person());
  }

  function person() {
    return current ? { sub: current.sub } : null;
  }

  async function exchange(parameters) {
    const answer = await http.postForm(
      `${issuer}/token`,
      Object.assign(
        { grant_type: grantType, client_id: clientId, scope: 'openid profile phone email offline_access' },
        parameters,
      ),
    );
    keep(Object.assign(held(answer), { sub: subjectOf(answer.id_token) }));
    return Object.assign(
      person(),
      answer.phone_status && { phone_status: answer.phone_status },
      answer.link_status && { link_status: answer.link_status },
    );
  }

  /** One at a time: a second refresh with the same token would look like theft. */
  function renew() {
    if (!renewal) {
      renewal = repeat().then(
        (result) => {
          renewal = null;
          return result;
        },
        (error) => {
          renewal = null;
          throw error;
        },
      );
    }
    return renewal;
  }

  async function repeat() {
    const used = current?.refresh_token;
    if (!used) return over();
    for (let turn = 0; ; turn++) {
      if (repeats[turn]) await new Promise((resolve) => setTimeout(resolve, repeats[turn]));
      try {
        const answer = await http.postForm(`${issuer}/token`, {
          grant_type: 'refresh_token',
          client_id: clientId,
          refresh_token: used,
        });
        // Signed out, or somebody else signed in, while we waited.
        if (!current || current.refresh_token !== used) return current?.access_token;
        keep(Object.assign({}, current, held(answer)));
        return current.access_token;
      } catch (error) {
        if (error.code === 'invalid_grant') return over();
        const mayPass = error.code === 'network' || error.status >= 500 || error.status === 429;
        if (!mayPass || turn === repeats.length - 1) throw error;
      }
    }
  }

  function over() {
    keep(null);
    throw Object.assign(new Error('The sign-in is over.'), { code: 'signed_out' });
  }

  async function accessToken() {
    if (!current) throw Object.assign(new Error('Nobody is signed in.'), { code: 'signed_out' });
    return current.expires_at - Date.now() > marginMs ? current.access_token : renew();
  }

  async function request(options) {
    const send = (token) =>
      http.send(
        Object.assign({}, options, { header: Object.assign({}, options.header, { Authorization: `Bearer ${token}` }) }),
      );
    const token = await accessToken();
    const answer = await send(token);
    if (answer.statusCode !== 401) return answer;
    // Somebody else's 401 may have renewed it meanwhile.
    return send(current && current.access_token !== token ? current.access_token : await renew());
  }

  async function end() {
    const token = current?.refresh_token;
    keep(null);
    if (token)
      await http
        .postForm(`${issuer}/revoke`, { token, client_id: clientId, token_type_hint: 'refresh_token' })
        .catch(() => {});
  }

  return { exchange, request, person, end, onChange: (listener) => listeners.push(listener) };
}

function held({ access_token, expires_in, refresh_token, id_token }) {
  return Object.assign(
    { access_token, expires_at: Date.now() + expires_in * 1000 },
    refresh_token && { refresh_token },
    id_token && { id_token },
  );
}

/** The token came from Heyi over TLS, so its signature needs no check here (OpenID Connect Core 3.1.3.7, 6). */
function subjectOf(idToken) {
  return JSON.parse(decodeBase64url(idToken.split('.')[1])).sub;
}

/** A mini-program has no atob. Claims outside ASCII come out as bytes, which leaves `sub` intact. */
function decodeBase64url(text) {
  const alphabet = 'ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_';
  let bits = 0;
  let held = 0;
  let out = '';
  for (const letter of text) {
    held = (held << 6) | alphabet.indexOf(letter);
    bits += 6;
    if (bits >= 8) {
      bits -= 8;
      out += String.fromCharCode((held >> bits) & 255);
      held &= (1 << bits) - 1;
    }
  }
  return out;
}

module.exports = { createSession };
