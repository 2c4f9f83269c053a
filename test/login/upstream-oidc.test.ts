/**
 * Another identity provider as a way into the sign-in page, against an independent one over real HTTP; and the five classes of account
 * pre-hijacking where signing in is concerned: no account of somebody's may wait for the next one, prepared by somebody else.
 */
import { OAuth2Server } from 'oauth2-mock-server';
import { afterAll, describe, expect, it } from 'vitest';
import { findByIdentity } from '../../src/subjects/subjects.ts';
import { newPerson, windowsEnd } from '../connectors/services.ts';
import { newWechatPerson, openDoors } from './doors.ts';
import { openSite } from './site.ts';
import { type Answer, formTo, type Visitor } from './visitor.ts';
import { walker } from './walk.ts';

const provider = new OAuth2Server();
await provider.issuer.keys.generate('RS256');
await provider.start(0, 'localhost');
afterAll(() => provider.stop());
const issuer = provider.issuer.url ?? '';
const site = await openSite({ privateOrigins: [issuer] });
const { web, browser, start, arrive, agreeToPolicy, codeOf, signIn: byWechat } = await openDoors(site);
const { ask } = walker(site);

const configure = (changes: object = {}) =>
  site.connectors.configure({
    id: 'upstream-oidc:group',
    connector: 'upstream-oidc',
    settings: { key: 'group', label: '集团账号', issuer, client_id: 'heyi', client_secret: 's', ...changes },
  });
await configure();

let claims: Record<string, unknown> = {};
provider.service.on('beforeTokenSigning', ({ payload }) => {
  if (payload.aud !== undefined) Object.assign(payload, claims);
});

/** There and back, up to the page where the person is then. */
async function toProvider(visitor: Visitor, said: Record<string, unknown>): Promise<Answer> {
  claims = said;
  const left = await visitor.submit(formTo(await start(visitor), '/upstream-oidc'));
  const answer = await fetch(left.location ?? '', { redirect: 'manual' });
  return arrive(visitor, answer.headers.get('location') ?? '');
}

async function byProvider(visitor: Visitor, said: Record<string, unknown>): Promise<Answer> {
  const page = await toProvider(visitor, said);
  return page.location ? page : agreeToPolicy(visitor, page);
}

async function byEmail(visitor: Visitor, email: string): Promise<Answer> {
  await windowsEnd(site.db);
  const page = await start(visitor);
  const code = await visitor.follow(await visitor.submit(formTo(page, '/email'), { email, privacy: '1' }));
  const sent = site.mails.findLast(({ to }) => to === email)?.code ?? '';
  return visitor.follow(await visitor.submit(formTo(code, '/verify'), { code: sent }));
}

const personOf = (sub: string) => findByIdentity(site, { kind: 'oidc', issuer, external_id: sub });
const ownerOf = (email: string) => findByIdentity(site, { kind: 'email', issuer: '', external_id: email });

describe('signing in by another provider', () => {
  it('is a button of its label, and leads over the policy back to the client', async () => {
    const page = await start(browser());
    expect(page.html).toContain('使用 集团账号 登录');
    const out = await byProvider(browser(), { sub: 'zhang-san', name: '张三' });
    expect(codeOf(out)).toBeTruthy();
    expect(await personOf('zhang-san')).toBeTruthy();
  });

  it('somebody known is the same person, whatever they are called now', async () => {
    await byProvider(browser(), { sub: 'li-si', name: '李四' });
    const sub = await personOf('li-si');
    expect(codeOf(await byProvider(browser(), { sub: 'li-si', name: '李四爷' }))).toBeTruthy();
    expect(await personOf('li-si')).toBe(sub);
  });

  it('A31: the callback of an attacker, opened by somebody else, signs nobody in', async () => {
    claims = { sub: 'attacker' };
    const attacker = browser();
    const left = await attacker.submit(formTo(await start(attacker), '/upstream-oidc'));
    const trap = (await fetch(left.location ?? '', { redirect: 'manual' })).headers.get('location') ?? '';
    expect((await arrive(browser(), trap)).status).toBe(400);
    expect(await personOf('attacker')).toBeUndefined();
  });

  it('C14: a provider that is away is a sentence above the other ways', async () => {
    await configure({ issuer: 'http://127.0.0.1:9' });
    const visitor = browser();
    const page = await visitor.submit(formTo(await start(visitor), '/upstream-oidc'));
    await configure();
    expect(page.status).toBe(503);
    expect(page.html).toContain('role="alert"');
    expect(page.forms.map(({ action }) => action.split('/').at(-1))).toContain('sms');
  });
});

describe('pre-hijacking', () => {
  it('D7, non-verifying provider: an address it does not call verified joins nobody, and does not wait for its owner', async () => {
    await configure({ trust_email: true });
    const { email } = newPerson();
    await byEmail(browser(), email);
    const victim = await ownerOf(email);
    for (const email_verified of [false, undefined, 'true', 'false']) {
      const sub = `mallory-${email_verified}`;
      expect(codeOf(await byProvider(browser(), { sub, name: 'M', email, email_verified }))).toBeTruthy();
      expect(await personOf(sub)).not.toBe(victim);
    }
    const { email: later } = newPerson();
    await byProvider(browser(), { sub: 'mallory-early', name: 'M', email: later, email_verified: false });
    await byEmail(browser(), later);
    expect(await ownerOf(later)).not.toBe(await personOf('mallory-early'));
    await configure();
  });

  it('D7: a verified address of a provider that is believed joins its owner; of one that is not, nobody', async () => {
    const { email } = newPerson();
    await byEmail(browser(), email);
    const owner = await ownerOf(email);
    await byProvider(browser(), { sub: 'owner-1', name: 'O', email, email_verified: true });
    expect(await personOf('owner-1')).not.toBe(owner);
    await configure({ trust_email: true });
    await byProvider(browser(), { sub: 'owner-2', name: 'O', email, email_verified: true });
    expect(await personOf('owner-2')).toBe(owner);
    await configure();
  });

  it('D3, classic-federated merge: what an attacker signed up with unproven is not there when its owner comes', async () => {
    const { email } = newPerson();
    const attacker = browser();
    // The attacker asks for the code of the victim's address and never gets it.
    const page = await start(attacker);
    await attacker.submit(formTo(page, '/email'), { email, privacy: '1' });
    expect(await ownerOf(email)).toBeUndefined();
    await byEmail(browser(), email);
    expect(await ownerOf(email)).toBeTruthy();
    expect(codeOf(await start(attacker))).toBeNull();
  });

  it('D4, unexpired session: a session from before is of the person it was of, also after a number has changed hands', async () => {
    const former = browser();
    const { phone } = newPerson();
    const walk = walker(site);
    await walk.signIn(former, phone);
    const old = await walk.subjectOf(phone);
    const last_used_at = site.db.raw("now() - interval '91 days'");
    await site.db('identities').where({ subject_id: old }).update({ last_used_at });
    await windowsEnd(site.db);
    const visitor = browser();
    const code = await ask(visitor, phone);
    const second = await visitor.follow(await visitor.submit(formTo(code, '/verify'), { code: walk.lastCode(phone) }));
    expect(codeOf(await visitor.follow(await visitor.submit(formTo(second, '/never-mine'))))).toBeTruthy();
    expect(await walk.subjectOf(phone)).not.toBe(old);
    // Their session still opens their own account, and nothing of the new one.
    const granted = await site.provider.AuthorizationCode.find(codeOf(await start(former)) ?? '');
    expect(granted?.accountId).toBe(old);
  });

  it('D5, trojan identifier: a WeChat that was proven beside an address that was not, is not on the account of that address', async () => {
    const { email } = newPerson();
    const attacker = browser();
    const person = newWechatPerson();
    await attacker.submit(formTo(await start(attacker), '/email'), { email, privacy: '1' });
    await byWechat(attacker, person);
    await byEmail(browser(), email);
    const openid = { kind: 'wechat_openid', issuer: web.appid, external_id: person.openid } as const;
    expect(await ownerOf(email)).toBeTruthy();
    expect(await findByIdentity(site, openid)).not.toBe(await ownerOf(email));
  });

  it('D6, unexpired change: a code that waits in the attacker’s browser proves nothing after its owner has signed in', async () => {
    const { email } = newPerson();
    const attacker = browser();
    const waiting = await attacker.follow(
      await attacker.submit(formTo(await start(attacker), '/email'), { email, privacy: '1' }),
    );
    const visitor = browser();
    await byEmail(visitor, email);
    const theirs = site.mails.findLast(({ to }) => to === email)?.code ?? '';
    // Even the victim's own code, read over their shoulder, is of the victim's browser.
    const tried = await attacker.submit(formTo(waiting, '/verify'), { code: theirs });
    expect(tried.status).toBe(400);
    expect(codeOf(tried)).toBeNull();
  });
});
