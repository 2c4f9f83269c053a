import { beforeAll, beforeEach, describe, expect, it } from 'vitest';
import type { Identity } from '../../src/connectors/contract.ts';
import { createSeal } from '../../src/seal.ts';
import { resolveSubject } from '../../src/subjects/resolve.ts';
import { testDatabase } from '../helpers/database.ts';
import { collectJobs, noJobs } from '../helpers/jobs.ts';
import { email, openid, phone, proof, unionid } from '../subjects/people.ts';
import { type Answer, type Send, serveApi } from './http.ts';

const { db } = await testDatabase();
const seal = createSeal('a secret of the merges test, long enough!');
const { jobs, sent } = collectJobs();
const tokens: Record<string, string[]> = {
  reader: ['subjects:read'],
  writer: ['subjects:read', 'subjects:write'],
};

let send: Send;
let log: () => string;
beforeAll(async () => {
  ({ send, log } = await serveApi({
    db,
    seal,
    jobs,
    authenticate: async (bearer) => ({ client_id: `machine-${bearer}`, scopes: tokens[bearer] ?? [] }),
  }));
});
beforeEach(() => {
  sent.length = 0;
});

const post = (path: string, body: unknown, { token = 'writer', key = '' } = {}) =>
  send('POST', `/api/v1${path}`, { token, body, headers: key ? { 'idempotency-key': key } : {} });
const get = (path: string) => send('GET', `/api/v1${path}`, { token: 'writer' });
const data = (answer: Answer) => answer.body.data as Record<string, unknown>[];

async function person(...identities: Identity[]): Promise<string> {
  const [first, ...others] = identities.map((identity) => proof(identity));
  if (!first) throw new Error('a person needs an identity');
  const context = { channel: 'website' };
  const resolved = await resolveSubject(
    { db, seal, jobs: noJobs },
    { proofs: [first, ...others], create: true, context },
  );
  return resolved.sub;
}

const kindsOf = async (sub: string) => data(await get(`/subjects/${sub}/identities`)).map(({ kind }) => kind);
const code = (answer: Answer) => [answer.status, answer.body.error?.code];

describe('POST /merges', () => {
  it('201 makes two subjects one: identities move, the absorbed sub leads to the survivor, others hear of it', async () => {
    const [survivor, absorbed] = [await person(phone()), await person(email())];
    const answer = await post('/merges', { survivor, absorbed, reason: 'called us' });
    expect(answer).toMatchObject({ status: 201, body: { survivor, absorbed, basis: 'staff', reason: 'called us' } });
    expect((await get(`/subjects/${absorbed}`)).body).toMatchObject({
      sub: survivor,
      requested_sub: absorbed,
      merge_id: answer.body.id,
      status: 'active',
    });
    expect(await kindsOf(absorbed)).toEqual(['phone', 'email']);
    expect(sent.map(({ name }) => name)).toEqual(['subject.ended', 'subject.notify']);
    expect(sent[0]?.data).toMatchObject({ sub: absorbed });
    expect(await db('outbox').where({ topic: 'subject.merged', subject_id: survivor })).toHaveLength(1);
    const audit = await db('audit_entries').where({ action: 'subject.merged', subject_id: absorbed });
    expect(audit).toMatchObject([{ actor_kind: 'client', actor_id: 'machine-writer' }]);
  });

  it('D16: twenty at the same moment, with and without a key, are one merge and one answer', async () => {
    const [survivor, absorbed] = [await person(phone()), await person(email())];
    const body = { survivor, absorbed, reason: 'twice' };
    const answers = await Promise.all(
      Array.from({ length: 20 }, (_, i) => post('/merges', body, { key: i % 2 ? 'the-key' : '' })),
    );
    expect(new Set(answers.map(({ status }) => status))).toEqual(new Set([201]));
    expect(new Set(answers.map(({ body: { id } }) => id)).size).toBe(1);
    expect(await db('merges').where({ absorbed_id: absorbed })).toHaveLength(1);
    expect(sent.filter(({ name }) => name === 'subject.ended')).toHaveLength(1);
  });

  it('409 D13: itself, an absorbed one, the way back, a suspended and an unknown one are refused', async () => {
    const [a, b, c] = [await person(phone()), await person(email()), await person(openid())];
    expect(code(await post('/merges', { survivor: a, absorbed: a, reason: 'x' }))).toEqual([409, 'merge_refused']);
    await post('/merges', { survivor: a, absorbed: b, reason: 'x' });
    for (const body of [
      { survivor: b, absorbed: a },
      { survivor: b, absorbed: c },
      { survivor: c, absorbed: b },
      { survivor: a, absorbed: crypto.randomUUID() },
    ])
      expect(code(await post('/merges', { ...body, reason: 'x' }))).toEqual([409, 'merge_refused']);
    await db('subjects').where({ id: c }).update({ status: 'suspended' });
    expect(code(await post('/merges', { survivor: a, absorbed: c, reason: 'x' }))).toEqual([409, 'merge_refused']);
  });

  it('409 D17: nobody comes together with an administrator by an API client', async () => {
    const [owner, customer] = [await person(email()), await person(phone())];
    await db('staff').insert({ subject_id: owner, role: 'owner', granted_by: 'test' });
    for (const pair of [
      { survivor: owner, absorbed: customer },
      { survivor: customer, absorbed: owner },
    ])
      expect(code(await post('/merges', { ...pair, reason: 'x' }))).toEqual([409, 'merge_refused']);
  });

  it('D11: of two phones the chosen one is the claim, the other still signs in', async () => {
    const [kept, second] = [phone(), phone()];
    const [survivor, absorbed] = [await person(second), await person(kept)];
    const preview = await post('/merges/preview', { survivor, absorbed });
    const [conflict] = preview.body.conflicts as { kind: string; absorbed: { id: string; hint: string }[] }[];
    expect(conflict).toMatchObject({ kind: 'phone', absorbed: [{ hint: expect.stringMatching(/^138\*{4}\d{4}$/) }] });
    const keep = conflict?.absorbed.map(({ id }) => id);
    await post('/merges', { survivor, absorbed, reason: 'x', keep });
    const identities = data(await get(`/subjects/${survivor}/identities`));
    expect(identities.map(({ is_superseded }) => is_superseded).sort()).toEqual([false, true]);
    expect(identities.find(({ id }) => id === keep?.[0])).toMatchObject({ is_superseded: false });
    for (const number of [kept, second]) expect(await person(number)).toBe(survivor);
  });

  it('401 403: without a token, and with one that may only read', async () => {
    const body = { survivor: crypto.randomUUID(), absorbed: crypto.randomUUID(), reason: 'x' };
    expect((await send('POST', '/api/v1/merges', { body })).status).toBe(401);
    expect((await post('/merges', body, { token: 'reader' })).status).toBe(403);
  });
});

describe('POST /merges/preview', () => {
  it('200 says what would move and changes nothing', async () => {
    const [survivor, absorbed] = [await person(phone()), await person(openid(), unionid())];
    const answer = await post('/merges/preview', { survivor, absorbed });
    expect(answer).toMatchObject({ status: 200, body: { refusal: null, conflicts: [] } });
    expect((answer.body.moves as { kind: string }[]).map(({ kind }) => kind).sort()).toEqual([
      'wechat_openid',
      'wechat_unionid',
    ]);
    expect((await get(`/subjects/${absorbed}`)).body.sub).toBe(absorbed);
  });
});

describe('POST /merges/{id}/undo', () => {
  it('D14: 200 gives back what came from the absorbed one, leaves what was added since, and answers the same again', async () => {
    const [survivor, absorbed] = [await person(phone()), await person(email())];
    const merge = await post('/merges', { survivor, absorbed, reason: 'wrong' });
    await post(`/subjects/${survivor}/identities`, { kind: 'member_no', external_id: 'M-77', reason: 'card' });
    const undo = await post(`/merges/${merge.body.id}/undo`, { reason: 'two people' });
    expect(undo).toMatchObject({
      status: 200,
      body: { returned: [{ kind: 'email' }], stays: [{ kind: 'member_no' }], gone: 0 },
    });
    expect(await kindsOf(survivor)).toEqual(['phone', 'member_no']);
    expect(await kindsOf(absorbed)).toEqual(['email']);
    expect((await get(`/subjects/${absorbed}`)).body).toMatchObject({
      sub: absorbed,
      status: 'active',
      merge_id: null,
    });
    const again = await post(`/merges/${merge.body.id}/undo`, { reason: 'again' });
    expect(again.body).toEqual(undo.body);
    expect(await db('outbox').where({ topic: 'subject.merge_undone', subject_id: survivor })).toHaveLength(1);
  });

  it('404 for a merge that never was', async () => {
    expect((await post(`/merges/${crypto.randomUUID()}/undo`, { reason: 'x' })).status).toBe(404);
  });

  it('no rule joins again what was parted by hand', async () => {
    const [number, wechat] = [phone(), openid()];
    const context = { channel: 'miniprogram' };
    const services = { db, seal, jobs: noJobs };
    const [a, b] = [await person(number), await person(wechat)];
    const merge = await post('/merges', { survivor: a, absorbed: b, reason: 'x' });
    await post(`/merges/${merge.body.id}/undo`, { reason: 'two people' });
    const proofs = [proof(wechat), proof(number)] as [ReturnType<typeof proof>, ReturnType<typeof proof>];
    const resolved = await resolveSubject(services, { proofs, create: true, context });
    expect(resolved).toMatchObject({ sub: b, phone_status: 'conflict' });
    const [found] = data(await get('/link-cases')).filter(({ subject }) => subject === b);
    expect(found).toMatchObject({ other: a, evidence: { contradictions: [{ reason: 'parted_before' }] } });
  });
});

describe('link cases', () => {
  async function contradiction() {
    const number = phone();
    const husband = await person(openid(), number);
    const wife = await person(openid(), number);
    const [found] = data(await get('/link-cases')).filter(({ subject }) => subject === wife);
    return { husband, wife, number, id: String(found?.id) };
  }

  it('200 merges the two, and the queue is shorter', async () => {
    const { husband, wife, id } = await contradiction();
    const answer = await post(`/link-cases/${id}/decide`, { decision: 'merge', survivor: husband, reason: 'same' });
    expect(answer).toMatchObject({
      status: 200,
      body: { case: { status: 'merged' }, merge: { survivor: husband, absorbed: wife } },
    });
    expect(data(await get('/link-cases')).some((open) => open.id === id)).toBe(false);
    expect(data(await get('/link-cases?status=merged')).some((closed) => closed.id === id)).toBe(true);
    const again = await post(`/link-cases/${id}/decide`, { decision: 'merge', survivor: husband, reason: 'same' });
    expect(again.body.merge).toEqual(answer.body.merge);
    expect(code(await post(`/link-cases/${id}/decide`, { decision: 'dismiss', reason: 'x' }))).toEqual([
      409,
      'case_decided',
    ]);
  });

  it('200 says "two people", and the same evidence asks nobody again', async () => {
    const { wife, husband, id } = await contradiction();
    await post(`/link-cases/${id}/decide`, { decision: 'dismiss', reason: 'a couple' });
    const held = data(await get(`/subjects/${wife}/identities`));
    expect(held).toHaveLength(1);
    expect((await get(`/subjects/${husband}`)).body.sub).toBe(husband);
    expect(data(await get('/link-cases')).some(({ subject }) => subject === wife)).toBe(false);
  });

  it('is paged: every case once', async () => {
    for (let n = 0; n < 5; n++) await contradiction();
    const seen: unknown[] = [];
    let path = '/link-cases?limit=2';
    for (;;) {
      const answer = await get(path);
      seen.push(...data(answer).map(({ id }) => id));
      if (!answer.body.next_cursor) break;
      path = `/link-cases?limit=2&cursor=${answer.body.next_cursor}`;
    }
    const all = await db('link_cases').where({ status: 'open' });
    expect(seen).toHaveLength(all.length);
    expect(new Set(seen).size).toBe(all.length);
  });

  it('400 for a cursor of another list', async () => {
    for (const cursor of ['x', Buffer.from('{"after":"1"}').toString('base64url')])
      expect((await get(`/link-cases?cursor=${cursor}`)).status).toBe(400);
  });
});

describe('identities by hand', () => {
  it('201 links, 409 D9 refuses what is somebody else’s with nothing but a masked hint of it', async () => {
    const number = phone();
    const [owner, other] = [await person(number), await person(email())];
    const body = { kind: 'phone', external_id: number.external_id, reason: 'asked for it' };
    const answer = await post(`/subjects/${other}/identities`, body);
    expect(answer).toMatchObject({ status: 409, body: { error: { code: 'identity_taken' } } });
    expect(answer.body.error?.fields).toEqual({ kind: 'phone', hint: expect.stringMatching(/^138\*{4}\d{4}$/) });
    expect(answer.text).not.toContain(owner);
    expect(await kindsOf(other)).toEqual(['email']);
  });

  it('409: a second phone needs an explicit choice', async () => {
    const sub = await person(phone());
    const answer = await post(`/subjects/${sub}/identities`, {
      kind: 'phone',
      external_id: phone().external_id,
      reason: 'x',
    });
    expect(code(answer)).toEqual([409, 'identity_contradicts']);
  });

  it('D10: the last way in stays, also when two are removed at the same moment', async () => {
    const sub = await person(phone(), email());
    await post(`/subjects/${sub}/identities`, { kind: 'member_no', external_id: `M-${sub}`, reason: 'card' });
    const held = data(await get(`/subjects/${sub}/identities`));
    const ways = held.filter(({ kind }) => kind !== 'member_no');
    const answers = await Promise.all(
      ways.map(({ id }) => send('DELETE', `/api/v1/subjects/${sub}/identities/${id}`, { token: 'writer' })),
    );
    expect(answers.map(({ status }) => status).sort()).toEqual([200, 409]);
    // A member number opens nothing by itself.
    expect(await kindsOf(sub)).toHaveLength(2);
  });

  it('of another person are not removed, and ids that are none answer 404', async () => {
    const [one, other] = [await person(phone(), email()), await person(phone())];
    const [theirs] = data(await get(`/subjects/${other}/identities`));
    for (const id of [theirs?.id, crypto.randomUUID(), 'x']) {
      const answer = await send('DELETE', `/api/v1/subjects/${one}/identities/${id}`, { token: 'writer' });
      expect(answer.status).toBe(404);
    }
  });
});

describe('PUT /subjects/{sub}/consents', () => {
  const put = (sub: string, body: unknown) =>
    send('PUT', `/api/v1/subjects/${sub}/consents`, { token: 'writer', body });

  it('200 records a word given elsewhere; the newest of all accounts of a person counts', async () => {
    const [survivor, absorbed] = [await person(phone()), await person(email())];
    await put(survivor, { purpose: 'marketing', version: '1', granted: false });
    await put(absorbed, { purpose: 'marketing', version: '1', granted: true, evidence: { form: 'paper 12' } });
    const merge = await post('/merges', { survivor, absorbed, reason: 'x' });
    expect(data(await get(`/subjects/${survivor}/consents`))).toMatchObject([{ is_granted: true }]);
    await post(`/merges/${merge.body.id}/undo`, { reason: 'x' });
    expect(data(await get(`/subjects/${survivor}/consents`))).toMatchObject([{ is_granted: false }]);
  });

  it('400 for a version that is not in force, and for a purpose there is not', async () => {
    const sub = await person(phone());
    expect((await put(sub, { purpose: 'marketing', version: '9', granted: true })).status).toBe(400);
    expect((await put(sub, { purpose: 'world', version: '1', granted: true })).status).toBe(400);
  });
});

it('no full number is in the log or the audit record', async () => {
  const number = phone();
  const sub = await person(email());
  await post(`/subjects/${sub}/identities`, { kind: 'phone', external_id: number.external_id, reason: 'x' });
  const kept = JSON.stringify([await db('audit_entries'), await db('outbox'), sent]);
  for (const text of [kept, log()]) expect(text).not.toContain(number.external_id.slice(3));
});
