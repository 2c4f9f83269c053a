/** How long somebody is in the console, and what it takes to stay (D21, D22, E9). */
import { describe, expect, it } from 'vitest';
import { ownPage } from '../../src/admin/door.ts';
import { acceptInvitation, firstAdminLink, grantByEmail, isInvitation } from '../../src/admin/staff.ts';
import { createVisitor, formTo } from '../login/visitor.ts';
import { email, phone } from '../subjects/people.ts';
import { openConsole } from './world.ts';

const world = await openConsole();
const { db, base, services } = world;

describe('before there is an owner', () => {
  it('D22: the printed link dies with the first owner, also one who came another way', async () => {
    const token = (await firstAdminLink(services, base))?.split('/').at(-1) ?? '';
    expect(await isInvitation(services, token)).toBe(true);
    const sub = await world.person([email('first@example.com')]);
    await grantByEmail(services, 'first@example.com', 'owner');
    expect(await isInvitation(services, token)).toBe(false);
    expect((await fetch(`${base}/admin/setup/${token}`)).status).toBe(404);
    await expect(acceptInvitation(services, token, sub)).rejects.toMatchObject({ code: 'not_found' });
  });
});

describe('signing out', () => {
  it('D21: voids a copied cookie as well', async () => {
    const copied = await world.enter('operator');
    // The same network, so that nothing but the sign-out can stand in the way.
    const network = await db('staff_sessions').orderBy('began_at', 'desc').first('network');
    const ip = network.network.replace('0/24', '99');
    const near = createVisitor({ headers: { 'x-forwarded-for': ip } });
    for (const cookie of copied.visitor.cookies()) near.setCookie(cookie);
    expect((await near.get(`${base}/admin`)).status).toBe(200);
    await copied.visitor.post(`${base}/admin/sign-out`, { csrf: copied.csrf });
    const after = await near.get(`${base}/admin`);
    expect([after.status, after.location?.startsWith(`${base}/authorize`)]).toEqual([303, true]);
  });

  it('needs the field of the form: another site cannot sign anybody out', async () => {
    const { visitor } = await world.enter('operator');
    expect((await visitor.post(`${base}/admin/sign-out`, {})).status).toBe(403);
    expect((await visitor.get(`${base}/admin`)).status).toBe(200);
  });
});

describe('D21: a session', () => {
  it('opens nothing from another network', async () => {
    const { visitor } = await world.enter('operator');
    const elsewhere = createVisitor({ headers: { 'x-forwarded-for': '198.51.100.9' } });
    for (const cookie of visitor.cookies()) elsewhere.setCookie(cookie);
    expect((await elsewhere.get(`${base}/admin`)).location).toContain('/authorize?');
  });

  it('ends with the role: the next request is refused', async () => {
    const { visitor, sub } = await world.enter('viewer');
    expect((await visitor.get(`${base}/admin`)).status).toBe(200);
    await db('staff').where({ subject_id: sub }).delete();
    expect((await visitor.get(`${base}/admin`)).status).toBe(403);
  });

  it('ends with everything else, when an owner ends all that a colleague is signed in to', async () => {
    const [colleague, owner] = [await world.enter('operator'), await world.enter('owner')];
    const address = `${base}/admin/people/${colleague.sub}/sessions/end-all`;
    expect((await owner.visitor.post(address, { csrf: owner.csrf })).status).toBe(303);
    expect((await colleague.visitor.get(`${base}/admin`)).location).toContain('/authorize?');
    expect((await owner.visitor.get(`${base}/admin`)).status).toBe(200);
  });

  it('is nobody’s once its person was merged into another', async () => {
    const { visitor, sub } = await world.enter('viewer');
    await db('staff').where({ subject_id: sub }).delete();
    await world.merged(await world.person([phone()]), sub);
    expect((await visitor.get(`${base}/admin`)).location).toContain('/authorize?');
  });
});

describe('D21: what cannot be taken back easily', () => {
  it('asks for a fresh sign-in before the page, and comes back to that very page', async () => {
    const staff = await world.enter('operator');
    const [survivor, absorbed] = [await world.person([phone()]), await world.person([email()])];
    const page = `${base}/admin/merge?survivor=${survivor}&absorbed=${absorbed}`;
    world.age(staff, 400);
    const asked = await staff.visitor.get(page);
    expect(asked.status).toBe(303);
    expect(new URL(asked.location ?? '').searchParams.get('max_age')).toBe('300');
    const back = await staff.visitor.follow(asked);
    expect([back.status, back.url]).toEqual([200, page]);
  });

  it('also refuses the post of a page that was left open, and does nothing', async () => {
    const staff = await world.enter('owner');
    const [survivor, absorbed] = [await world.person([phone()]), await world.person([email()])];
    const member = await world.enter('viewer');
    const merge = await world.merged(await world.person([phone()]), await world.person([email()]));
    const identity = await db('identities').where({ subject_id: survivor }).first('id');
    const posts: [string, Record<string, string>][] = [
      [`/admin/merge?survivor=${survivor}&absorbed=${absorbed}`, { reason: 'r' }],
      [`/admin/merges/${merge}/undo`, { reason: 'r' }],
      [`/admin/people/${survivor}/identities/${identity.id}/unlink`, { reason: 'r' }],
      [`/admin/people/${survivor}/link`, { reason: 'r', kind: 'member_no', value: 'M-1' }],
      [`/admin/staff/new`, { email: 'x@example.com', role: 'owner' }],
      [`/admin/staff/${member.sub}`, { role: 'owner' }],
    ];
    world.age(staff, 400);
    for (const [path, fields] of posts) {
      const answer = await staff.visitor.post(base + path, { csrf: staff.csrf, ...fields });
      expect([path, answer.status, answer.location?.includes('/authorize?')]).toEqual([path, 303, true]);
    }
    expect(await db('merges').where({ absorbed_id: absorbed })).toEqual([]);
    expect((await db('merges').where({ id: merge }).first('undone_at')).undone_at).toBeNull();
    expect(await db('identities').where({ id: identity.id })).toHaveLength(1);
    expect(await db('identities').where({ lookup: 'M-1' })).toEqual([]);
    expect((await db('staff').where({ subject_id: member.sub }).first('role')).role).toBe('viewer');
  });
});

describe('E9: the way back after a sign-in', () => {
  it.each([
    '//evil.example',
    '/\\evil.example',
    'https:evil.example',
    'https://evil.example/admin',
    '/admin//evil.example/../..\\',
    '/administrator',
    '/admin\r\nSet-Cookie: a=b',
    'javascript:alert(1)',
    '',
    undefined,
  ])('never leads to %j', (path) => {
    expect(ownPage(path)).toBe('/admin');
  });

  it('leads to the page that was wanted', async () => {
    const wanted = '/admin/cases?status=merged';
    expect(ownPage(wanted)).toBe(wanted);
    await grantByEmail(services, 'wanted@example.com', 'viewer');
    const { last } = await world.signIn('wanted@example.com', { page: wanted });
    expect([last.status, last.url]).toEqual([200, base + wanted]);
    expect(formTo(last, '/admin/sign-out').fields.csrf).toBeTruthy();
  });

  it('a callback that nobody asked for starts over, wherever it says to go', async () => {
    const answer = await createVisitor().get(`${base}/admin/callback?code=x&state=y&return_to=https://evil.example`);
    expect([answer.status, answer.location]).toEqual([302, `${base}/admin`]);
  });
});
