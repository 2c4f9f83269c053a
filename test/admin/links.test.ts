/** Staff give and take identities: never somebody else's, never the last one, and nobody makes themselves mightier by it. */
import { describe, expect, it } from 'vitest';
import { grantByEmail } from '../../src/admin/staff.ts';
import { findByIdentity, identitiesOf } from '../../src/subjects/subjects.ts';
import { email, openid, phone } from '../subjects/people.ts';
import { openConsole, type Staff } from './world.ts';

const world = await openConsole();
const { db, base, services } = world;
const operator = await world.enter('operator');
const owner = await world.enter('owner');

const link = ({ visitor, csrf }: Staff, sub: string, fields: object) =>
  visitor.post(`${base}/admin/people/${sub}/link`, { csrf, reason: '工单 4711', ...fields });
async function unlink({ visitor, csrf }: Staff, sub: string, kind: string, reason = '工单 4711') {
  const { id } = await db('identities').where({ subject_id: sub, kind }).first('id');
  return visitor.post(`${base}/admin/people/${sub}/identities/${id}/unlink`, { csrf, reason });
}
const kindsOf = async (sub: string) => (await identitiesOf(services, sub)).map(({ kind }) => kind).sort();

describe('linking', () => {
  it('gives a person an identity in one spelling, with the reason and who it was on record', async () => {
    const sub = await world.person([email()]);
    const answer = await link(operator, sub, { kind: 'phone', value: '0086 137-0001 0001' });
    expect([answer.status, answer.location]).toEqual([303, `${base}/admin/people/${sub}?done=linked`]);
    expect(await findByIdentity(services, { kind: 'phone', issuer: '', external_id: '+8613700010001' })).toBe(sub);
    const [entry] = (await world.auditOf({ action: 'identity.linked', subject_id: sub })).slice(-1);
    expect(entry).toMatchObject({ actor_kind: 'staff', actor_id: operator.sub, details: { reason: '工单 4711' } });
    expect(JSON.stringify(entry)).not.toContain('13700010001');
  });

  it('D9: refuses what is somebody else’s, and says nothing of whose it is', async () => {
    const number = phone('+8613700010002');
    const other = await world.person([number], { nickname: '另一位' });
    const sub = await world.person([email()]);
    const answer = await link(operator, sub, { kind: 'phone', value: number.external_id });
    expect([answer.status, answer.html.includes('此标识已属于另一位用户')]).toEqual([409, true]);
    expect(answer.html).not.toContain(other);
    expect(answer.html).not.toContain('另一位</');
    expect(await kindsOf(other)).toEqual(['phone']);
  });

  it('refuses a second one of a kind, and keeps what was typed', async () => {
    const sub = await world.person([phone()]);
    const answer = await link(operator, sub, { kind: 'phone', value: '137 0001 0003' });
    expect(answer.status).toBe(409);
    for (const kept of ['137 0001 0003', '工单 4711', '请先解绑原有的']) expect(answer.html).toContain(kept);
  });

  it.each([
    { kind: 'phone', value: '12345' },
    { kind: 'wechat_openid', value: 'oSomething' },
    { kind: 'member_no', value: 'M-1', issuer: 'somewhere' },
    { kind: 'member_no', value: ' ' },
    { kind: 'member_no', value: 'x'.repeat(321) },
    { kind: 'password', value: 'x' },
    { kind: 'constructor', value: 'x' },
    { kind: 'member_no', value: 'M\0-1' },
    {},
  ])('400 for %j', async (fields: object) => {
    const sub = await world.person([email()]);
    expect((await link(operator, sub, fields)).status).toBe(400);
    expect(await kindsOf(sub)).toEqual(['email']);
  });

  it('D20: more than the form has changes nothing more', async () => {
    const sub = await world.person([email()]);
    const more = { role: 'owner', sub: owner.sub, verified: 'true', subject_id: owner.sub };
    expect((await link(operator, sub, { kind: 'member_no', value: 'M-20', ...more })).status).toBe(303);
    expect(await findByIdentity(services, { kind: 'member_no', issuer: '', external_id: 'M-20' })).toBe(sub);
    expect(await db('staff').where({ subject_id: sub })).toEqual([]);
  });
});

describe('unlinking', () => {
  it('asks for a reason, takes the one that was named, and a second click finds it done', async () => {
    const sub = await world.person([phone(), email()]);
    expect((await unlink(operator, sub, 'email', ' ')).status).toBe(400);
    const { id } = await db('identities').where({ subject_id: sub, kind: 'email' }).first('id');
    const again = () =>
      operator.visitor.post(`${base}/admin/people/${sub}/identities/${id}/unlink`, {
        csrf: operator.csrf,
        reason: 'r',
      });
    expect([(await again()).status, (await again()).status]).toEqual([303, 303]);
    expect(await kindsOf(sub)).toEqual(['phone']);
    expect(await world.auditOf({ action: 'identity.unlinked', subject_id: sub })).toHaveLength(1);
  });

  it('D10: the last way in stays', async () => {
    const sub = await world.person([phone()]);
    const answer = await unlink(operator, sub, 'phone');
    expect(answer.status).toBe(409);
    expect(await kindsOf(sub)).toEqual(['phone']);
  });

  it('D18: an identity is taken from its own person alone', async () => {
    const [sub, other] = [await world.person([phone(), email()]), await world.person([phone(), email()])];
    const { id } = await db('identities').where({ subject_id: other, kind: 'email' }).first('id');
    const address = `${base}/admin/people/${sub}/identities/${id}/unlink`;
    expect((await operator.visitor.get(address)).status).toBe(404);
    await operator.visitor.post(address, { csrf: operator.csrf, reason: 'r' });
    expect(await kindsOf(other)).toEqual(['email', 'phone']);
  });
});

describe('D17: an operator does not become an owner', () => {
  it('by linking a phone of theirs to one, by unlinking the owner’s, by ending where they are signed in, or by an undo', async () => {
    expect((await link(operator, owner.sub, { kind: 'phone', value: '13700010009' })).status).toBe(403);
    expect((await operator.visitor.get(`${base}/admin/people/${owner.sub}/link`)).status).toBe(403);
    expect((await unlink(operator, owner.sub, 'email')).status).toBe(403);
    const end = `${base}/admin/people/${owner.sub}/sessions/end-all`;
    expect((await operator.visitor.post(end, { csrf: operator.csrf })).status).toBe(403);
    const merge = await world.merged(
      await world.person([phone(), email('staff.later@example.com')]),
      await world.person([openid()]),
    );
    await grantByEmail(services, 'staff.later@example.com', 'viewer');
    const undo = { csrf: operator.csrf, reason: 'r' };
    expect((await operator.visitor.post(`${base}/admin/merges/${merge}/undo`, undo)).status).toBe(403);
    expect(await kindsOf(owner.sub)).toEqual(['email']);
    expect((await operator.visitor.get(`${base}/admin`)).status).toBe(200);
  });

  it('by linking the address of an invitation to an accomplice: only an owner vouches for an address', async () => {
    await grantByEmail(services, 'invited.owner@example.com', 'owner');
    const accomplice = await world.person([phone()]);
    expect((await link(operator, accomplice, { kind: 'email', value: 'invited.owner@example.com' })).status).toBe(403);
    const form = await operator.visitor.get(`${base}/admin/people/${accomplice}/link`);
    expect(form.html).not.toContain('value="email"');
    expect((await link(owner, accomplice, { kind: 'email', value: 'fine@example.com' })).status).toBe(303);
  });
});
