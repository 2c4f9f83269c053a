/** The record says who it was by what colleagues know them by, and gives away no more of them than that. */
import { expect, it } from 'vitest';
import { phone } from '../subjects/people.ts';
import { openConsole } from './world.ts';

const world = await openConsole();

it('names the member of staff on a person’s history and in the audit record, masked', async () => {
  const owner = await world.enter('owner', 'lin.yue@example.com');
  const sub = await world.person([phone()]);
  await owner.visitor.post(`${world.base}/admin/people/${sub}/unmask`, { csrf: owner.csrf });
  for (const page of [`/admin/people/${sub}/history`, `/admin/audit?staff=${owner.sub}`]) {
    const { status, html } = await owner.visitor.get(world.base + page);
    expect([page, status]).toEqual([page, 200]);
    expect(html).toContain('l***@example.com');
    expect(html).not.toContain('lin.yue@');
  }
});

it('shows an entry whose actor is no id of ours', async () => {
  const owner = await world.enter('owner');
  const sub = await world.person([phone()]);
  await world
    .db('audit_entries')
    .insert({ action: 'subject.merged', actor_kind: 'staff', actor_id: "o'hara", subject_id: sub });
  expect((await owner.visitor.get(`${world.base}/admin/people/${sub}/history`)).status).toBe(200);
});
