import { beforeAll, describe, expect, it } from 'vitest';
import { acceptEmailInvitations, grantByEmail, roleOf } from '../../src/admin/staff.ts';
import { apiRoutes } from '../../src/api/routes.ts';
import type { Identity } from '../../src/connectors/contract.ts';
import { createLimits } from '../../src/http/limits.ts';
import { createSeal } from '../../src/seal.ts';
import { resolveSubject } from '../../src/subjects/resolve.ts';
import { claimsOf, findByIdentity, identitiesOf } from '../../src/subjects/subjects.ts';
import { testDatabase } from '../helpers/database.ts';
import { noJobs } from '../helpers/jobs.ts';
import { email, openid, phone, proof } from '../subjects/people.ts';
import { apiParts, type Send, serveRouter } from './http.ts';

const { db } = await testDatabase();
const seal = createSeal('a secret of the staff people test, long enough!');
const services = { db, seal, jobs: noJobs };

let send: Send;
beforeAll(async () => {
  ({ send } = await serveRouter((log) => [
    apiRoutes({
      ...apiParts,
      ...services,
      limits: createLimits({ db, seal }),
      log,
      authenticate: async () => ({ client_id: 'machine', scopes: ['subjects:read', 'subjects:write'] }),
    }),
  ]));
});

async function signIn(...identities: Identity[]): Promise<string> {
  const [first = phone(), ...others] = identities;
  const proofs: [ReturnType<typeof proof>, ...ReturnType<typeof proof>[]] = [
    proof(first),
    ...others.map((identity) => proof(identity)),
  ];
  return (await resolveSubject(services, { proofs, create: true, context: { channel: 'website' } })).sub;
}

const link = (sub: string, identity: Identity) =>
  send('POST', `/api/v1/subjects/${sub}/identities`, { token: 't', body: { ...identity, reason: 'import' } });

describe('D17: a program of the company and those who work in the console', () => {
  it('403: it gives an owner no way of signing in and takes none away', async () => {
    const address = email();
    const owner = await signIn(address, openid());
    await grantByEmail(services, address.external_id, 'owner');
    const mine = phone();
    expect((await link(owner, mine)).status).toBe(403);
    expect(await findByIdentity(services, mine)).toBeUndefined();
    const [held] = await identitiesOf(services, owner);
    const gone = await send('DELETE', `/api/v1/subjects/${owner}/identities/${held?.id}`, { token: 't' });
    expect(gone.status).toBe(403);
    expect(await identitiesOf(services, owner)).toHaveLength(2);
  });

  it('409: it does not undo what made one of them out of two: that would sign them out', async () => {
    const [owner, other] = [await signIn(phone()), await signIn(openid())];
    const pair = { survivor: owner, absorbed: other, reason: 'x' };
    const { body } = await send('POST', '/api/v1/merges', { token: 't', body: pair });
    await db('staff').insert({ subject_id: owner, role: 'owner', granted_by: 'test' });
    const undo = await send('POST', `/api/v1/merges/${body.id}/undo`, { token: 't', body: { reason: 'x' } });
    expect(undo.body.error?.code).toBe('merge_refused');
    expect(await db('merges').where({ id: body.id }).whereNull('undone_at')).toHaveLength(1);
  });

  it('says of an address that it gave somebody that nobody proved it, until somebody does', async () => {
    const address = email();
    const sub = await signIn(phone());
    await link(sub, address);
    expect(await claimsOf(services, sub)).toMatchObject({ email: address.external_id, email_verified: false });
    await signIn(address);
    expect(await claimsOf(services, sub)).toMatchObject({ email_verified: true });
  });

  it('an address that it gave an accomplice carries no role, whether the invitation comes before or after', async () => {
    const [before, after] = [email(), email()];
    const [one, other] = [await signIn(phone()), await signIn(phone())];
    await grantByEmail(services, before.external_id, 'owner');
    expect((await link(one, before)).status).toBe(201);
    expect((await link(other, after)).status).toBe(201);
    expect(await grantByEmail(services, after.external_id, 'owner')).toEqual({ sub: null, pending: true });
    for (const sub of [one, other]) {
      await acceptEmailInvitations(services, sub);
      expect(await roleOf(db, sub)).toBeUndefined();
    }
    // Whoever then proves it is the one who was invited, also a moment after it was linked.
    expect(await signIn(after)).toBe(other);
    await acceptEmailInvitations(services, other);
    expect(await roleOf(db, other)).toBe('owner');
  });
});
