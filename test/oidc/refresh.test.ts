import { describe, expect, it } from 'vitest';
import { testDatabase } from '../helpers/database.ts';
import {
  atTheSameMoment,
  basic,
  createOutside,
  newCode,
  newPerson,
  password,
  post,
  reply,
  secondWorld,
  startWorld,
} from './world.ts';

const { db, url } = await testDatabase();
const outside = createOutside();
const world = await startWorld({ db, outside });
const { world: other } = await secondWorld(url, outside);
const callback = 'https://app.example/callback';

for (const client_id of ['web', 'spa']) {
  await world.register({
    client_id,
    name: client_id,
    redirect_uris: [callback],
    token_endpoint_auth_method: client_id === 'spa' ? 'none' : 'client_secret_basic',
    client_secret: password,
  });
}

const { sub } = await newPerson(db);
const headers = { web: basic('web'), spa: {} };

type Kind = keyof typeof headers;

async function signIn(client_id: Kind, person = sub, scope = 'openid offline_access', resource?: string) {
  const { fields } = await newCode(world, person, { client_id, redirect_uri: callback, scope, resource });
  const { body } = await post(`${world.base}/token`, fields, headers[client_id]);
  return { refresh: String(body.refresh_token), access: String(body.access_token) };
}

function refresh(client_id: Kind, refresh_token: string, extra = {}, base = world.base) {
  const fields = { grant_type: 'refresh_token', refresh_token, client_id, ...extra };
  return post(`${base}/token`, fields, headers[client_id]);
}

async function userinfo(access_token: unknown): Promise<number> {
  const answer = await fetch(`${world.base}/userinfo`, { headers: { authorization: `Bearer ${access_token}` } });
  return (await reply(answer)).status;
}

/** As if the rotation had been so long ago. */
async function age(seconds: number): Promise<void> {
  await db('oidc_artifacts')
    .whereNotNull('consumed_at')
    .update({ consumed_at: db.raw('consumed_at - make_interval(secs => ?)', [seconds]) });
}

const refused = { status: 400, body: { error: 'invalid_grant' } };

describe.each(['web', 'spa'] as const)('the refresh token of %s', (client) => {
  it('is rotated at every use', async () => {
    const { refresh: first } = await signIn(client);
    const second = await refresh(client, first);
    expect(second).toMatchObject({ status: 200, body: { token_type: 'Bearer', expires_in: 600 } });
    expect(second.body.refresh_token).not.toBe(first);
    const third = await refresh(client, String(second.body.refresh_token));
    expect(third.status).toBe(200);
    expect(await userinfo(third.body.access_token)).toBe(200);
  });
  it('ends the family when it comes back after 31 seconds (A18)', async () => {
    const { refresh: first, access } = await signIn(client);
    const second = await refresh(client, first);
    await age(31);
    expect(await refresh(client, first)).toMatchObject(refused);
    expect(await refresh(client, String(second.body.refresh_token))).toMatchObject(refused);
    expect(await userinfo(second.body.access_token)).toBe(401);
    expect(await userinfo(access)).toBe(401);
    expect(await db('audit_entries').where({ action: 'grant.replayed', client_id: client })).not.toHaveLength(0);
    expect(world.log()).toContain('grant.replayed');
  });
  it('cannot ask for more than it was given (A21)', async () => {
    const { refresh: first } = await signIn(client);
    const wider = await refresh(client, first, { scope: 'openid phone' });
    expect(wider).toMatchObject({ status: 400, body: { error: 'invalid_scope' } });
    const elsewhere = await refresh(client, first, { resource: `${world.issuer}/api` });
    expect(elsewhere).toMatchObject({ status: 400, body: { error: 'invalid_target' } });
    expect((await refresh(client, first)).status).toBe(200);
  });
  it('is refused 180 days after the sign-in, however often it was used (A22)', async () => {
    const { refresh: first } = await signIn(client);
    const token = await world.oidc.provider.RefreshToken.find(first);
    if (!token) throw new Error('no token');
    token.iiat = Number(token.iiat) - 180 * 86_400 + 3_600;
    await token.save();
    const late = await refresh(client, first);
    expect(late.status).toBe(200);
    const successor = await world.oidc.provider.RefreshToken.find(String(late.body.refresh_token));
    if (!successor) throw new Error('no successor');
    expect(Number(successor.exp) - Math.floor(Date.now() / 1000)).toBeLessThanOrEqual(3_600);
    successor.iiat = Number(successor.iiat) - 3_601;
    await successor.save();
    expect(await refresh(client, String(late.body.refresh_token))).toMatchObject(refused);
  });
  it('lives 30 days without use', async () => {
    const { refresh: first } = await signIn(client);
    const token = await world.oidc.provider.RefreshToken.find(first);
    expect(Number(token?.exp) - Number(token?.iat)).toBe(30 * 86_400);
    await db('oidc_artifacts').where({ model: 'RefreshToken' }).update({ expires_at: db.fn.now() });
    expect(await refresh(client, first)).toMatchObject(refused);
  });
});

describe('a public client that repeats within 30 seconds', () => {
  it('gets the same successor, which works', async () => {
    const { refresh: first } = await signIn('spa');
    const answer = await refresh('spa', first);
    await age(25);
    const again = await refresh('spa', first, {}, other.base);
    expect(again.status).toBe(200);
    expect(again.body.refresh_token).toBe(answer.body.refresh_token);
    expect(await userinfo(again.body.access_token)).toBe(200);
    expect((await refresh('spa', String(again.body.refresh_token))).status).toBe(200);
  });
  it('gets one successor from twenty parallel requests over two processes (A19)', async () => {
    const { refresh: first } = await signIn('spa');
    const bases = Array.from({ length: 20 }, (_, at) => (at % 2 ? world.base : other.base));
    const answers = await Promise.all(bases.map((base) => refresh('spa', first, {}, base)));
    expect(answers.map(({ status }) => status)).toEqual(Array(20).fill(200));
    const successors = new Set(answers.map(({ body }) => body.refresh_token));
    expect(successors.size).toBe(1);
    expect((await refresh('spa', [...successors].join())).status).toBe(200);
  });
  it('gets it also when both found the token unused', async () => {
    const { refresh: first } = await signIn('spa');
    const answers = await atTheSameMoment(db, { model: 'RefreshToken', value: first }, () =>
      [world.base, other.base].map((base) => refresh('spa', first, {}, base)),
    );
    expect(answers.map(({ status }) => status)).toEqual([200, 200]);
    expect(answers[0]?.body.refresh_token).toBe(answers[1]?.body.refresh_token);
    for (const { body } of answers) expect(await userinfo(body.access_token)).toBe(200);
  });
  it('ends the family when the successor was used as well', async () => {
    const { refresh: first } = await signIn('spa');
    const second = String((await refresh('spa', first)).body.refresh_token);
    const third = String((await refresh('spa', second)).body.refresh_token);
    expect(await refresh('spa', first)).toMatchObject(refused);
    expect(await refresh('spa', third)).toMatchObject(refused);
  });
});

describe('a confidential client (A18, A19)', () => {
  it('that repeats at once ends the family: it does not lose answers', async () => {
    const { refresh: first } = await signIn('web');
    const second = await refresh('web', first);
    expect(await refresh('web', first)).toMatchObject(refused);
    expect(await refresh('web', String(second.body.refresh_token))).toMatchObject(refused);
  });
  it('whose two threads both found the token unused has one winner, which goes on', async () => {
    const { refresh: first } = await signIn('web');
    const answers = await atTheSameMoment(db, { model: 'RefreshToken', value: first }, () =>
      [world.base, other.base].map((base) => refresh('web', first, {}, base)),
    );
    expect(answers.map(({ status }) => status).sort()).toEqual([200, 400]);
    const winner = answers.find(({ status }) => status === 200);
    expect((await refresh('web', String(winner?.body.refresh_token))).status).toBe(200);
  });
  it('that refreshes twice at the same moment gets one family at most', async () => {
    const { refresh: first } = await signIn('web');
    const bases = Array.from({ length: 10 }, (_, at) => (at % 2 ? world.base : other.base));
    const answers = await Promise.all(bases.map((base) => refresh('web', first, {}, base)));
    expect(answers.filter(({ status }) => status === 200)).toHaveLength(1);
    expect(answers.filter(({ status }) => status === 400)).toHaveLength(9);
  });
});

describe('what ends a sign-in (A20)', () => {
  it.each(['suspended', 'deleted'])('a %s person is refused everywhere', async (status) => {
    const person = await newPerson(db);
    const { refresh: first, access } = await signIn('spa', person.sub);
    const { fields } = await newCode(world, person.sub, { client_id: 'spa', redirect_uri: callback });
    expect((await world.oidc.readAccessToken(access))?.sub).toBe(person.sub);
    await db('subjects').where({ id: person.sub }).update({ status });
    expect(await refresh('spa', first)).toMatchObject(refused);
    expect(await post(`${world.base}/token`, fields)).toMatchObject(refused);
    expect(await userinfo(access)).toBe(401);
    expect(await world.oidc.readAccessToken(access)).toBeUndefined();
  });
  it('a person who was merged into another is refused, not renamed', async () => {
    const [absorbed, survivor] = [await newPerson(db), await newPerson(db)];
    const { refresh: first } = await signIn('spa', absorbed.sub);
    await db('subject_aliases').insert({
      absorbed_id: absorbed.sub,
      survivor_id: survivor.sub,
      merge_id: crypto.randomUUID(),
    });
    expect(await refresh('spa', first)).toMatchObject(refused);
  });
});
