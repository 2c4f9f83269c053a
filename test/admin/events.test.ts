/** What trackers send, as the console shows it: accepted and refused with the reason, masked; and what events mean. */
import { describe, expect, it } from 'vitest';
import { phone } from '../subjects/people.ts';
import { openConsole } from './world.ts';

const world = await openConsole();
const { base } = world;
const owner = await world.enter('owner');
const viewer = await world.enter('viewer');

const page = (path: string) => viewer.visitor.get(`${base}/admin/events${path}`);
const define = (fields: object) =>
  owner.visitor.post(`${base}/admin/event-definition`, { csrf: owner.csrf, do: 'save', ...fields });

const send = (batch: object[], key = 'demo-server-key') =>
  fetch(`${base}/v1/batch`, {
    method: 'POST',
    headers: { 'content-type': 'application/json', authorization: `Basic ${btoa(`${key}:`)}` },
    body: JSON.stringify({ batch, context: { channel: 'website' } }),
  });
const track = (event: string, more: object = {}) => ({ type: 'track', event, ...more });

describe('the debugger', () => {
  it('shows what was sent and what was stored, whose it is, what counts and why not', async () => {
    const sub = await world.person([phone()]);
    await send([track('Product Viewed', { userId: sub, properties: { product_id: 'p1' } })]);
    await send([track('order_paid', { anonymousId: 'anon-1', properties: { total: 9 } })], 'demo-client-key');
    const { html } = await page('');
    expect(html).toContain('浏览商品');
    expect(html).toContain('track · Product Viewed');
    expect(html).toContain(`<a href="/admin/people/${sub}">`);
    expect(html).toContain('不计入：至少须为“已登录”');
  });

  it('says beside the name what an event is about, and nothing where that is no word', async () => {
    await send([track('app_opened', { anonymousId: 'anon-2', properties: { query: {} } })]);
    await send([track('searched', { anonymousId: 'anon-2', properties: { query: '普洱' } })]);
    const { html } = await page('?person=anon-2');
    expect(
      html.match(/<summary[^>]*>[\s\S]*?<\/summary>/g)?.map((line) => [line.includes('普洱'), line.includes('{}')]),
    ).toEqual([
      [true, false],
      [false, false],
    ]);
  });

  it('shows what was refused with its reason, and can show that alone', async () => {
    await send([track('fine', { userId: 'u1' }), track('')]);
    const { html } = await page('?outcome=refused');
    expect(html).toContain('event-refused');
    expect(html).toContain('缺少行为名称');
    expect(html).not.toContain('>fine<');
  });

  it('is filtered by event and by person, by whichever id of theirs', async () => {
    const sub = await world.person([phone()]);
    await send([track('page_viewed', { userId: sub }), track('test_drive', { anonymousId: 'anon-7' })]);
    const byEvent = (await page('?event=test_dr')).html;
    expect([byEvent.includes('test_drive'), byEvent.includes('浏览网页')]).toEqual([true, false]);
    const byPerson = (await page(`?person=${sub}`)).html;
    expect([byPerson.includes('浏览网页'), byPerson.includes('>test_drive<')]).toEqual([true, false]);
    expect((await page('?person=anon-7')).html).toContain('>test_drive<');
    expect((await page('?person=nobody&key=x%27&event=%27')).html).toContain('class="empty"');
  });

  it('shows no full phone number, in whatever field it stands', async () => {
    await send([
      track('form_sent', {
        userId: '13812345678',
        properties: { phone: '13812345678', note: 'call +8613812345678, 13912345679 or a.b@example.com' },
      }),
    ]);
    const { html } = await page('?event=form_sent');
    expect(html).toContain('call 138****5678, 139****5679 or a***@example.com');
    expect(html).not.toMatch(/13812345678|13912345679|a\.b@example/);
  });
});

describe('the catalogue', () => {
  it('lists what is known with its properties, how often it came, and names that nobody defined', async () => {
    await send([track('page_viewed', { userId: 'u1' }), track('quite_new', { userId: 'u1' })]);
    const { html } = await page('/catalogue');
    expect(html).toContain('quite_new');
    expect(html).toContain('浏览网页');
    expect(html).not.toContain('event-definition');
  });

  it('an owner defines an event, whose types are then enforced; a viewer does not', async () => {
    const fields = {
      name: 'test_drive_booked',
      title_zh: '预约试驾',
      title_en: 'Test drive booked',
      properties: 'model: string!\nprice: money',
      aliases: 'TestDrive',
      mode: 'enforce',
      least_trust: '',
    };
    expect((await define(fields)).location).toContain('done=saved');
    expect((await page('/catalogue')).html).toContain('预约试驾');
    const form = await owner.visitor.get(`${base}/admin/event-definition?name=test_drive_booked`);
    expect(form.html).toContain('model: string!\nprice: money');
    expect(await world.auditOf({ action: 'event_definition.created' })).toMatchObject([{ actor_id: owner.sub }]);
    expect((await define({ ...fields, do: 'remove' })).location).toContain('done=removed');
    expect((await page('/catalogue')).html).not.toContain('预约试驾');
  });

  it.each([
    [{ name: 'Not A Name' }, 'name-fault'],
    [{ name: 'fine_name', properties: 'price = money' }, 'properties-fault'],
    [{ name: 'fine_name', properties: '__proto__[]: x' }, 'properties-fault'],
    [{ name: 'fine_name', aliases: 'Product Viewed' }, 'aliases-fault'],
  ])('400 for %j, said at its field with what was typed kept', async (fields, fault) => {
    const answer = await define(fields);
    expect([answer.status, answer.html.includes(`id="${fault}"`)]).toEqual([400, true]);
    expect(answer.html).toContain(`value="${fields.name}"`);
  });
});
