/** Who works here, for owners: inviting by e-mail, another role, no role any more. */
import { AppError, fail } from '../errors.ts';
import type { AdminRequest, AdminRoute } from './console.ts';
import type { AdminDependencies } from './dependencies.ts';
import { type Role, roles } from './permissions.ts';
import { briefOf, idOr404 } from './person.ts';
import { givenBy, grantByEmail, listInvitations, listStaff, removeRole, setRole, takeBackInvitation } from './staff.ts';

const notices = ['invited', 'granted', 'removed', 'taken_back'];

async function list(deps: AdminDependencies, { query, show }: AdminRequest): Promise<void> {
  const members = await listStaff(deps.db);
  const briefs = await Promise.all(members.map(({ sub }) => briefOf(deps, sub)));
  show('admin/staff', {
    members: members.map((member, at) => ({ ...member, who: briefs[at], by_what: givenBy(member.granted_by) })),
    invitations: await listInvitations(deps.db),
    done: notices.find((notice) => notice === query.done),
  });
}

/** @throws invalid_fields */
function roleIn(form: Record<string, string>): Role {
  const role = roles.find((known) => known === form.role);
  if (!role) throw fail('invalid_fields', { fields: { role: 'is no role' } });
  return role;
}

async function invite(deps: AdminDependencies, { form, actor, go, ctx, show, t }: AdminRequest): Promise<void> {
  try {
    const granted = await grantByEmail(deps, form.email ?? '', roleIn(form), actor);
    go(`/admin/staff?done=${granted.pending ? 'invited' : 'granted'}`);
  } catch (error) {
    if (!(error instanceof AppError) || error.status >= 500) throw error;
    ctx.status = error.status;
    show('admin/staff-new', { roles, fault: t(`errors.${error.code}`) });
  }
}

/** @throws not_found for somebody without a role */
async function memberOf(deps: AdminDependencies, { params }: AdminRequest) {
  const sub = idOr404(params.sub);
  const member = (await listStaff(deps.db)).find((known) => known.sub === sub);
  if (!member) throw fail('not_found');
  return { member, who: await briefOf(deps, sub), roles };
}

async function change(deps: AdminDependencies, request: AdminRequest): Promise<void> {
  const { form, params, actor, go } = request;
  const sub = idOr404(params.sub);
  if (form.role === 'none') {
    await removeRole(deps.db, { sub, by: actor });
    return go('/admin/staff?done=removed');
  }
  const { member } = await memberOf(deps, request);
  await setRole(deps.db, { sub: member.sub, role: roleIn(form), by: actor });
  go('/admin/staff?done=granted');
}

/** @throws not_found */
async function invitationOf(deps: AdminDependencies, { params }: AdminRequest) {
  const id = idOr404(params.id);
  const invitation = (await listInvitations(deps.db)).find((known) => known.id === id);
  if (!invitation) throw fail('not_found');
  return { invitation };
}

const newPath = { path: '/admin/staff/new', needs: 'staff:write', fresh: true } as const;
const memberPath = { path: '/admin/staff/:sub', needs: 'staff:write', fresh: true } as const;
const invitationPath = { path: '/admin/staff/invitations/:id', needs: 'staff:write', fresh: true } as const;

export const staffRoutes: AdminRoute[] = [
  { method: 'get', path: '/admin/staff', needs: 'staff:write', handle: list },
  { ...newPath, method: 'get', handle: (_deps, { show }) => show('admin/staff-new', { roles }) },
  { ...newPath, method: 'post', handle: invite },
  {
    ...invitationPath,
    method: 'get',
    handle: async (deps, request) => request.show('admin/invitation', await invitationOf(deps, request)),
  },
  {
    ...invitationPath,
    method: 'post',
    async handle(deps, { params, actor, go }) {
      await takeBackInvitation(deps.db, idOr404(params.id), actor);
      go('/admin/staff?done=taken_back');
    },
  },
  {
    ...memberPath,
    method: 'get',
    handle: async (deps, request) => request.show('admin/staff-member', await memberOf(deps, request)),
  },
  { ...memberPath, method: 'post', handle: change },
];
