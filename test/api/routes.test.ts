import { beforeAll, describe, expect, test } from 'vitest';
import { z } from 'zod';
import { fail } from '../../src/errors.ts';
import { createOpenApi } from '../../src/http/openapi.ts';
import { mountRoutes, routeFactory } from '../../src/http/routes.ts';
import { type Send, serveRouter } from './http.ts';

const route = routeFactory<{ greeting: string }>();

const shared = { tag: 'Things', scopes: ['things:read'] };
const routes = [
  route({
    ...shared,
    method: 'get',
    path: '/things/{id}',
    id: 'getThing',
    summary: 'One thing',
    params: z.object({ id: z.string().regex(/^\d+$/) }),
    query: z.strictObject({ size: z.coerce.number().int().min(1).optional(), like: z.string().optional() }),
    answer: z.object({ id: z.string(), greeting: z.string(), size: z.number().nullable() }),
    errors: ['conflict'],
    async handle({ greeting }, { params, query }) {
      if (params.id === '409') throw fail('conflict');
      // A handler may hand over a whole row: what the schema does not name stays inside.
      const row = { id: params.id, greeting, size: query.size ?? null, secret_sealed: 'never shown' };
      return params.id === '500' ? { ...row, greeting: 5 as unknown as string } : row;
    },
  }),
  route({
    ...shared,
    method: 'post',
    path: '/things',
    id: 'createThing',
    summary: 'Make a thing',
    headers: z.object({ 'x-color': z.enum(['red', 'blue']).optional() }),
    query: z.strictObject({ dry: z.enum(['yes', 'no']).optional() }),
    body: z.strictObject({
      name: z.string().min(2),
      parts: z.array(z.strictObject({ weight: z.number() })).default([]),
    }),
    status: 201,
    answer: z.object({ name: z.string(), color: z.string() }),
    handle: async (_services, { body, headers }) => ({ name: body.name, color: headers['x-color'] ?? 'red' }),
  }),
  route({
    ...shared,
    scopes: [],
    method: 'get',
    path: '/open',
    id: 'getOpen',
    summary: 'For anybody',
    answer: z.object({ ok: z.boolean() }),
    handle: async () => ({ ok: true }),
  }),
];

const tokens: Record<string, { client_id: string; scopes: string[]; sub?: string }> = {
  good: { client_id: 'machine', scopes: ['things:read', 'other'] },
  narrow: { client_id: 'machine', scopes: ['other'] },
  person: { client_id: 'website', scopes: ['things:read'], sub: 'somebody' },
};

let send: Send;
let log: () => string;
beforeAll(async () => {
  ({ send, log } = await serveRouter((log) => [
    mountRoutes(routes, {
      prefix: '/api/test',
      services: { greeting: 'hello' },
      log,
      authenticate: async (bearer) => (Object.hasOwn(tokens, bearer) ? tokens[bearer] : undefined),
    }),
  ]));
});
const token = 'good';

describe('a token', () => {
  test('200 with the scope; the answer holds what the schema names and nothing else', async () => {
    const answer = await send('GET', '/api/test/things/7?size=3', { token });
    expect(answer).toMatchObject({ status: 200, body: { id: '7', greeting: 'hello', size: 3 } });
    expect(answer.text).not.toContain('never shown');
  });

  test.each([
    ['none', {}, 'Bearer realm="/api/test"'],
    ['an unknown one', { authorization: 'Bearer nonsense' }, 'Bearer realm="/api/test", error="invalid_token"'],
    [
      'another scheme',
      { authorization: 'Basic bWFjaGluZTpzZWNyZXQ=' },
      'Bearer realm="/api/test", error="invalid_token"',
    ],
    ['two in one', { authorization: 'Bearer good, Bearer good' }, 'Bearer realm="/api/test", error="invalid_token"'],
    [
      'a property of every object',
      { authorization: 'Bearer __proto__' },
      'Bearer realm="/api/test", error="invalid_token"',
    ],
  ])('401 with a challenge: %s', async (_what, headers: Record<string, string>, challenge) => {
    const answer = await send('GET', '/api/test/things/7', { headers });
    expect(answer).toMatchObject({ status: 401, body: { error: { code: 'unauthorized' } } });
    expect(answer.headers['www-authenticate']).toBe(challenge);
  });

  test('401 when it stands in the address: RFC 6750 section 2.3 puts it in logs', async () => {
    expect((await send('GET', '/api/test/things/7?access_token=good')).status).toBe(401);
  });

  test('403 without the scope, with the scope named, and logged with the client (D17)', async () => {
    const answer = await send('GET', '/api/test/things/7', { token: 'narrow' });
    expect(answer).toMatchObject({ status: 403, body: { error: { code: 'forbidden' } } });
    expect(answer.headers['www-authenticate']).toBe(
      'Bearer realm="/api/test", error="insufficient_scope", scope="things:read"',
    );
    const line = log()
      .split('\n')
      .find((entry) => entry.includes('api: refused'));
    expect(JSON.parse(line ?? '{}')).toMatchObject({
      client_id: 'machine',
      operation: 'getThing',
      request_id: answer.body.error?.request_id,
    });
  });

  test("403 for a person's token, whatever scope it carries (D19)", async () => {
    expect((await send('GET', '/api/test/things/7', { token: 'person' })).status).toBe(403);
  });

  test('200 without one where anybody may read', async () => {
    expect(await send('GET', '/api/test/open')).toMatchObject({ status: 200, body: { ok: true } });
  });
});

describe('what is sent', () => {
  test('201 with defaults filled in', async () => {
    const answer = await send('POST', '/api/test/things', {
      token,
      body: { name: 'box' },
      headers: { 'x-color': 'blue' },
    });
    expect(answer).toMatchObject({ status: 201, body: { name: 'box', color: 'blue' } });
  });

  test('400 with every fault of query, headers and body at once', async () => {
    const answer = await send('POST', '/api/test/things?dry=maybe&wet=1', {
      token,
      body: { name: 'x', role: 'owner', parts: [{ weight: 1 }, { weight: 'heavy', admin: true }] },
      headers: { 'x-color': 'green' },
    });
    expect(answer).toMatchObject({ status: 400, body: { error: { code: 'invalid_fields' } } });
    expect(Object.keys(answer.body.error?.fields ?? {}).sort()).toEqual([
      'dry',
      'name',
      'parts.1.admin',
      'parts.1.weight',
      'role',
      'wet',
      'x-color',
    ]);
  });

  test.each([
    ['a parameter nobody knows', '/api/test/things/7?sise=3', 'sise'],
    ['a parameter twice', '/api/test/things/7?size=3&size=4', 'size'],
    ['a parameter where none is taken', '/api/test/open?x=1', 'x'],
    ['__proto__ as a parameter (E5)', '/api/test/things/7?__proto__[admin]=1', '__proto__[admin]'],
  ])('400 for %s', async (_what, path, field) => {
    const answer = await send('GET', path, { token });
    expect(answer).toMatchObject({ status: 400, body: { error: { code: 'invalid_fields' } } });
    expect(Object.keys(answer.body.error?.fields ?? {})).toEqual([field]);
  });

  test.each([
    ['__proto__', '{"name":"box","__proto__":{"admin":true}}'],
    ['constructor', '{"name":"box","constructor":{"prototype":{"admin":true}}}'],
  ])('400 for the field %s, and no object gains a property (E5)', async (field, body) => {
    const answer = await send('POST', '/api/test/things', { token, body });
    expect(answer.status).toBe(400);
    expect(answer.text).toContain(`"${field}":`);
    expect(({} as { admin?: unknown }).admin).toBeUndefined();
  });

  test.each([
    ['null', 'null'],
    ['a list', '[]'],
    ['a number', '7'],
  ])('400 for %s instead of an object', async (_what, body) => {
    const answer = await send('POST', '/api/test/things', { token, body });
    expect(answer.body.error).toMatchObject({ code: 'invalid_fields', fields: { body: expect.any(String) } });
  });

  test.each([
    ['a NUL in a value', '{"name":"b\\u0000x"}'],
    ['a NUL in a name', '{"n\\u0000":1}'],
    ['a NUL far inside', '{"name":"box","parts":[{"weight":{"x":["\\u0000"]}}]}'],
    ['a thousand lists in one another', `{"name":${'['.repeat(1000)}${']'.repeat(1000)}}`],
    ['thirty thousand of them', `{"name":${'['.repeat(30_000)}${']'.repeat(30_000)}}`],
  ])('400 for %s', async (_what, body) => {
    const answer = await send('POST', '/api/test/things', { token, body });
    expect(answer).toMatchObject({ status: 400, body: { error: { code: 'bad_request' } } });
  });

  test('E5: 400 for a NUL in the query, which no text that is looked for can hold', async () => {
    const answer = await send('GET', '/api/test/things/1?like=b%00x', { token });
    expect(answer.body.error).toMatchObject({ code: 'invalid_fields', fields: { like: expect.any(String) } });
  });

  test('400 for text that is not JSON', async () => {
    const answer = await send('POST', '/api/test/things', { token, body: '{"name":' });
    expect(answer.body.error?.code).toBe('invalid_json');
  });

  test('the list of faults is bounded, whatever is sent', async () => {
    const body = Object.fromEntries(Array.from({ length: 3000 }, (_, at) => [`field_${at}`, at]));
    const answer = await send('POST', '/api/test/things', { token, body });
    expect(answer.status).toBe(400);
    expect(answer.text.length).toBeLessThan(5000);
  });

  test('413 for more than 64 KB', async () => {
    const answer = await send('POST', '/api/test/things', { token, body: { name: 'x'.repeat(70_000) } });
    expect(answer).toMatchObject({ status: 413, body: { error: { code: 'payload_too_large' } } });
  });

  test.each([['text/plain'], ['application/x-www-form-urlencoded'], ['multipart/form-data; boundary=x'], ['']])(
    '415 for a body of type "%s" (G10)',
    async (type) => {
      const answer = await send('POST', '/api/test/things', {
        token,
        body: '{"name":"box"}',
        headers: { 'content-type': type },
      });
      expect(answer).toMatchObject({ status: 415, body: { error: { code: 'unsupported_media_type' } } });
    },
  );
});

describe('the way there', () => {
  test.each([
    ['/api/test/things/abc'],
    ['/api/test/things/%00'],
    ['/api/test/things/%ZZ'],
    ['/api/test/things/..%2f..%2fetc'],
    ['/api/test/things/7/'],
    ['/API/test/things/7'],
    ['/api/test/nothing'],
  ])('404 for %s', async (path) => {
    expect(await send('GET', path, { token })).toMatchObject({ status: 404, body: { error: { code: 'not_found' } } });
  });

  test.each([
    ['PUT', '/api/test/things/7', 'GET, HEAD'],
    ['DELETE', '/api/test/things', 'POST'],
    ['TRACE', '/api/test/things/7', 'GET, HEAD'],
    ['OPTIONS', '/api/test/things', 'POST'],
  ])('405 for %s %s, with what is allowed (G10)', async (method, path, allow) => {
    const answer = await send(method, path, { token });
    expect(answer).toMatchObject({ status: 405, body: { error: { code: 'method_not_allowed' } } });
    expect(answer.headers.allow).toBe(allow);
  });

  test('405 even when a field or header asks for another method (G10)', async () => {
    const headers = { 'x-http-method-override': 'GET' };
    expect((await send('POST', '/api/test/things/7?_method=GET', { token, headers, body: {} })).status).toBe(405);
  });

  test('500 tells no more than the request id when a handler breaks its promise', async () => {
    const answer = await send('GET', '/api/test/things/500', { token });
    expect(answer.body.error).toEqual({
      code: 'internal',
      message: 'Something went wrong on our side.',
      request_id: answer.headers['x-request-id'],
    });
  });

  test.each([
    ['/api/test/things/7', 'good', 200],
    ['/api/test/things/7', 'none', 401],
    ['/api/test/things/7', 'narrow', 403],
    ['/api/test/things/x', 'good', 404],
    ['/api/test/things/409', 'good', 409],
    ['/api/test/things/500', 'good', 500],
  ])(
    '%s with the token "%s" is %i, kept by no cache and with every security header (E10, G7)',
    async (path, token, status) => {
      const answer = await send('GET', path, { token });
      expect(answer.status).toBe(status);
      expect(answer.headers).toMatchObject({
        'cache-control': 'no-store',
        'x-content-type-options': 'nosniff',
        'referrer-policy': 'no-referrer',
        'x-frame-options': 'DENY',
        'cross-origin-opener-policy': 'same-origin',
        'strict-transport-security': expect.stringContaining('max-age='),
        'content-security-policy': expect.stringContaining("default-src 'none'"),
      });
    },
  );
});

describe('the document', () => {
  const document = createOpenApi(routes, {
    title: 'Things',
    version: '1',
    description: 'A test.',
    prefix: '/api/test',
    scopes: { 'things:read': 'Read things.' },
  });

  test('says what the mounted routes take, need and answer', () => {
    const operation = document.paths?.['/things/{id}']?.get;
    expect(operation).toMatchObject({ operationId: 'getThing', security: [{ client_credentials: ['things:read'] }] });
    expect(Object.keys(operation?.responses ?? {})).toEqual(['200', '400', '401', '403', '404', '409', '500', '503']);
    expect(operation?.parameters).toEqual([
      expect.objectContaining({ in: 'path', name: 'id', required: true }),
      expect.objectContaining({ in: 'query', name: 'size' }),
      expect.objectContaining({ in: 'query', name: 'like' }),
    ]);
    expect(document.paths?.['/open']?.get?.security).toEqual([]);
    expect(document.paths?.['/things']?.post?.requestBody).toMatchObject({
      content: { 'application/json': { schema: { additionalProperties: false, required: ['name'] } } },
    });
  });
});
