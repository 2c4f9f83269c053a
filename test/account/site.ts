/** The whole product with its sandbox, and the walks of a person over their own page. */
import { sealContext } from '../../src/oidc/adapter.ts';
import { resolveSubject } from '../../src/subjects/resolve.ts';
import { currentSubject, findByIdentity } from '../../src/subjects/subjects.ts';
import { newPerson, windowsEnd } from '../connectors/services.ts';
import { runningApp } from '../helpers/app.ts';
import { noJobs } from '../helpers/jobs.ts';
import { type Answer, createVisitor, formTo, type Visitor } from '../login/visitor.ts';
import { proof } from '../subjects/people.ts';

/** How long a notice may take: the queue does one every two seconds, and those of the tests before wait in it too. */
export const told = { timeout: 40_000 };

export async function openAccounts(settings: Record<string, string> = {}) {
  const app = await runningApp({ TRUST_PROXY: '1', ...settings });
  const { config, db, seal } = app;
  const origin = config.publicUrl;
  const services = { db, seal, jobs: noJobs };

  type Message = { code: string; text: string; subject?: string };
  async function inbox(to: string): Promise<Message[]> {
    const answer = await fetch(`${config.sandboxUrl}/inbox?to=${encodeURIComponent(to)}`);
    return ((await answer.json()) as { messages: Message[] }).messages;
  }
  const codeFor = async (to: string) => (await inbox(to)).find(({ code }) => code)?.code ?? '';
  /** Everything written to somebody; notices come by a job. */
  const textsFor = async (to: string) => (await inbox(to)).map(({ text }) => text).join('\n');
  const methodOf = (to: string) => (to.includes('@') ? (['email', 'email'] as const) : (['sms', 'phone'] as const));

  let visitors = 0;
  const browser = (options: { language?: string } = {}): Visitor => {
    visitors += 1;
    return createVisitor({ ...options, headers: { 'x-forwarded-for': `10.7.${visitors >> 8}.${visitors & 255}` } });
  };
  const at = (path: string) => `${origin}${path}`;

  /** From a sign-in page to wherever it leads. */
  async function prove(visitor: Visitor, page: Answer, to: string): Promise<Answer> {
    await windowsEnd(db);
    const [method, field] = methodOf(to);
    const asked = await visitor.follow(await visitor.submit(formTo(page, `/${method}`), { [field]: to, privacy: '1' }));
    return visitor.follow(await visitor.submit(formTo(asked, '/verify'), { code: await codeFor(to) }));
  }
  async function open(visitor: Visitor, path = '/account'): Promise<Answer> {
    return visitor.follow(await visitor.get(at(path)));
  }
  async function signIn(visitor: Visitor, to: string): Promise<Answer> {
    return prove(visitor, await open(visitor), to);
  }
  /** Asks for a code to a new number or address; the page that waits for it. */
  async function askFor(visitor: Visitor, to: string, act: 'add' | 'change' = 'add'): Promise<Answer> {
    await windowsEnd(db);
    const [method, field] = methodOf(to);
    const page = await open(visitor, `/account/${act}/${method}`);
    return visitor.follow(await visitor.submit(formTo(page, `/${act}/${method}`), { [field]: to }));
  }
  async function change(visitor: Visitor, to: string, act: 'add' | 'change' = 'add'): Promise<Answer> {
    const page = await askFor(visitor, to, act);
    return visitor.follow(await visitor.submit(formTo(page, '/verify'), { code: await codeFor(to) }));
  }
  const identityOf = (to: string) => ({ kind: methodOf(to)[1], issuer: '', external_id: to });
  const subjectOf = (to: string) => findByIdentity({ db, seal }, identityOf(to));

  /** Somebody known by these, as if they had signed in with each. */
  async function known(...identities: Parameters<typeof proof>): Promise<string> {
    const context = { channel: 'website' };
    return (await resolveSubject(services, { proofs: [proof(...identities)], create: true, context })).sub;
  }
  /** So many seconds pass for the session of this browser: the page's own and the engine's. */
  async function age(visitor: Visitor, seconds: number): Promise<void> {
    const cookie = visitor.cookies().find(({ name }) => name === 'heyi_account');
    if (!cookie) throw new Error('no session');
    const session = JSON.parse(seal.open(cookie.value, 'cookie heyi_account'));
    const older = JSON.stringify({ ...session, auth_time: session.auth_time - seconds });
    visitor.setCookie({ ...cookie, value: seal.seal(older, 'cookie heyi_account') });
    for (const row of await db('oidc_artifacts').where({ model: 'Session', subject_id: session.sub })) {
      const payload = JSON.parse(seal.open(row.payload_sealed, sealContext('Session', row.id)));
      const sealed = seal.seal(
        JSON.stringify({ ...payload, loginTs: payload.loginTs - seconds }),
        sealContext('Session', row.id),
      );
      await db('oidc_artifacts').where({ model: 'Session', id: row.id }).update({ payload_sealed: sealed });
    }
  }
  const standing = async (sub: string) => (await currentSubject(db, sub))?.sub;
  return {
    ...app,
    origin,
    at,
    inbox,
    codeFor,
    textsFor,
    browser,
    prove,
    open,
    signIn,
    askFor,
    change,
    subjectOf,
    identityOf,
    known,
    age,
    standing,
    newPerson,
  };
}

export type Accounts = Awaited<ReturnType<typeof openAccounts>>;
