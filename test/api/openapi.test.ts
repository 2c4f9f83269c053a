import { beforeAll, describe, expect, test } from 'vitest';
import { apiDocument, apiRoutes, routes } from '../../src/api/routes.ts';
import { scopes } from '../../src/api/services.ts';
import { createLimits } from '../../src/http/limits.ts';
import { createSeal } from '../../src/seal.ts';
import { testDatabase } from '../helpers/database.ts';
import { noJobs } from '../helpers/jobs.ts';
import { apiParts, type Send, serveRouter } from './http.ts';

const { db } = await testDatabase();
const document = apiDocument();
const text = `${JSON.stringify(document, null, 2)}\n`;

let send: Send;
beforeAll(async () => {
  const seal = createSeal('a secret of the document test, long enough');
  ({ send } = await serveRouter((log) => [
    apiRoutes({
      ...apiParts,
      db,
      seal,
      jobs: noJobs,
      limits: createLimits({ db, seal }),
      log,
      authenticate: async () => undefined,
    }),
  ]));
});

describe('GET /api/openapi.json', () => {
  test('200 without a token: what docs/openapi.json holds (written anew by "vitest run test/api/openapi.test.ts -u")', async () => {
    const answer = await send('GET', '/api/openapi.json');
    expect(answer).toMatchObject({ status: 200, body: JSON.parse(text) });
    await expect(text).toMatchFileSnapshot('../../docs/openapi.json');
  });

  test('describes every route once', () => {
    const described = Object.entries(document.paths ?? {}).flatMap(([path, item]) =>
      Object.keys(item).map((method) => `${method} ${path}`),
    );
    expect(described.sort()).toEqual(routes.map(({ method, path }) => `${method} ${path}`).sort());
    expect(new Set(routes.map(({ id }) => id)).size).toBe(routes.length);
  });

  test('names only scopes that it explains, and every parameter of every path', () => {
    for (const route of routes) {
      for (const scope of route.scopes) expect(scopes).toHaveProperty([scope]);
      const named = [...route.path.matchAll(/\{(\w+)\}/g)].map((match) => match[1]);
      expect(Object.keys(route.params?.shape ?? {})).toEqual(named);
    }
  });

  test('has no reference that leads nowhere', () => {
    const references = [...text.matchAll(/"\$ref": "#\/components\/schemas\/(\w+)"/g)].map((match) => match[1] ?? '');
    expect(references.length).toBeGreaterThan(20);
    for (const name of references) expect(document.components?.schemas).toHaveProperty([name]);
  });
});
