/** Owners say who works here; the house always has one. */
import { describe, expect, it } from 'vitest';
import { removeRole, roleOf, setRole } from '../../src/admin/staff.ts';
import { email } from '../subjects/people.ts';
import { openConsole } from './world.ts';

const world = await openConsole();
const { db, base } = world;
const owner = await world.enter('owner');
const by = { actor_kind: 'staff' as const, actor_id: owner.sub };

const post = (path: string, fields: object) =>
  owner.visitor.post(`${base}/admin/staff${path}`, { csrf: owner.csrf, ...fields });

describe('inviting', () => {
  it('by an e-mail that nobody has yet: masked in the list, the role is theirs when they sign in here', async () => {
    expect((await post('/new', { email: 'New.Colleague@example.com', role: 'operator' })).location).toContain(
      'done=invited',
    );
    const list = await owner.visitor.get(`${base}/admin/staff`);
    expect(list.html).toContain('n***@example.com');
    expect(list.html).not.toContain('new.colleague');
    const { last } = await world.signIn('new.colleague@example.com');
    expect([last.status, last.html.includes('您是操作员')]).toEqual([200, true]);
    const sub = String(await world.subOf('new.colleague@example.com'));
    const [entry] = await world.auditOf({ action: 'staff.granted', subject_id: sub });
    expect(entry).toMatchObject({ actor_kind: 'staff', actor_id: owner.sub, details: { role: 'operator' } });
  });

  it('by an e-mail of somebody who is known: at once', async () => {
    const sub = await world.person([email('known.one@example.com')]);
    expect((await post('/new', { email: 'known.one@example.com', role: 'viewer' })).location).toContain('done=granted');
    expect(await roleOf(db, sub)).toBe('viewer');
  });

  it('is taken back before it was accepted', async () => {
    await post('/new', { email: 'never@example.com', role: 'owner' });
    const { id } = await db('staff_invitations').whereNotNull('email_lookup').first('id');
    expect((await owner.visitor.get(`${base}/admin/staff/invitations/${id}`)).status).toBe(200);
    for (const _ of [1, 2]) expect((await post(`/invitations/${id}`, {})).status).toBe(303);
    expect((await world.signIn('never@example.com')).last.status).toBe(403);
  });

  it.each([
    { email: 'nobody', role: 'viewer' },
    { email: 'a@example.com', role: 'king' },
    { email: 'a@example.com' },
    {},
  ])('400 for %j', async (fields: object) => {
    expect((await post('/new', fields)).status).toBe(400);
    expect(await db('staff_invitations').whereNotNull('email_lookup')).toEqual([]);
  });
});

describe('roles', () => {
  it('change at once, and end with the sessions of whoever is removed', async () => {
    const colleague = await world.enter('viewer');
    expect((await colleague.visitor.get(`${base}/admin/search`)).status).toBe(403);
    await post(`/${colleague.sub}`, { role: 'operator' });
    expect((await colleague.visitor.get(`${base}/admin/search`)).status).toBe(200);
    await post(`/${colleague.sub}`, { role: 'none' });
    expect((await colleague.visitor.get(`${base}/admin`)).location).toContain('/authorize?');
    expect(await db('staff_sessions').where({ subject_id: colleague.sub })).toEqual([]);
    expect(await world.auditOf({ action: 'staff.removed', subject_id: colleague.sub })).toHaveLength(1);
  });

  it('are given to nobody who has none: that is what an invitation is for', async () => {
    const sub = await world.person([email()]);
    expect((await post(`/${sub}`, { role: 'owner' })).status).toBe(404);
    expect(await roleOf(db, sub)).toBeUndefined();
  });

  it('the last owner cannot be removed or lowered, from here or from a shell', async () => {
    for (const role of ['viewer', 'none']) {
      const answer = await post(`/${owner.sub}`, { role });
      expect([answer.status, answer.html.includes('最后一位所有者')]).toEqual([409, true]);
    }
    await expect(world.grant(owner.email, 'operator')).rejects.toMatchObject({ code: 'last_owner' });
    expect(await roleOf(db, owner.sub)).toBe('owner');
  });

  it('of two owners who remove each other at once, one stays; one who is suspended counts for none', async () => {
    const other = await world.enter('owner');
    const tries = await Promise.allSettled([
      removeRole(db, { sub: owner.sub, by }),
      setRole(db, { sub: other.sub, role: 'viewer', by }),
    ]);
    expect(tries.map(({ status }) => status).sort()).toEqual(['fulfilled', 'rejected']);
    const [left] = await db('staff').where({ role: 'owner' }).select('subject_id');
    await setRole(db, { sub: other.sub, role: 'owner', by });
    await setRole(db, { sub: owner.sub, role: 'owner', by });
    const spare = left.subject_id === other.sub ? owner.sub : other.sub;
    await db('subjects').where({ id: spare }).update({ status: 'suspended' });
    await expect(removeRole(db, { sub: left.subject_id, by })).rejects.toMatchObject({ code: 'last_owner' });
  });
});
