/** The sign-in pages as app.ts wires them, on a loopback port, with an SMS gateway and a mail relay that keep what they are sent. */
import { createHash, randomBytes } from 'node:crypto';
import { once } from 'node:events';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { SMTPServer } from 'smtp-server';
import { afterAll } from 'vitest';
import { createConnectors } from '../../src/connectors/registry.ts';
import { createCsrf } from '../../src/http/csrf.ts';
import { createI18n } from '../../src/http/i18n.ts';
import { createRender, staticFiles } from '../../src/http/render.ts';
import { createKoa, listen } from '../../src/http/server.ts';
import { createPages } from '../../src/login/pages.ts';
import { loginRoutes } from '../../src/login/routes.ts';
import { createClient } from '../../src/oidc/clients.ts';
import { createOidc } from '../../src/oidc/provider.ts';
import { aliyunAt, aliyunBehaviour, fakeServer } from '../connectors/fakes.ts';
import { testServices } from '../connectors/services.ts';
import { testDatabase } from '../helpers/database.ts';
import { collectJobs } from '../helpers/jobs.ts';
import { freePort } from '../helpers/ports.ts';

export async function openSite({ sandbox = false, privateOrigins = [] as string[] } = {}) {
  const { db, url: databaseUrl } = await testDatabase();
  const now = { shift: 0 };
  const services = { ...testServices(db), privateOrigins, clock: { now: () => new Date(Date.now() + now.shift) } };
  const { seal, clock, log, limits } = services;
  const sms: { phone: string; code: string }[] = [];
  const gateway = await fakeServer(aliyunBehaviour(sms));
  const relay = await mailRelay();
  const connectors = createConnectors(services);
  await connectors.configure({
    id: 'sms',
    connector: 'sms',
    settings: aliyunAt(gateway.base),
  });
  await connectors.configure({
    id: 'email',
    connector: 'email',
    settings: { host: '127.0.0.1', port: relay.port, from: '合一 <no-reply@heyi.example>' },
  });

  // The port is part of every address: it is taken before the parts that are told their address are made.
  const port = await freePort();
  const origin = `http://localhost:${port}`;
  const website = await clientServer();
  const config = {
    publicUrl: origin,
    privateOrigins: [],
    sandbox,
    sandboxUrl: 'http://localhost:3200',
    demoUrl: 'http://localhost:3100',
  };
  const i18n = createI18n();
  const csrf = createCsrf({ seal, publicUrl: origin });
  const render = createRender({ i18n, csrf });
  const pages = createPages({ render, i18n });
  await createClient(
    { db, seal },
    {
      client_id: 'website',
      name: '示例官网',
      token_endpoint_auth_method: 'none',
      redirect_uris: [website.callback],
      post_logout_redirect_uris: [`${website.origin}/bye`],
      channel: 'website',
    },
  );
  const only = { token_endpoint_auth_method: 'none' as const, methods: ['sms'] };
  await createClient(
    { db, seal },
    { ...only, client_id: 'phone-only', name: 'Phone <b>only</b>', redirect_uris: [`${website.origin}/phone`] },
  );
  await createClient(
    { db, seal },
    { ...only, client_id: 'partner', party: 'third', name: '合作伙伴', redirect_uris: [`${website.origin}/partner`] },
  );
  const { jobs } = collectJobs();
  const oidc = await createOidc({ db, seal, clock, log, config, limits, connectors, jobs, pages });
  const koa = createKoa({ log, trustProxy: 1, https: false, errorPage: pages.error });
  koa.use(staticFiles);
  const ending = new AbortController();
  const router = loginRoutes({
    db,
    seal,
    clock,
    log,
    config,
    limits,
    connectors,
    oidc,
    csrf,
    render,
    i18n,
    jobs,
    ending: ending.signal,
  });
  koa.use(router.routes()).use(router.allowedMethods());
  koa.use(oidc.middleware);
  const listener = await listen(koa, { port, host: '127.0.0.1' });
  afterAll(() => {
    ending.abort();
    return listener.stop();
  });

  return {
    ...services,
    databaseUrl,
    origin,
    website,
    sms,
    mails: relay.mails,
    now,
    connectors,
    i18n,
    provider: oidc.provider,
  };
}

export type Site = Awaited<ReturnType<typeof openSite>>;

/** Where the client sends a person; every call is a sign-in of its own. */
export function authorizeUrl(site: Site, parameters: Record<string, string> = {}): string {
  const verifier = randomBytes(32).toString('base64url');
  const query = new URLSearchParams({
    client_id: 'website',
    response_type: 'code',
    scope: 'openid',
    redirect_uri: site.website.callback,
    state: randomBytes(8).toString('base64url'),
    code_challenge: createHash('sha256').update(verifier).digest('base64url'),
    code_challenge_method: 'S256',
    ...parameters,
  });
  return `${site.origin}/authorize?${query}`;
}

/** The client's side: one page at every address, so that a browser ends somewhere. */
async function clientServer() {
  const server = createServer((req, res) => {
    res.writeHead(200, { 'content-type': 'text/html; charset=utf-8' });
    res.end(
      `<!doctype html><title>client</title><h1>Back at the client</h1><p id="path">${req.url?.split('?')[0]}</p>`,
    );
  }).listen(0, '127.0.0.1');
  await once(server, 'listening');
  afterAll(() => void server.close());
  const origin = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
  return { origin, callback: `${origin}/callback` };
}

/** The six digits on a line of their own in the plain text; headers and boundaries hold digits too. */
function codeIn(mail: string): string {
  const parts = mail.split(/\r?\n\r?\n/);
  const texts = [...parts, ...parts.map((part) => Buffer.from(part, 'base64').toString('utf8'))];
  return texts.map((text) => /^\s*(\d{6})\s*$/m.exec(text)?.[1]).find(Boolean) ?? '';
}

async function mailRelay() {
  const mails: { to: string; code: string }[] = [];
  const relay = new SMTPServer({
    authOptional: true,
    logger: false,
    onData(stream, session, done) {
      const chunks: Buffer[] = [];
      stream.on('data', (chunk: Buffer) => chunks.push(chunk));
      stream.on('end', () => {
        mails.push({
          to: session.envelope.rcptTo[0]?.address ?? '',
          code: codeIn(Buffer.concat(chunks).toString('utf8')),
        });
        done();
      });
    },
  });
  relay.listen(0, '127.0.0.1');
  await once(relay.server, 'listening');
  afterAll(() => new Promise<void>((resolve) => relay.close(() => resolve())));
  return { mails, port: (relay.server.address() as AddressInfo).port };
}
