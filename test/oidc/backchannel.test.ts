import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { createLocalJWKSet, type JSONWebKeySet, jwtVerify } from 'jose';
import { afterAll, beforeEach, describe, expect, it } from 'vitest';
import { browserSessionsOf, endGrantOf, endOthersOf, endSessionOf, grantsOf } from '../../src/oidc/grants.ts';
import { mergeSubjects } from '../../src/subjects/merge.ts';
import { testDatabase } from '../helpers/database.ts';
import { collectJobs } from '../helpers/jobs.ts';
import { basic, createOutside, newCode, newPerson, password, post, seal, startWorld } from './world.ts';

const { db } = await testDatabase();

/** A website that hears of sign-outs, and what it sees at that moment. */
const told: { token: string; sessions: number }[] = [];
let answerWith = 200;
const site = createServer((req, res) => {
  const chunks: Buffer[] = [];
  req.on('data', (chunk) => chunks.push(chunk));
  req.on('end', async () => {
    const token = new URLSearchParams(Buffer.concat(chunks).toString()).get('logout_token') ?? '';
    const there = await db('oidc_artifacts').whereIn('model', ['Session', 'Grant']);
    told.push({ token, sessions: there.length });
    res.writeHead(answerWith).end();
  });
}).listen(0, '127.0.0.1');
await new Promise((resolve) => site.once('listening', resolve));
afterAll(() => site.close());
const origin = `http://127.0.0.1:${(site.address() as AddressInfo).port}`;
const secret = `http://localhost:${(site.address() as AddressInfo).port}`;

const outside = createOutside();
const world = await startWorld({ db, outside, privateOrigins: [origin] });
const callback = 'https://app.example/callback';
const register = (client_id: string, at: string) =>
  world.register({
    client_id,
    name: client_id,
    redirect_uris: [callback],
    client_secret: password,
    backchannel_logout_uri: `${at}/logout`,
    backchannel_logout_session_required: true,
  });
await register('shop', origin);
await register('inward', secret);

async function signIn(client_id: string, sub: string) {
  const { fields } = await newCode(world, sub, { client_id, redirect_uri: callback, scope: 'openid offline_access' });
  const { body } = await post(`${world.base}/token`, fields, basic(client_id));
  return String(body.refresh_token);
}

const refresh = (client_id: string, refresh_token: string) =>
  post(`${world.base}/token`, { grant_type: 'refresh_token', refresh_token }, basic(client_id));

async function mergeTwo(client_id: string) {
  const [kept, gone] = [await newPerson(db), await newPerson(db)];
  const tokens = { kept: await signIn(client_id, kept.sub), gone: await signIn(client_id, gone.sub) };
  const { jobs, sent } = collectJobs();
  const actor = { actor_kind: 'staff' as const };
  const input = { survivor: kept.sub, absorbed: gone.sub, reason: 'same person', basis: 'staff' as const, actor };
  await mergeSubjects({ db, seal, jobs }, input);
  const ended = sent.find(({ name }) => name === 'subject.ended');
  const work = () => world.jobs.get('subject.ended')?.(ended?.data);
  return { kept: kept.sub, gone: gone.sub, tokens, work };
}

const artifacts = (sub: string) => db('oidc_artifacts').where({ subject_id: sub });

beforeEach(() => {
  told.length = 0;
  answerWith = 200;
});

describe('after a merge', () => {
  it('D12: nothing of the absorbed subject works from the commit on, before any notice went out', async () => {
    const { tokens } = await mergeTwo('shop');
    expect(await refresh('shop', tokens.gone)).toMatchObject({ status: 400, body: { error: 'invalid_grant' } });
    expect((await refresh('shop', tokens.kept)).status).toBe(200);
  });

  it('A38: its clients hear of it before its sessions and grants end, by a token that a library accepts', async () => {
    const { kept, gone, work } = await mergeTwo('shop');
    const before = (await artifacts(gone)).length;
    expect(before).toBeGreaterThan(0);
    await work();
    expect(told).toHaveLength(1);
    expect(told[0]?.sessions).toBeGreaterThanOrEqual(before);
    const keys = (await (await fetch(`${world.base}/jwks`)).json()) as JSONWebKeySet;
    const { payload } = await jwtVerify(told[0]?.token ?? '', createLocalJWKSet(keys), {
      issuer: world.issuer,
      audience: 'shop',
      typ: 'logout+jwt',
    });
    expect(payload).toMatchObject({
      sub: gone,
      sid: expect.any(String),
      events: { 'http://schemas.openid.net/event/backchannel-logout': {} },
    });
    expect(payload.nonce).toBeUndefined();
    expect(Number(payload.exp) - Number(payload.iat)).toBeLessThanOrEqual(120);
    expect(await artifacts(gone)).toEqual([]);
    expect((await artifacts(kept)).length).toBeGreaterThan(0);
  });

  it('A38: a client that answers with an error is asked again twice, and the sessions end all the same', async () => {
    answerWith = 500;
    const { gone, work } = await mergeTwo('shop');
    await work();
    expect(told).toHaveLength(3);
    expect(await artifacts(gone)).toEqual([]);
  });

  it('A39: a logout address inside our own network is not reached unless the operator lists its origin', async () => {
    const { gone, work } = await mergeTwo('inward');
    await work();
    expect(told).toEqual([]);
    expect(await artifacts(gone)).toEqual([]);
  });

  it('leaves alone what began after that moment', async () => {
    const { kept, tokens } = await mergeTwo('shop');
    await world.jobs.get('subject.ended')?.({ sub: kept, before: '2020-01-01T00:00:00.000Z' });
    expect((await refresh('shop', tokens.kept)).status).toBe(200);
  });
});

describe('what somebody ends by themselves', () => {
  async function somebody() {
    const { sub } = await newPerson(db);
    const tokens = [await signIn('shop', sub), await signIn('shop', sub)];
    const sessions = await browserSessionsOf(db, sub);
    const { jobs, sent } = collectJobs();
    const work = async () => {
      for (const { name, data } of sent) await world.jobs.get(name)?.(data);
    };
    return { sub, tokens, sessions, ending: { db, seal, jobs }, work };
  }
  const sidsTold = () =>
    told.map(({ token }) => JSON.parse(Buffer.from(token.split('.')[1] ?? '', 'base64url').toString()).sid);

  it('D4: one browser: the client hears which of its sessions it was, after it is over here', async () => {
    const { sub, tokens, sessions, ending, work } = await somebody();
    expect(await endSessionOf(ending, { sub, uid: sessions[0]?.uid ?? '' })).toBe(true);
    // The newest first: the second sign-in.
    expect((await refresh('shop', tokens[1] ?? '')).body.error).toBe('invalid_grant');
    expect((await refresh('shop', tokens[0] ?? '')).status).toBe(200);
    await work();
    expect(sidsTold()).toEqual([expect.any(String)]);
  });

  it('D4: everything but this browser, and the client hears of the others alone', async () => {
    const { sub, sessions, ending, work } = await somebody();
    await endOthersOf(ending, { sub, uid: sessions[0]?.uid ?? '' });
    await work();
    expect(told).toHaveLength(1);
    const [other] = sidsTold();
    await endOthersOf(ending, { sub });
    await work();
    expect(new Set(sidsTold()).size).toBe(2);
    expect(sidsTold()[0]).toBe(other);
  });

  it('one application: it hears of all it has of the person', async () => {
    const { sub, ending, work } = await somebody();
    const [grant] = await grantsOf({ db, seal }, sub);
    expect(await endGrantOf(ending, { sub, grant_id: grant?.grant_id ?? '' })).toBe(true);
    await work();
    expect(sidsTold()).toEqual([undefined]);
    expect(await endGrantOf(ending, { sub, grant_id: grant?.grant_id ?? '' })).toBe(false);
  });
});

it('is advertised', async () => {
  const discovery = await (await fetch(`${world.base}/.well-known/openid-configuration`)).json();
  expect(discovery).toMatchObject({ backchannel_logout_supported: true, backchannel_logout_session_supported: true });
});
