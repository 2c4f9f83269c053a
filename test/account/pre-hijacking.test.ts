/** Account pre-hijacking (Sudhodanan and Paverd, USENIX Security 2022) on the account page; D7, non-verifying provider, is test/login/upstream-oidc.test.ts. */
import { describe, expect, it } from 'vitest';
import { formTo } from '../login/visitor.ts';
import { openid } from '../subjects/people.ts';
import { openAccounts, told } from './site.ts';

const site = await openAccounts();
const { db, browser, open, signIn, askFor, change, codeFor, subjectOf, known, identityOf, at, newPerson } = site;

describe('an account is prepared for somebody else', () => {
  it('D3, classic-federated merge: an address that was never proven is nobody’s, and its owner starts with an account of their own', async () => {
    const { email: victim, phone } = newPerson();
    const attacker = browser();
    await signIn(attacker, phone);
    const waiting = await askFor(attacker, victim);
    await signIn(browser(), victim);
    const sub = await subjectOf(victim);
    expect(sub).not.toBe(await subjectOf(phone));
    // Even with the code (read over a shoulder, say): by now it is the victim's, and stays so.
    const code = (await site.inbox(victim)).map((message) => message.code).at(-1) ?? '';
    const late = await attacker.submit(formTo(waiting, '/verify'), { code });
    expect(late.status).toBe(409);
    expect(await subjectOf(victim)).toBe(sub);
  });

  it('D4, unexpired session: who gets the account back ends every other session, the account page of it too', async () => {
    const { email } = newPerson();
    const [attacker, owner] = [browser(), browser()];
    await signIn(attacker, email);
    const home = await signIn(owner, email);
    await owner.submit(formTo(home, '/others/end'));
    expect((await attacker.get(at('/account'))).location).toContain('/authorize?');
    expect((await open(attacker)).url).toContain('/login/');
    const { csrf = '' } = formTo(home, '/account/sign-out').fields;
    expect((await attacker.post(at('/account/others/end'), { csrf })).status).toBe(403);
  });

  it('D5, trojan identifier: what was added to an account is shown to its owner, told to them, and removable', async () => {
    const { email, phone } = newPerson();
    const attacker = browser();
    await signIn(attacker, email);
    await change(attacker, phone);
    await expect.poll(() => site.textsFor(email), told).toContain('添加了登录方式');
    const owner = browser();
    const home = await signIn(owner, email);
    expect(home.html).toMatch(/手机号 <span class="entry-value">139\*{4}\d{4}/);
    expect(home.html).toContain('移除手机号');
  });

  it('D6, unexpired change: what waits for a code is void once the owner signs everybody else out', async () => {
    const { email, phone } = newPerson();
    const [attacker, owner] = [browser(), browser()];
    await signIn(attacker, email);
    const waiting = await askFor(attacker, phone);
    const home = await signIn(owner, email);
    await owner.submit(formTo(home, '/others/end'));
    const late = await attacker.submit(formTo(waiting, '/verify'), { code: await codeFor(phone) });
    expect(late.location).toContain('/authorize?');
    expect(await subjectOf(phone)).toBeUndefined();
  });

  it('D6, unexpired change: nor does it survive a merge', async () => {
    const { email, phone } = newPerson();
    const { phone: theirs } = newPerson();
    const other = await known(openid(), identityOf(theirs));
    const [attacker, owner] = [browser(), browser()];
    await signIn(attacker, email);
    const waiting = await askFor(attacker, phone);
    await signIn(owner, email);
    await change(owner, theirs);
    const preview = await open(owner, '/account/join');
    await owner.submit(formTo(preview, '/account/join'));
    expect(await subjectOf(email)).toBe(other);
    const late = await attacker.submit(formTo(waiting, '/verify'), { code: await codeFor(phone) });
    expect(late.status).toBe(303);
    expect(late.location).not.toContain('note=added');
    expect(await subjectOf(phone)).toBeUndefined();
    expect(await db('identities').where({ subject_id: other })).toHaveLength(3);
  });
});
