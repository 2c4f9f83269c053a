import { beforeAll, describe, expect, test } from 'vitest';
import { scopes } from '../../src/api/services.ts';
import { machineScopes } from '../../src/oidc/scopes.ts';
import { createSeal } from '../../src/seal.ts';
import { testDatabase } from '../helpers/database.ts';
import { type Answer, type Send, serveApi } from './http.ts';

const { db } = await testDatabase();
const seal = createSeal('a secret of the settings test, long enough');

const tokens: Record<string, string[]> = {
  settings: ['settings:write'],
  settings_and_subjects: ['settings:write', 'subjects:read'],
};

let send: Send;
let log: () => string;
beforeAll(async () => {
  ({ send, log } = await serveApi({
    db,
    seal,
    authenticate: async (bearer) => ({ client_id: bearer, scopes: tokens[bearer] ?? [] }),
  }));
});

const post = (path: string, body: unknown, { token = 'settings', key = '' } = {}) =>
  send('POST', `/api/v1${path}`, { token, body, ...(key && { headers: { 'idempotency-key': key } }) });
const list = async (path: string) => (await send('GET', `/api/v1${path}`, { token: 'settings' })) as Answer;
const data = (answer: Answer) => answer.body.data as Record<string, unknown>[];

const website = {
  name: '官网',
  redirect_uris: ['https://www.example.com/callback'],
  methods: ['sms'],
  channel: 'website',
};

describe('POST /clients', () => {
  test('201 with an id and a secret that no list shows', async () => {
    const made = await post('/clients', website);
    expect(made).toMatchObject({
      status: 201,
      body: { client_id: expect.any(String), client_secret: expect.any(String) },
    });
    const listed = await list('/clients');
    expect(data(listed).find(({ client_id }) => client_id === made.body.client_id)).toMatchObject({
      name: '官网',
      party: 'first',
      redirect_uris: ['https://www.example.com/callback'],
      grant_types: ['authorization_code', 'refresh_token'],
      require_pkce: true,
      api_scopes: [],
      is_enabled: true,
      source: 'operator',
    });
    expect(listed.text).not.toContain(made.body.client_secret as string);
    expect(listed.text).not.toContain('secret_sealed');
    expect(log()).not.toContain(made.body.client_secret as string);
  });

  test('201 without a secret for a mini-program', async () => {
    const made = await post('/clients', { name: '小程序', appid: 'wx0000000000000001', methods: ['sms'] });
    expect(made).toMatchObject({ status: 201 });
    expect(Object.keys(made.body)).toEqual(['client_id']);
  });

  test('201, and the audit record says which client made it, without the secret', async () => {
    const made = await post('/clients', { ...website, name: 'audited' });
    const entries = await db('audit_entries').where({ action: 'client.created' });
    const entry = entries.find(({ details }) => details.made_client_id === made.body.client_id);
    expect(entry).toMatchObject({ actor_kind: 'client', actor_id: 'settings' });
    expect(JSON.stringify(entries)).not.toContain(made.body.client_secret);
  });

  test('201 with the same id and secret for a repeated Idempotency-Key, ten at once included', async () => {
    const answers = await Promise.all(
      Array.from({ length: 10 }, () => post('/clients', { ...website, name: 'repeated' }, { key: 'k-client' })),
    );
    expect(answers.map(({ status }) => status)).toEqual(Array(10).fill(201));
    expect(new Set(answers.map(({ text }) => text)).size).toBe(1);
    expect(data(await list('/clients')).filter(({ name }) => name === 'repeated')).toHaveLength(1);
  });

  test.each([
    ['a foreign id', { ...website, client_id: 'demo-website' }, ['client_id']],
    ['a chosen secret', { ...website, client_secret: 'chosen by somebody' }, ['client_secret']],
    ['an origin of its own', { ...website, source: 'sandbox', is_enabled: true }, ['is_enabled', 'source']],
    ['a script as address (A39)', { ...website, redirect_uris: ['javascript:alert(1)//'] }, ['redirect_uris']],
    ['data as address (A39)', { ...website, redirect_uris: ['data:text/html,x'] }, ['redirect_uris']],
    ['plain http', { ...website, redirect_uris: ['http://www.example.com/'] }, ['redirect_uris']],
    ['a fragment', { ...website, post_logout_redirect_uris: ['https://a.example/#x'] }, ['post_logout_redirect_uris']],
    ['no name', { redirect_uris: website.redirect_uris }, ['name']],
    ['control characters in the name', { ...website, name: 'a\nb' }, ['name']],
    ['an unknown grant', { ...website, grant_types: ['password'] }, ['grant_types.0']],
    ['an unknown scope', { ...website, scope: 'openid everything' }, ['scope']],
  ])('400 for %s', async (_what, body, fields) => {
    const answer = await post('/clients', body);
    expect(answer).toMatchObject({ status: 400, body: { error: { code: 'invalid_fields' } } });
    expect(Object.keys(answer.body.error?.fields ?? {}).sort()).toEqual(fields);
  });

  test('403 for a scope that the caller does not have itself (D19); 201 with it', async () => {
    const machine = { name: 'machine', grant_types: ['client_credentials'], scope: 'subjects:read' };
    const refused = await post('/clients', machine);
    expect(refused).toMatchObject({
      status: 403,
      body: { error: { code: 'forbidden', fields: { scope: expect.any(String) } } },
    });
    const made = await post('/clients', machine, { token: 'settings_and_subjects' });
    expect(made.status).toBe(201);
    const listed = data(await list('/clients')).find(({ client_id }) => client_id === made.body.client_id);
    expect(listed).toMatchObject({ api_scopes: ['subjects:read'], grant_types: ['client_credentials'] });
  });

  test('the scopes that the document explains are those that machine clients can be given', () => {
    expect(machineScopes.filter((scope) => scope !== 'events:write').sort()).toEqual(Object.keys(scopes).sort());
  });
});

describe('POST /write-keys', () => {
  const key = { kind: 'client', name: '官网', origins: ['https://www.example.com'], channel: 'website' };

  test('201 with the key, which is stored as a hash and shown by no list', async () => {
    const made = await post('/write-keys', { ...key, catalogue: { order_paid: 'token' } });
    expect(made).toMatchObject({ status: 201, body: { id: expect.any(Number), key: expect.any(String) } });
    const listed = await list('/write-keys');
    expect(data(listed).find(({ id }) => id === made.body.id)).toEqual({
      ...key,
      id: made.body.id,
      client_ids: [],
      catalogue: { order_paid: 'token' },
      events_per_minute: null,
      declared_consents: [],
      declared_by: null,
      declared_at: null,
      is_enabled: true,
      source: 'operator',
      created_at: expect.stringMatching(/Z$/),
    });
    expect(listed.text).not.toContain(made.body.key as string);
    expect(JSON.stringify(await db('write_keys'))).not.toContain(made.body.key);
  });

  test('201 with the same key for a repeated Idempotency-Key', async () => {
    const first = await post('/write-keys', { ...key, name: 'repeated' }, { key: 'k-write-key' });
    const second = await post('/write-keys', { ...key, name: 'repeated' }, { key: 'k-write-key' });
    expect(second).toMatchObject({ status: 201, body: first.body });
    expect(data(await list('/write-keys')).filter(({ name }) => name === 'repeated')).toHaveLength(1);
  });

  test('422 for an Idempotency-Key that made a client before', async () => {
    await post('/clients', { ...website, name: 'crossed' }, { key: 'k-crossed' });
    expect((await post('/write-keys', key, { key: 'k-crossed' })).status).toBe(422);
  });

  test.each([
    ['a chosen key', { ...key, key: 'demo-server-key' }, ['key']],
    ['an unknown kind', { ...key, kind: 'admin' }, ['kind']],
    ['a client whose id is none', { ...key, client_ids: ['', "x' });alert('1"] }, ['client_ids.0', 'client_ids.1']],
    ['an origin with a path', { ...key, origins: ['https://www.example.com/'] }, ['origins.0']],
    ['every origin', { ...key, origins: ['*'] }, ['origins.0']],
    ['no website at all', { ...key, origins: ['javascript:x', 'null'] }, ['origins.0', 'origins.1']],
    [
      'plain http, a wildcard, capitals',
      { ...key, origins: ['http://a.example', 'http://localhost:8080', 'https://*.example.com', 'https://A.example'] },
      ['origins.0', 'origins.2', 'origins.3'],
    ],
    ['an unknown trust', { ...key, catalogue: { order_paid: 'always' } }, ['catalogue.order_paid']],
    ['a quota of nothing', { ...key, events_per_minute: 0 }, ['events_per_minute']],
    ['a channel in other letters', { ...key, channel: 'Web Site' }, ['channel']],
  ])('400 for %s', async (_what, body, fields) => {
    const answer = await post('/write-keys', body);
    expect(answer).toMatchObject({ status: 400, body: { error: { code: 'invalid_fields' } } });
    expect(Object.keys(answer.body.error?.fields ?? {}).sort()).toEqual(fields);
  });

  test('400 for __proto__ in the catalogue, which no schema would see: no object gains a property (E5, D20)', async () => {
    const body = '{"kind":"client","name":"polluting","catalogue":{"__proto__":{"polluted":"token"},"a":"token"}}';
    expect(await post('/write-keys', body)).toMatchObject({ status: 400, body: { error: { code: 'invalid_fields' } } });
    expect(data(await list('/write-keys')).find(({ name }) => name === 'polluting')).toBeUndefined();
    expect(({} as { polluted?: unknown }).polluted).toBeUndefined();
  });
});

describe('PUT /write-keys/{id}', () => {
  const change = (id: unknown, body: object) =>
    send('PUT', `/api/v1/write-keys/${id}`, { token: 'settings', body }) as Promise<Answer>;

  test('200: what is named changes, what is not stays, and the record says what became of it', async () => {
    const made = await post('/write-keys', { kind: 'client', name: 'changes', channel: 'app' });
    const changed = await change(made.body.id, {
      name: 'changed',
      catalogue: { order_paid: 'token' },
      is_enabled: false,
    });
    expect(changed).toMatchObject({
      status: 200,
      body: { name: 'changed', channel: 'app', catalogue: { order_paid: 'token' }, is_enabled: false },
    });
    await change(made.body.id, { name: 'changed' });
    const entries = await db('audit_entries')
      .whereRaw(`details->>'write_key_id' = ?`, [String(made.body.id)])
      .orderBy('action');
    expect(entries.map(({ action, details }) => [action, details.name, details.catalogue])).toEqual([
      ['write_key.changed', 'changed', { order_paid: 'token' }],
      ['write_key.created', 'changes', {}],
      ['write_key.disabled', undefined, undefined],
    ]);
  });

  test('400 for another kind; 404 for a key that is not there', async () => {
    const made = await post('/write-keys', { kind: 'client', name: 'kind' });
    expect((await change(made.body.id, { kind: 'server' })).status).toBe(400);
    expect((await change(999_999, { name: 'x' })).status).toBe(404);
  });
});

describe('GET lists', () => {
  test.each(['/clients', '/write-keys'])('%s: every item once, page by page', async (path) => {
    for (let at = 0; at < 3; at++)
      await post(path, path === '/clients' ? website : { kind: 'server', name: `page ${at}` });
    const whole = data(await list(`${path}?limit=1000`));
    const seen: unknown[] = [];
    for (let cursor: unknown = ''; cursor !== null; ) {
      const page = await list(`${path}?limit=2${cursor ? `&cursor=${cursor}` : ''}`);
      expect(data(page).length).toBeLessThanOrEqual(2);
      seen.push(...data(page));
      cursor = page.body.next_cursor;
    }
    expect(whole.length).toBeGreaterThan(3);
    expect(seen).toEqual(whole);
  });
});
