/** What a website says with the code: what the person agreed to on its pages, and from which origins a public client is used. */
import { describe, expect, it } from 'vitest';
import { currentConsents } from '../../src/consent/consent.ts';
import { testDatabase } from '../helpers/database.ts';
import { basic, newCode, newPerson, password, post, startWorld } from './world.ts';

const { db } = await testDatabase();
const world = await startWorld({ db });
const token = `${world.base}/token`;
const redirect_uri = 'https://app.example/callback';
const website = { client_id: 'web', name: 'Website', redirect_uris: [redirect_uri], client_secret: password };
await world.register(website);

async function redeem(consents: string, before = async () => token) {
  const { sub } = await newPerson(db);
  const { fields } = await newCode(world, sub, { client_id: 'web', redirect_uri });
  const answer = await post(await before(), { ...fields, consents, anonymous_id: `anon-${sub}` }, basic('web'));
  const agreed = (await currentConsents(db, sub)).filter(({ is_granted }) => is_granted);
  return { answer, sub, fields, agreed: agreed.map(({ purpose }) => purpose) };
}

describe('consents with an authorization code', () => {
  it('are recorded, and before the anonymous id is bound, so that it looks back', async () => {
    const { answer, agreed, sub } = await redeem('profiling@1');
    expect(answer.status).toBe(200);
    expect(agreed).toEqual(['profiling']);
    const [binding] = await db('anonymous_bindings').where({ anonymous_id: `anon-${sub}` });
    expect(binding.looks_back_to < binding.bound_at).toBe(true);
  });

  it('of no purpose are refused before the code is spent', async () => {
    const { answer, fields } = await redeem('everything@1');
    expect(answer).toMatchObject({ status: 400, body: { error: 'invalid_request' } });
    expect((await post(token, fields, basic('web'))).status).toBe(200);
  });

  it('are not believed from another company’s client', async () => {
    const { answer, agreed } = await redeem('profiling@1', async () => {
      await world.register({ ...website, party: 'third' });
      // A process that has not met the client yet: the first one may hold it for some seconds.
      return `${(await startWorld({ db })).base}/token`;
    });
    await world.register(website);
    expect(answer.status).toBe(200);
    expect(agreed).toEqual([]);
  });
});

describe('origins of a public client', () => {
  const app = { client_id: 'mini', name: 'Mini-program', appid: 'wxtest', origins: ['http://localhost:3100'] };
  const allowed = async (origin: string) =>
    (await post(token, { client_id: 'mini', grant_type: 'refresh_token', refresh_token: 'x' }, { origin })).headers.get(
      'access-control-allow-origin',
    );

  it('may read the answers of the token endpoint; others may not', async () => {
    await world.register(app);
    expect(await allowed('http://localhost:3100')).toBe('http://localhost:3100');
    expect(await allowed('http://evil.example')).toBeNull();
  });

  it.each(['http://localhost:3100/', 'localhost:3100', '*', 'null'])('cannot be %s', async (origin) => {
    await expect(world.register({ ...app, origins: [origin] })).rejects.toMatchObject({ code: 'invalid_fields' });
  });
});
