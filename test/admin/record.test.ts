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

it('says in words what a rule or the person gave as the reason, and shows what staff wrote as they wrote it', async () => {
  const owner = await world.enter('owner');
  const sub = await world.person([phone()]);
  for (const reason of ['asked_by_person', '工单 1024'])
    await world
      .db('audit_entries')
      .insert({ action: 'subject.merged', actor_kind: 'system', subject_id: sub, details: { reason } });
  const { html } = await owner.visitor.get(`${world.base}/admin/people/${sub}/history`);
  expect(html).toContain('在账户页上要求合并');
  expect(html).toContain('工单 1024');
  expect(html).not.toContain('asked_by_person');
});

it('says where the first owner and people of the command line have their role from', async () => {
  const owner = await world.enter('owner');
  const listed = async (granted_by: string) => {
    await world.db('staff').where({ subject_id: owner.sub }).update({ granted_by });
    return (await owner.visitor.get(`${world.base}/admin/staff`)).html;
  };
  expect(await listed('first-administrator link')).toContain('首次启动的链接');
  expect(await listed('heyi admin grant')).toContain('服务器命令行');
});
