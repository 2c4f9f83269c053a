/** The whole product with people in it and staff who are signed in to the console. */

import type { Writable } from 'node:stream';
import type { Role } from '../../src/admin/permissions.ts';
import { grantByEmail } from '../../src/admin/staff.ts';
import type { Clock } from '../../src/clock.ts';
import type { Identity } from '../../src/connectors/contract.ts';
import { mergeSubjects } from '../../src/subjects/merge.ts';
import { resolveSubject } from '../../src/subjects/resolve.ts';
import { findByIdentity } from '../../src/subjects/subjects.ts';
import { runningApp } from '../helpers/app.ts';
import { noJobs } from '../helpers/jobs.ts';
import { type Answer, createVisitor, formTo, type Visitor } from '../login/visitor.ts';
import { openid, phone, proof } from '../subjects/people.ts';

export type World = Awaited<ReturnType<typeof openConsole>>;
export type Staff = { visitor: Visitor; sub: string; email: string; csrf: string };

export async function openConsole(options: { logTo?: Writable; clock?: Clock } = {}) {
  // Everybody is at an address of their own, or the limits per address would add up over the tests.
  const app = await runningApp({ TRUST_PROXY: '1', ...(options.logTo && { LOG_LEVEL: 'info' }) }, options);
  const { db, seal, config } = app;
  const services = { db, seal, jobs: noJobs };
  const base = config.publicUrl;
  let addresses = 0;

  async function codeFor(to: string): Promise<string> {
    const answer = await fetch(`${config.sandboxUrl}/inbox?to=${encodeURIComponent(to)}`);
    const { messages } = (await answer.json()) as { messages: { code: string }[] };
    return messages[0]?.code ?? '';
  }

  /** Whoever holds these identities, new. */
  async function person(identities: Identity[], { nickname = '', device = '' } = {}): Promise<string> {
    const [first, ...others] = identities.map((identity) => proof(identity));
    if (!first) throw new Error('a person needs an identity');
    const proofs: [typeof first, ...(typeof first)[]] = [
      { ...first, ...(nickname && { profile: { nickname } }) },
      ...others,
    ];
    const context = { channel: 'website', client_id: 'demo-website', ip: '203.0.113.7' };
    return (await resolveSubject(services, { proofs, create: true, context, ...(device && { device }) })).sub;
  }

  /** A case: one sign-in proves the WeChat of the one and the phone of the other, who has another WeChat of that app. */
  async function caseBetween(names: [string, string] = ['', '']) {
    const [number, wechat] = [phone(), openid()];
    const other = await person([number], { nickname: names[1] });
    await person([number, openid()]);
    const subject = await person([wechat], { nickname: names[0] });
    await person([wechat, number]);
    const row = await db('link_cases').where({ subject_id: subject, other_subject_id: other }).first('id');
    return { id: String(row.id), subject, other };
  }

  const merged = async (survivor: string, absorbed: string): Promise<string> => {
    const actor = { actor_kind: 'staff' as const, actor_id: survivor };
    return (await mergeSubjects(services, { survivor, absorbed, reason: 'test', basis: 'staff', actor })).id;
  };

  /** Signs in to the console by e-mail, as somebody does who opens its address. */
  async function signIn(email: string, { page = '/admin', ip = '' } = {}): Promise<{ visitor: Visitor; last: Answer }> {
    addresses += 1;
    const visitor = createVisitor({ headers: { 'x-forwarded-for': ip || `10.1.${addresses}.7` } });
    const start = await visitor.follow(await visitor.get(`${base}${page}`));
    const form = formTo(start, '/email');
    const code = await visitor.follow(await visitor.submit(form, { email, privacy: '1' }));
    const done = await visitor.submit(formTo(code, '/verify'), { code: await codeFor(email) });
    return { visitor, last: await visitor.follow(done) };
  }

  async function enter(role: Role, email = `${role}${++addresses}@example.com`): Promise<Staff> {
    await grantByEmail(services, email, role);
    const { visitor, last } = await signIn(email);
    const sub = String(
      (await db('staff').where({ role }).orderBy('granted_at', 'desc').first('subject_id')).subject_id,
    );
    return { visitor, sub, email, csrf: formTo(last, '/admin/sign-out').fields.csrf ?? '' };
  }

  /** The sign-in was so long ago; nothing else about the session differs. */
  function age({ visitor }: Pick<Staff, 'visitor'>, seconds: number): void {
    const cookie = visitor.cookies().find(({ name }) => name === 'heyi_admin');
    if (!cookie) throw new Error('nobody is signed in');
    const session = JSON.parse(seal.open(cookie.value, 'cookie heyi_admin'));
    const value = seal.seal(
      JSON.stringify({ ...session, auth_time: session.auth_time - seconds }),
      'cookie heyi_admin',
    );
    visitor.setCookie({ ...cookie, value });
  }

  const grant = (email: string, role: Role) => grantByEmail(services, email, role);
  const subOf = (external_id: string) => findByIdentity(services, { kind: 'email', issuer: '', external_id });
  const auditOf = (where: Record<string, unknown>) => db('audit_entries').where(where).orderBy('at');

  return { ...app, base, services, person, caseBetween, merged, signIn, enter, age, grant, subOf, auditOf };
}
