/** The endpoint on a real listener and a real database, with token readers that tests fill. */
import { gzipSync } from 'node:zlib';
import { afterAll } from 'vitest';
import { type Clock, systemClock } from '../../src/clock.ts';
import { createDatabase, type Database } from '../../src/database.ts';
import { eventsRoutes } from '../../src/events/routes.ts';
import { createWriteKey } from '../../src/events/write-keys.ts';
import { answerDirectly } from '../../src/http/direct.ts';
import { createKoa, listen } from '../../src/http/server.ts';
import { createLogger } from '../../src/log.ts';
import { createSeal } from '../../src/seal.ts';
import { keyOf } from '../../src/subjects/identity-key.ts';

export const seal = createSeal('a secret of at least thirty-two characters');
export const log = createLogger({ level: process.env.DEBUG_LOG ?? 'silent' });
const website = 'https://www.example.com';

type Token = { sub?: string; client_id: string; channel: string | null; scopes?: string[] };
export type Answer = {
  status: number;
  headers: Headers;
  body: { success?: boolean; rejected?: Rejected[]; error?: { code: string; fields?: Record<string, string> } };
};
type Rejected = { index: number; message_id: string | null; code: string; message: string };

/** One process: an app of its own, optionally with a pool of its own. */
export async function eventsApp(
  db: Database,
  { clock = systemClock, publicUrl = 'https://id.example.com', port = 0, logger = log, proxies = 0 } = {},
) {
  const tokens = new Map<string, Token>();
  const idTokens = new Map<string, { sub: string; client_id: string }>();
  const { direct, routers } = eventsRoutes({
    db,
    seal,
    clock,
    log: logger,
    publicUrl,
    keyOf: (identity) => keyOf(seal, identity),
    readToken: async (bearer) => {
      const token = tokens.get(bearer);
      return token && { scopes: ['events:write'], ...token };
    },
    readIdToken: async (jwt) => idTokens.get(jwt),
  });
  const options = { log: logger, trustProxy: proxies || (false as const), https: false };
  const koa = createKoa(options);
  let arrived = 0;
  for (const router of routers) koa.use(router.routes());
  const listener = await listen(koa, {
    port,
    host: '127.0.0.1',
    direct: answerDirectly(direct, options),
    observe: () => {
      arrived += 1;
    },
  });
  const url = `http://127.0.0.1:${listener.port}`;
  afterAll(() => listener.stop());
  const send = (path: string, body: unknown, headers: Record<string, string> = {}) =>
    request(`${url}${path}`, { method: 'POST', body: toBytes(body), headers });
  return {
    url,
    tokens,
    idTokens,
    send,
    request: (path: string, init: RequestInit) => request(`${url}${path}`, init),
    /** How many requests have come so far. */
    arrived: () => arrived,
  };
}

function toBytes(body: unknown): NonNullable<RequestInit['body']> {
  return typeof body === 'string' ? body : Buffer.isBuffer(body) ? new Uint8Array(body) : JSON.stringify(body);
}

async function request(url: string, init: RequestInit): Promise<Answer> {
  const response = await fetch(url, init);
  const text = await response.text();
  return { status: response.status, headers: response.headers, body: text ? JSON.parse(text) : {} };
}

export const basic = (key: string) => ({ authorization: `Basic ${Buffer.from(`${key}:`).toString('base64')}` });
export const bearer = (token: string) => ({ authorization: `Bearer ${token}` });
export const gzip = (body: unknown) => gzipSync(typeof body === 'string' ? body : JSON.stringify(body));

export const clientKey = 'the-client-key';
export const serverKey = 'the-server-key';
export const openKey = 'a-key-of-no-website';

export async function seedKeys(db: Database) {
  const services = { db, seal };
  const client = await createWriteKey(services, {
    key: clientKey,
    kind: 'client',
    name: 'Website',
    client_ids: ['website'],
    origins: [website],
    channel: 'website',
  });
  const server = await createWriteKey(services, { key: serverKey, kind: 'server', name: 'Shop system' });
  const open = await createWriteKey(services, { key: openKey, kind: 'client', name: 'App', channel: 'app' });
  return { client: client.id, server: server.id, open: open.id, website };
}

export async function addSubject(db: Database, fields: Record<string, unknown> = {}): Promise<string> {
  const [row] = await db('subjects')
    .insert({ id: db.raw('uuid_v7()'), ...fields })
    .returning('id');
  return row.id;
}

export async function absorb(db: Database, absorbed_id: string, survivor_id: string): Promise<void> {
  await db('subjects').where({ id: absorbed_id }).update({ status: 'absorbed' });
  await db('subject_aliases').insert({ absorbed_id, survivor_id, merge_id: db.raw('uuid_v7()') });
}

export async function agree(db: Database, subject_id: string, purpose = 'profiling'): Promise<void> {
  await db('consents').insert({ subject_id, purpose, version: '1', is_granted: true, channel: 'website' });
}

export async function eventRows(db: Database, where: Record<string, unknown> = {}) {
  return db('recorded_events').where(where).orderBy(['timestamp', 'id']);
}

/** A pool of its own, as another process has. */
export function anotherPool(url: string, pool = 10): Database {
  const db = createDatabase({ url, pool });
  afterAll(() => db.destroy());
  return db;
}

export function movableClock(at = new Date().toISOString()): Clock & { set(iso: string): void } {
  let now = new Date(at);
  return {
    now: () => now,
    set: (iso) => {
      now = new Date(iso);
    },
  };
}
