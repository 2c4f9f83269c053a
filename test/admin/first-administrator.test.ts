import { describe, expect, it } from 'vitest';
import { acceptInvitation, firstAdminLink, grantByEmail, roleOf } from '../../src/admin/staff.ts';
import { resolveSubject } from '../../src/subjects/resolve.ts';
import { runningApp } from '../helpers/app.ts';
import { openBrowser, watchedPage } from '../helpers/browser.ts';
import { noJobs } from '../helpers/jobs.ts';

const { config, db, seal, firstAdminUrl } = await runningApp();
const services = { db, seal, jobs: noJobs };

async function codeFor(to: string): Promise<string> {
  const answer = await fetch(`${config.sandboxUrl}/inbox?to=${encodeURIComponent(to)}`);
  const { messages } = (await answer.json()) as { messages: { code: string }[] };
  return messages[0]?.code ?? '';
}

async function person(email: string): Promise<string> {
  const identities = [{ kind: 'email' as const, issuer: '', external_id: email }];
  const { sub } = await resolveSubject(services, {
    proofs: [{ connector: 'email', identities }],
    create: true,
    context: { channel: 'website' },
  });
  return sub;
}

describe('before there is an owner', () => {
  it('opening the link changes nothing, however often: link previews open links too', async () => {
    for (const _ of [1, 2]) expect((await fetch(firstAdminUrl ?? '')).status).toBe(200);
    expect(await db('staff')).toHaveLength(0);
  });

  it('a link of an earlier start is dead', async () => {
    const earlier = await firstAdminLink(services, config.publicUrl);
    const newest = await firstAdminLink(services, config.publicUrl);
    expect((await fetch(earlier ?? '')).status).toBe(404);
    expect((await fetch(newest ?? '')).status).toBe(200);
  });

  it('the page posted from another site is refused', async () => {
    const link = await firstAdminLink(services, config.publicUrl);
    const answer = await fetch(link ?? '', {
      method: 'POST',
      headers: { origin: 'https://evil.example' },
      body: new URLSearchParams({ csrf: 'x' }),
    });
    expect(answer.status).toBe(403);
  });

  it('two people with the same link at once: one becomes the owner', async () => {
    const token = (await firstAdminLink(services, config.publicUrl))?.split('/').at(-1) ?? '';
    const subs = await Promise.all(['a@example.com', 'b@example.com'].map(person));
    const results = await Promise.allSettled(subs.map((sub) => acceptInvitation(services, token, sub)));
    expect(results.map(({ status }) => status).sort()).toEqual(['fulfilled', 'rejected']);
    await db('staff').delete();
  });

  it('a person follows the link, signs in by e-mail, and is the owner; then there is no link any more', async () => {
    const link = await firstAdminLink(services, config.publicUrl);
    const { page, complaints } = await watchedPage(await openBrowser());
    await page.goto(link ?? '');
    await page.click('form button[type=submit]');
    await page.fill('[name=email]', 'owner@example.com');
    await page.check('form:has([name=email]) [name=privacy]');
    await page.click('form:has([name=email]) button[type=submit]');
    await page.fill('[name=code]', await codeFor('owner@example.com'));
    await page.click('form:has([name=code]) button[type=submit]');
    await page.waitForURL(`${config.publicUrl}/admin`);
    expect(await page.textContent('main')).toContain('所有者');
    expect(complaints).toEqual([]);

    expect(await firstAdminLink(services, config.publicUrl)).toBeUndefined();
    expect((await fetch(link ?? '')).status).toBe(404);
    await page.click('form[action="/admin/sign-out"] button');
    await page.waitForURL(/\/logout/);
    await page.click('form button[type=submit]');
    await page.waitForURL(/\/$|success/);
    await page.goto(`${config.publicUrl}/admin`);
    expect(page.url()).toContain('/login/');
  });
});

describe('staff by e-mail', () => {
  it('gets the role at once when the person is known, and may lose it again by another grant', async () => {
    const sub = await person('known@example.com');
    expect(await grantByEmail(services, 'Known@Example.com', 'operator')).toEqual({ sub, pending: false });
    expect(await roleOf(db, sub)).toBe('operator');
    await grantByEmail(services, 'known@example.com', 'viewer');
    expect(await roleOf(db, sub)).toBe('viewer');
  });

  it('waits for a person who has not signed in yet, and keeps no e-mail in clear meanwhile', async () => {
    expect(await grantByEmail(services, 'later@example.com', 'operator')).toEqual({ sub: null, pending: true });
    expect(JSON.stringify(await db('staff_invitations'))).not.toContain('later@');
  });
});
