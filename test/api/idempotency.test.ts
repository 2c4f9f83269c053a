import { beforeAll, describe, expect, test } from 'vitest';
import { z } from 'zod';
import { handleApiJobs, idempotencyHeaders, writeOnce } from '../../src/api/idempotency.ts';
import { createDatabase, type Database } from '../../src/database.ts';
import { fail } from '../../src/errors.ts';
import { mountRoutes, routeFactory } from '../../src/http/routes.ts';
import type { JobHandler } from '../../src/jobs.ts';
import { createSeal, type Seal } from '../../src/seal.ts';
import { testDatabase } from '../helpers/database.ts';
import { type Send, serveRouter } from './http.ts';

const { db, url } = await testDatabase();
const seal = createSeal('a secret of the idempotency test, long enough');

const route = routeFactory<{ db: Database; seal: Seal }>();
/** A write with an effect that can be counted, and that can be made to fail. */
const notes = route({
  method: 'post',
  path: '/notes',
  id: 'createNote',
  tag: 'Notes',
  summary: 'Write a note',
  scopes: ['notes:write'],
  headers: idempotencyHeaders,
  body: z.strictObject({ text: z.string() }),
  status: 201,
  answer: z.object({ id: z.string(), secret: z.string() }),
  handle: (services, { body, caller, headers }) =>
    writeOnce(services, { caller, operation: 'createNote', body, headers }, async (trx) => {
      const id = crypto.randomUUID();
      await trx.raw('insert into test_notes (id, text) values (?, ?)', [id, body.text]);
      if (body.text === 'fails once' && (await trx.raw("select nextval('test_failures')")).rows[0].nextval === 1) {
        throw fail('upstream_unavailable');
      }
      return { id, secret: 'shown once' };
    }),
});

const routerOf = (own: Database) => (log: Parameters<Parameters<typeof serveRouter>[0]>[0]) => [
  mountRoutes([notes], {
    prefix: '/api/test',
    services: { db: own, seal },
    log,
    authenticate: async (client_id) => ({ client_id, scopes: ['notes:write'] }),
  }),
];

let send: Send;
let sendToOther: Send;
beforeAll(async () => {
  await db.raw('create table test_notes (id uuid primary key, text text not null); create sequence test_failures');
  const otherPool = createDatabase({ url, pool: 3 });
  ({ send } = await serveRouter(routerOf(db)));
  ({ send: sendToOther } = await serveRouter(routerOf(otherPool)));
  return () => otherPool.destroy();
});

const post = (text: string, key?: string, { token = 'machine', via = send } = {}) =>
  via('POST', '/api/test/notes', {
    token,
    body: { text },
    ...(key !== undefined && { headers: { 'idempotency-key': key } }),
  });
const count = async (text: string) => (await db('test_notes').where({ text })).length;

describe('POST with an Idempotency-Key', () => {
  test('201 again with the first answer, and one effect', async () => {
    const first = await post('once', 'k-once');
    const second = await post('once', 'k-once');
    expect(first.status).toBe(201);
    expect(second).toMatchObject({ status: 201, body: first.body });
    expect(await count('once')).toBe(1);
  });

  test('201 for thirty at the same instant over two processes, all with one answer and one effect', async () => {
    const answers = await Promise.all(
      Array.from({ length: 30 }, (_, at) => post('together', 'k-together', { via: at % 2 ? send : sendToOther })),
    );
    expect(answers.map(({ status }) => status)).toEqual(Array(30).fill(201));
    expect(new Set(answers.map(({ text }) => text)).size).toBe(1);
    expect(await count('together')).toBe(1);
  });

  test('422 for the same key with another body', async () => {
    await post('this', 'k-reused');
    const answer = await post('that', 'k-reused');
    expect(answer).toMatchObject({ status: 422, body: { error: { code: 'idempotency_key_reused' } } });
    expect(await count('that')).toBe(0);
  });

  test('201 twice for two clients that chose the same key: they never see each other', async () => {
    const first = await post('mine', 'k-shared', { token: 'one' });
    const second = await post('mine', 'k-shared', { token: 'two' });
    expect(second.status).toBe(201);
    expect(second.body.id).not.toBe(first.body.id);
  });

  test('a write that failed leaves neither effect nor key: the same key may try again', async () => {
    expect((await post('fails once', 'k-fails')).status).toBe(503);
    expect(await count('fails once')).toBe(0);
    expect((await post('fails once', 'k-fails')).status).toBe(201);
    expect(await count('fails once')).toBe(1);
  });

  test('after a day the key is free, and the purge forgets it', async () => {
    await post('old', 'k-old');
    await db('idempotency_keys').update({ expires_at: db.raw("now() - interval '1 second'") });
    expect((await post('old', 'k-old')).status).toBe(201);
    expect(await count('old')).toBe(2);

    const handlers = new Map<string, JobHandler>();
    const jobs = { handle: (name: string, handler: JobHandler) => void handlers.set(name, handler) };
    handleApiJobs({ db, jobs });
    await handlers.get('idempotency_key.purge')?.({});
    expect(await db('idempotency_keys').count()).toEqual([{ count: 1 }]);
  });

  test.each([[''], ['x'.repeat(256)], ['with space']])('400 for the key "%s"', async (key) => {
    const answer = await post('bad key', key);
    expect(answer.body.error).toMatchObject({
      code: 'invalid_fields',
      fields: { 'idempotency-key': expect.any(String) },
    });
  });

  test('what is kept holds neither the answer nor the key in clear', async () => {
    await post('sealed', 'k-visible-key');
    const rows = JSON.stringify(await db('idempotency_keys'));
    expect(rows).not.toContain('shown once');
    expect(rows).not.toContain('k-visible-key');
  });
});

test('POST without a key is a write each time', async () => {
  await post('keyless');
  await post('keyless');
  expect(await count('keyless')).toBe(2);
});
