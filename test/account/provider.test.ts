/** Adding another identity provider to one's account, against an independent one over real HTTP. */
import { OAuth2Server } from 'oauth2-mock-server';
import { afterAll, expect, it } from 'vitest';
import { createConnectors } from '../../src/connectors/registry.ts';
import { findByIdentity } from '../../src/subjects/subjects.ts';
import { testServices } from '../connectors/services.ts';
import { type Answer, formTo, type Visitor } from '../login/visitor.ts';
import { openAccounts } from './site.ts';

const provider = new OAuth2Server();
await provider.issuer.keys.generate('RS256');
await provider.start(0, 'localhost');
afterAll(() => provider.stop());
const issuer = provider.issuer.url ?? '';
const site = await openAccounts({ PRIVATE_ORIGINS: issuer });
const { db, seal, browser, open, signIn, subjectOf, newPerson } = site;
await createConnectors({ ...testServices(db), seal }).configure({
  id: 'upstream-oidc:group',
  connector: 'upstream-oidc',
  settings: { key: 'group', label: '集团账号', issuer, client_id: 'heyi', client_secret: 's', trust_email: true },
});
let claims: Record<string, unknown> = {};
provider.service.on('beforeTokenSigning', ({ payload }) => {
  if (payload.aud !== undefined) Object.assign(payload, claims);
});

async function add(visitor: Visitor, said: Record<string, unknown>): Promise<Answer> {
  claims = said;
  const page = await open(visitor, '/account/doors/upstream-oidc%3Agroup');
  const left = await visitor.submit(formTo(page, '/doors/upstream-oidc%3Agroup'));
  const answer = await fetch(left.location ?? '', { redirect: 'manual' });
  return visitor.follow(await visitor.get(answer.headers.get('location') ?? ''));
}
const ownerOf = (sub: string) => findByIdentity({ db, seal }, { kind: 'oidc', issuer, external_id: sub });

it('adds that account alone: an address which the provider vouches for besides stays where it is', async () => {
  const { email } = newPerson();
  const { email: elsewhere } = newPerson();
  const visitor = browser();
  expect((await signIn(visitor, email)).html).toContain('添加集团账号');
  const home = await add(visitor, { sub: 'zhang-san', name: '张三', email: elsewhere, email_verified: true });
  expect(home.html).toContain('已添加');
  expect(home.html).toContain(new URL(issuer).host);
  expect(await ownerOf('zhang-san')).toBe(await subjectOf(email));
  expect(await subjectOf(elsewhere)).toBeUndefined();
});

it('D9: one that is somebody else’s moves nothing', async () => {
  const visitor = browser();
  await signIn(visitor, newPerson().email);
  const owner = await ownerOf('zhang-san');
  const page = await add(visitor, { sub: 'zhang-san', name: '张三' });
  expect(page.status).toBe(409);
  expect(page.html).not.toContain('张三');
  expect(await ownerOf('zhang-san')).toBe(owner);
});
