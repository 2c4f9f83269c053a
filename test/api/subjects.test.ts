import { beforeAll, describe, expect, test } from 'vitest';
import { apiRoutes } from '../../src/api/routes.ts';
import { systemClock } from '../../src/clock.ts';
import type { Identity } from '../../src/connectors/contract.ts';
import { recordConsents } from '../../src/consent/consent.ts';
import { eventsRoutes } from '../../src/events/routes.ts';
import { createWriteKey } from '../../src/events/write-keys.ts';
import { createLimits } from '../../src/http/limits.ts';
import { createSeal } from '../../src/seal.ts';
import { keyOf } from '../../src/subjects/identity-key.ts';
import { resolveSubject } from '../../src/subjects/resolve.ts';
import { testDatabase } from '../helpers/database.ts';
import { noJobs } from '../helpers/jobs.ts';
import { type Answer, apiParts, type Send, serveRouter } from './http.ts';

const { db } = await testDatabase();
const seal = createSeal('a secret of the subjects test, long enough');

const tokens: Record<string, string[]> = { reader: ['subjects:read'], officer: ['subjects:read', 'subjects:pii'] };

let send: Send;
let log: () => string;
beforeAll(async () => {
  ({ send, log } = await serveRouter((log) => [
    ...eventsRoutes({
      db,
      seal,
      clock: systemClock,
      log,
      publicUrl: 'http://localhost',
      readToken: async () => undefined,
      readIdToken: async () => undefined,
      keyOf: (identity) => keyOf(seal, identity),
    }).routers,
    apiRoutes({
      ...apiParts,
      db,
      seal,
      jobs: noJobs,
      limits: createLimits({ db, seal }),
      log,
      authenticate: async (bearer) => ({ client_id: `machine-${bearer}`, scopes: tokens[bearer] ?? [] }),
    }),
  ]));
});
const get = (path: string, token = 'reader') => send('GET', `/api/v1${path}`, { token });
const lookup = (body: unknown) => send('POST', '/api/v1/subjects/lookup', { token: 'reader', body });
const data = (answer: Answer) => answer.body.data as Record<string, unknown>[];

async function person(...identities: Identity[]): Promise<string> {
  const [first, ...others] = identities.map((identity) => ({ connector: 'test', identities: [identity] }));
  if (!first) throw new Error('a person needs an identity');
  const { sub } = await resolveSubject(
    { db, seal, jobs: noJobs },
    { proofs: [first, ...others], create: true, context: { channel: 'website' } },
  );
  return sub;
}

const phone = (external_id: string): Identity => ({ kind: 'phone', issuer: '', external_id });
const openid = (external_id: string, issuer = 'wxapp1'): Identity => ({ kind: 'wechat_openid', issuer, external_id });

/** What a merge writes; merging itself is staff's work elsewhere. */
async function absorb(absorbed: string, survivor: string): Promise<string> {
  const merge_id = crypto.randomUUID();
  await db('subjects').where({ id: absorbed }).update({ status: 'absorbed' });
  await db('subject_aliases').insert({ absorbed_id: absorbed, survivor_id: survivor, merge_id });
  return merge_id;
}

const nobody = '018f0000-0000-7000-8000-000000000000';
const noSubs = [
  nobody,
  nobody.toUpperCase(),
  `${nobody}%00`,
  `${nobody}%0A`,
  'not-a-uuid',
  '%00',
  "'%20or%201=1%20--",
  '__proto__',
  'constructor',
  '..%2fclients',
  '%F0%9F%92%A9',
  '%ZZ',
  'x'.repeat(4000),
];

describe('POST /subjects/lookup', () => {
  test.each([['+8613800138001'], ['13800138001'], ['+86 138 0013 8001'], ['１３８００１３８００１']])(
    '200 for a phone number written as %s',
    async (value) => {
      const sub = await person(phone('+8613800138001'));
      expect(await lookup({ kind: 'phone', value })).toMatchObject({
        status: 200,
        body: {
          sub,
          requested_sub: sub,
          status: 'active',
          merge_id: null,
          created_at: expect.stringMatching(/^20.*Z$/),
        },
      });
    },
  );

  test('200 for an e-mail in other letters', async () => {
    const sub = await person({ kind: 'email', issuer: '', external_id: 'li@example.com' });
    expect((await lookup({ kind: 'email', value: ' Li@Example.COM ' })).body.sub).toBe(sub);
  });

  test('200 for an openid of the app that issued it, 404 of another app (C8)', async () => {
    const sub = await person(openid('oLookup-000000000000000001'));
    expect(
      (await lookup({ kind: 'wechat_openid', value: 'oLookup-000000000000000001', issuer: 'wxapp1' })).body.sub,
    ).toBe(sub);
    expect(
      (await lookup({ kind: 'wechat_openid', value: 'oLookup-000000000000000001', issuer: 'wxapp2' })).status,
    ).toBe(404);
  });

  test('200 with the survivor for an identity of an absorbed subject', async () => {
    const [a, b] = [await person(phone('+8613800138002')), await person(phone('+8613800138003'))];
    await absorb(a, b);
    expect((await lookup({ kind: 'phone', value: '13800138002' })).body.sub).toBe(b);
  });

  test('404 for somebody nobody knows', async () => {
    expect(await lookup({ kind: 'phone', value: '13900139000' })).toMatchObject({
      status: 404,
      body: { error: { code: 'unknown_person' } },
    });
  });

  test.each([
    ['no phone number', { kind: 'phone', value: 'abc' }, 'phone_invalid', ['value']],
    ['no e-mail', { kind: 'email', value: 'a@x\r\nBcc: b' }, 'invalid_fields', ['value']],
    ['no e-mail either', { kind: 'email', value: 'a@@b' }, 'email_invalid', ['value']],
    ['an unknown kind', { kind: 'nickname', value: 'x' }, 'invalid_fields', ['kind']],
    ['no issuer', { kind: 'wechat_openid', value: 'o1' }, 'invalid_fields', ['issuer']],
    ['an issuer too many', { kind: 'phone', value: '13800138000', issuer: 'x' }, 'invalid_fields', ['issuer']],
    [
      'control characters',
      { kind: 'wechat_openid', value: 'o\u0007', issuer: 'wx\n' },
      'invalid_fields',
      ['issuer', 'value'],
    ],
    ['a NUL', { kind: 'member_no', value: 'o\u0000' }, 'bad_request', []],
    ['a huge value', { kind: 'member_no', value: 'x'.repeat(10_000) }, 'invalid_fields', ['value']],
    ['an object', { kind: 'phone', value: { $ne: '' } }, 'invalid_fields', ['value']],
    [
      'fields of others (D20)',
      { kind: 'phone', value: '1', sub: 'x', role: 'owner' },
      'invalid_fields',
      ['role', 'sub'],
    ],
    ['nothing', {}, 'invalid_fields', ['kind', 'value']],
  ])('400 for %s', async (_what, body, code, fields) => {
    const answer = await lookup(body);
    expect(answer).toMatchObject({ status: 400, body: { error: { code } } });
    expect(Object.keys(answer.body.error?.fields ?? {}).sort()).toEqual(fields);
  });

  test.each([["'; drop table subjects; --"], ["' or '1'='1"], ['%'], ['_'], ['\\']])(
    '404 for the member number %s: it is a value, not SQL (E3)',
    async (value) => {
      expect((await lookup({ kind: 'member_no', value })).status).toBe(404);
    },
  );

  test('no number that was asked for is in the log (G1)', async () => {
    await lookup({ kind: 'phone', value: '13700137007' });
    await lookup({ kind: 'phone', value: '1370013700x' });
    expect(log()).not.toContain('1370013700');
  });
});

describe('GET /subjects/{sub}', () => {
  test('200 with status and times', async () => {
    const sub = await person(phone('+8613800138010'));
    const answer = await get(`/subjects/${sub}`);
    expect(answer).toMatchObject({ status: 200, body: { sub, requested_sub: sub, status: 'active', merge_id: null } });
    expect(Object.keys(answer.body).sort()).toEqual([
      'created_at',
      'last_sign_in_at',
      'merge_id',
      'requested_sub',
      'status',
      'sub',
    ]);
  });

  test('200 with the survivor, the sub asked for and the merge, when it was absorbed', async () => {
    const [a, b] = [await person(phone('+8613800138011')), await person(phone('+8613800138012'))];
    const merge_id = await absorb(a, b);
    expect(await get(`/subjects/${a}`)).toMatchObject({
      status: 200,
      body: { sub: b, requested_sub: a, merge_id, status: 'active' },
    });
  });

  test('200 with the status of somebody suspended', async () => {
    const sub = await person(phone('+8613800138013'));
    await db('subjects').where({ id: sub }).update({ status: 'suspended' });
    expect((await get(`/subjects/${sub}`)).body.status).toBe('suspended');
  });
});

describe.each(['', '/identities', '/events', '/profile', '/consents'])('GET /subjects/{sub}%s', (below) => {
  test.each(noSubs)('404 for %s', async (sub) => {
    expect((await get(`/subjects/${sub}${below}`)).status).toBe(404);
  });
});

describe('GET /subjects/{sub}/identities', () => {
  test('200, masked without the scope subjects:pii', async () => {
    const sub = await person(openid('oMasked-0000000000000000ab'), phone('+8613800138020'));
    const answer = await get(`/subjects/${sub}/identities`);
    expect(answer.status).toBe(200);
    expect(
      data(answer)
        .map(({ kind, issuer, external_id }) => [kind, issuer, external_id])
        .sort(),
    ).toEqual([
      ['phone', '', '138****8020'],
      ['wechat_openid', 'wxapp1', 'oMas****ab'],
    ]);
    expect(answer.text).not.toContain('13800138020');
    expect(Object.keys(data(answer)[0] ?? {}).sort()).toEqual([
      'external_id',
      'id',
      'is_superseded',
      'issuer',
      'kind',
      'last_used_at',
      'verified_at',
    ]);
  });

  test('200, in clear with it, and the audit record says who saw it', async () => {
    const sub = await person(phone('+8613800138021'));
    const answer = await get(`/subjects/${sub}/identities`, 'officer');
    expect(data(answer)).toEqual([expect.objectContaining({ kind: 'phone', external_id: '+8613800138021' })]);
    const entries = await db('audit_entries').where({ subject_id: sub, action: 'identities.shown' });
    expect(entries).toEqual([expect.objectContaining({ actor_kind: 'client', actor_id: 'machine-officer' })]);
  });

  test('200, page by page: each identity once', async () => {
    const sub = await person(
      openid('oPage-1', 'wxa'),
      openid('oPage-2', 'wxb'),
      openid('oPage-3', 'wxc'),
      phone('+8613800138022'),
    );
    const seen: unknown[] = [];
    let cursor = '';
    do {
      const answer = await get(`/subjects/${sub}/identities?limit=3${cursor && `&cursor=${cursor}`}`);
      seen.push(...data(answer).map(({ id }) => id));
      cursor = (answer.body.next_cursor as string | null) ?? '';
    } while (cursor);
    expect(seen).toHaveLength(4);
    expect(new Set(seen).size).toBe(4);
  });

  test.each([
    ['limit=0', 'limit'],
    ['limit=1001', 'limit'],
    ['limit=ten', 'limit'],
    ['limit=1.5', 'limit'],
    ['cursor=nonsense', 'cursor'],
    ['cursor=%00', 'cursor'],
    ['cursor=eyJhZnRlciI6NX0', 'cursor'],
    [`cursor=${'x'.repeat(600)}`, 'cursor'],
  ])('400 for ?%s', async (query, field) => {
    const sub = await person(phone('+8613800138023'));
    const answer = await get(`/subjects/${sub}/identities?${query}`);
    expect(answer.body.error).toMatchObject({ code: 'invalid_fields', fields: { [field]: expect.any(String) } });
  });
});

describe('GET /subjects/{sub}/consents', () => {
  test('200 with the newest of each purpose', async () => {
    const sub = await person(phone('+8613800138030'));
    const record = { subject_id: sub, channel: 'website', evidence: {} };
    await recordConsents(db, {
      ...record,
      consents: [
        { purpose: 'privacy', version: '1' },
        { purpose: 'profiling', version: '1' },
      ],
    });
    await recordConsents(db, { ...record, consents: [{ purpose: 'profiling', version: '1' }], is_granted: false });
    const answer = await get(`/subjects/${sub}/consents`);
    expect(answer.body).toEqual({
      data: [
        { purpose: 'privacy', version: '1', is_granted: true, at: expect.stringMatching(/Z$/) },
        { purpose: 'profiling', version: '1', is_granted: false, at: expect.stringMatching(/Z$/) },
      ],
      next_cursor: null,
    });
  });
});

/** Sent as a shop's server sends it, and stored as everything is. */
async function track(
  sub: string,
  event: string,
  channel: string,
  ...sent: { timestamp: string; properties?: object }[]
) {
  const { key } = await createWriteKey({ db, seal }, { kind: 'server', name: 'shop' });
  const answer = await send('POST', '/v1/b', {
    body: {
      writeKey: key,
      batch: sent.map((one) => ({
        type: 'track',
        event,
        userId: sub,
        messageId: crypto.randomUUID(),
        context: { channel },
        ...one,
      })),
    },
  });
  expect(answer).toMatchObject({ status: 200, body: { rejected: [] } });
}

const at = (minute: number) => new Date(Date.now() - minute * 60_000).toISOString();

describe('GET /subjects/{sub}/events', () => {
  test('200 with what was done on both channels, newest first, each item with the fields of the contract', async () => {
    const sub = await person(phone('+8613800138040'));
    await track(sub, 'product_viewed', 'website', { timestamp: at(30), properties: { product_id: 'p1', price: 12.5 } });
    await track(sub, 'order_paid', 'miniprogram', { timestamp: at(10), properties: { order_id: 'o1' } });
    const answer = await get(`/subjects/${sub}/events`);
    expect(answer.body.next_cursor).toBeNull();
    expect(data(answer)).toEqual([
      expect.objectContaining({ event: 'order_paid', channel: 'miniprogram', trust: 'server', counts: true }),
      expect.objectContaining({
        event: 'product_viewed',
        channel: 'website',
        properties: { product_id: 'p1', price: 12.5 },
      }),
    ]);
    const fields = ['message_id', 'type', 'event', 'channel', 'timestamp', 'received_at', 'properties', 'trust'];
    expect(Object.keys(data(answer)[0] ?? {})).toEqual(expect.arrayContaining(fields));
  });

  test('200, page by page: each event once, also those of one instant', async () => {
    const sub = await person(phone('+8613800138041'));
    const instant = at(5);
    await track(
      sub,
      'page_viewed',
      'website',
      ...Array.from({ length: 25 }, (_, n) => ({ timestamp: n % 2 ? instant : at(n) })),
    );
    const seen: unknown[] = [];
    for (let cursor: unknown = ''; cursor !== null; ) {
      const page = await get(`/subjects/${sub}/events?limit=10${cursor ? `&cursor=${cursor}` : ''}`);
      seen.push(...data(page).map(({ message_id }) => message_id));
      cursor = page.body.next_cursor;
    }
    expect(seen).toHaveLength(25);
    expect(new Set(seen).size).toBe(25);
  });

  test('200 with the events of both subs, whichever of the two is asked for, after one absorbed the other', async () => {
    const [a, b] = [await person(phone('+8613800138042')), await person(phone('+8613800138043'))];
    await track(a, 'page_viewed', 'website', { timestamp: at(3) });
    await track(b, 'page_viewed', 'miniprogram', { timestamp: at(2) });
    await absorb(a, b);
    const answer = await get(`/subjects/${a}/events`);
    expect(data(answer).map(({ channel, recorded_sub }) => [channel, recorded_sub])).toEqual([
      ['miniprogram', b],
      ['website', a],
    ]);
    expect((await get(`/subjects/${b}/events`)).body).toEqual(answer.body);
  });

  test('200 with names and values that look like code, as they were sent (E3, E5)', async () => {
    const sub = await person(phone('+8613800138044'));
    const properties = JSON.parse(`{"__proto__":{"admin":true},"a'->>'b":"'; drop table events; --","<b>":"=1+1"}`);
    await track(sub, 'page_viewed', 'website', { timestamp: at(1), properties });
    const answer = await get(`/subjects/${sub}/events`);
    expect(data(answer)[0]?.properties).toMatchObject({ "a'->>'b": "'; drop table events; --", '<b>': '=1+1' });
    expect(({} as { admin?: unknown }).admin).toBeUndefined();
    expect(answer.headers['content-type']).toMatch(/^application\/json/);
  });

  test.each(['nonsense', 'MjAyNi0xMS0yM1QwODowMDowMC4wMDBa', 'eyJhZnRlciI6IngifQ', '%00', '..%2f'])(
    '400 for the cursor %s',
    async (cursor) => {
      const sub = await person(phone('+8613800138045'));
      const answer = await get(`/subjects/${sub}/events?cursor=${cursor}`);
      expect(answer.body.error).toMatchObject({ code: 'invalid_fields', fields: { cursor: expect.any(String) } });
    },
  );
});

describe('GET /subjects/{sub}/profile', () => {
  test('200 with first and last seen and counts of each channel, of the same minute', async () => {
    const sub = await person(phone('+8613800138050'));
    await track(sub, 'page_viewed', 'website', { timestamp: at(30) }, { timestamp: at(20) });
    await track(sub, 'order_paid', 'miniprogram', { timestamp: at(10) });
    expect((await get(`/subjects/${sub}/profile`)).body).toMatchObject({
      sub,
      events_total: 3,
      channels: {
        website: { counts: { page_viewed: 2 }, uncounted: {} },
        miniprogram: { counts: { order_paid: 1 }, uncounted: {} },
      },
    });
  });

  test('200 without anything for somebody who was never seen', async () => {
    const sub = await person(phone('+8613800138051'));
    expect((await get(`/subjects/${sub}/profile`)).body).toMatchObject({
      sub,
      first_seen_at: null,
      last_seen_at: null,
      events_total: 0,
      channels: {},
      traits: [],
      touches: [],
    });
  });
});
