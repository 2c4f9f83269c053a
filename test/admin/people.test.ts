/** Finding people and reading about them: masked, recorded, and never an error of ours whatever is asked. */
import { describe, expect, it, vi } from 'vitest';
import { consoleRoutes } from '../../src/admin/routes.ts';
import { currentSubject } from '../../src/subjects/subjects.ts';
import { createVisitor, formTo } from '../login/visitor.ts';
import { email, openid, phone, unionid } from '../subjects/people.ts';
import { openConsole } from './world.ts';

const world = await openConsole();
const { db, base } = world;
const operator = await world.enter('operator');
const viewer = await world.enter('viewer');
const owner = await world.enter('owner');

async function search(q: string) {
  const page = await operator.visitor.get(`${base}/admin/search`);
  return operator.visitor.submit(formTo(page, '/admin/search'), { q });
}

describe('the search', () => {
  const appid = 'wxsandbox0000000001';
  const held = [
    phone('+8613812345678'),
    email('lin.xiaoman@example.com'),
    openid('oLinXiaoman_8f2kd93jf02', appid),
    unionid('uLinXiaoman_83jd02kdk3', 'platform'),
    { kind: 'member_no' as const, issuer: '', external_id: 'MEMBER-77-4711' },
  ];
  let sub = '';

  it.each([
    ['+86 138 1234 5678', 'phone'],
    ['138-1234-5678', 'phone'],
    ['１３８１２３４５６７８', 'phone'],
    ['Lin.Xiaoman@Example.com', 'email'],
    ['oLinXiaoman_8f2kd93jf02', 'wechat_openid'],
    ['uLinXiaoman_83jd02kdk3', 'wechat_unionid'],
    ['MEMBER-77-4711', 'member_no'],
  ])('finds by %s, and the record says by what kind and never by what', async (term, kind) => {
    sub ||= await world.person(held, { nickname: '林晓曼' });
    const answer = await search(term);
    expect([answer.status, answer.location]).toEqual([303, `${base}/admin/people/${sub}`]);
    const [entry] = (await world.auditOf({ action: 'people.searched' })).slice(-1);
    expect(entry).toMatchObject({ actor_id: operator.sub, subject_id: sub, details: { by: [kind], found: 1 } });
    expect(JSON.stringify(entry)).not.toMatch(/1381234|xiaoman|LinXiaoman|4711/i);
  });

  it('by a sub that was absorbed leads to the survivor and says so', async () => {
    const [survivor, absorbed] = [await world.person([phone()]), await world.person([email()])];
    await world.merged(survivor, absorbed);
    const page = await operator.visitor.follow(await search(absorbed.toUpperCase()));
    expect(page.url).toContain(`/admin/people/${survivor}`);
    expect(page.html).toContain(`您查找的 ${absorbed} 已于`);
    for (const part of ['/sessions', '/events', '/history', '/merges']) {
      const led = await operator.visitor.get(`${base}/admin/people/${absorbed}${part}`);
      expect(led.location).toBe(`${base}/admin/people/${survivor}${part}?from=${absorbed}`);
    }
  });

  it('finds nobody politely, is recorded all the same, and is no page of an address', async () => {
    const answer = await search('13800000000');
    expect([answer.status, answer.html.includes('没有找到')]).toEqual([200, true]);
    expect(answer.url).not.toContain('138');
    const [entry] = (await world.auditOf({ action: 'people.searched' })).slice(-1);
    expect(entry.details).toEqual({ by: [], found: 0 });
  });

  it.each([
    '',
    ' ',
    "' or 1=1 --",
    '%',
    'x'.repeat(5000),
    '\ud800',
    '00000000-0000-0000-0000-000000000000',
    '💥'.repeat(60),
  ])('has no fault of ours for %j', async (term) => {
    expect((await search(term)).status).toBe(200);
  });

  it('takes no NUL', async () => {
    expect((await search('a\0b')).status).toBe(400);
  });
});

describe('a person’s page', () => {
  const number = phone('+8613987654321');
  const address = email('chen.jiashu@example.com');

  it('masks what identifies, in every role and on every part', async () => {
    const sub = await world.person([number, address, openid('oChenJiashu_93kd03kd0')], { nickname: '陈嘉树' });
    for (const { visitor } of [viewer, operator, owner])
      for (const part of ['', '/sessions', '/events', '/history', '/merges']) {
        const { status, html } = await visitor.get(`${base}/admin/people/${sub}${part}`);
        expect(status).toBe(200);
        expect(html).not.toMatch(/13987654321|chen\.jiashu|oChenJiashu_93/);
        expect(html).toContain('陈嘉树');
      }
    expect((await viewer.visitor.get(`${base}/admin/people/${sub}`)).html).toContain('139****4321');
  });

  it('shows a reader nothing to press that they may not', async () => {
    const sub = await world.person([phone()]);
    const [seen, worked] = await Promise.all(
      [viewer, operator].map(({ visitor }) => visitor.get(`${base}/admin/people/${sub}`)),
    );
    for (const path of ['/link"', '/unlink"', '/merge"']) {
      expect(seen?.html).not.toContain(path);
      expect(worked?.html).toContain(path);
    }
    for (const page of [seen, worked]) expect(page?.html).not.toContain('/unmask');
    expect(seen?.html).not.toContain('/admin/audit');
  });

  it('unmasks for an owner by a post, and the owner is on record', async () => {
    const sub = await world.person([phone('+8613987650000')]);
    const page = await owner.visitor.get(`${base}/admin/people/${sub}`);
    expect(await world.auditOf({ action: 'identities.shown', subject_id: sub })).toEqual([]);
    const clear = await owner.visitor.submit(formTo(page, '/unmask'));
    expect([clear.status, clear.html.includes('+8613987650000')]).toEqual([200, true]);
    expect(clear.headers.get('cache-control')).toBe('no-store');
    const [entry] = await world.auditOf({ action: 'identities.shown', subject_id: sub });
    expect(entry).toMatchObject({ actor_kind: 'staff', actor_id: owner.sub });
  });

  it('ends one sign-in, and all of them, and nobody else’s', async () => {
    const mine = await world.signIn('signed.in@example.com');
    const sub = String(await world.subOf('signed.in@example.com'));
    const other = await world.person([phone()]);
    const page = await operator.visitor.get(`${base}/admin/people/${sub}/sessions`);
    const form = formTo(page, '/sessions/end');
    const elsewhere = form.action.replace(sub, other);
    await operator.visitor.post(elsewhere, form.fields);
    expect(await db('oidc_artifacts').where({ model: 'Session', subject_id: sub })).toHaveLength(1);
    expect((await operator.visitor.submit(form)).status).toBe(303);
    expect(await db('oidc_artifacts').where({ model: 'Session', subject_id: sub })).toEqual([]);
    expect(await world.auditOf({ action: 'session.ended', subject_id: sub })).toHaveLength(1);
    expect(await world.auditOf({ action: 'session.ended', subject_id: other })).toEqual([]);
    expect(mine.last.status).toBe(403);
  });

  it('shows events of both sides of a merge with where they came from, page by page', async () => {
    const [survivor, absorbed] = [await world.person([phone()]), await world.person([email()])];
    await world.merged(survivor, absorbed);
    const track = (userId: string, event: string) =>
      fetch(`${base}/v1/track`, {
        method: 'POST',
        headers: { 'content-type': 'application/json', authorization: `Basic ${btoa('demo-server-key:')}` },
        body: JSON.stringify({ userId, event, context: { channel: 'website' } }),
      });
    await track(survivor, 'of_the_survivor');
    await track(absorbed, 'of_the_absorbed');
    for (let n = 0; n < 50; n++) await track(survivor, 'many');
    const page = await viewer.visitor.get(`${base}/admin/people/${survivor}/events`);
    const older = /href="(\?cursor=[^"]+)"/.exec(page.html)?.[1];
    expect(older).toBeTruthy();
    const rest = await viewer.visitor.get(`${base}/admin/people/${survivor}/events${older}`);
    expect(rest.html).toContain('of_the_survivor');
    expect(rest.html).toContain(`来自合并前的 …${absorbed.slice(-6)}`);
    expect(rest.html).not.toContain('rel="next"');
  });
});

describe('whatever is asked', () => {
  const hostile = ["'", '%00', '%ff', '../..', '-1', '9'.repeat(400), '<script>', 'null', '[]', 'MjAyNg==', '%E0%A4%A'];
  const names = [
    'cursor',
    'before',
    'at',
    'id',
    'status',
    'q',
    'from',
    'done',
    'action',
    'person',
    'staff',
    'survivor',
    'absorbed',
    'case',
    'lang',
    'done[]',
  ];
  const pages = consoleRoutes.filter(({ method }) => method === 'get').map(({ path }) => path);

  it.each(pages)('%s: ids of nothing are 404, and no query string is a fault of ours', async (path) => {
    const sub = await world.person([phone()]);
    for (const id of ['x', '00000000-0000-7000-8000-000000000000', '%27', '..%2f..', '%00', '%E0%A4%A']) {
      const { status } = await owner.visitor.get(base + path.replace(/:\w+/g, id));
      expect([200, 303, 400, 404]).toContain(status);
      if (path.includes(':')) expect(status).toBeGreaterThanOrEqual(400);
    }
    for (const value of hostile) {
      const query = names.map((name) => `${name}=${value}`).join('&');
      const { status } = await owner.visitor.get(`${base}${path.replace(':sub', sub)}?${query}`);
      expect([path, value, status < 500]).toEqual([path, value, true]);
    }
    expect((await currentSubject(db, sub))?.status).toBe('active');
  });

  it('a page that there is not is 404', async () => {
    for (const path of ['/admin/nothing', '/admin/people', '/admin/', '/admin/people/x/y/z'])
      expect((await createVisitor().get(base + path)).status).toBe(404);
  });
});

describe('the profile', () => {
  it('shows what is said, worked out and counted, numbers masked; tags are given and taken on record', async () => {
    const staff = await world.enter('operator');
    const sub = await world.person([phone()]);
    const send = (path: string, body: object) =>
      fetch(`${base}/v1/${path}`, {
        method: 'POST',
        headers: { 'content-type': 'application/json', authorization: `Basic ${btoa('demo-server-key:')}` },
        body: JSON.stringify({ userId: sub, ...body }),
      });
    await send('identify', { traits: { level: 'gold', note: 'call 13812345678', '<b>x': '<img src=x>' } });
    const context = { channel: 'website', campaign: { source: 'baidu', name: '双十一' } };
    await send('track', { event: 'order_paid', properties: { order_id: '1', total: 90 }, context });
    const profile = () => staff.visitor.get(`${base}/admin/people/${sub}/profile`);
    await vi.waitFor(async () => expect((await profile()).html).toContain('gold'), { timeout: 5_000, interval: 100 });
    const { html } = await profile();
    for (const words of ['call 138****5678', '支付订单数', '订单支付 1', '双十一', 'RFM', '采集器'])
      expect(html).toContain(words);
    expect(html).not.toMatch(/13812345678|<img src=x>/);
    const post = (fields: object) =>
      staff.visitor.post(`${base}/admin/people/${sub}/tags`, { csrf: staff.csrf, ...fields });
    expect((await post({ tag: '<i>vip', do: 'add' })).status).toBe(303);
    expect((await profile()).html).toContain('&lt;i&gt;vip');
    expect((await post({ tag: 'x'.repeat(101), do: 'add' })).status).toBe(400);
    for (const _ of [1, 2]) expect((await post({ tag: '<i>vip', do: 'remove' })).status).toBe(303);
    expect((await profile()).html).toContain('没有标签');
    const recorded = await world.auditOf({ actor_id: staff.sub, subject_id: sub });
    expect(recorded.map(({ action }) => action)).toEqual(['tag.given', 'tag.taken']);
  });
});
