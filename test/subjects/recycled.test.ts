import { beforeEach, describe, expect, it } from 'vitest';
import type { Identity, Proof } from '../../src/connectors/contract.ts';
import { createSeal } from '../../src/seal.ts';
import { type ResolveInput, resolveSubject } from '../../src/subjects/resolve.ts';
import { claimsOf, findByIdentity, identitiesOf } from '../../src/subjects/subjects.ts';
import { testDatabase } from '../helpers/database.ts';
import { collectJobs } from '../helpers/jobs.ts';
import { email, openid, phone, proof, unionid } from './people.ts';

const { db } = await testDatabase();
const seal = createSeal('a secret of at least thirty-two characters');
const { jobs, sent } = collectJobs();
const services = { db, seal, jobs };

function signIn(proofs: [Proof, ...Proof[]], options: Partial<ResolveInput> = {}) {
  return resolveSubject(services, { proofs, create: true, context: { channel: 'website' }, ...options });
}

/** As if nobody had signed in with it for so long. */
async function age(identity: Identity, days: number): Promise<void> {
  const held = await identitiesOf(services, (await findByIdentity(services, identity)) ?? '');
  const id = held.find(({ kind }) => kind === identity.kind)?.id;
  await db('identities')
    .where({ id })
    .update({ last_used_at: db.raw('now() - make_interval(days => ?)', [days]) });
}

const kindsOf = async (sub: string) => (await identitiesOf(services, sub)).map(({ kind }) => kind).sort();
const refused = { code: 'second_proof_needed' };

beforeEach(() => {
  sent.length = 0;
});

describe('a number that nobody used for 91 days', () => {
  async function quiet(...more: Identity[]) {
    const number = phone();
    const [first = number, ...others] = [...more, number];
    const proofs: [Proof, ...Proof[]] = [proof(first), ...others.map((identity) => proof(identity))];
    const { sub } = await signIn(proofs, { device: 'the old phone of the owner' });
    await age(number, 91);
    return { number, sub };
  }

  it('B17: does not open the old account by itself from an unknown device, and says nothing of it', async () => {
    const { number } = await quiet(openid());
    for (const device of [undefined, 'a device nobody knows'])
      await expect(signIn([proof(number)], { device })).rejects.toMatchObject(refused);
    await expect(signIn([proof(number)])).rejects.toSatisfy((error: Error) => !JSON.stringify(error).includes('@'));
  });

  it('opens it on a device the person signed in with before', async () => {
    const { number, sub } = await quiet();
    expect((await signIn([proof(number)], { device: 'the old phone of the owner' })).sub).toBe(sub);
    // Used now: no question is asked any more.
    expect((await signIn([proof(number)])).sub).toBe(sub);
  });

  it('a program that is a new device at each sign-in fills no table, and drives out its own alone', async () => {
    const [number, neighbour] = [phone(), phone()];
    await signIn([proof(neighbour)], { device: 'the device of a neighbour' });
    for (let made = 0; made < 60; made++) await signIn([proof(number)], { device: `a new device each time ${made}` });
    const kept = await db('known_devices').where({ subject_id: await findByIdentity(services, number) });
    expect(kept).toHaveLength(50);
    await age(neighbour, 91);
    await expect(signIn([proof(neighbour)], { device: 'the device of a neighbour' })).resolves.toBeDefined();
    await age(number, 91);
    await expect(signIn([proof(number)], { device: 'a new device each time 59' })).resolves.toBeDefined();
  });

  it('opens it with one more proof of the same account', async () => {
    const address = email();
    const { number, sub } = await quiet(address);
    expect((await signIn([proof(number), proof(address)])).sub).toBe(sub);
    expect((await signIn([proof(number)])).sub).toBe(sub);
  });

  it('does not open it with a proof of another account, or of nobody', async () => {
    const { number } = await quiet(openid());
    const other = email();
    await signIn([proof(other)]);
    for (const second of [other, email()])
      await expect(signIn([proof(number), proof(second)])).rejects.toMatchObject(refused);
  });

  it('B18: "this was never me" makes a new account; the old one keeps WeChat and its past, and hears of it', async () => {
    const { number, sub: old } = await quiet(openid());
    const mine = await signIn([proof(number)], { disown: true });
    expect(mine.created).toBe(true);
    expect(mine.sub).not.toBe(old);
    expect(await kindsOf(old)).toEqual(['wechat_openid']);
    expect(await kindsOf(mine.sub)).toEqual(['phone']);
    expect(await claimsOf(services, old)).not.toHaveProperty('phone_number');
    expect(sent).toContainEqual({
      name: 'subject.notify',
      data: expect.objectContaining({ sub: old, what: 'phone_detached' }),
    });
    const audit = await db('audit_entries').where({ subject_id: old, action: 'identity.disowned' });
    expect(audit).toHaveLength(1);
    // The number is the new owner's: nothing is asked any more.
    expect((await signIn([proof(number)])).sub).toBe(mine.sub);
  });

  it('is disowned once by two at the same moment', async () => {
    const { number, sub: old } = await quiet(openid());
    const answers = await Promise.all([1, 2, 3, 4].map(() => signIn([proof(number)], { disown: true })));
    expect(new Set(answers.map(({ sub }) => sub)).size).toBe(1);
    expect(answers[0]?.sub).not.toBe(old);
  });

  it('with a new WeChat: a new account signs in without the number, and staff get a case', async () => {
    const { number, sub: old } = await quiet();
    const stranger = await signIn([proof(openid(), unionid()), proof(number)]);
    expect(stranger).toMatchObject({ phone_status: 'conflict' });
    expect(stranger.sub).not.toBe(old);
    const cases = await db('link_cases').where({ subject_id: stranger.sub, other_subject_id: old });
    expect(cases).toMatchObject([{ evidence: { contradictions: [{ reason: 'quiet_number' }] } }]);
    expect(await findByIdentity(services, number)).toBe(old);
  });

  it('does not join the account of whoever else proves it in one go', async () => {
    const { number, sub: old } = await quiet();
    const wechat = openid();
    const { sub: other } = await signIn([proof(wechat)]);
    expect(await signIn([proof(wechat), proof(number)])).toMatchObject({ sub: other, phone_status: 'conflict' });
    expect(await findByIdentity(services, number)).toBe(old);
  });
});

describe('"this was never me" takes nothing', () => {
  it('from a number in use: it simply signs in', async () => {
    const number = phone();
    const { sub } = await signIn([proof(openid()), proof(number)]);
    await age(number, 60);
    expect((await signIn([proof(number)], { disown: true })).sub).toBe(sub);
  });

  it('from an e-mail address, however old', async () => {
    const address = email();
    const { sub } = await signIn([proof(address)]);
    await age(address, 400);
    expect((await signIn([proof(address)], { disown: true })).sub).toBe(sub);
  });

  it('from anybody when nobody new may be made', async () => {
    const number = phone();
    const { sub } = await signIn([proof(number)]);
    await age(number, 91);
    await expect(signIn([proof(number)], { disown: true, create: false })).rejects.toMatchObject({
      code: 'unknown_person',
    });
    expect(await findByIdentity(services, number)).toBe(sub);
  });
});
