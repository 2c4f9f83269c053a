/** Write keys in the console: a key is seen once, by an owner, and nowhere again (G1); what staff change holds for the endpoint at once. */
import { describe, expect, it } from 'vitest';
import { systemClock } from '../../src/clock.ts';
import { keptLog } from '../helpers/kept-log.ts';
import { formTo } from '../login/visitor.ts';
import { browserOf } from './browser-of.ts';
import { openConsole } from './world.ts';

const { lines, destination: logTo } = keptLog();
let ahead = 0;
const clock = { now: () => new Date(systemClock.now().getTime() + ahead) };
const world = await openConsole({ logTo, clock });
const { base, db } = world;
const owner = await world.enter('owner');
const operator = await world.enter('operator');
const path = `${base}/admin/write-keys`;

const website = { place: 'website', name: '官网', origins: 'https://www.example.com\r\nhttps://m.example.com' };
const secretOf = (html: string) => /id="secret"[^>]*>([^<]+)</.exec(html)?.[1] ?? '';
const numberOf = async (name: string): Promise<number> => (await db('write_keys').where({ name }).first('id')).id;
const row = (id: number) => db('write_keys').where({ id }).first();

const openForm = async () => formTo(await owner.visitor.get(`${path}/new`), '/new');
async function make(fields: Record<string, string>) {
  return owner.visitor.submit(await openForm(), fields);
}
const post = (id: number, page: string, fields: object) =>
  owner.visitor.post(`${path}/${id}/${page}`, { csrf: owner.csrf, ...fields });

const send = (key: string, headers: object = {}) =>
  fetch(`${base}/v1/track`, {
    method: 'POST',
    headers: { 'content-type': 'application/json', authorization: `Basic ${btoa(`${key}:`)}`, ...headers },
    body: JSON.stringify({ event: 'page_viewed', anonymousId: 'anon-1' }),
  });

describe('making a key', () => {
  it('shows it once, with the snippet of the SDK that fits, and nowhere again (G1)', async () => {
    const made = await make({ ...website, name: 'Shown once' });
    const key = secretOf(made.html);
    expect([made.status, made.location, made.headers.get('cache-control')]).toEqual([200, undefined, 'no-store']);
    expect(key).toMatch(/^[\w-]{32}$/);
    expect(made.html).toContain(`data-issuer="${base}"`);
    expect(made.html).toContain(`data-write-key="${key}"`);
    expect((await send(key)).status).toBe(200);

    const id = await numberOf('Shown once');
    expect(await row(id)).toMatchObject({ kind: 'client', channel: 'website', origins: website.origins.split('\r\n') });
    const [entry] = await world.auditOf({ action: 'write_key.created' });
    const settings = { kind: 'client', name: 'Shown once', channel: 'website', origins: website.origins.split('\r\n') };
    expect(entry).toMatchObject({ actor_id: owner.sub, details: { write_key_id: id, ...settings } });
    const pages = ['', `/${id}`, `/${id}/edit`, `/${id}/consents`, `/${id}/state`].map((page) => path + page);
    for (const page of [...pages, `${base}/admin/audit`, `${base}/admin/events`])
      expect((await owner.visitor.get(page)).html).not.toContain(key);
    const stored = [await row(id), await db('audit_entries'), await db('tickets'), lines];
    expect(lines.join('')).toContain('/admin/write-keys/new');
    expect(JSON.stringify(stored)).not.toContain(key);
    expect(JSON.stringify(owner.visitor.cookies())).not.toContain(key);
  });

  it('a server’s key is secret, and stands in no command that would be kept by a shell', async () => {
    const { html } = await make({ place: 'server', name: 'Orders' });
    const key = secretOf(html);
    expect(html.split(key)).toHaveLength(2);
    expect(html).toContain('$HEYI_WRITE_KEY');
    expect(await row(await numberOf('Orders'))).toMatchObject({ kind: 'server', channel: 'server', origins: [] });
    expect((await send(key)).status).toBe(200);
  });

  it('a mini-program’s snippet has its client; ours are not among the applications', async () => {
    const form = await owner.visitor.get(`${path}/new`);
    expect(form.html).toContain('name="client demo-miniprogram"');
    expect(form.html).not.toMatch(/client heyi-(?:admin|account)|client demo-backend/);
    const fields = { place: 'miniprogram', name: 'Mini', 'client demo-miniprogram': '1', events_per_minute: '600' };
    const { html } = await owner.visitor.submit(formTo(form, '/new'), fields);
    expect(html).toContain("clientId: 'demo-miniprogram'");
    expect(await row(await numberOf('Mini'))).toMatchObject({
      client_ids: ['demo-miniprogram'],
      channel: 'miniprogram',
      events_per_minute: 600,
    });
  });

  it('a form makes one key: sent again, by a double click or a reload, it makes none and shows none', async () => {
    const form = await openForm();
    const answers = await Promise.all([1, 2].map(() => owner.visitor.submit(form, { ...website, name: 'Twice' })));
    expect(answers.map(({ status }) => status).sort()).toEqual([200, 303]);
    const again = await owner.visitor.submit(form, { ...website, name: 'Twice' });
    expect((await owner.visitor.follow(again)).html).toContain('没有再建一个');
    expect(await db('write_keys').where({ name: 'Twice' })).toHaveLength(1);
  });

  it.each([
    ['nothing', {}, ['kind', 'name']],
    ['an unknown place', { ...website, place: 'moon' }, ['kind']],
    ['a name that is too long', { ...website, name: 'x'.repeat(101) }, ['name']],
    ['no website for a website’s key', { ...website, origins: ' ' }, ['origins']],
    ['websites for a server’s key', { ...website, place: 'server' }, ['origins']],
    ['a channel in other letters', { ...website, channel: '官网' }, ['channel']],
    ['a quota of nothing', { ...website, events_per_minute: '0' }, ['events_per_minute']],
    ['a quota of a word', { ...website, events_per_minute: '1e99' }, ['events_per_minute']],
  ] as const)('400 for %s, said at its field', async (_what, fields, faults) => {
    const answer = await make({ place: '', ...fields });
    const said = [...answer.html.matchAll(/id="(\w+)-fault"/g)].map(([, field]) => field);
    expect([answer.status, said]).toEqual([400, faults]);
  });

  it.each([
    ['www.example.com', '请写完整'],
    ['https://www.example.com/shop', '请写成 https://www.example.com'],
    ['https://www.example.com/', '请写成 https://www.example.com'],
    ['https://WWW.example.com:443', '请写成 https://www.example.com'],
    ['http://www.example.com', 'http:// 只能用于 localhost'],
    ['https://*.example.com', '请逐个写出网站'],
    ['javascript:alert(1)', '请写完整'],
  ])('%s is no origin, in a sentence of its own, with all that was typed kept', async (origin, sentence) => {
    const { status, html } = await make({ ...website, name: '  "Kept"', origins: origin, channel: 'store' });
    expect([status, html.includes(sentence)]).toEqual([400, true]);
    for (const kept of ['value="website" required checked', 'value="  &quot;Kept&quot;"', `>\n${origin}</textarea>`])
      expect(html).toContain(kept);
    expect(html).toContain('value="store"');
  });

  it('http is for localhost alone', async () => {
    expect((await make({ ...website, name: 'Local', origins: 'http://localhost:8080' })).status).toBe(200);
  });
});

describe('a key that is there', () => {
  it('changes: what differs is on record, and holds for the endpoint', async () => {
    const key = secretOf((await make({ ...website, name: 'Changes' })).html);
    const id = await numberOf('Changes');
    const form = formTo(await owner.visitor.get(`${path}/${id}/edit`), '/edit');
    expect(form.fields.name).toBe('Changes');
    const done = await owner.visitor.submit(form, { origins: 'https://new.example.com', channel: 'store' });
    expect(done.location).toContain(`/${id}?done=changed`);
    const [entry] = await world.auditOf({ action: 'write_key.changed' });
    const changed = { write_key_id: id, origins: ['https://new.example.com'], channel: 'store' };
    expect([entry.actor_id, entry.details]).toEqual([owner.sub, changed]);
    await owner.visitor.submit(form, { origins: 'https://new.example.com', channel: 'store' });
    expect(await world.auditOf({ action: 'write_key.changed' })).toHaveLength(1);
    expect((await send(key, { origin: 'https://www.example.com' })).status).toBe(403);
    expect((await send(key, { origin: 'https://new.example.com' })).status).toBe(200);
    expect((await post(id, 'edit', { name: '', origins: 'https://a.example' })).html).toContain('id="name-fault"');
  });

  it('is refused by the endpoint five seconds after it was disabled, and works again when it is enabled', async () => {
    const key = secretOf((await make({ ...website, name: 'Off' })).html);
    const id = await numberOf('Off');
    expect((await send(key)).status).toBe(200);
    expect((await post(id, 'state', { do: 'disable' })).location).toContain('done=disabled');
    ahead += 5_001;
    expect((await send(key)).status).toBe(401);
    expect((await owner.visitor.get(path)).html).toContain('已停用');
    await post(id, 'state', { do: 'disable' });
    expect((await row(id)).is_enabled).toBe(false);
    await post(id, 'state', { do: 'enable' });
    expect((await send(key)).status).toBe(200);
    const actions = await world.auditOf({ actor_id: owner.sub }).whereLike('action', 'write_key.%abled');
    expect(actions.map(({ action }) => action)).toEqual(['write_key.disabled', 'write_key.enabled']);
    expect((await post(id, 'state', { do: 'else' })).status).toBe(400);
  });

  it('declares consents with who answers for it, in the list and on record', async () => {
    await make({ ...website, name: 'Declares' });
    const id = await numberOf('Declares');
    const nobody = await post(id, 'consents', { 'purpose profiling': '1', by: ' ' });
    expect([nobody.status, nobody.html.includes('id="by-fault"')]).toEqual([400, true]);
    expect(nobody.html).toContain('name="purpose profiling" value="1" checked');
    expect((await post(id, 'consents', { 'purpose everything': '1', by: 'x' })).html).toContain('id="purposes-fault"');
    await post(id, 'consents', { 'purpose profiling': '1', 'purpose marketing': '1', by: '李莉，法务部' });
    expect(await row(id)).toMatchObject({ declared_consents: ['profiling', 'marketing'], declared_by: '李莉，法务部' });
    const { html } = await operator.visitor.get(path);
    expect(html).toMatch(/个性化分析、营销通知<span class="cell-more">李莉，法务部 · 20\d\d年/);
    const [entry] = await world.auditOf({ action: 'write_key.consents_declared' });
    expect(entry).toMatchObject({ actor_id: owner.sub, details: { write_key_id: id, by: '李莉，法务部' } });
    await post(id, 'consents', { by: '李莉，法务部' });
    expect((await row(id)).declared_consents).toEqual([]);
  });

  it('says when it last sent something', async () => {
    const key = secretOf((await make({ ...website, name: 'Sends' })).html);
    const id = await numberOf('Sends');
    const sent = async () => /最近上报<\/dt><dd>(<time)?/.exec((await owner.visitor.get(`${path}/${id}`)).html)?.[1];
    expect(await sent()).toBeUndefined();
    await send(key);
    expect(await sent()).toBe('<time');
  });

  it('of the sandbox is not changed: everybody knows it', async () => {
    const { id } = await db('write_keys').where({ source: 'sandbox' }).first('id');
    expect((await post(id, 'state', { do: 'disable' })).status).toBe(409);
    expect((await post(id, 'edit', { name: 'Mine' })).status).toBe(409);
    expect(await row(id)).toMatchObject({ is_enabled: true });
  });

  it.each(['0', '999999999', '99999999999', 'x', '1%00'])('404 for number %s', async (id) => {
    expect((await owner.visitor.get(`${path}/${id}`)).status).toBe(404);
  });
});

describe('D17, D21: who may', () => {
  it('an operator reads what there is, and is offered nothing that they may not do', async () => {
    const id = await numberOf('Orders');
    for (const page of ['', `/${id}`]) {
      const { status, html } = await operator.visitor.get(path + page);
      expect([status, html.includes('Orders')]).toEqual([200, true]);
      expect(html).not.toMatch(/write-keys\/(?:new|\d+\/)/);
    }
    const answer = await operator.visitor.get(`${path}/new`);
    expect([answer.status, answer.html.includes('您的角色是“操作员”')]).toEqual([403, true]);
  });

  it('without this browser’s form nothing is made, changed or disabled', async () => {
    const id = await numberOf('Orders');
    const before = await db('write_keys').orderBy('id');
    for (const page of ['new', `${id}/edit`, `${id}/consents`, `${id}/state`])
      for (const csrf of ['', operator.csrf]) {
        const fields = { csrf, ...website, do: 'disable', by: 'x', once: (await openForm()).fields.once ?? '' };
        expect((await owner.visitor.post(`${path}/${page}`, fields)).status).toBe(403);
      }
    expect(await db('write_keys').orderBy('id')).toEqual(before);
  });

  it('whoever signed in long ago proves it once more, finds the form as they filled it in, and makes one key', async () => {
    const late = await world.enter('owner');
    const form = formTo(await late.visitor.get(`${path}/new`), '/new');
    world.age(late, 400);
    const back = await late.visitor.follow(await late.visitor.submit(form, { ...website, name: 'Late' }));
    expect([back.status, back.url]).toEqual([200, `${path}/new`]);
    expect(await db('write_keys').where({ name: 'Late' })).toEqual([]);
    const filled = formTo(back, '/new');
    expect([filled.fields.name, filled.fields.once]).toEqual(['Late', form.fields.once]);
    const made = await late.visitor.submit(filled, { place: 'website', origins: website.origins });
    expect(secretOf(made.html)).not.toBe('');
  });
});

it('E1: markup in a name is text, in a real browser at 320 pixels; the key is copied by a button', async () => {
  const hostile = `"><img src=x onerror=alert(1)><script>alert(2)</script>{{t}}$t(admin.title)<%= 1 %>`;
  const { page, complaints } = await browserOf(world, owner, {
    viewport: { width: 320, height: 640 },
    permissions: ['clipboard-read', 'clipboard-write'],
  });
  const fits = async (where: string) => {
    expect([where, await page.evaluate('document.documentElement.scrollWidth')]).toEqual([where, 320]);
    expect([where, await page.locator('main img, main script, [onerror]').count()]).toEqual([where, 0]);
  };
  await page.goto(`${path}/new`);
  await page.locator('[name="place"][value="server"]').check();
  await page.fill('#name', hostile);
  await page.locator('main button[type="submit"]').click();
  await fits('made');
  const secret = await page.textContent('#secret');
  await page.locator('[data-copy="secret"]').click();
  await page.locator('[data-copy="secret"]', { hasText: '已复制' }).waitFor();
  expect(await page.evaluate('navigator.clipboard.readText()')).toBe(secret);
  expect(page.url()).not.toContain(String(secret));
  const id = await numberOf(hostile);
  for (const part of ['', '/new', `/${id}`, `/${id}/edit`, `/${id}/consents`, `/${id}/state`]) {
    await page.goto(path + part);
    await fits(part);
  }
  expect(await page.textContent('main')).toContain(hostile);
  expect(complaints).toEqual([]);
});

it('without a script and by keyboard alone a key is made, and no button stands there that does nothing', async () => {
  const { page } = await browserOf(world, owner, { javaScriptEnabled: false });
  await page.goto(`${path}/new`);
  await page.focus('[name="place"]');
  await page.keyboard.press('Space');
  await page.keyboard.press('Tab');
  await page.keyboard.type('Keyboard');
  await page.keyboard.press('Tab');
  await page.keyboard.type('https://www.example.com');
  await page.keyboard.press('Shift+Tab');
  await page.keyboard.press('Enter');
  await page.locator('#secret').waitFor();
  expect(await page.locator('[data-copy]:visible').count()).toBe(0);
  expect(await row(await numberOf('Keyboard'))).toMatchObject({ origins: ['https://www.example.com'] });
});
