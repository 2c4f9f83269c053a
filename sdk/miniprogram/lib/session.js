/**
 * Who is signed in, and their tokens. A mini-program in the background loses answers: a refresh that was not answered is
 * repeated with the same token, which Heyi answers again with the same successor for 30 seconds.
 */
const key = 'heyi.session';
/** Refresh tokens of sign-ins that are over here and perhaps not yet at Heyi. */
const endedKey = 'heyi.ended';
const grantType = 'urn:ietf:params:oauth:grant-type:token-exchange';
/** A token that ends sooner is renewed first. */
const marginMs = 60000;
/** Waits before the repeats of a refresh; with the ten seconds that each may take the last begins within the 30. */
const repeats = [0, 1000, 4000];

function createSession({ issuer, clientId, apis, http, platform }) {
  const origins = [issuer].concat(apis).map(originOf);
  let current = stored(platform.read(key));
  let renewal = null;
  const listeners = [];

  function keep(tokens) {
    current = tokens;
    if (tokens) platform.write(key, tokens, true);
    else platform.remove(key);
    for (const listener of listeners.slice()) listener(person());
  }

  function person() {
    return current ? { sub: current.sub } : null;
  }

  /** Whoever was signed in before is signed out at Heyi. */
  async function exchange(parameters) {
    const answer = await http.postForm(
      `${issuer}/token`,
      Object.assign(
        { grant_type: grantType, client_id: clientId, scope: 'openid profile phone email offline_access' },
        parameters,
      ),
    );
    const former = current && current.refresh_token;
    keep(Object.assign(held(answer), { sub: subjectOf(answer.id_token) }));
    if (former) revoke(former);
    return Object.assign(
      person(),
      answer.phone_status && { phone_status: answer.phone_status },
      answer.link_status && { link_status: answer.link_status },
    );
  }

  /** One at a time: a second refresh with the same token would look like theft. */
  function renew() {
    if (!renewal) {
      const done = () => {
        renewal = null;
      };
      renewal = repeat();
      renewal.then(done, done);
    }
    return renewal;
  }

  async function repeat() {
    const used = current && current.refresh_token;
    if (!used) return over();
    for (let turn = 0; ; turn++) {
      if (repeats[turn]) await new Promise((resolve) => setTimeout(resolve, repeats[turn]));
      try {
        const answer = await http.postForm(`${issuer}/token`, {
          grant_type: 'refresh_token',
          client_id: clientId,
          refresh_token: used,
        });
        if (isOther(used)) return accessToken();
        keep(Object.assign({}, current, held(answer)));
        return current.access_token;
      } catch (error) {
        if (isOther(used)) return accessToken();
        if (error.code === 'invalid_grant') return over();
        const mayPass = error.code === 'network' || error.status >= 500 || error.status === 429;
        if (!mayPass || turn === repeats.length - 1) throw error;
      }
    }
  }

  /** Signed out, or signed in anew, while a renewal was under way. */
  function isOther(used) {
    return !current || current.refresh_token !== used;
  }

  function over() {
    keep(null);
    throw Object.assign(new Error('The sign-in is over.'), { code: 'signed_out' });
  }

  function isFresh() {
    return Boolean(current) && current.expires_at - Date.now() > marginMs;
  }

  async function accessToken() {
    if (!current) throw Object.assign(new Error('Nobody is signed in.'), { code: 'signed_out' });
    return isFresh() ? current.access_token : renew();
  }

  /** The token goes to Heyi and to the addresses in `apis` alone: whoever holds it is the person. */
  async function request(options) {
    if (origins.indexOf(originOf(options.url)) < 0)
      throw Object.assign(new Error(`The token is not sent to ${options.url}: name its origin in \`apis\`.`), {
        code: 'foreign_address',
      });
    const { optional } = options;
    const plain = Object.assign({}, options);
    delete plain.optional;
    if (optional && !current) return http.send(plain);
    const send = (token) =>
      http.send(
        Object.assign({}, plain, { header: Object.assign({}, plain.header, { Authorization: `Bearer ${token}` }) }),
      );
    const token = await accessToken();
    const answer = await send(token);
    if (answer.statusCode !== 401) return answer;
    // Somebody else's 401 may have renewed it meanwhile.
    return send(current && current.access_token !== token ? current.access_token : await renew());
  }

  async function end() {
    const token = current && current.refresh_token;
    keep(null);
    if (token) await revoke(token);
  }

  /** Remembered until Heyi has heard of it: somebody who signs out without a line is signed out all the same, later. */
  function revoke(token) {
    platform.write(endedKey, ended().concat(token), true);
    return settle();
  }

  function ended() {
    const tokens = platform.read(endedKey);
    return Array.isArray(tokens) ? tokens : [];
  }

  async function settle() {
    for (const token of ended()) {
      try {
        await http.postForm(`${issuer}/revoke`, { token, client_id: clientId, token_type_hint: 'refresh_token' });
      } catch (error) {
        if (error.code === 'network' || error.status >= 500 || error.status === 429) return;
      }
      const left = ended().filter((other) => other !== token);
      if (left.length) platform.write(endedKey, left);
      else platform.remove(endedKey);
    }
  }

  return {
    exchange,
    request,
    person,
    end,
    isFresh,
    /** Tells Heyi of the sign-outs that it has not heard of yet. */
    settle,
    onChange(listener) {
      listeners.push(listener);
      return () => {
        const at = listeners.indexOf(listener);
        if (at >= 0) listeners.splice(at, 1);
      };
    },
  };
}

/** What another version or a broken phone left there is nobody's sign-in. */
function stored(value) {
  return value && typeof value.access_token === 'string' && typeof value.sub === 'string' ? value : null;
}

function originOf(url) {
  const found = /^(https?:\/\/[^/?#]+)/i.exec(String(url));
  return found && found[1].indexOf('@') < 0 ? found[1].toLowerCase() : '';
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
  let waiting = 0;
  let out = '';
  for (const letter of text) {
    waiting = (waiting << 6) | alphabet.indexOf(letter);
    bits += 6;
    if (bits >= 8) {
      bits -= 8;
      out += String.fromCharCode((waiting >> bits) & 255);
      waiting &= (1 << bits) - 1;
    }
  }
  return out;
}

module.exports = { createSession };
