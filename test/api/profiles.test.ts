import { beforeAll, describe, expect, test } from 'vitest';
import { meRoutes } from '../../src/account/me-routes.ts';
import { apiRoutes } from '../../src/api/routes.ts';
import { systemClock } from '../../src/clock.ts';
import { createLimits } from '../../src/http/limits.ts';
import { tagPerson } from '../../src/profiles/tags.ts';
import { createSeal } from '../../src/seal.ts';
import { addSubject } from '../events/harness.ts';
import { testDatabase } from '../helpers/database.ts';
import { noJobs } from '../helpers/jobs.ts';
import { apiParts, type Send, serveRouter } from './http.ts';

const { db } = await testDatabase();
const seal = createSeal('a secret of the profiles test, long enough');
const machines: Record<string, string[]> = {
  reader: ['subjects:read', 'segments:read'],
  writer: ['subjects:read', 'subjects:write', 'segments:read', 'segments:write'],
};
const people = new Map<string, { client_id: string; sub: string; scopes: string[] }>();

let send: Send;
beforeAll(async () => {
  ({ send } = await serveRouter((log) => {
    const limits = createLimits({ db, seal });
    const authenticate = async (bearer: string) =>
      people.get(bearer) ?? (machines[bearer] && { client_id: `machine-${bearer}`, scopes: machines[bearer] });
    return [
      apiRoutes({ ...apiParts, db, seal, jobs: noJobs, limits, log, authenticate }),
      meRoutes({
        db,
        seal,
        clock: systemClock,
        log,
        limits,
        publicUrl: 'http://localhost',
        connectors: { appLink: async () => undefined } as never,
        clientOf: async () => ({ channel: 'miniprogram' }) as never,
        cors: { preflight: async () => {}, settle: async () => {} } as never,
        authenticate,
      }),
    ];
  }));
});
const api = (method: string, path: string, body?: unknown, token = 'writer') =>
  send(method, `/api/v1${path}`, { token, ...(body !== undefined && { body }) });
async function person() {
  const sub = await addSubject(db);
  people.set(sub, { client_id: 'demo-miniprogram', sub, scopes: ['me:read', 'me:write'] });
  return sub;
}
const me = (method: string, path: string, sub: string, body?: unknown) =>
  send(method, `/me${path}`, { token: sub, ...(body !== undefined && { body }) });

describe('traits of a person', () => {
  test('are said by a program, null takes one away, and the audit record names them without their values', async () => {
    const sub = await person();
    expect(
      await api('PUT', `/subjects/${sub}/traits`, { tier: 'gold', birthday: '1990-02-28', city: '上海' }),
    ).toMatchObject({
      status: 200,
      body: { sub, traits: ['tier', 'birthday', 'city'] },
    });
    await api('PUT', `/subjects/${sub}/traits`, { city: null });
    const { body } = await api('GET', `/subjects/${sub}/profile`, undefined, 'reader');
    expect(body).toMatchObject({
      sub,
      created_at: expect.any(String),
      last_sign_in_at: null,
      traits: [
        { name: 'birthday', value: '1990-02-28', source: 'client:machine-writer' },
        { name: 'tier', value: 'gold' },
      ],
      personalisation: { is_on: true, at: null },
      rfm: null,
    });
    const audit = await db('audit_entries').where({ subject_id: sub }).orderBy('id');
    expect(audit.map(({ action, details }) => [action, details])).toEqual([
      ['traits.declared', { traits: ['tier', 'birthday', 'city'] }],
      ['traits.declared', { traits: ['city'] }],
    ]);
  });

  test.each([
    ['{"phone":"13800138000"}', 'phone'],
    ['{"orders_total":1}', 'orders_total'],
    ['{"a b":1}', 'a b'],
    ['{"constructor":{"prototype":{"admin":true}}}', 'constructor'],
    ['{}', 'body'],
  ])('E5, F2: %s is refused whole', async (body, field) => {
    const sub = await person();
    const answer = await api('PUT', `/subjects/${sub}/traits`, body);
    expect(answer.status).toBe(400);
    expect(Object.keys(answer.body.error?.fields ?? {})).toEqual([field]);
    expect(await db('profile_traits').where({ subject_id: sub })).toEqual([]);
    expect(({} as Record<string, unknown>).admin).toBeUndefined();
  });

  test('E5: a prototype in the body refuses it', async () => {
    const sub = await person();
    const answer = await api('PUT', `/subjects/${sub}/traits`, '{"__proto__":{"admin":true},"a":1}');
    expect(answer).toMatchObject({ status: 400, body: { error: { code: 'invalid_fields' } } });
    expect(await db('profile_traits').where({ subject_id: sub })).toEqual([]);
  });

  test('F6: what the database cannot keep is refused by name, and nothing of the body is kept', async () => {
    const sub = await person();
    const answer = await api('PUT', `/subjects/${sub}/traits`, '{"plan":"gold","half":{"a":["\\ud800"]}}');
    expect(answer.status).toBe(400);
    expect(Object.keys(answer.body.error?.fields ?? {})).toEqual(['half']);
    expect(await db('profile_traits').where({ subject_id: sub })).toEqual([]);
  });

  test('are for who may write', async () => {
    const sub = await person();
    expect((await api('PUT', `/subjects/${sub}/traits`, { a: 1 }, 'reader')).status).toBe(403);
    expect((await api('PUT', `/subjects/${sub}/traits`, { a: 1 }, sub)).status).toBe(403);
    expect((await api('PUT', '/subjects/018f0000-0000-7000-8000-000000000000/traits', { a: 1 })).status).toBe(404);
  });
});

describe('tags of a person', () => {
  test('are given and taken, each once', async () => {
    const sub = await person();
    const path = `/subjects/${sub}/tags/${encodeURIComponent('高意向/VIP')}`;
    expect((await api('PUT', path, undefined)).body).toEqual({ sub, tag: '高意向/VIP', is_changed: true });
    expect((await api('PUT', path)).body.is_changed).toBe(false);
    expect((await api('GET', `/subjects/${sub}/profile`)).body.tags).toMatchObject([
      { tag: '高意向/VIP', source: 'client:machine-writer' },
    ]);
    expect((await api('DELETE', path)).body.is_changed).toBe(true);
    expect((await api('DELETE', path)).body.is_changed).toBe(false);
  });
});

describe('traits that are worked out', () => {
  const definition = { event: 'Order Completed', sum: { of: 'total' }, within: '30d' };
  const body = { name: 'spent', title: { 'zh-CN': '近 30 天消费', en: 'Spent in 30 days' }, definition };

  test('E5: are refused, whatever stands where a text belongs', async () => {
    const odd = { toString: 1 };
    const body = { name: odd, title: odd, tz: odd, definition: { event: 'a', count: true, between: [odd, odd] } };
    expect((await api('POST', '/traits', body)).status).toBe(400);
    expect((await api('PUT', '/traits/odd', body)).status).toBe(400);
  });

  test('are defined, listed, edited and removed', async () => {
    expect(await api('POST', '/traits', body)).toMatchObject({
      status: 201,
      body: { name: 'spent', origin: 'company', version: 1, tz: 'Asia/Shanghai', definition: { event: 'order_paid' } },
    });
    expect((await api('POST', '/traits', body)).status).toBe(409);
    expect((await api('PUT', '/traits/spent', { ...body, tz: 'UTC' })).body).toMatchObject({ version: 2, tz: 'UTC' });
    const names = ((await api('GET', '/traits', undefined, 'reader')).body.data as { name: string }[]).map(
      ({ name }) => name,
    );
    expect(names).toEqual(expect.arrayContaining(['spent', 'orders_total', 'rfm_segment']));
    await api('POST', '/segments', {
      version: 1,
      key: 'spenders',
      name: 'x',
      purpose: 'service',
      where: { trait: 'spent', op: 'gt', value: 1 },
    });
    expect((await api('DELETE', '/traits/spent')).status).toBe(409);
    await api('PUT', '/segments/spenders/status', { status: 'archived' });
    expect((await api('DELETE', '/traits/spent')).status).toBe(200);
    expect((await api('GET', '/traits/spent')).status).toBe(404);
  });

  test.each<[object, Record<string, RegExp>]>([
    [{ name: '1st' }, { name: /^A name is/ }],
    [{ name: 'orders_total' }, { name: /system trait/ }],
    [{ name: 'mobile' }, { name: /proves who/ }],
    [{ title: { en: 'x' } }, { 'title.zh-CN': /missing/ }],
    [{ definition: { event: 'a' } }, { definition: /one of count, days/ }],
    [{ definition: { event: 'a', count: true, days: true } }, { definition: /one aggregate/ }],
    [
      { definition: { event: 'a', sum: { of: 'a b', gte: 1 } } },
      { 'definition.sum.of': /no path/, 'definition.sum.gte': /no field/ },
    ],
    [{ definition: { event: 'a', count: { gte: 1 } } }, { 'definition.count': /only value is true/ }],
    [{ definition: { ratio: [{ event: 'a', count: true }] } }, { 'definition.ratio': /two values/ }],
    [
      {
        definition: {
          ratio: [
            { event: 'a', count: true },
            { event: 'a', first: true },
          ],
        },
      },
      { 'definition.ratio[1].first': /one of count/ },
    ],
    [
      {
        definition: {
          ratio: [
            { event: 'a', count: true },
            { event: 'a', within: 'x', count: true },
          ],
        },
      },
      { 'definition.ratio[1].within': /duration/ },
    ],
    [{ tz: 'CST' }, { tz: /time zone/ }],
  ])('%j is refused with a sentence at its path', async (more, faults) => {
    const { status, body: answer } = await api('POST', '/traits', { ...body, name: 'refused', ...more });
    expect(status).toBe(400);
    const fields = answer.error?.fields ?? {};
    expect(Object.keys(fields).sort()).toEqual(Object.keys(faults).sort());
    for (const [path, sentence] of Object.entries(faults)) expect(fields[path]).toMatch(sentence);
  });

  test('RFM is scored by thresholds that rise', async () => {
    const { body: usual } = await api('GET', '/rfm');
    expect((await api('PUT', '/rfm', { ...usual, monetary: [1, 2, 3, 3] })).status).toBe(400);
    expect((await api('PUT', '/rfm', { ...usual, monetary: [1, 2, 3, 4.5] })).status).toBe(200);
    expect((await api('GET', '/rfm')).body.monetary).toEqual([1, 2, 3, 4.5]);
  });

  test('tags follow segments by rule', async () => {
    await api('POST', '/segments', { version: 1, key: 'ruled', name: 'x', purpose: 'service', where: { event: 'a' } });
    expect((await api('PUT', '/tag-rules/vip/ruled')).body).toEqual({ is_changed: true });
    expect((await api('PUT', '/tag-rules/vip/ruled')).body).toEqual({ is_changed: false });
    expect((await api('PUT', '/tag-rules/vip/nothing')).status).toBe(404);
    expect((await api('GET', '/tag-rules')).body.data).toMatchObject([{ tag: 'vip', segment: 'ruled' }]);
    expect((await api('PUT', '/segments/ruled/status', { status: 'archived' })).status).toBe(409);
    expect((await api('DELETE', '/tag-rules/vip/ruled')).status).toBe(200);
    expect((await api('DELETE', '/tag-rules/vip/ruled')).status).toBe(404);
  });
});

describe('the person who is signed in', () => {
  test('sees what they said and what the company’s systems say, and neither notes of staff nor tags nor scores', async () => {
    const sub = await person();
    await db('profile_traits').insert([
      { subject_id: sub, name: 'likes', value: '"tea"', at: new Date(), source: 'self' },
      { subject_id: sub, name: 'tier', value: '"gold"', at: new Date(), source: 'client:crm' },
      { subject_id: sub, name: 'note', value: '"difficult"', at: new Date(), source: 'staff:wang' },
    ]);
    await db.transaction((trx) => tagPerson(trx, { sub, tag: 'risky', by: 'staff:wang' }));
    const { status, body, text } = await me('GET', '/profile', sub);
    expect(status).toBe(200);
    expect(body).toMatchObject({
      sub,
      events_total: 0,
      traits: [
        { name: 'likes', value: 'tea', source: 'self' },
        { name: 'tier', value: 'gold', source: 'company' },
      ],
      computed: { orders_count: 0 },
      personalisation: { is_on: true },
    });
    expect(text).not.toMatch(/difficult|risky|rfm|crm|tags|touches/);
    expect((await me('GET', '/profile', 'writer')).status).toBe(403);
  });

  test('switches personalisation off and on, on record', async () => {
    const sub = await person();
    expect((await me('PUT', '/personalisation', sub, { is_on: false })).body).toMatchObject({ is_on: false });
    expect((await me('GET', '/personalisation', sub)).body).toMatchObject({ is_on: false, at: expect.any(String) });
    expect((await api('GET', `/subjects/${sub}/personalisation`, undefined, 'reader')).body.is_on).toBe(false);
    expect(
      (await api('PUT', `/subjects/${sub}/personalisation`, { is_on: true, evidence: { form: 'A-7' } })).body.is_on,
    ).toBe(true);
    expect(await db('personalisation_choices').where({ subject_id: sub }).orderBy('id')).toMatchObject([
      { is_on: false, channel: 'miniprogram', evidence: { client_id: 'demo-miniprogram' } },
      { is_on: true, channel: 'server', evidence: { form: 'A-7', client_id: 'machine-writer' } },
    ]);
    expect(await db('audit_entries').where({ subject_id: sub }).orderBy('id').select('actor_kind', 'action')).toEqual([
      { actor_kind: 'person', action: 'personalisation.set' },
      { actor_kind: 'client', action: 'personalisation.set' },
    ]);
  });
});
