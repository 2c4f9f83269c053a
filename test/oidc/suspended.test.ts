import { describe, expect, it } from 'vitest';
import { setStanding } from '../../src/subjects/standing.ts';
import { testDatabase } from '../helpers/database.ts';
import { collectJobs } from '../helpers/jobs.ts';
import { basic, createBrowser, createOutside, newCode, newPerson, password, post, startWorld } from './world.ts';

const { db } = await testDatabase();
const world = await startWorld({ db, outside: createOutside() });
const callback = 'https://app.example/callback';
await world.register({ client_id: 'web', name: 'web', redirect_uris: [callback], client_secret: password });
const request = { client_id: 'web', redirect_uri: callback, scope: 'openid offline_access' };
const actor = { actor_kind: 'staff' as const, actor_id: 'test' };

async function signedIn() {
  const { sub } = await newPerson(db);
  const browser = createBrowser(world.base);
  const { fields } = await newCode(world, sub, request, browser);
  const { body } = await post(`${world.base}/token`, fields, basic('web'));
  const flying = await newCode(world, sub, request, browser);
  return { sub, browser, refresh: String(body.refresh_token), access: String(body.access_token), flying };
}

const refused = { status: 400, body: { error: 'invalid_grant' } };

describe('D24: somebody is suspended who has a session, a refresh token, an access token and a code on its way', () => {
  it('is refused with each of them, before the job that ends them has run', async () => {
    const { sub, refresh, access, flying } = await signedIn();
    const { jobs, sent } = collectJobs();
    await setStanding({ db, jobs }, { sub, status: 'suspended', reason: 'fraud', actor });
    expect(await post(`${world.base}/token`, flying.fields, basic('web'))).toMatchObject(refused);
    const again = { grant_type: 'refresh_token', refresh_token: refresh };
    expect(await post(`${world.base}/token`, again, basic('web'))).toMatchObject(refused);
    const userinfo = await fetch(`${world.base}/userinfo`, { headers: { authorization: `Bearer ${access}` } });
    expect(userinfo.status).toBe(401);
    expect(sent.map(({ name }) => name)).toEqual(['subject.ended']);
  });

  it('has no session left when the job has run, and signs in again only after being let in', async () => {
    const { sub } = await signedIn();
    const { jobs, sent } = collectJobs();
    await setStanding({ db, jobs }, { sub, status: 'suspended', reason: 'fraud', actor });
    await world.jobs.get('subject.ended')?.(sent[0]?.data);
    expect(await db('oidc_artifacts').where({ subject_id: sub })).toEqual([]);
    await setStanding({ db, jobs }, { sub, status: 'active', reason: 'cleared', actor });
    const { fields } = await newCode(world, sub, request);
    expect((await post(`${world.base}/token`, fields, basic('web'))).status).toBe(200);
    const actions = await db('audit_entries').where({ subject_id: sub, actor_id: 'test' }).orderBy('id');
    expect(actions.map(({ action }) => action)).toEqual(['subject.suspended', 'subject.reinstated']);
  });

  it('is not suspended while working in the console, and a deleted person does not come back', async () => {
    const { jobs } = collectJobs();
    const { sub: owner } = await newPerson(db);
    await db('staff').insert({ subject_id: owner, role: 'owner', granted_by: 'test' });
    const suspend = { sub: owner, status: 'suspended' as const, reason: 'x', actor };
    await expect(setStanding({ db, jobs }, suspend)).rejects.toMatchObject({ code: 'conflict' });
    const { sub: gone } = await newPerson(db);
    await db('subjects').where({ id: gone }).update({ status: 'deleted' });
    const back = { sub: gone, status: 'active' as const, reason: 'x', actor };
    await expect(setStanding({ db, jobs }, back)).rejects.toMatchObject({ code: 'conflict' });
  });
});
