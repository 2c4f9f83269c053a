/**
 * Giving a person an identity that staff vouch for, and taking one away. An identity of somebody else is refused: nothing moves
 * silently, and merging is another page.
 *
 * An e-mail address can carry a role of this console (staff.ts), so only an owner vouches for one: an operator could otherwise make an
 * accomplice the person whom an owner invites.
 */
import type { Identity, IdentityKind } from '../connectors/contract.ts';
import { parseEmail } from '../connectors/email-address.ts';
import { parsePhone } from '../connectors/phone-number.ts';
import { AppError, fail } from '../errors.ts';
import { linkExternal, unlinkIdentity } from '../subjects/link.ts';
import type { AdminRequest, AdminRoute } from './console.ts';
import type { AdminDependencies } from './dependencies.ts';
import { appNames, briefOf, readPerson, shownIdentities } from './person.ts';
import { askForReason, reasonOf } from './reasons.ts';
import { assertMayTouch } from './touch.ts';

const linkable = ['phone', 'email', 'member_no', 'wechat_openid', 'wechat_unionid', 'oidc'] as const;
const withIssuer = new Set<IdentityKind>(['wechat_openid', 'wechat_unionid', 'oidc']);
const longest = 320;

function kindsFor({ may }: AdminRequest): IdentityKind[] {
  return linkable.filter((kind) => kind !== 'email' || may('people:staff'));
}

/** One spelling, as sign-in stores it. @throws phone_invalid | email_invalid | invalid_fields | forbidden */
function identityOf(request: AdminRequest): Identity {
  const { form } = request;
  const kind = linkable.find((known) => known === form.kind);
  if (!kind) throw fail('invalid_fields', { fields: { kind: 'There is no such kind.' } });
  if (!kindsFor(request).includes(kind)) throw fail('forbidden');
  const value = (form.value ?? '').trim();
  if (!value || value.length > longest) throw fail('invalid_fields', { fields: { value: 'is missing or too long' } });
  const issuer = (form.issuer ?? '').trim();
  if (withIssuer.has(kind) !== (issuer !== '') || issuer.length > longest)
    throw fail('invalid_fields', { fields: { issuer: 'is needed for some kinds, and only there' } });
  if (kind === 'phone') return { kind, issuer, external_id: parsePhone(value) };
  return { kind, issuer, external_id: kind === 'email' ? parseEmail(value) : value };
}

async function linkForm(deps: AdminDependencies, request: AdminRequest) {
  const person = await readPerson(deps.db, request.params.sub ?? '');
  if (person.sub !== person.requested_sub) throw fail('not_found');
  await assertMayTouch(deps.db, request, person.sub);
  const apps = [...(await appNames(deps.db))].map(([appid, name]) => ({ appid, name }));
  return { sub: person.sub, who: await briefOf(deps, person.sub), kinds: kindsFor(request), apps };
}

/** What the form can show again with a sentence; everything else is a page of its own. */
const shownInForm = new Set([
  'phone_invalid',
  'email_invalid',
  'invalid_fields',
  'identity_taken',
  'identity_contradicts',
]);

async function link(deps: AdminDependencies, request: AdminRequest): Promise<void> {
  const { actor, go, ctx, show, t } = request;
  const values = await linkForm(deps, request);
  const reason = reasonOf(request);
  if (!reason) return askForReason(request, 'admin/link', values);
  try {
    await linkExternal(deps, { sub: values.sub, identity: identityOf(request), actor, reason });
  } catch (error) {
    if (!(error instanceof AppError) || !shownInForm.has(error.code)) throw error;
    ctx.status = error.status;
    return show('admin/link', { ...values, fault: t(`admin.link.${error.code}`) });
  }
  go(`/admin/people/${values.sub}?done=linked`);
}

async function unlinkForm(deps: AdminDependencies, request: AdminRequest) {
  const { sub } = await readPerson(deps.db, request.params.sub ?? '');
  await assertMayTouch(deps.db, request, sub);
  const identity = (await shownIdentities(deps, sub)).find(({ id }) => id === request.params.id);
  return { sub, who: await briefOf(deps, sub), identity };
}

async function unlink(deps: AdminDependencies, request: AdminRequest): Promise<void> {
  const { sub, identity, who } = await unlinkForm(deps, request);
  const reason = reasonOf(request);
  // Taken away by the first of two clicks: what was wanted is so.
  if (!identity) return request.go(`/admin/people/${sub}?done=unlinked`);
  if (!reason) return askForReason(request, 'admin/unlink', { sub, identity, who });
  await unlinkIdentity(deps, { sub, identity_id: identity.id, actor: request.actor, reason });
  request.go(`/admin/people/${sub}?done=unlinked`);
}

const linkPath = { path: '/admin/people/:sub/link', needs: 'people:write', fresh: true } as const;
const unlinkPath = { path: '/admin/people/:sub/identities/:id/unlink', needs: 'people:write', fresh: true } as const;

export const linkRoutes: AdminRoute[] = [
  {
    ...linkPath,
    method: 'get',
    handle: async (deps, request) => request.show('admin/link', await linkForm(deps, request)),
  },
  { ...linkPath, method: 'post', handle: link },
  {
    ...unlinkPath,
    method: 'get',
    async handle(deps, request) {
      const values = await unlinkForm(deps, request);
      if (!values.identity) throw fail('not_found');
      request.show('admin/unlink', values);
    },
  },
  { ...unlinkPath, method: 'post', handle: unlink },
];
