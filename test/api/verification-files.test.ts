/** Files by which WeChat sees that the domain is ours: put there by operators, read by anybody, and nothing else is a file. */
import { beforeAll, describe, expect, it } from 'vitest';
import { apiRoutes } from '../../src/api/routes.ts';
import { verificationFileRouter } from '../../src/connectors/verification-files.ts';
import { testServices } from '../connectors/services.ts';
import { testDatabase } from '../helpers/database.ts';
import { noJobs } from '../helpers/jobs.ts';
import { apiParts, type Send, serveRouter } from './http.ts';

const { db } = await testDatabase();
const services = testServices(db);
const authenticate = async (bearer: string) => ({
  client_id: bearer,
  scopes: bearer === 'ops' ? ['settings:write'] : [],
});
let send: Send;
beforeAll(async () => {
  ({ send } = await serveRouter((log) => [
    verificationFileRouter({ db }),
    apiRoutes({ ...apiParts, ...services, jobs: noJobs, log, authenticate }),
  ]));
});
const put = (name: string, content: unknown, token = 'ops') =>
  send('PUT', `/api/v1/verification-files/${name}`, { token, body: { content } });

describe('verification files', () => {
  it('are served at the top of our address, to the letter, as text, several of them', async () => {
    expect((await put('MP_verify_AbC123.txt', 'AbC123')).status).toBe(200);
    expect((await put('WW_verify_x.txt', 'x\n')).status).toBe(200);
    const answer = await send('GET', '/MP_verify_AbC123.txt');
    expect(answer).toMatchObject({ status: 200, text: 'AbC123' });
    expect(answer.headers['content-type']).toMatch(/^text\/plain/);
    expect(answer.headers['x-content-type-options']).toBe('nosniff');
    expect((await send('GET', '/WW_verify_x.txt')).text).toBe('x\n');
    const listed = await send('GET', '/api/v1/verification-files', { token: 'ops' });
    expect((listed.body.data as { name: string }[]).map(({ name }) => name)).toEqual([
      'MP_verify_AbC123.txt',
      'WW_verify_x.txt',
    ]);
  });

  it('are replaced and removed, each recorded', async () => {
    await put('a.txt', '1');
    await put('a.txt', '2');
    expect((await send('GET', '/a.txt')).text).toBe('2');
    expect((await send('DELETE', '/api/v1/verification-files/a.txt', { token: 'ops' })).status).toBe(200);
    expect((await send('GET', '/a.txt')).status).toBe(404);
    expect((await send('DELETE', '/api/v1/verification-files/a.txt', { token: 'ops' })).status).toBe(404);
    const actions = (await db('audit_entries').orderBy('id')).map(({ action }) => action);
    expect(actions.slice(-3)).toEqual([
      'verification_file.saved',
      'verification_file.saved',
      'verification_file.removed',
    ]);
  });

  it.each(['..%2fpackage.txt', 'a.html', 'a.txt.html', '.txt', `${'a'.repeat(65)}.txt`, 'a%00.txt', 'ä.txt'])(
    'E7: %s is no name of one',
    async (name) => {
      expect((await put(name, 'x')).status).toBe(404);
      expect((await send('GET', `/${name}`)).status).toBe(404);
    },
  );

  it('hold a line of plain text', async () => {
    for (const content of ['', 'x'.repeat(1025), '中文', '\u0000', 1])
      expect((await put('b.txt', content)).status).toBe(400);
  });

  it('are an operator’s to change', async () => {
    expect((await put('c.txt', 'x', 'nobody')).status).toBe(403);
    expect((await send('PUT', '/api/v1/verification-files/c.txt', { body: { content: 'x' } })).status).toBe(401);
  });
});
