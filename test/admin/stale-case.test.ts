import { describe, expect, it } from 'vitest';
import { mergeSubjects } from '../../src/subjects/merge.ts';
import { currentSubject } from '../../src/subjects/subjects.ts';
import { openConsole } from './world.ts';

const { db, services, base, caseBetween, enter } = await openConsole();

describe('a case one of whose two was merged into a member of staff since', () => {
  it('D17: the member of staff is not absorbed by an address that names who they were, and the house keeps its owner', async () => {
    const owner = await enter('owner');
    const { id, subject, other } = await caseBetween();
    const actor = { actor_kind: 'staff' as const, actor_id: owner.sub };
    const merge = { survivor: owner.sub, absorbed: other, reason: 'one person', basis: 'staff' as const, actor };
    await mergeSubjects(services, { ...merge, allowStaff: true });
    const path = `${base}/admin/merge?survivor=${subject}&absorbed=${other}&case=${id}`;
    const answer = await owner.visitor.post(path, { csrf: owner.csrf, reason: 'looks right' });
    expect(answer.status).toBe(409);
    expect((await currentSubject(db, owner.sub))?.sub).toBe(owner.sub);
    expect(await db('link_cases').where({ id }).first('status')).toEqual({ status: 'open' });
  });
});
