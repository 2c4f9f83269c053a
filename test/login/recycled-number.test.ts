/** A number that changed hands (二次放号), as the sign-in page meets it. What subjects/ decides is in test/subjects. */
import { describe, expect, it } from 'vitest';
import { hasAgreed } from '../../src/consent/consent.ts';
import { linkProof } from '../../src/subjects/link.ts';
import { findByIdentity } from '../../src/subjects/subjects.ts';
import { newPerson, windowsEnd } from '../connectors/services.ts';
import { newWechatPerson, openDoors } from './doors.ts';
import { openSite } from './site.ts';
import { type Answer, formTo, type Visitor } from './visitor.ts';
import { walker } from './walk.ts';

const site = await openSite();
const { web, browser, start, arrive, codeOf } = await openDoors(site);
const { ask, lastCode, subjectOf } = walker(site);
const methods = (page: Answer) => page.forms.map(({ action }) => action.split('/').at(-1));

async function byPhone(visitor: Visitor, phone: string): Promise<Answer> {
  const page = await ask(visitor, phone);
  return visitor.follow(await visitor.submit(formTo(page, '/verify'), { code: lastCode(phone) }));
}

/** Through the second way on the page that asks for it. */
async function byEmail(visitor: Visitor, page: Answer, email: string): Promise<Answer> {
  const code = await visitor.follow(await visitor.submit(formTo(page, '/email'), { email, privacy: '1' }));
  const sent = site.mails.findLast(({ to }) => to === email)?.code ?? '';
  return visitor.follow(await visitor.submit(formTo(code, '/verify'), { code: sent }));
}

async function byWechat(visitor: Visitor, page: Answer, person: { openid: string }): Promise<Answer> {
  const left = await visitor.submit(formTo(page, '/wechat-web'));
  return arrive(visitor, web.agree(left.location ?? '', person));
}

const timePasses = async (subject_id: string) => {
  const last_used_at = site.db.raw("now() - interval '91 days'");
  await site.db('identities').where({ subject_id }).update({ last_used_at });
  await windowsEnd(site.db);
};

/** Somebody with a number and an e-mail, who was away for long. */
async function longAway() {
  const { phone, email } = newPerson();
  const visitor = browser();
  expect(codeOf(await byPhone(visitor, phone))).toBeTruthy();
  const sub = (await subjectOf(phone)) ?? '';
  const proof = { connector: 'email', identities: [{ kind: 'email' as const, issuer: '', external_id: email }] };
  const jobs = { send: async () => {} };
  await linkProof({ db: site.db, seal: site.seal, jobs }, { sub, proof, actor: { actor_kind: 'system' } });
  await timePasses(sub);
  return { phone, email, sub, visitor };
}

describe('a number that nobody signed in with for ninety days', () => {
  it('B17: does not open the account from an unknown browser, and shows nothing of it', async () => {
    const { phone, email, sub } = await longAway();
    const page = await byPhone(browser(), phone);
    expect(page.status).toBe(200);
    expect(codeOf(page)).toBeNull();
    expect(page.html).toContain('请再验证一次');
    expect(methods(page)).toEqual(['email', 'wechat-web', 'never-mine', 'start-over', 'cancel']);
    for (const theirs of [sub, email, email.split('@')[0] ?? '', 'p***@']) expect(page.html).not.toContain(theirs);
  });

  it('B17: opens it at once from the browser in which its person signed in before', async () => {
    const { phone, visitor } = await longAway();
    const page = await start(visitor, { prompt: 'login' });
    const code = await visitor.follow(await visitor.submit(formTo(page, '/sms'), { phone }));
    const out = await visitor.follow(await visitor.submit(formTo(code, '/verify'), { code: lastCode(phone) }));
    expect(codeOf(out)).toBeTruthy();
  });

  it('B17: the e-mail of the account is the second proof, and the browser is known from then on', async () => {
    const { phone, email, sub } = await longAway();
    const visitor = browser();
    const out = await byEmail(visitor, await byPhone(visitor, phone), email);
    expect(codeOf(out)).toBeTruthy();
    expect(await subjectOf(phone)).toBe(sub);
    expect(visitor.cookie('heyi_device')).toMatch(/^[\w-]{22}$/);
    await timePasses(sub);
    const again = await start(visitor, { prompt: 'login' });
    const code = await visitor.follow(await visitor.submit(formTo(again, '/sms'), { phone }));
    const back = await visitor.follow(await visitor.submit(formTo(code, '/verify'), { code: lastCode(phone) }));
    expect(codeOf(back)).toBeTruthy();
  });

  it('B17: a second proof of somebody else does not open it either', async () => {
    const { phone, sub } = await longAway();
    const stranger = newWechatPerson();
    const visitor = browser();
    const agreed = await byWechat(visitor, await byPhone(visitor, phone), stranger);
    const out = agreed.location
      ? agreed
      : await visitor.follow(await visitor.submit(formTo(agreed, '/agree'), { privacy: '1' }));
    expect(codeOf(out)).toBeTruthy();
    const openid = { kind: 'wechat_openid', issuer: web.appid, external_id: stranger.openid } as const;
    const theirs = await findByIdentity(site, openid);
    expect(theirs).toBeTruthy();
    expect(theirs).not.toBe(sub);
    expect(await subjectOf(phone)).toBe(sub);
  });

  it('B17: the same number once more is no second proof', async () => {
    const { phone } = await longAway();
    const visitor = browser();
    const page = await byPhone(visitor, phone);
    await windowsEnd(site.db);
    const { csrf = '' } = formTo(page, '/never-mine').fields;
    const forced = await visitor.post(`${page.url}/sms`, { csrf, phone, privacy: '1' });
    const code = await visitor.follow(forced);
    const again = await visitor.follow(await visitor.submit(formTo(code, '/verify'), { code: lastCode(phone) }));
    expect(codeOf(again)).toBeNull();
    expect(again.html).toContain('请再验证一次');
  });

  it('the waiting proof is of this browser and of this sign-in alone (rule 5)', async () => {
    const { phone, email } = await longAway();
    await byPhone(browser(), phone);
    const other = browser();
    const page = await start(other);
    expect(page.html).not.toContain('请再验证一次');
    const { csrf = '' } = formTo(page, '/cancel').fields;
    const forced = await other.follow(await other.post(`${page.url}/never-mine`, { csrf }));
    expect(codeOf(forced)).toBeNull();
    expect(await subjectOf(phone)).toBeTruthy();
    expect(email).toBeTruthy();
  });
});

describe('"this was never my account"', () => {
  it('B18: makes a new account with the number, after its own agreement; the old one keeps the rest', async () => {
    const { phone, email, sub } = await longAway();
    const visitor = browser();
    const page = await byPhone(visitor, phone);
    const out = await visitor.follow(await visitor.submit(formTo(page, '/never-mine')));
    expect(codeOf(out)).toBeTruthy();
    const mine = (await subjectOf(phone)) ?? '';
    expect(mine).not.toBe(sub);
    expect(await hasAgreed(site.db, mine, 'privacy')).toBe(true);
    expect(await findByIdentity(site, { kind: 'email', issuer: '', external_id: email })).toBe(sub);
  });

  it('B18: what the former owner agreed to is not the new owner: without a tick of their own they are asked', async () => {
    const { phone, sub } = await longAway();
    // Somebody agreed in this browser before, so the first page does not ask.
    const visitor = browser();
    visitor.setCookie({ name: 'heyi_privacy', value: '1', path: '/' });
    const page = await start(visitor);
    const code = await visitor.follow(await visitor.submit(formTo(page, '/sms'), { phone }));
    const second = await visitor.follow(await visitor.submit(formTo(code, '/verify'), { code: lastCode(phone) }));
    const asked = await visitor.follow(await visitor.submit(formTo(second, '/never-mine')));
    expect(new URL(asked.url).pathname).toMatch(/\/agree$/);
    expect(await subjectOf(phone)).toBe(sub);
    const out = await visitor.follow(await visitor.submit(formTo(asked, '/agree'), { privacy: '1' }));
    expect(codeOf(out)).toBeTruthy();
    expect(await subjectOf(phone)).not.toBe(sub);
  });

  it('needs a number that was proven here, and its CSRF field (A30)', async () => {
    const { phone, sub } = await longAway();
    const visitor = browser();
    const page = await byPhone(visitor, phone);
    const forged = await visitor.post(formTo(page, '/never-mine').action, {});
    expect(forged.status).toBe(403);
    await visitor.submit(formTo(page, '/start-over'));
    const late = await visitor.follow(await visitor.submit(formTo(page, '/never-mine')));
    expect(codeOf(late)).toBeNull();
    expect(await subjectOf(phone)).toBe(sub);
  });
});
