/** Segments in the console by their forms: made without a script, counted, explained, handed out as a file. */
import { describe, expect, it } from 'vitest';
import { sentenceIn } from '../../src/admin/segment-words.ts';
import { createI18n } from '../../src/http/i18n.ts';
import type { Node } from '../../src/segments/definition.ts';
import { templates } from '../../src/segments/templates.ts';
import { unescapeHtml } from '../login/visitor.ts';
import { phone } from '../subjects/people.ts';
import { openConsole } from './world.ts';

const world = await openConsole();
const { db, base } = world;
const operator = await world.enter('operator');
const viewer = await world.enter('viewer');
const { csrf, visitor } = operator;
// Before a page reads the catalogue, which keeps it for some seconds.
await db('event_catalogue').insert({
  name: 'tea_class_attended',
  title: { 'zh-CN': '参加茶课' },
  properties: {},
  aliases: [],
  mode: 'document',
});

const post = (path: string, fields: object) => visitor.post(`${base}/admin${path}`, { csrf, ...fields });
const page = (path: string) => visitor.get(`${base}/admin${path}`);

/** What a browser would send of the builder: inputs, selects and text areas as they stand. */
function fieldsOf(html: string): Record<string, string> {
  const [, form = ''] = /<form class="builder"[^>]*>([\s\S]*?)<\/form>/.exec(html) ?? [];
  const fields: Record<string, string> = {};
  for (const [, attributes = ''] of form.matchAll(/<input\b([^>]*)>/g)) {
    const [, name] = /\bname="([^"]*)"/.exec(attributes) ?? [];
    if (name) fields[name] = unescapeHtml(/\bvalue="([^"]*)"/.exec(attributes)?.[1] ?? '');
  }
  for (const [, name = '', options = ''] of form.matchAll(
    /<select id="[^"]*" name="([^"]*)"[^>]*>([\s\S]*?)<\/select>/g,
  )) {
    const chosen = /value="([^"]*)" selected/.exec(options) ?? /value="([^"]*)"/.exec(options);
    fields[name] = unescapeHtml(chosen?.[1] ?? '');
  }
  for (const [, name = '', text = ''] of form.matchAll(
    /<textarea id="[^"]*" name="([^"]*)"[^>]*>\n?([\s\S]*?)<\/textarea>/g,
  ))
    fields[name] = unescapeHtml(text);
  return fields;
}

async function does(sub: string, event: string, properties: object = {}) {
  await fetch(`${base}/v1/track`, {
    method: 'POST',
    headers: { 'content-type': 'application/json', authorization: `Basic ${btoa('demo-server-key:')}` },
    body: JSON.stringify({ userId: sub, event, properties, context: { channel: 'website' } }),
  });
}

const bought = {
  'n:kind': 'all',
  'n.0:kind': 'event',
  'n.0:event': 'order_paid',
  'n.0:aggregate': 'count',
  'n.0:op': 'gte',
  'n.0:value': '1',
};
const about = (key: string, name = key) => ({
  kind: 'rule',
  as: 'form',
  key,
  name,
  purpose: 'service',
  tz: 'Asia/Shanghai',
});

async function until<T>(look: () => Promise<T | undefined>): Promise<T> {
  for (let tries = 0; tries < 100; tries++) {
    const found = await look();
    if (found) return found;
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
  throw new Error('it did not come');
}

describe('the builder', () => {
  it.each(templates.map(({ definition }) => definition))(
    'shows the template $key as a form and gets it back',
    async (definition) => {
      const fields = fieldsOf((await page(`/segment-builder?template=${definition.key}`)).html);
      expect(fields).not.toHaveProperty('n:json');
      const answer = await post('/segment-builder', { ...fields, do: 'turn' });
      expect(JSON.parse(fieldsOf(answer.html).json ?? '')).toEqual(definition);
    },
  );

  it('adds, moves, wraps and removes conditions by buttons alone', async () => {
    let fields = fieldsOf((await page('/segment-builder')).html);
    const press = async (act: string, more: object = {}) => {
      fields = fieldsOf((await post('/segment-builder', { ...fields, ...more, do: act })).html);
    };
    await press('add n', { 'n:add': 'tag' });
    await press('up n.1', { 'n.1:tag': 'vip' });
    expect([fields['n.0:tag'], fields['n.1:kind']]).toEqual(['vip', 'event']);
    await press('add n.1', { 'n.1:add': 'where' });
    expect(fields['n.1.0:kind']).toBe('where');
    await press('wrap n');
    await press('remove n.0.1');
    expect([fields['n:kind'], fields['n.0:kind'], fields['n.0.0:tag'], fields['n.0.1:kind']]).toEqual([
      'all',
      'all',
      'vip',
      undefined,
    ]);
  });

  it('offers the channels that are built in, and a length of time as number and unit', async () => {
    const { html } = await page('/segment-builder');
    for (const channel of ['website', 'miniprogram', 'official_account', 'app', 'store', 'wecom', 'server'])
      expect(html).toContain(`<option value="${channel}"`);
    const fields = { ...fieldsOf(html), ...about('length'), 'n.0:event': 'order_paid' };
    const turned = await post('/segment-builder', {
      ...fields,
      'n.0:within': '36',
      'n.0:within:unit': 'h',
      do: 'turn',
    });
    expect(JSON.parse(fieldsOf(turned.html).json ?? '').where.all[0].within).toBe('36h');
  });

  it('says every fault at its condition, in the reader’s language, and keeps what was typed (E4)', async () => {
    const wrong = {
      ...about('Wrong Key!', ''),
      'n:kind': 'any',
      'n.0:kind': 'event',
      'n.0:event': '',
      'n.0:window': 'within',
      'n.0:within': 'soon<b>',
      'n.1:kind': 'sample',
      'n.1:percent': '400',
      'n.1:salt': 's',
      'n.2:kind': 'json',
      'n.2:json': '{"nobody": 1}',
    };
    const answer = await post('/segment-builder', { ...wrong, do: 'save' });
    expect(answer.status).toBe(400);
    const faults = {
      'n.0:within': ['请填写时长', 'where.any[0].within'],
      'n.0:event': ['请填写文本', 'where.any[0].event'],
      'n.1:percent': ['请填写 0 到 100 的数字。', 'where.any[1].sample.percent'],
      'n.2': ['无法识别的条件', 'where.any[2]'],
      key: ['标识由', 'key'],
    };
    for (const [id, [sentence = '', path = '']] of Object.entries(faults)) {
      const place = new RegExp(`id="${id}-faults?">([\\s\\S]*?)</(?:ul|p)>`).exec(answer.html)?.[1];
      expect(place, id).toContain(sentence);
      const [line] = new RegExp(`<li><a href="#${id}">[^\\n]*?</li>`).exec(answer.html) ?? [''];
      expect(line.replaceAll(/<[^>]*>/g, ''), id).toMatch(
        new RegExp(`${sentence}.*${path.replaceAll(/[[\].]/g, '\\$&')}`),
      );
    }
    expect(answer.html.match(/aria-invalid="true"/g)).toHaveLength(5);
    expect(fieldsOf(answer.html)).toMatchObject({ 'n.0:within': 'soon<b>', 'n.2:json': '{"nobody": 1}' });
    expect(answer.html).not.toContain('soon<b>');
  });

  it.each([
    ['depth', `{"version":1,"where":${'{"not":'.repeat(5_000)}1${'}'.repeat(5_000)}}`],
    ['no JSON', '{'],
    ['a list', '[1]'],
    ['prototype keys (E5)', '{"__proto__":{"admin":true},"constructor":1}'],
  ])('E4: JSON with %s is 400 when saved and kept when turned', async (_what, json) => {
    const fields = { kind: 'rule', as: 'json', json };
    expect((await post('/segment-builder', { ...fields, do: 'save' })).status).toBe(400);
    const turned = await post('/segment-builder', { ...fields, do: 'turn' });
    expect([turned.status, fieldsOf(turned.html).json]).toEqual([200, json]);
  });

  it('E4: a form nested deeper than any definition, and E3: one that would be SQL, are answered with sentences', async () => {
    const deep = Object.fromEntries(Array.from({ length: 30 }, (_, level) => [`n${'.0'.repeat(level)}:kind`, 'not']));
    expect((await post('/segment-builder', { ...about('deep'), ...deep, do: 'save' })).status).toBe(400);
    const injected = {
      ...about('injected'),
      'n:kind': 'event',
      'n:event': "x'; drop table segments; --",
      'n.0:kind': 'where',
      'n.0:property': "a'->>'b",
      'n.0:op': 'eq',
      'n.0:value': "' or 1=1",
    };
    const answer = await post('/segment-builder', { ...injected, do: 'count' });
    expect(answer.html).toContain('这不是有效的路径');
    const { 'n.0:property': _, ...harmless } = injected;
    const counted = await post('/segment-builder', { ...harmless, 'n.0:property': 'a', do: 'count' });
    expect(counted.html).toMatch(/figure-large">0</);
  });

  it('shows as JSON what its fields cannot hold, and loses nothing of it', async () => {
    const where = {
      all: [
        { event: 'order_paid', where: [{ any: [{ property: 'a', op: 'eq', value: 1 }] }] },
        { trait: 'level', op: 'in', value: ['3', 3, 'a,b'] },
        { tag: 'line\nbreak' },
        { trait: 'level', op: 'eq', value: '5000' },
      ],
    };
    const json = JSON.stringify({
      version: 1,
      key: 'odd',
      name: 'Odd',
      purpose: 'service',
      tz: 'Asia/Shanghai',
      where,
    });
    const form = fieldsOf((await post('/segment-builder', { kind: 'rule', as: 'json', json, do: 'turn' })).html);
    expect([form['n.0:kind'], form['n.1:kind'], form['n.2:kind'], form['n.3:value']]).toEqual([
      'json',
      'json',
      'json',
      '"5000"',
    ]);
    const back = fieldsOf((await post('/segment-builder', { ...form, do: 'turn' })).html);
    expect(JSON.parse(back.json ?? '').where).toEqual(where);
  });
});

describe('a segment', () => {
  const number = phone();
  it('is counted, made, holds its people with values masked, and says why', async () => {
    const [buyer, other] = [await world.person([number], { nickname: 'Buyer' }), await world.person([phone()])];
    await does(buyer, 'order_paid', { order_id: '1', total: 10 });
    const counted = await post('/segment-builder', { ...about('buyers', '买过的人'), ...bought, do: 'count' });
    expect(counted.html).toMatch(/figure-large">1</);
    expect(counted.html).toContain('Buyer');
    expect(counted.html).not.toContain(number.external_id);
    const made = await post('/segment-builder', { ...about('buyers', '买过的人'), ...bought, do: 'save' });
    expect(made.location).toBe(`${base}/admin/segments/buyers?done=created`);
    await until(async () => (await db('segment_members').where({ segment_key: 'buyers' })).at(0));
    const members = await page('/segments/buyers/members');
    expect(members.html).toContain('Buyer');
    expect(members.html).not.toContain(number.external_id);
    expect((await page('/segments/buyers/changes')).html).toContain('定义或全员计算');
    const overview = await page('/segments/buyers');
    expect(overview.html).toContain('<span>订单支付</span>');
    expect(overview.html).toContain('class="chart"');
    const inside = await page(`/segments/buyers/explain?sub=${buyer}`);
    expect(inside.html).toContain('此用户在人群中');
    expect(inside.html).toContain('why-yes');
    const outside = await page(`/segments/buyers/explain?sub=${other}`);
    expect(outside.html).toContain('此用户不在人群中');
    expect((await page(`/people/${buyer}/segments`)).html).toContain(`/segments/buyers/explain?sub=${buyer}`);
    expect((await page(`/people/${other}/segments`)).html).toContain('为什么不在');
    expect(await world.auditOf({ action: 'segment.created', actor_id: operator.sub })).toMatchObject([
      { details: { segment: 'buyers', version: 1 } },
    ]);
    expect((await page('/segments')).html).toContain('买过的人');
  });

  it('and events of the company are called by its own titles: in the form, its sentence, the explanation, on the person’s page', async () => {
    const sub = await world.person([phone()]);
    await does(sub, 'tea_class_attended', { seats: 2, title: '宋代点茶' });
    const asked = { ...about('regulars'), 'n:kind': 'event', 'n:event': 'tea_class_attended' };
    const counted = await post('/segment-builder', { ...asked, do: 'count' });
    expect(counted.html).toContain('data-means>参加茶课</span>');
    expect(counted.html).toContain('<p class="count-says">参加茶课</p>');
    await post('/segment-builder', { ...asked, do: 'save' });
    await until(async () => (await db('segment_members').where({ segment_key: 'regulars' })).at(0));
    const why = await page(`/segments/regulars/explain?sub=${sub}`);
    expect(why.html).toMatch(/<li class="why-event"><span>参加茶课</);
    const { html } = await page(`/people/${sub}/events`);
    expect(html).toMatch(/参加茶课<\/span>.* · 宋代点茶<\/p>/);
    expect((await page(`/people/${sub}/profile`)).html).toContain('参加茶课');
  });

  it('about one value explains the values that come nearest, each with what was found for each condition', async () => {
    const sub = await world.person([phone()]);
    for (const product_id of ['cup', 'pot', 'pot']) await does(sub, 'product_clicked', { product_id });
    const where = {
      per: 'product_id',
      all: [{ event: 'product_clicked', count: { gte: 2 } }, { not: { event: 'order_paid' } }],
    };
    const json = JSON.stringify({ version: 1, key: 'wanted', name: 'wanted', purpose: 'service', where });
    await post('/segment-builder', { kind: 'rule', as: 'json', json, do: 'save' });
    const { html } = await page(`/segments/wanted/explain?sub=${sub}`);
    const rows = [...html.matchAll(/<tr>([\s\S]*?)<\/tr>/g)].map(([, row = '']) =>
      row
        .replaceAll(/<[^>]*>/g, ' ')
        .replaceAll(/\s+/g, ' ')
        .trim(),
    );
    expect(rows).toEqual([
      '商品编号 点击商品，至少 2 次 不满足：订单支付',
      '✓ 符合 pot ✓ 符合 2 ✓ 符合 0',
      '✗ 不符合 cup ✗ 不符合 1 ✓ 符合 0',
    ]);
  });

  it('says of an id that is nobody’s that it is', async () => {
    for (const sub of ['nobody', '00000000-0000-7000-8000-000000000000']) {
      const answer = await page(`/segments/buyers/explain?sub=${sub}`);
      expect([answer.status, answer.html.includes('没有这位用户')]).toEqual([404, true]);
    }
  });

  it('shows a person who agreed to nothing as barred, not as somebody who did not meet the conditions', async () => {
    const sub = await world.person([phone()]);
    await post('/segment-builder', { ...about('for-ads'), purpose: 'marketing', ...bought, do: 'save' });
    expect((await page(`/segments/for-ads/explain?sub=${sub}`)).html).toContain('没有同意“营销通知”');
  });

  it('an edit is a version with its difference; the same question again is none', async () => {
    const fields = fieldsOf((await page('/segments/buyers/edit')).html);
    expect(fields).toMatchObject({ key: 'buyers', 'n.0:event': 'order_paid' });
    await post('/segments/buyers/edit', { ...fields, 'n.0:value': '2', key: 'another', do: 'save' });
    await post('/segments/buyers/edit', { ...fields, 'n.0:value': '2', do: 'save' });
    const { html } = await page('/segments/buyers/versions');
    expect(html).toContain('<ins>+           &quot;gte&quot;: 2</ins>');
    const { id } = await db('segments').where({ key: 'buyers' }).first('id');
    expect(await db('segment_versions').where({ segment_id: id }).orderBy('version').pluck('version')).toEqual([1, 2]);
  });

  it('is paused, goes on, and is archived unless another asks for it; all on record', async () => {
    await post('/segment-builder', { ...about('through'), 'n:kind': 'segment', 'n:segment': 'buyers', do: 'save' });
    const refused = await post('/segments/buyers/status', { status: 'archived' });
    expect([refused.status, refused.html.includes('另一个人群或标签规则引用了它')]).toEqual([409, true]);
    for (const status of ['paused', 'active']) {
      expect((await post('/segments/through/status', { status })).status).toBe(303);
      expect((await db('segments').where({ key: 'through' }).first('status')).status).toBe(status);
    }
    expect((await post('/segments/through/status', { status: 'archived' })).status).toBe(303);
    expect((await post('/segments/through/status', { status: 'king' })).status).toBe(400);
    expect((await world.auditOf({ actor_id: operator.sub })).map(({ action }) => action)).toEqual(
      expect.arrayContaining(['segment.paused', 'segment.active', 'segment.archived']),
    );
  });

  it('a key that is taken is said at the key', async () => {
    const answer = await post('/segment-builder', { ...about('buyers'), ...bought, do: 'save' });
    expect([answer.status, answer.html.includes('已有此标识的人群')]).toEqual([409, true]);
  });
});

describe('a list by hand', () => {
  it('takes people in and out, and refuses what is no user id', async () => {
    const sub = await world.person([phone()]);
    await post('/segment-builder', { ...about('friends'), kind: 'list', do: 'save' });
    expect((await post('/segments/friends/list', { subs: `${sub}\n`, do: 'add' })).status).toBe(303);
    await until(async () => (await db('segment_members').where({ segment_key: 'friends' })).at(0));
    const refused = await post('/segments/friends/list', { subs: `${sub} nobody`, do: 'add' });
    expect([refused.status, /id="subs-fault"[^>]*>([^<]*)/.exec(refused.html)?.[1]]).toEqual([
      400,
      '没有这位用户：nobody。名单没有更改。',
    ]);
    expect(refused.html).toContain(`\n${sub} nobody</textarea>`);
    await post('/segments/friends/list', { subs: sub, do: 'remove' });
    await until(async () =>
      (await db('segment_members').where({ segment_key: 'friends' })).length ? undefined : true,
    );
  });
});

describe('E2: members as a file', () => {
  it('holds no cell that a spreadsheet would take for a formula, begins with a byte order mark, and is on record', async () => {
    const sub = await world.person([phone()]);
    const formulas = ['=cmd|calc!A1', '+1', '-1', '@x', '\t=1', '＝1', 'a"b\nc'];
    for (const product_id of formulas) await does(sub, 'product_viewed', { product_id });
    const per = { 'n:kind': 'per', 'n:per': 'product_id', 'n.0:kind': 'event', 'n.0:event': 'product_viewed' };
    await post('/segment-builder', { ...about('viewed'), ...per, do: 'save' });
    await until(async () => (await db('segment_members').where({ segment_key: 'viewed' })).at(0));
    await db('segment_states')
      .whereNotNull('matched')
      .update({ matched: JSON.stringify({ '=1+1': ['x'] }) });
    const answer = await post('/segments/viewed/members.csv', {});
    expect(answer.headers.get('content-type')).toContain('text/csv');
    expect(answer.headers.get('content-disposition')).toContain('viewed.csv');
    expect(answer.html).toMatch(new RegExp(`"${sub}","[^"]+","'=1\\+1: x"`));
    expect(await world.auditOf({ action: 'segment.members_exported' })).toMatchObject([{ details: { members: 1 } }]);
  });
});

describe('the sentence of a definition', () => {
  const sentence = (where: Node, language: 'zh-CN' | 'en') =>
    sentenceIn(
      {
        t: createI18n().translator(language),
        language,
        titles: { ofEvent: (name) => name, ofTrait: (name) => name, ofSegment: (key) => key },
      },
      where,
    );
  const templateOf = (key: string) => templates.find(({ definition }) => definition.key === key)?.definition.where;

  it.each([
    [
      'web-high-intent-not-bought',
      'For one and the same product id, all of these: In the last 30 days: product_viewed on Website (price is at least 5,000), at least 3 times; Not: order_paid',
    ],
    [
      'miniprogram-repeat-buyer',
      'In the last 180 days: order_paid on Mini-program (without order_refunded of the same order id), at least 2 different order id',
    ],
    [
      'abandoned-cart',
      'In the last 7 days: one after the other: cart_added; no order_placed or order_paid for 24 hours after it',
    ],
    [
      'high-value-asleep',
      'All of these: In the last 365 days: order_paid, sum of total less total of order_refunded at least 5,000; Not: In the last 60 days: anything',
    ],
    ['birthday-this-month', 'Trait birthday has its anniversary in this month'],
    ['active-this-month', 'This month: anything, on at least 4 days'],
    [
      'first-purchase-no-second',
      'All of these: 60 days to 30 days ago: for the first time: order_paid; order_paid, exactly 1 time',
    ],
  ])('of %s in English', (key, said) => {
    const where = templateOf(key);
    expect(where && sentence(where, 'en')).toBe(said);
  });

  it('of every template is Chinese, and no name of a sentence is left in it', () => {
    for (const { definition } of templates) {
      const said = sentence(definition.where, 'zh-CN');
      expect(said).toMatch(/[\u4e00-\u9fff]/);
      expect(said).not.toMatch(/admin\.|\{\{/);
    }
  });
});

describe('people who cannot be followed', () => {
  it('are told of on the list of segments, until there are none', async () => {
    expect((await page('/segments')).html).not.toContain('无法更新');
    const row = {
      tries: 1,
      due_at: new Date(Date.now() + 3_600_000),
      since: new Date('2026-11-26T04:00:00Z'),
      error: 'x',
    };
    await db('evaluations_set_aside').insert([
      { ...row, subject_id: crypto.randomUUID() },
      { ...row, subject_id: crypto.randomUUID(), tries: 0 },
    ]);
    const { html } = await page('/segments');
    expect(html).toContain('目前有 1 人的人群归属无法更新');
    await db('evaluations_set_aside').delete();
    expect((await page('/segments')).html).not.toContain('无法更新');
  });
});

describe('a viewer', () => {
  it('reads, and is shown nothing that would change something', async () => {
    const { html } = await viewer.visitor.get(`${base}/admin/segments/buyers`);
    expect(html).toContain('买过的人');
    expect(html).not.toContain('/edit"');
    expect(html).not.toContain('name="status"');
    expect((await viewer.visitor.get(`${base}/admin/segments`)).html).not.toContain('segment-builder');
    expect((await viewer.visitor.get(`${base}/admin/segments/nothing-like-it`)).status).toBe(404);
  });
});
