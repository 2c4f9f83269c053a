/** Somebody takes longer than five minutes over a form: they prove who they are, and what they wrote is there (D21). */
import { expect, it } from 'vitest';
import { formTo } from '../login/visitor.ts';
import { email, openid, phone } from '../subjects/people.ts';
import { openConsole, type Staff } from './world.ts';

const world = await openConsole();
const { base, db } = world;
const reason = '客户来电：两个账号都是她的 <b>"';

/** Posts a form that was left open; returns the page that the person comes back to. */
async function late(staff: Staff, page: string, fields: Record<string, string>) {
  world.age(staff, 400);
  return staff.visitor.follow(await staff.visitor.post(base + page, { csrf: staff.csrf, ...fields }));
}

const escaped = reason.replace('<', '&lt;').replace('>', '&gt;').replace('"', '&quot;');

it('a merge: the reason and the choice of what stays current come back, once, and nothing was done', async () => {
  const staff = await world.enter('operator');
  const [survivor, absorbed] = [await world.person([phone(), openid()]), await world.person([email(), openid()])];
  const theirs = await db('identities').where({ subject_id: absorbed, kind: 'wechat_openid' }).first('id');
  const page = `/admin/merge?survivor=${survivor}&absorbed=${absorbed}`;
  const back = await late(staff, page, { reason, keep_0: theirs.id });
  expect([back.status, back.url]).toEqual([200, base + page]);
  expect(back.html).toContain('尚未提交');
  expect(back.html).toContain(`>${escaped}</textarea>`);
  expect(back.html).toContain(`value="${theirs.id}" checked`);
  expect(await db('merges').where({ absorbed_id: absorbed })).toEqual([]);

  expect((await staff.visitor.get(base + page)).html).not.toContain('客户来电');
  const done = await staff.visitor.post(base + page, { csrf: staff.csrf, reason, keep_0: theirs.id });
  expect(done.location).toMatch(/\/admin\/merges\/[0-9a-f-]{36}$/);
  const current = await db('identities').where({ id: theirs.id }).first('superseded_at');
  expect(current.superseded_at).toBeNull();
});

it('linking: all fields come back, on that page alone', async () => {
  const staff = await world.enter('operator');
  const [sub, other] = [await world.person([email()]), await world.person([email()])];
  const back = await late(staff, `/admin/people/${sub}/link`, { kind: 'member_no', value: 'M-77', issuer: '', reason });
  expect(formTo(back, '/link').fields.value).toBe('M-77');
  expect(back.html).toContain('value="member_no" selected');
  expect(await db('identities').where({ lookup: 'M-77' })).toEqual([]);

  world.age(staff, 400);
  await staff.visitor.follow(
    await staff.visitor.post(`${base}/admin/people/${sub}/link`, {
      csrf: staff.csrf,
      kind: 'member_no',
      value: 'M-78',
    }),
  );
  const elsewhere = await staff.visitor.get(`${base}/admin/people/${other}/link`);
  expect(elsewhere.html).not.toContain('M-78');
});

it('a colleague who signs in at the same desk sees nothing of it', async () => {
  const [staff, colleague] = [await world.enter('operator'), await world.enter('operator')];
  const sub = await world.person([email()]);
  world.age(staff, 400);
  const page = `${base}/admin/people/${sub}/link`;
  const away = await staff.visitor.post(page, { csrf: staff.csrf, kind: 'member_no', value: 'M-79', reason });
  // Whose cookies the browser has at the sign-in pages decides who comes back.
  for (const cookie of staff.visitor.cookies())
    if (cookie.path !== '/admin') staff.visitor.setCookie({ ...cookie, value: '' });
  for (const cookie of colleague.visitor.cookies()) if (cookie.path !== '/admin') staff.visitor.setCookie(cookie);
  const back = await staff.visitor.follow(away);
  expect([back.status, back.url]).toEqual([200, page]);
  expect(back.html).not.toContain('M-79');
});

it('what is too long for a cookie is typed again: the sign-in itself does not break', async () => {
  const staff = await world.enter('operator');
  const sub = await world.person([email()]);
  const back = await late(staff, `/admin/people/${sub}/link`, { kind: 'member_no', value: 'x'.repeat(9_000), reason });
  expect(back.status).toBe(200);
  expect(back.html).not.toContain('xxxx');
});
