import { beforeAll, describe, expect, it } from 'vitest';
import { systemClock } from '../../src/clock.ts';
import { createSeal } from '../../src/seal.ts';
import { addSubject, agree } from '../events/harness.ts';
import { testDatabase } from '../helpers/database.ts';
import { evaluator } from '../segments/world.ts';
import { type Send, serveApi } from './http.ts';

const { db } = await testDatabase();
const seal = createSeal('a secret of the segments test, long enough');
const { settle } = evaluator(db, systemClock);

let send: Send;
beforeAll(async () => {
  ({ send } = await serveApi({
    db,
    seal,
    authenticate: async () => ({ client_id: 'machine', scopes: ['segments:read', 'segments:write', 'subjects:read'] }),
  }));
});
const call = (method: string, path: string, body?: unknown, headers: Record<string, string> = {}) =>
  send(method, `/api/v1${path}`, { token: 'any', body, headers });
const tagged = (key: string, tag = 'vip') => ({
  version: 1,
  key,
  name: key,
  purpose: 'marketing',
  where: { tag },
});
async function person(tag?: string) {
  const sub = await addSubject(db);
  await agree(db, sub, 'marketing');
  if (tag) await db('profile_tags').insert({ subject_id: sub, tag, added_by: 'test' });
  return sub;
}

describe('the segments of the API', () => {
  it('are defined, evaluated for everybody, listed, read and edited', async () => {
    const sub = await person('vip');
    const made = await call('POST', '/segments', tagged('vips'));
    expect(made).toMatchObject({
      status: 201,
      body: { key: 'vips', version: 1, size: 0, build: { status: 'building' } },
    });
    await settle();
    expect(await call('GET', '/segments/vips')).toMatchObject({
      body: { size: 1, build: { status: 'live', members: 1 }, definition: { tz: 'Asia/Shanghai' } },
    });
    expect((await call('GET', '/segments')).body.data).toMatchObject([{ key: 'vips', kind: 'rule', size: 1 }]);
    expect((await call('GET', '/segments/vips/members')).body.data).toEqual([
      { sub, entered_at: expect.stringMatching(/Z$/) },
    ]);
    expect((await call('GET', `/subjects/${sub}/segments`)).body.data).toMatchObject([{ key: 'vips', name: 'vips' }]);
    const edited = await call('PUT', '/segments/vips', tagged('vips', 'gold'));
    expect(edited.body).toMatchObject({
      version: 2,
      build: { status: 'building' },
      versions: [{ version: 2 }, { version: 1 }],
    });
    await settle();
    expect((await call('GET', '/segments/vips/members')).body.data).toEqual([]);
    expect((await call('GET', '/segments/vips/changes')).body.data).toMatchObject([
      { sub, change: 'exited', reason: 'definition', version: 2 },
      { sub, change: 'entered', reason: 'definition', version: 1 },
    ]);
    expect((await call('GET', '/segments/vips/sizes')).body.data).toMatchObject([{ entered: 1, exited: 1, size: 0 }]);
    const actions = await db('audit_entries').where({ actor_id: 'machine' }).orderBy('at').pluck('action');
    expect(actions).toEqual(['segment.created', 'segment.edited']);
  });

  it('name every fault of a definition by its path, and store nothing of it', async () => {
    const faulty = {
      ...tagged('faulty'),
      where: { all: [{ event: 'order_paid', within: '30 days' }, { tag: '' }, { wish: 1 }] },
    };
    for (const path of ['/segments', '/segments/preview']) {
      const { status, body } = await call('POST', path, faulty);
      expect(status).toBe(400);
      expect(Object.keys(body.error?.fields ?? {})).toEqual([
        'where.all[0].within',
        'where.all[1].tag',
        'where.all[2]',
      ]);
    }
    expect((await call('GET', '/segments/faulty')).status).toBe(404);
    expect(await call('POST', '/segments', tagged('vips'))).toMatchObject({
      status: 409,
      body: { error: { fields: { key: expect.any(String) } } },
    });
  });

  it('E4: are refused, not evaluated, when they are too deep or too large', async () => {
    const deep = Array.from({ length: 100 }).reduce<object>((where) => ({ not: where }), { tag: 'vip' });
    const wide = { any: Array.from({ length: 3_000 }, (_, n) => ({ tag: `t${n}` })) };
    for (const where of [deep, wide])
      expect((await call('POST', '/segments', { ...tagged('huge'), where })).status).toBe(400);
    const hostile = { ...tagged('x'), where: { event: 'a', where: [{ property: "a'->>'b", op: 'eq', value: 1 }] } };
    expect((await call('POST', '/segments/preview', hostile)).status).toBe(400);
  });

  it('are previewed: how many, and some of them', async () => {
    const sub = await person('silver');
    await person();
    expect(await call('POST', '/segments/preview', tagged('silver', 'silver'))).toMatchObject({
      status: 200,
      body: { count: 1, sample: [{ sub }] },
    });
    expect((await call('GET', '/segments')).body.data).not.toContainEqual(expect.objectContaining({ key: 'silver' }));
  });

  it('tell why somebody is in or out', async () => {
    const [inside, outside] = [await person('bronze'), await addSubject(db)];
    const isNew = { trait: 'created_at', op: 'in_last', value: '7d' };
    const where = { all: [{ tag: 'bronze' }, isNew, { not: { event: 'order_paid' } }] };
    await call('POST', '/segments', { ...tagged('bronze'), where });
    await settle();
    const due_at = expect.stringMatching(/^\d{4}-\d\d-\d\dT[\d:.]+Z$/);
    const why = (await call('GET', `/subjects/${inside}/segments/bronze/explain`)).body;
    expect(why).toMatchObject({
      is_member: true,
      entered_at: expect.any(String),
      explanation: {
        is_member: true,
        due_at,
        reason: null,
        where: {
          path: 'where',
          code: 'all',
          holds: true,
          parts: [
            { path: 'where.all[0]', code: 'tag', due_at: null },
            { code: 'trait', node: isNew, due_at },
            { code: 'not', parts: [{ code: 'count', holds: false, observed: 0, wanted: { gte: 1 } }] },
          ],
        },
      },
    });
    expect(JSON.stringify(why)).not.toMatch(/"\w*[a-z][A-Z]\w*":/);
    expect((await call('GET', `/subjects/${outside}/segments/bronze/explain`)).body).toMatchObject({
      is_member: false,
      explanation: { reason: 'no_consent' },
    });
  });

  it('may be lists, paged member by member', async () => {
    const subs = [await person(), await person(), await person()].sort();
    const list = { kind: 'list', key: 'guests', name: 'Guests', purpose: 'marketing' };
    expect((await call('POST', '/segments', list)).status).toBe(201);
    const added = await call('POST', '/segments/guests/list', { add: subs });
    expect(added.body).toEqual({ added: 3, removed: 0 });
    await settle();
    const first = await call('GET', '/segments/guests/members?limit=2');
    const rest = await call('GET', `/segments/guests/members?limit=2&cursor=${first.body.next_cursor}`);
    const seen = [first, rest].flatMap(({ body }) => body.data as { sub: string }[]).map(({ sub }) => sub);
    expect([seen, rest.body.next_cursor]).toEqual([subs, null]);
    expect((await call('POST', '/segments/vips/list', { add: subs })).status).toBe(400);
    expect((await call('PUT', '/segments/guests', tagged('guests'))).status).toBe(400);
  });

  it('pause, go on and are put away, unless another one asks for them', async () => {
    await call('POST', '/segments', { ...tagged('outer'), where: { segment: 'guests' } });
    await settle();
    const status = async (key: string, wanted: string) => call('PUT', `/segments/${key}/status`, { status: wanted });
    expect(await status('guests', 'archived')).toMatchObject({
      status: 409,
      body: { error: { message: expect.stringContaining('outer') } },
    });
    expect((await status('outer', 'paused')).body).toMatchObject({ status: 'paused', size: 3 });
    expect((await status('outer', 'active')).body).toMatchObject({ status: 'active', build: { status: 'building' } });
    expect((await status('outer', 'archived')).body).toMatchObject({ status: 'archived', size: 0 });
    expect((await call('GET', '/segments/outer/members')).body.data).toEqual([]);
  });

  it('are made once, however often the request comes', async () => {
    const once = { 'idempotency-key': 'segment-1' };
    const first = await call('POST', '/segments', tagged('once'), once);
    expect(await call('POST', '/segments', tagged('once'), once)).toMatchObject({ status: 201, text: first.text });
  });

  it('begin with templates that are definitions', async () => {
    const { body } = await call('GET', '/segments/templates');
    const templates = body.data as { definition: object }[];
    expect(templates).toHaveLength(10);
    for (const { definition } of templates)
      expect((await call('POST', '/segments/preview', definition)).status).toBe(200);
  });
});
