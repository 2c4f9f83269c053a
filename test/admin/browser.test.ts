/** The console in a real browser: what strangers wrote stays text (E1), and it works at 320 pixels and by keyboard, without a script. */
import { expect, it } from 'vitest';
import { email, openid, phone } from '../subjects/people.ts';
import { browserOf } from './browser-of.ts';
import { openConsole } from './world.ts';

const world = await openConsole();
const { db, base } = world;
const hostile = [
  '<script>alert(1)</script>',
  '"><img src=x onerror=alert(2)>',
  '\'"><svg onload=alert(3)>',
  '</title><script>alert(4)</script>',
  '{{constructor.constructor("alert(5)")()}}',
  '<%= process.exit() %>',
];
const text = hostile.join('');

async function hostilePeople() {
  const sub = await world.person([phone(), email()], { nickname: text });
  const other = await world.person([openid(), email()], { nickname: text });
  const third = await world.person([phone()], { nickname: text });
  const merge = await world.merged(sub, third);
  await db('merges').where({ id: merge }).update({ reason: text });
  const found = await world.caseBetween([text, text]);
  await db('link_cases')
    .where({ id: found.id })
    .update({
      evidence: JSON.stringify({
        proven: [text],
        channel: text,
        client_id: text,
        contradictions: [{ reason: text, kind: text, issuer: text }],
      }),
    });
  await db('clients').where({ client_id: 'demo-website' }).update({ name: text });
  await db('audit_entries').insert({
    action: text,
    actor_kind: 'system',
    actor_id: text,
    client_id: text,
    subject_id: sub,
    details: JSON.stringify({ reason: text, [text]: text, user_agent: text }),
  });
  await fetch(`${base}/v1/track`, {
    method: 'POST',
    headers: {
      'content-type': 'application/json',
      authorization: `Basic ${btoa('demo-server-key:')}`,
      'user-agent': text,
    },
    body: JSON.stringify({
      userId: sub,
      event: '<script>alert(6)</script>',
      properties: { [text]: text, nested: { [text]: [text] } },
      context: { channel: 'website', userAgent: text },
    }),
  });
  return { sub, other, merge, case_id: found.id };
}

it('E1: nicknames, event names, properties, names of clients, reasons and user agents are text on every page', async () => {
  const staff = await world.enter('owner');
  const { sub, other, merge, case_id } = await hostilePeople();
  const { page, complaints } = await browserOf(world, staff);
  const at = `/admin/people/${sub}`;
  const pages = [
    ...[
      '/admin',
      '/admin/cases',
      `/admin/cases/${case_id}`,
      `/admin/cases/${case_id}/dismiss`,
      '/admin/staff',
      '/admin/audit',
    ],
    ...[at, `${at}/sessions`, `${at}/events`, `${at}/history`, `${at}/merges`, `${at}/link`, `${at}/merge`],
    ...[`/admin/merge?survivor=${sub}&absorbed=${other}`, `/admin/merges/${merge}`, `/admin/merges/${merge}/undo`],
  ];
  for (const path of pages) {
    const answer = await page.goto(base + path);
    expect([path, answer?.status()]).toEqual([path, 200]);
    expect(await page.locator('script, main img, svg[onload], [onerror]').count()).toBe(0);
  }
  await page.goto(`${base}${at}/events`);
  await page.locator('summary').first().click();
  expect(await page.textContent('main')).toContain('<script>alert(6)</script>');
  expect(await page.textContent('.fields')).toContain('"><img src=x onerror=alert(2)>');
  expect(await page.textContent('h1')).toContain('<script>alert(1)</script>');
  expect(complaints).toEqual([]);
});

it('fits 320 pixels on every page, and the search is reached and sent by the keyboard', async () => {
  const staff = await world.enter('owner');
  const { sub, other, merge, case_id } = await hostilePeople();
  const { page, complaints } = await browserOf(world, staff, { viewport: { width: 320, height: 640 } });
  const paths = [
    ...[
      '',
      '/search',
      '/cases',
      `/cases/${case_id}`,
      '/staff',
      '/staff/new',
      '/audit',
      `/merges/${merge}`,
      `/merges/${merge}/undo`,
    ],
    ...['', '/sessions', '/events', '/history', '/merges', '/link', '/merge'].map((part) => `/people/${sub}${part}`),
    `/merge?survivor=${sub}&absorbed=${other}`,
  ];
  for (const path of paths) {
    await page.goto(`${base}/admin${path}`);
    expect([path, await page.evaluate('document.documentElement.scrollWidth')]).toEqual([path, 320]);
  }
  await page.goto(`${base}/admin/search`);
  for (let presses = 0; presses < 20; presses++) {
    await page.keyboard.press('Tab');
    if (await page.evaluate('document.activeElement.id === "q"')) break;
  }
  await page.keyboard.type(sub);
  await page.keyboard.press('Enter');
  await page.waitForURL(`${base}/admin/people/${sub}`);
  expect(complaints).toEqual([]);
});
