import { describe, expect, it } from 'vitest';
import { currentSubject, identitiesOf } from '../../src/subjects/subjects.ts';
import { formTo } from '../login/visitor.ts';
import { email, openid, phone } from '../subjects/people.ts';
import { openConsole } from './world.ts';

const world = await openConsole();
const { db, base, services } = world;
const { visitor, csrf, sub: self } = await world.enter('operator');
const owner = await world.enter('owner');

const mergeAddress = (survivor: string, absorbed: string, more = '') =>
  `${base}/admin/merge?survivor=${survivor}&absorbed=${absorbed}${more}`;
const post = (address: string, fields: Record<string, string> = {}) => visitor.post(address, { csrf, ...fields });
const standing = async (sub: string) => (await currentSubject(db, sub))?.sub;

describe('merging by staff', () => {
  it('D11: shows both side by side, what moves and what contradicts, and keeps the one that was chosen', async () => {
    const [mine, theirs] = [email(), email()];
    const survivor = await world.person([phone(), mine], { nickname: '林晓曼' });
    const absorbed = await world.person([theirs, openid()], { nickname: '晓曼' });
    const page = await visitor.get(mergeAddress(survivor, absorbed));
    expect(page.status).toBe(200);
    for (const text of ['林晓曼', '晓曼', survivor, absorbed, '1 处冲突需要选择']) expect(page.html).toContain(text);
    const [kept] = await db('identities').where({ subject_id: absorbed, kind: 'email' }).select('id');
    const form = page.forms.find(({ fields }) => 'keep_0' in fields);
    if (!form) throw new Error('no form');
    const done = await visitor.submit(form, { keep_0: kept.id, reason: '来电核实' });
    const result = await visitor.follow(done);
    expect(result.url).toMatch(/\/admin\/merges\/[\da-f-]{36}$/);
    expect(result.html).toContain('来电核实');
    expect(await standing(absorbed)).toBe(survivor);
    const emails = (await identitiesOf(services, survivor)).filter(({ kind }) => kind === 'email');
    expect(emails.map(({ id, is_superseded }) => [id === kept.id, is_superseded]).sort()).toEqual([
      [false, true],
      [true, false],
    ]);
    const [entry] = await world.auditOf({ action: 'subject.merged', subject_id: absorbed });
    expect(entry).toMatchObject({ actor_kind: 'staff', actor_id: self, details: { reason: '来电核实' } });
  });

  it('D16: two clicks at once, and the form sent again later, are one merge with one answer', async () => {
    const [survivor, absorbed] = [await world.person([phone()]), await world.person([email()])];
    const address = mergeAddress(survivor, absorbed);
    const twice = await Promise.all([1, 2].map(() => post(address, { reason: 'clicked twice' })));
    const again = await post(address, { reason: 'sent once more' });
    const places = [...twice, again].map(({ status, location }) => `${status} ${location}`);
    expect(new Set(places).size).toBe(1);
    expect(places[0]).toMatch(/^303 .*\/admin\/merges\//);
    expect(await db('merges').where({ absorbed_id: absorbed })).toHaveLength(1);
  });

  it('is not done without a reason', async () => {
    const [survivor, absorbed] = [await world.person([phone()]), await world.person([email()])];
    const answer = await post(mergeAddress(survivor, absorbed), { reason: '  ' });
    expect([answer.status, answer.html.includes('请填写原因')]).toEqual([400, true]);
    expect(await standing(absorbed)).toBe(absorbed);
  });

  it('D13: says in words why it cannot be: the same one twice, one who was absorbed, nobody at all', async () => {
    const [survivor, absorbed, third] = [
      await world.person([phone()]),
      await world.person([email()]),
      await world.person([phone()]),
    ];
    await world.merged(survivor, absorbed);
    const same = await visitor.get(mergeAddress(survivor, survivor));
    expect(same.html).toContain('不能与自己合并');
    expect(same.html).not.toContain('name="reason"');
    expect((await visitor.get(mergeAddress(third, absorbed))).html).toContain('其中一位已经并入他人');
    const refused = await post(mergeAddress(third, absorbed), { reason: 'r' });
    expect([refused.status, refused.html.includes('其中一位已经并入他人')]).toEqual([409, true]);
    for (const nobody of ['nothing', '', '00000000-0000-7000-8000-000000000000', "' or 1=1"])
      expect((await visitor.get(mergeAddress(survivor, encodeURIComponent(nobody)))).status).toBe(404);
  });

  it('D17: an operator merges nobody who works here; an owner does, and never into another', async () => {
    const colleague = await world.enter('viewer');
    const customer = await world.person([phone()]);
    const refused = await post(mergeAddress(colleague.sub, customer), { reason: 'r' });
    expect([refused.status, refused.html.includes('只有所有者可以合并')]).toEqual([409, true]);
    const byOwner = (survivor: string, absorbed: string) =>
      owner.visitor.post(mergeAddress(survivor, absorbed), { csrf: owner.csrf, reason: 'r' });
    expect((await byOwner(customer, colleague.sub)).html).toContain('工作人员不能并入他人');
    expect((await byOwner(customer, owner.sub)).status).toBe(409);
    expect((await byOwner(colleague.sub, customer)).status).toBe(303);
    expect(await standing(customer)).toBe(colleague.sub);
  });

  it('chooses the other one by a search, in which the person themselves is no hit', async () => {
    const [number, other] = [phone('+8613700007777'), await world.person([email('other.one@example.com')])];
    const sub = await world.person([number]);
    const page = await visitor.get(`${base}/admin/people/${sub}/merge`);
    const found = await visitor.submit(formTo(page, `/people/${sub}/merge`), { q: ' Other.One@Example.com ' });
    expect(found.html).toContain(`/admin/merge?survivor=${sub}&amp;absorbed=${other}`);
    const none = await visitor.submit(formTo(page, `/people/${sub}/merge`), { q: '137 0000 7777' });
    expect(none.html).toContain('没有找到另一位用户');
  });
});

describe('undoing', () => {
  it('D14: shows what goes back and what stays, then does it once, however often it is sent', async () => {
    const [survivor, absorbed] = [await world.person([phone()]), await world.person([openid('oGoesBack_4711')])];
    const id = await world.merged(survivor, absorbed);
    await visitor.post(`${base}/admin/people/${survivor}/link`, {
      csrf,
      kind: 'member_no',
      value: 'MEMBER-000-4711',
      reason: 'added since',
    });
    const page = await visitor.get(`${base}/admin/merges/${id}/undo`);
    const [back = '', stays = ''] = page.html.split('id="stays"');
    expect(back).toContain('oGoe****11');
    expect(stays).toContain('MEMB****11');
    const twice = await Promise.all([1, 2].map(() => post(page.url, { reason: '客户否认' })));
    const again = await post(page.url);
    for (const answer of [...twice, again]) expect(answer.location).toBe(`${base}/admin/merges/${id}`);
    expect(await standing(absorbed)).toBe(absorbed);
    expect(await world.auditOf({ action: 'subject.merge_undone', subject_id: absorbed })).toHaveLength(1);
    const result = await visitor.get(`${base}/admin/merges/${id}`);
    for (const text of ['合并已撤销', '客户否认', 'oGoe****11', 'MEMB****11']) expect(result.html).toContain(text);
  });

  it('is a page that there is not for an id of nothing', async () => {
    for (const id of ['x', '00000000-0000-7000-8000-000000000000'])
      for (const path of ['', '/undo'])
        expect((await visitor.get(`${base}/admin/merges/${id}${path}`)).status).toBe(404);
  });
});

describe('the queue of cases', () => {
  it('shows the evidence in words: what was proven together, where, how often, what contradicts', async () => {
    const { id, subject } = await world.caseBetween(['王若楠', '王先生']);
    const list = await visitor.get(`${base}/admin/cases`);
    for (const text of ['王若楠', '王先生', `/admin/cases/${id}`]) expect(list.html).toContain(text);
    const page = await visitor.get(`${base}/admin/cases/${id}`);
    for (const text of ['双方各有不同的微信 openid', '山屿', '网站', '共 1 次', '手机号', subject])
      expect(page.html).toContain(text);
  });

  it('one person: leads through the preview, and the merge closes the case; sent again, the same answer', async () => {
    const { id, subject, other } = await world.caseBetween();
    const page = await visitor.get(`${base}/admin/cases/${id}`);
    expect(page.html).toContain(`survivor=${subject}&amp;absorbed=${other}&amp;case=${id}`);
    const address = mergeAddress(subject, other, `&case=${id}`);
    const answers = [await post(address, { reason: '同一个人' }), await post(address, { reason: '同一个人' })];
    expect(answers[0]?.location).toMatch(/\/admin\/merges\/[\da-f-]{36}$/);
    expect(answers[1]?.location).toBe(answers[0]?.location);
    expect(await db('link_cases').where({ id }).first('status')).toEqual({ status: 'merged' });
    expect(await db('merges').where({ case_id: id })).toHaveLength(1);
  });

  it('two people: needs a reason, leaves both as they are, and is decided once', async () => {
    const { id, subject, other } = await world.caseBetween();
    const address = `${base}/admin/cases/${id}/dismiss`;
    expect((await post(address)).status).toBe(400);
    expect((await post(address, { reason: '两位均来电' })).status).toBe(303);
    expect(await db('link_cases').where({ id }).first('status', 'decision_reason')).toEqual({
      status: 'dismissed',
      decision_reason: '两位均来电',
    });
    expect([await standing(subject), await standing(other)]).toEqual([subject, other]);
    const late = await post(mergeAddress(subject, other, `&case=${id}`), { reason: 'too late' });
    expect(late.status).toBe(409);
    expect((await visitor.get(`${base}/admin/cases?status=dismissed`)).html).toContain(`/admin/cases/${id}`);
  });

  it('a case closes for its own two people alone', async () => {
    const { id, subject } = await world.caseBetween();
    const stranger = await world.person([phone()]);
    expect((await post(mergeAddress(subject, stranger, `&case=${id}`), { reason: 'r' })).status).toBe(404);
    expect(await standing(stranger)).toBe(stranger);
  });
});
