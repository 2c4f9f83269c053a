/** The steps that most tests of the sign-in pages take. */
import { newPerson } from '../connectors/services.ts';
import { authorizeUrl, type Site } from './site.ts';
import { type Answer, createVisitor, formTo, type Visitor } from './visitor.ts';

export type Walk = ReturnType<typeof walker>;

export function walker(site: Site) {
  let people = 0;
  /** A browser at an address of its own, so that limits per address do not add up over tests. */
  const browser = (options: { language?: string } = {}): Visitor => {
    people += 1;
    return createVisitor({ ...options, headers: { 'x-forwarded-for': `10.9.${people >> 8}.${people & 255}` } });
  };
  const start = async (visitor: Visitor, parameters: Record<string, string> = {}) =>
    visitor.follow(await visitor.get(authorizeUrl(site, parameters)));
  const lastCode = (phone: string) =>
    site.sms.findLast((message) => phone.endsWith(message.phone.slice(-11)))?.code ?? '';
  /** From the client to the page that asks for the code. */
  async function ask(visitor: Visitor, phone: string, parameters: Record<string, string> = {}): Promise<Answer> {
    const page = await start(visitor, parameters);
    return visitor.follow(await visitor.submit(formTo(page, '/sms'), { phone, privacy: '1' }));
  }
  async function signIn(visitor: Visitor, phone = newPerson().phone, parameters: Record<string, string> = {}) {
    const page = await ask(visitor, phone, parameters);
    const done = await visitor.submit(formTo(page, '/verify'), { code: lastCode(phone) });
    return { phone, page, done, out: await visitor.follow(done) };
  }
  const subjectOf = async (phone: string): Promise<string | undefined> => {
    const { findByIdentity } = await import('../../src/subjects/subjects.ts');
    return findByIdentity(site, { kind: 'phone', issuer: '', external_id: phone });
  };
  return { browser, start, ask, signIn, lastCode, subjectOf };
}

/** A wrong code that is not by chance the right one. */
export const wrong = (code: string) => (code === '111111' ? '222222' : '111111');
