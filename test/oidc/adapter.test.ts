/** What oidc-provider expects of an adapter (its example/my_adapter.js and memory adapter), and what we add to it. */
import { describe, expect, it } from 'vitest';
import { systemClock } from '../../src/clock.ts';
import { createAdapter } from '../../src/oidc/adapter.ts';
import { createClient, createClientDirectory } from '../../src/oidc/clients.ts';
import { purgeExpired } from '../../src/oidc/grants.ts';
import { testDatabase } from '../helpers/database.ts';
import { newPerson, seal } from './world.ts';

const { db } = await testDatabase();
const clients = createClientDirectory({ db, seal, clock: systemClock });
const adapter = createAdapter({ db, seal, clients });
const { sub } = await newPerson(db);

const value = () => crypto.randomUUID();
const payload = (jti: string, more = {}) => ({ jti, kind: 'X', iat: 1, exp: 2_000_000_000, ...more });

async function rowsOf(id: string) {
  return db('oidc_artifacts').whereRaw(`id = rtrim(translate(encode(sha256(?::bytea), 'base64'), '+/', '-_'), '=')`, [
    id,
  ]);
}

const models = [
  'Session',
  'AccessToken',
  'AuthorizationCode',
  'RefreshToken',
  'ClientCredentials',
  'Interaction',
  'ReplayDetection',
  'PushedAuthorizationRequest',
  'Grant',
  'DeviceCode',
];

describe.each(models)('%s', (model) => {
  it('is found as it was saved, by its value and by no other', async () => {
    const store = adapter(model);
    const id = value();
    const saved = payload(id, { claims: { id_token: { a: [1, 'ä'] } }, deep: { nothing: null } });
    await store.upsert(id, saved, 60);
    expect(await store.find(id)).toEqual(saved);
    expect(await store.find(value())).toBeUndefined();
    expect(await adapter(model === 'Grant' ? 'Session' : 'Grant').find(id)).toBeUndefined();
  });
  it('is not found after it has expired, nor after it was destroyed', async () => {
    const store = adapter(model);
    const [short, gone] = [value(), value()];
    await store.upsert(short, payload(short), 60);
    await store.upsert(gone, payload(gone), 60);
    await db('oidc_artifacts')
      .where({ model })
      .update({ expires_at: db.raw(`now() - interval '1 second'`) });
    // RFC 8628: a device is told that its code has expired.
    expect(await store.find(short)).toEqual(model === 'DeviceCode' ? payload(short) : undefined);
    await store.destroy(gone);
    expect(await store.find(gone)).toBeUndefined();
    await store.destroy(gone);
  });
  it('keeps neither its value nor its contents readable in the database', async () => {
    const store = adapter(model);
    const id = value();
    await store.upsert(id, payload(id, { nonce: 'legible-nonce', session: { cookie: 'legible-cookie' } }), 60);
    const { rows } = await db.raw('select oidc_artifacts::text as text from oidc_artifacts');
    const all = rows.map(({ text }: { text: string }) => text).join('\n');
    expect(await rowsOf(id)).toHaveLength(1);
    for (const secret of [id, 'legible-nonce', 'legible-cookie']) expect(all).not.toContain(secret);
  });
});

describe('saving again', () => {
  it('replaces payload and expiry', async () => {
    const store = adapter('Session');
    const id = value();
    await store.upsert(id, payload(id, { uid: 'u-1' }), 1);
    await store.upsert(id, payload(id, { uid: 'u-2', accountId: sub }), 60);
    expect(await store.find(id)).toMatchObject({ uid: 'u-2', accountId: sub });
    const [row] = await rowsOf(id);
    expect(row.subject_id).toBe(sub);
  });
  it('does not unspend a code', async () => {
    const store = adapter('DeviceCode');
    const id = value();
    await store.upsert(id, payload(id), 60);
    await store.consume(id);
    await store.upsert(id, payload(id), 60);
    expect(await store.find(id)).toHaveProperty('consumed');
  });
});

describe('consume', () => {
  it.each(['AuthorizationCode', 'RefreshToken', 'DeviceCode', 'PushedAuthorizationRequest'])(
    'of %s marks it with the time, once',
    async (model) => {
      const store = adapter(model);
      const id = value();
      await store.upsert(id, payload(id), 60);
      expect(await store.find(id)).not.toHaveProperty('consumed');
      const tries = await Promise.allSettled(Array.from({ length: 20 }, () => store.consume(id)));
      expect(tries.filter(({ status }) => status === 'fulfilled')).toHaveLength(1);
      const found = await store.find(id);
      expect(Math.abs(Number(found?.consumed) - Date.now() / 1000)).toBeLessThan(60);
    },
  );
  it('refuses what was never there', async () => {
    await expect(adapter('AuthorizationCode').consume(value())).rejects.toMatchObject({ error: 'invalid_grant' });
  });
});

describe('a saved assertion id (A25)', () => {
  it('is saved once, also at the same moment', async () => {
    const store = adapter('ReplayDetection');
    const id = value();
    const tries = await Promise.allSettled(Array.from({ length: 10 }, () => store.upsert(id, payload(id), 60)));
    expect(tries.filter(({ status }) => status === 'fulfilled')).toHaveLength(1);
  });
});

describe('revokeByGrantId', () => {
  it('removes every kind of token of the grant and nothing of another', async () => {
    const [grantId, otherGrant] = [value(), value()];
    const kinds = ['AccessToken', 'RefreshToken', 'AuthorizationCode', 'DeviceCode'];
    const saved: [string, string][] = [];
    for (const model of kinds) {
      for (const grant of [grantId, otherGrant]) {
        const id = value();
        await adapter(model).upsert(id, payload(id, { grantId: grant }), 60);
        saved.push([model, id]);
      }
    }
    await Promise.all(kinds.map((model) => adapter(model).revokeByGrantId(grantId)));
    const left = [];
    for (const [model, id] of saved) if (await adapter(model).find(id)) left.push(model);
    expect(left).toEqual(kinds);
  });
});

describe('other ways to find', () => {
  it('finds a session by its uid with everything needed to save it again', async () => {
    const store = adapter('Session');
    const [id, uid] = [value(), value()];
    await store.upsert(id, payload(id, { uid, accountId: sub }), 60);
    expect(await store.findByUid(uid)).toEqual(payload(id, { uid, accountId: sub }));
    expect(await store.findByUid(value())).toBeUndefined();
    await db('oidc_artifacts').where({ uid }).update({ expires_at: db.fn.now() });
    expect(await store.findByUid(uid)).toBeUndefined();
  });
  it('finds a device code by what the person types, also after a save without it', async () => {
    const store = adapter('DeviceCode');
    const id = value();
    await store.upsert(id, payload(id, { userCode: 'BCDFGHJK' }), 60);
    await store.upsert(id, payload(id), 60);
    expect(await store.findByUserCode('BCDFGHJK')).toMatchObject({ jti: id });
    const { rows } = await db.raw(
      `select count(*)::integer as n from oidc_artifacts where user_code_hash = 'BCDFGHJK'`,
    );
    expect(rows[0].n).toBe(0);
  });
});

describe('Client', () => {
  it('is read with its secret, until it is disabled', async () => {
    const { client_id, client_secret } = await createClient(
      { db, seal },
      { name: 'Website', redirect_uris: ['https://a.example/cb'] },
    );
    const store = createAdapter({ db, seal, clients })('Client');
    expect(await store.find(client_id)).toMatchObject({ client_id, client_secret, party: 'first', require_pkce: true });
    expect(await store.find('nobody')).toBeUndefined();
    expect(await store.find('nul\0byte')).toBeUndefined();
    await db('clients').where({ client_id }).update({ is_enabled: false });
    const later = { now: () => new Date(Date.now() + 3_001) };
    const afterwards = createClientDirectory({ db, seal, clock: later });
    expect(await createAdapter({ db, seal, clients: afterwards })('Client').find(client_id)).toBeUndefined();
  });
  it('is disabled for every process within three seconds', async () => {
    let now = Date.now();
    const directory = createClientDirectory({ db, seal, clock: { now: () => new Date(now) } });
    const { client_id } = await createClient(
      { db, seal },
      { name: 'Website', redirect_uris: ['https://a.example/cb'] },
    );
    expect(await directory.find(client_id)).toBeDefined();
    await db('clients').where({ client_id }).update({ is_enabled: false });
    now += 3_000;
    expect(await directory.find(client_id)).toBeUndefined();
  });
});

describe('the purge', () => {
  it('deletes what has expired and keeps the rest', async () => {
    await db('oidc_artifacts').delete();
    const [old, fresh] = [value(), value()];
    await adapter('AccessToken').upsert(old, payload(old), 60);
    await db('oidc_artifacts').update({ expires_at: db.raw(`now() - interval '1 second'`) });
    await adapter('AccessToken').upsert(fresh, payload(fresh), 60);
    expect(await purgeExpired(db)).toBe(1);
    expect(await rowsOf(fresh)).toHaveLength(1);
  });
  it('deletes more than one batch', async () => {
    await db.raw(`insert into oidc_artifacts (model, id, payload_sealed, expires_at)
                  select 'AccessToken', n::text, '', now() - interval '1 hour' from generate_series(1, 4100) as n`);
    expect(await purgeExpired(db)).toBe(4100);
  });
  it('deletes a grant that outlived all of its tokens', async () => {
    const [empty, used, token] = [value(), value(), value()];
    for (const id of [empty, used]) await adapter('Grant').upsert(id, payload(id, { accountId: sub }), 180 * 86_400);
    await adapter('RefreshToken').upsert(token, payload(token, { grantId: used }), 86_400);
    await db('oidc_artifacts').update({ created_at: db.raw(`now() - interval '32 days'`) });
    await purgeExpired(db);
    expect(await rowsOf(empty)).toHaveLength(0);
    expect(await rowsOf(used)).toHaveLength(1);
  });
});
