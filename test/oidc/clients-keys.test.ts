import { describe, expect, it } from 'vitest';
import { createDatabase } from '../../src/database.ts';
import type { AppError } from '../../src/errors.ts';
import { type ClientInput, createClient, disableSandboxClients, listClients } from '../../src/oidc/clients.ts';
import { loadSigningKeys } from '../../src/oidc/keys.ts';
import { createSeal } from '../../src/seal.ts';
import { testDatabase } from '../helpers/database.ts';
import { seal, startWorld } from './world.ts';

const { db, url } = await testDatabase();
const services = { db, seal };

async function faults(input: Partial<ClientInput>): Promise<string[]> {
  try {
    await createClient(services, { name: 'App', ...input } as ClientInput);
    return [];
  } catch (error) {
    return Object.keys((error as AppError).fields ?? {});
  }
}

describe('registering a client', () => {
  it.each([
    'javascript:alert(1)',
    'data:text/html,x',
    'vbscript:x',
    'file:///etc/passwd',
    'http://app.example/cb',
    'https://app.example/cb#x',
    'https://user@app.example/cb',
    'https://*.app.example/cb',
    'https://app.example/\tcb',
    'https:\\\\app.example/cb',
    '/relative',
    'myapp:/cb',
    '',
  ])('refuses the redirect address %j', async (uri) => {
    expect(await faults({ redirect_uris: [uri] })).toContain('redirect_uris');
    expect(await faults({ redirect_uris: ['https://a.example/'], post_logout_redirect_uris: [uri] })).not.toEqual([]);
  });
  it('takes https, http on this machine, and the own scheme of an app', async () => {
    expect(await faults({ redirect_uris: ['https://app.example/cb?x=1'] })).toEqual([]);
    expect(await faults({ redirect_uris: ['http://localhost:3100/cb', 'http://127.0.0.1/cb'] })).toEqual([]);
    expect(await faults({ redirect_uris: ['com.example.app:/cb'] })).toEqual([]);
  });
  it('refuses the name localhost for a native client (A4)', async () => {
    const native = { application_type: 'native' as const, token_endpoint_auth_method: 'none' as const };
    expect(await faults({ ...native, redirect_uris: ['http://localhost/cb'] })).toContain('redirect_uris');
    expect(await faults({ ...native, redirect_uris: ['http://127.0.0.1/cb', 'http://[::1]/cb'] })).toEqual([]);
  });
  it('lets only a confidential client do without PKCE', async () => {
    const redirect_uris = ['https://a.example/cb'];
    expect(await faults({ redirect_uris, require_pkce: false })).toEqual([]);
    const open = { token_endpoint_auth_method: 'none' as const };
    expect(await faults({ redirect_uris, require_pkce: false, ...open })).toContain('require_pkce');
  });
  it('refuses a machine client without a secret, unknown scopes, and private keys', async () => {
    const machine = { grant_types: ['client_credentials' as const], token_endpoint_auth_method: 'none' as const };
    expect(await faults(machine)).toContain('grant_types');
    expect(await faults({ scope: 'subjects:read everything' })).toContain('scope');
    const jwks = { keys: [{ kty: 'EC', crv: 'P-256', x: 'x', y: 'y', d: 'd' }] };
    expect(await faults({ token_endpoint_auth_method: 'private_key_jwt', jwks })).toContain('jwks');
  });
  it('takes web addresses alone for home page and policy', async () => {
    const redirect_uris = ['https://a.example/cb'];
    const links = { client_uri: 'https://a.example', policy_uri: 'https://a.example/privacy' };
    expect(await faults({ redirect_uris, ...links })).toEqual([]);
    expect(await faults({ redirect_uris, client_uri: 'javascript:alert(1)', policy_uri: 'data:,x' })).toEqual([
      'client_uri',
      'policy_uri',
    ]);
  });
  it('reports all faults at once', async () => {
    const wrong = {
      redirect_uris: ['javascript:x'],
      scope: 'nope',
      require_pkce: false,
      token_endpoint_auth_method: 'none',
    };
    expect((await faults(wrong as Partial<ClientInput>)).sort()).toEqual(['redirect_uris', 'require_pkce', 'scope']);
  });
  it('makes ids and secrets, shows a secret once, and keeps it sealed', async () => {
    const made = await createClient(services, { name: 'Website', redirect_uris: ['https://a.example/cb'] });
    expect(made.client_id).toMatch(/^\w{16}$/);
    expect(made.client_secret).toHaveLength(43);
    const { rows } = await db.raw('select clients::text as text from clients');
    expect(rows.map(({ text }: { text: string }) => text).join()).not.toContain(made.client_secret);
    expect(JSON.stringify(await listClients(db))).not.toContain('secret_sealed');
  });
  it('brings a client of the same id up to date and leaves its secret', async () => {
    const input = { client_id: 'site', name: 'Site', redirect_uris: ['https://a.example/cb'] };
    const first = await createClient(services, input);
    expect(first.client_secret).toBeDefined();
    expect(await createClient(services, { ...input, name: 'New name' })).toEqual({ client_id: 'site' });
    const stored = await db('clients').where({ client_id: 'site' });
    expect(stored).toMatchObject([{ name: 'New name' }]);
    expect(seal.open(stored[0].secret_sealed, 'clients')).toBe(first.client_secret);
  });
  it('gives a mini-program the exchange and no secret, a machine client credentials', async () => {
    const mini = await createClient(services, { client_id: 'mini', name: 'Mini', appid: 'wx1', methods: ['sms'] });
    const machine = await createClient(services, { client_id: 'backend', name: 'Backend', scope: 'subjects:read' });
    expect(mini.client_secret).toBeUndefined();
    expect(machine.client_secret).toBeDefined();
    const byId = new Map((await listClients(db)).map((client) => [client.client_id, client]));
    expect(byId.get('mini')).toMatchObject({
      grant_types: ['urn:ietf:params:oauth:grant-type:token-exchange', 'refresh_token'],
      token_endpoint_auth_method: 'none',
    });
    expect(byId.get('backend')).toMatchObject({ grant_types: ['client_credentials'], api_scopes: ['subjects:read'] });
  });
  it('makes clients that the engine takes', async () => {
    const world = await startWorld({ db });
    for (const { client_id } of await listClients(db))
      expect((await world.oidc.provider.Client.find(client_id))?.clientId).toBe(client_id);
  });
  it('disables the clients of the sandbox and no others', async () => {
    await createClient(services, { client_id: 'demo', name: 'Demo', appid: 'wx1', source: 'sandbox' });
    await disableSandboxClients(db);
    const enabled = (await listClients(db)).filter((client) => client.is_enabled).map(({ client_id }) => client_id);
    expect(enabled).toContain('mini');
    expect(enabled).not.toContain('demo');
    await createClient(services, { client_id: 'demo', name: 'Demo', appid: 'wx1', source: 'sandbox' });
    expect((await listClients(db)).find(({ client_id }) => client_id === 'demo')?.is_enabled).toBe(true);
  });
});

describe('signing keys (G4)', () => {
  it('are one set, however many processes start at once', async () => {
    await db('signing_keys').delete();
    const pools = Array.from({ length: 4 }, () => createDatabase({ url, pool: 2 }));
    const sets = await Promise.all(pools.map((pool) => loadSigningKeys({ db: pool, seal })));
    await Promise.all(pools.map((pool) => pool.destroy()));
    const kids = sets.map((set) =>
      set.public.keys
        .map(({ kid }) => kid)
        .sort()
        .join(),
    );
    expect(new Set(kids).size).toBe(1);
    expect(sets[0]?.public.keys.map(({ alg }) => alg).sort()).toEqual(['ES256', 'RS256']);
  });
  it('publish their public parts alone', async () => {
    const world = await startWorld({ db });
    const { keys } = (await (await fetch(`${world.base}/jwks`)).json()) as { keys: Record<string, unknown>[] };
    expect(keys).toHaveLength(2);
    for (const key of keys)
      for (const part of ['d', 'p', 'q', 'dp', 'dq', 'qi', 'k']) expect(key).not.toHaveProperty(part);
  });
  it('are sealed in the database', async () => {
    for (const row of await db('signing_keys')) {
      expect(row.public_jwk).not.toHaveProperty('d');
      expect(JSON.parse(seal.open(row.private_sealed, 'signing_keys'))).toHaveProperty('d');
      expect(() =>
        createSeal('another secret of thirty-two characters!').open(row.private_sealed, 'signing_keys'),
      ).toThrow();
    }
  });
  it('that retire stay published, and a newer one signs', async () => {
    const [old] = await db('signing_keys').where({ alg: 'ES256' });
    await db('signing_keys')
      .where({ kid: old.kid })
      .update({ retires_at: db.raw(`now() + interval '1 hour'`) });
    const { privateKey, publicKey } = await import('jose').then(({ generateKeyPair }) =>
      generateKeyPair('ES256', { extractable: true }),
    );
    const { exportJWK } = await import('jose');
    const shared = { alg: 'ES256', use: 'sig', kid: 'next' };
    await db('signing_keys').insert({
      kid: 'next',
      alg: 'ES256',
      public_jwk: JSON.stringify({ ...(await exportJWK(publicKey)), ...shared }),
      private_sealed: seal.seal(JSON.stringify({ ...(await exportJWK(privateKey)), ...shared }), 'signing_keys'),
    });
    const set = await loadSigningKeys({ db, seal });
    expect(set.private.keys.find(({ alg }) => alg === 'ES256')?.kid).toBe('next');
    expect(set.public.keys.map(({ kid }) => kid)).toContain(old.kid);
    await db('signing_keys').where({ kid: old.kid }).update({ retires_at: db.fn.now() });
    expect((await loadSigningKeys({ db, seal })).public.keys.map(({ kid }) => kid)).not.toContain(old.kid);
  });
});
