/** The builder and the debugger in a real browser: with a script and without, by keyboard, at 320 pixels, and with hostile names (E1). */
import type { Page } from 'playwright-core';
import { expect, it } from 'vitest';
import { phone } from '../subjects/people.ts';
import { browserOf } from './browser-of.ts';
import { openConsole } from './world.ts';

const world = await openConsole();
const { base } = world;
const staff = await world.enter('owner');
const hostile = `"><img src=x onerror=alert(1)><script>alert(2)</script><%= 1 %>{{t}}`;

async function send(event: string, more: object = {}): Promise<void> {
  await fetch(`${base}/v1/track`, {
    method: 'POST',
    headers: { 'content-type': 'application/json', authorization: `Basic ${btoa('demo-server-key:')}` },
    body: JSON.stringify({ event, context: { channel: 'website' }, ...more }),
  });
}

const save = async (key: string, name: string, where: object) => {
  const json = JSON.stringify({ version: 1, key, name, purpose: 'service', where });
  const fields = { csrf: staff.csrf, kind: 'rule', as: 'json', json, do: 'save' };
  return staff.visitor.post(`${base}/admin/segment-builder`, fields);
};

/** Tabs to what is to be reached, as somebody without a mouse does. */
async function tabTo(page: Page, selector: string): Promise<void> {
  for (let presses = 0; presses < 80; presses++) {
    if (await page.evaluate(`document.activeElement?.matches(${JSON.stringify(selector)})`)) return;
    await page.keyboard.press('Tab');
  }
  throw new Error(`${selector} is not reached by Tab`);
}

it('E1: names of segments, events and properties are text on every page, which fits 320 pixels', async () => {
  const sub = await world.person([phone()], { nickname: hostile });
  await send(hostile, { userId: sub, properties: { [hostile]: hostile } });
  await send('', { userId: sub, properties: { [hostile]: hostile } });
  const where = { any: [{ event: hostile, where: [{ property: 'a', op: 'eq', value: hostile }] }, { tag: hostile }] };
  expect((await save('hostile', hostile, where)).status).toBe(303);
  const { page, complaints } = await browserOf(world, staff, { viewport: { width: 320, height: 640 } });
  const segment = ['', '/members', '/changes', '/versions', `/explain?sub=${sub}`, '/edit'];
  const paths = [
    ...[
      '/segments',
      '/segment-builder',
      '/events',
      '/events?outcome=refused',
      '/events/catalogue',
      '/event-definition',
    ],
    ...segment.map((part) => `/segments/hostile${part}`),
    `/people/${sub}/segments`,
  ];
  for (const path of paths) {
    const answer = await page.goto(`${base}/admin${path}`);
    expect([path, answer?.status()]).toEqual([path, 200]);
    for (const details of await page.locator('main details:not([open]) > summary').all())
      if (await details.isVisible()) await details.click();
    expect([path, await page.evaluate('document.documentElement.scrollWidth')]).toEqual([path, 320]);
    expect([path, await page.locator('main img, main script, [onerror]').count()]).toEqual([path, 0]);
  }
  await page.goto(`${base}/admin/segments`);
  expect(await page.textContent('main')).toContain(hostile);
  await page.goto(`${base}/admin/events`);
  expect(await page.textContent('#live')).toContain(hostile);
  expect(complaints).toEqual([]);
});

it('the builder counts while one types, grows in place, and is worked by keyboard alone', async () => {
  const sub = await world.person([phone()], { nickname: 'Keyboard' });
  await send('wishlist_shared', { userId: sub });
  const { page, complaints } = await browserOf(world, staff);
  await page.goto(`${base}/admin/segment-builder`);
  await tabTo(page, '#name');
  await page.keyboard.type('By keyboard');
  await tabTo(page, '#key');
  await page.keyboard.type('by-keyboard');
  await page.selectOption('#purpose', 'service');
  await tabTo(page, '[id="n.0:event"]');
  await page.keyboard.type('wishlist_shared');
  await page.locator('#count .figure', { hasText: /^1$/ }).waitFor();
  expect(await page.textContent('#count')).toContain('Keyboard');
  await tabTo(page, '[value="add n.0"]');
  await page.keyboard.press('Enter');
  await page.locator('[id="n.0.0:property"]:focus').waitFor();
  await page.keyboard.type('nothing_like_it');
  await page.selectOption('[id="n.0.0:op"]', 'exists');
  await page.locator('#count .figure', { hasText: /^0$/ }).waitFor();
  await page.locator('[value="remove n.0.0"]').click();
  await page.locator('#count .figure', { hasText: /^1$/ }).waitFor();
  await tabTo(page, '[value="save"]');
  await page.keyboard.press('Enter');
  await page.waitForURL(`${base}/admin/segments/by-keyboard?done=created`);
  // The page follows the evaluation by itself.
  await page.locator('.facts-line', { hasText: /全员计算用时|worked out for everybody/ }).waitFor();
  expect(complaints).toEqual([]);
});

it('the debugger shows what arrives by itself, keeps open what is open, and rests when paused', async () => {
  const { page, complaints } = await browserOf(world, staff);
  await send('first_of_all', { userId: 'u1' });
  await page.goto(`${base}/admin/events`);
  const of = (event: string) => page.locator('#live .event', { hasText: event });
  await of('first_of_all').locator('summary').click();
  await page.locator('h1').click();
  await page.evaluate('document.activeElement.blur()');
  await send('second_of_all', { userId: 'u1' });
  await of('second_of_all').waitFor();
  expect(await of('first_of_all').locator('details').getAttribute('open')).not.toBeNull();
  await page.locator('[data-live-pause]').click();
  await send('third_of_all', { userId: 'u1' });
  await page.locator('[data-live-without]').click();
  await of('third_of_all').waitFor();
  expect(complaints).toEqual([]);
});

it('without a script the builder adds and counts by its buttons, and the debugger by being opened again', async () => {
  const { page } = await browserOf(world, staff, { javaScriptEnabled: false });
  await page.goto(`${base}/admin/segment-builder`);
  await page.fill('[id="n.0:event"]', 'wishlist_shared');
  await page.selectOption('[id="n:add"]', 'sample');
  await page.locator('[value="add n"]').click();
  await page.fill('[id="n.1:percent"]', '100');
  await page.fill('[id="n.1:salt"]', 'all');
  await page.selectOption('#purpose', 'service');
  // Enter counts: it must not save, nor take away the first condition.
  await page.fill('#name', 'Plain');
  await page.fill('#key', 'plain');
  await page.press('#key', 'Enter');
  expect(await page.textContent('#count .figure')).toBe('1');
  await page.locator('[value="turn"]').click();
  expect(JSON.parse(await page.inputValue('#json')).where.all).toHaveLength(2);
  await page.locator('[value="save"]').click();
  expect(page.url()).toBe(`${base}/admin/segments/plain?done=created`);
  await page.goto(`${base}/admin/events`);
  expect(await page.locator('[data-live-pause]').isHidden()).toBe(true);
  await send('seen_again', { userId: 'u1' });
  await page.locator('[data-live-without]').click();
  expect(await page.textContent('#live')).toContain('seen_again');
});
