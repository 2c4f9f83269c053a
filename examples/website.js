import { createServer } from 'node:http';
import * as oidc from 'openid-client';

const { ISSUER, CLIENT_ID, CLIENT_SECRET, SITE = 'http://localhost:4000' } = process.env;
const http = ISSUER.startsWith('http:') ? [oidc.allowInsecureRequests] : []; // a developer's machine only
const heyi = await oidc.discovery(new URL(ISSUER), CLIENT_ID, CLIENT_SECRET, undefined, { execute: http });
const sessions = new Map(); // yours: a session store

createServer(async (req, res) => {
  const url = new URL(req.url, SITE);
  const id = /site=([\w-]+)/.exec(req.headers.cookie ?? '')?.[1] ?? crypto.randomUUID();
  const session = sessions.get(id) ?? {};
  sessions.set(id, session);
  const send = (status, headers, body) =>
    res.writeHead(status, { 'Set-Cookie': `site=${id}; HttpOnly; SameSite=Lax; Path=/`, ...headers }).end(body);

  if (url.pathname === '/login') {
    session.verifier = oidc.randomPKCECodeVerifier();
    session.state = oidc.randomState();
    const to = oidc.buildAuthorizationUrl(heyi, {
      redirect_uri: `${SITE}/callback`,
      scope: 'openid profile phone offline_access',
      code_challenge: await oidc.calculatePKCECodeChallenge(session.verifier),
      code_challenge_method: 'S256',
      state: session.state,
    });
    return send(302, { Location: to.href });
  }
  if (url.pathname === '/callback') {
    const tokens = await oidc.authorizationCodeGrant(
      heyi,
      url,
      { pkceCodeVerifier: session.verifier, expectedState: session.state },
      { anonymous_id: url.searchParams.get('anonymous_id') ?? '' }, // the tracker's id: what was done before sign-in joins
    );
    session.sub = tokens.claims().sub; // the same id in the mini-program
    return send(302, { Location: '/' });
  }
  send(
    200,
    { 'Content-Type': 'text/plain; charset=utf-8' },
    session.sub ? `signed in: ${session.sub}` : 'go to /login',
  );
}).listen(new URL(SITE).port);
