/** Numbers of reviewers: a fixed code, an end, a record, and nobody else's data. */
import { describe, expect, it } from 'vitest';
import type { Identity, Started } from '../../src/connectors/contract.ts';
import { createConnectors } from '../../src/connectors/registry.ts';
import { addReviewer, listReviewers, type NewReviewer, removeReviewer } from '../../src/connectors/sms/reviewers.ts';
import { linkProof } from '../../src/subjects/link.ts';
import { mergeSubjects } from '../../src/subjects/merge.ts';
import { type ResolveInput, resolveSubject } from '../../src/subjects/resolve.ts';
import { claimsOf, findByIdentity } from '../../src/subjects/subjects.ts';
import { testDatabase } from '../helpers/database.ts';
import { noJobs } from '../helpers/jobs.ts';
import { aliyunAt, aliyunBehaviour, fakeServer } from './fakes.ts';
import { asking, codeOf, errorOf, newPerson, testServices, windowsEnd } from './services.ts';

const { db } = await testDatabase();
const isSomebodys = async (identity: Identity) => (await findByIdentity(services, identity)) !== undefined;
const services = { ...testServices(db), isSomebodys, jobs: noJobs };
const { seal } = services;
const connectors = createConnectors(services);
const sent: { phone: string; code: string }[] = [];
const aliyun = await fakeServer(aliyunBehaviour(sent));
await connectors.configure({
  id: 'sms',
  connector: 'sms',
  settings: aliyunAt(aliyun.base),
});

const operator = { actor_kind: 'system', actor_id: 'test' } as const;
const add = (wanted: Partial<NewReviewer> & { phone: string }) =>
  db.transaction((trx) => addReviewer({ db: trx, seal, isSomebodys }, { days: 14, ...wanted }, operator));
const remove = (phone: string) => db.transaction((trx) => removeReviewer({ db: trx, seal }, phone, operator));
const verify = ({ otp_id }: Started, code: string) =>
  connectors.verify('sms', { otp_id, code, purpose: 'login', binding: 'browser-1' });
const start = async (phone: string, changes = {}) => {
  await windowsEnd(db);
  return connectors.start('sms', { ...asking(phone), ...changes });
};
const prove = async (phone: string, code: string) => verify(await start(phone), code);
const signIn = (...proofs: ResolveInput['proofs']) =>
  resolveSubject(services, { proofs, create: true, context: { channel: 'website' } });
const ofPhone = (phone: string): Identity => ({ kind: 'phone', issuer: '', external_id: phone });
const proofOf = (...identities: Identity[]) => ({ connector: 'sms', identities });
const audited = (action: string) => db('audit_entries').where({ action }).orderBy('id', 'desc');

describe('a number of reviewers', () => {
  it('signs in by its fixed code, again and again, however it is spelt, and nothing is sent', async () => {
    const { phone } = newPerson();
    const { code } = await add({ phone: `0086 ${phone.slice(3)}` });
    expect(code).toMatch(/^\d{6}$/);
    const subs = new Set<string>();
    for (const spelling of [phone, phone.slice(3), `+86-${phone.slice(3)}`])
      subs.add((await signIn(await prove(spelling, code))).sub);
    expect(subs.size).toBe(1);
    expect(sent).toEqual([]);
  });
  it('answers like any other number', async () => {
    const [listed, other] = [newPerson().phone, newPerson().phone];
    await add({ phone: listed });
    const [mine, theirs] = [await start(listed), await start(other)];
    expect(Object.keys(mine)).toEqual(Object.keys(theirs));
    expect(mine).toMatchObject({ resend_after: 60, expires_in: 300 });
  });
  it('has the limits and the tries of any other: the fixed code cannot be guessed at leisure', async () => {
    const { phone } = newPerson();
    const { code } = await add({ phone, code: '246810' });
    const first = await start(phone);
    expect(await codeOf(connectors.start('sms', asking(phone)))).toBe('code_too_soon');
    for (let n = 0; n < 4; n++) expect(await codeOf(verify(first, '000000'))).toBe('code_wrong');
    expect(await codeOf(verify(first, '000000'))).toBe('code_tries_spent');
    expect(await codeOf(verify(first, code))).toBe('code_tries_spent');
    await windowsEnd(db);
    for (let n = 0; n < 5; n++) {
      await db.raw(`delete from rate_limits where key like 'code_recipient_spacing%'`);
      await connectors.start('sms', asking(phone)).catch(() => undefined);
    }
    await db.raw(`delete from rate_limits where key like 'code_recipient_spacing%'`);
    expect(['too_many_requests', 'captcha_required']).toContain(await codeOf(connectors.start('sms', asking(phone))));
  });
  it('has its number and its code stored sealed, and in no log or record', async () => {
    const { phone } = newPerson();
    const { code } = await add({ phone });
    await signIn(await prove(phone, code));
    const kept = JSON.stringify([await db('reviewer_numbers'), await db('audit_entries')]);
    for (const hidden of [phone.slice(3), `"${code}"`]) {
      expect(kept).not.toContain(hidden);
      expect(services.logged()).not.toContain(hidden);
    }
  });
  it('is in the record when it is listed, used and taken off', async () => {
    const { phone } = newPerson();
    const { id, code } = await add({ phone });
    await prove(phone, code);
    await remove(phone);
    for (const action of ['reviewer.added', 'reviewer.used', 'reviewer.removed'])
      expect((await audited(action))[0]?.details, action).toMatchObject({ reviewer_id: id });
  });
});

describe('its end', () => {
  it('comes with the day: then the number is an ordinary one', async () => {
    const { phone } = newPerson();
    const { code } = await add({ phone });
    const waiting = await start(phone);
    await db.raw(`update reviewer_numbers set expires_at = now() - interval '1 second'`);
    expect(await codeOf(verify(waiting, code))).toBe('code_expired');
    await start(phone);
    expect(sent.at(-1)?.phone).toBe(phone.slice(3));
    expect((await listReviewers({ db, seal })).at(-1)).toMatchObject({ is_expired: true });
  });
  it('comes at once when it is taken off, also for a code that waits to be typed', async () => {
    const { phone } = newPerson();
    const { code } = await add({ phone });
    const waiting = await start(phone);
    await remove(phone.slice(3));
    expect(await codeOf(verify(waiting, code))).toBe('code_expired');
    expect((await errorOf(remove(phone))).code).toBe('not_found');
  });
  it.each([0, 91, 1.5, Number.NaN])('cannot be %s days away', async (days) => {
    expect(await errorOf(add({ phone: newPerson().phone, days }))).toMatchObject({ code: 'invalid_fields' });
  });
  it.each(['12345', '1234567', 'abcdef'])('the code cannot be %s', async (code) => {
    expect(await errorOf(add({ phone: newPerson().phone, code }))).toMatchObject({ code: 'invalid_fields' });
  });
});

describe('nobody else’s data', () => {
  it('a number by which somebody signs in is not listed', async () => {
    const { phone } = newPerson();
    await signIn(proofOf(ofPhone(phone)));
    expect(await codeOf(add({ phone: phone.slice(3) }))).toBe('conflict');
  });
  it('one that has become somebody’s is served as theirs: the message goes out, the fixed code opens nothing', async () => {
    const { phone } = newPerson();
    const { code } = await add({ phone });
    const reviewer = await signIn(await prove(phone, code));
    const waiting = await start(phone);
    // By the phone button of a mini-program, say.
    const owner = await signIn(proofOf(ofPhone(phone)));
    expect(owner.sub).not.toBe(reviewer.sub);
    expect(await codeOf(verify(waiting, code))).toBe('code_expired');
    const real = await start(phone);
    expect(sent.at(-1)?.phone).toBe(phone.slice(3));
    expect(await codeOf(verify(real, code === sent.at(-1)?.code ? '000000' : code))).toBe('code_wrong');
    const proof = await verify(real, sent.at(-1)?.code ?? '');
    expect((await signIn(proof)).sub).toBe(owner.sub);
  });
  it('what it proves is no real number: its account is not found by it, and the number does not count as verified', async () => {
    const { phone } = newPerson();
    const { code } = await add({ phone });
    const { sub } = await signIn(await prove(phone, code));
    expect(await findByIdentity(services, ofPhone(phone))).toBeUndefined();
    expect(await claimsOf(services, sub)).toMatchObject({ phone_number: phone, phone_number_verified: false });
  });
  it('it is added to no account: for every other purpose the number is an ordinary one', async () => {
    const { phone } = newPerson();
    await add({ phone });
    for (const purpose of ['link', 'step_up'] as const) {
      const before = sent.length;
      await start(phone, { purpose });
      expect(sent).toHaveLength(before + 1);
    }
  });
  it('its account takes no other way of signing in: whoever came by that would be open to others', async () => {
    const { phone } = newPerson();
    const { code } = await add({ phone });
    const { sub } = await signIn(await prove(phone, code));
    const wechat = proofOf({ kind: 'wechat_openid', issuer: 'wxA', external_id: `o${crypto.randomUUID()}` });
    for (const proof of [wechat, proofOf(ofPhone(newPerson().phone))]) {
      for (const replace of [false, true])
        expect(await codeOf(linkProof(services, { sub, proof, actor: operator, replace }))).toBe(
          'identity_contradicts',
        );
    }
  });
  it('its account is merged with nobody, by rule or by staff: what it knows, others know', async () => {
    const { phone } = newPerson();
    const { code } = await add({ phone });
    const reviewer = await signIn(await prove(phone, code));
    const customer = await signIn(proofOf(ofPhone(newPerson().phone)));
    for (const [survivor, absorbed] of [
      [reviewer.sub, customer.sub],
      [customer.sub, reviewer.sub],
    ] as const) {
      const merging = mergeSubjects(services, {
        survivor,
        absorbed,
        reason: 'same person',
        basis: 'staff',
        actor: operator,
      });
      expect(await errorOf(merging)).toMatchObject({ code: 'merge_refused', fields: { reason: 'reviewer' } });
    }
    // A proof of WeChat beside it, should one ever come this far, makes a case and opens nothing.
    const wechat = proofOf({ kind: 'wechat_openid', issuer: 'wxA', external_id: `o${crypto.randomUUID()}` });
    const known = await signIn(wechat);
    const together = await signIn(wechat, await prove(phone, code));
    expect(together).toMatchObject({ sub: known.sub, phone_status: 'conflict' });
  });
});
