/** The queue of link cases: what one sign-in proved of two people, what spoke against joining them, and what staff say to it. */

import { listClients } from '../oidc/clients.ts';
import { decideCase, listCases, readCase } from '../subjects/cases.ts';
import { pairOf } from './case-words.ts';
import type { AdminRequest, AdminRoute } from './console.ts';
import type { AdminDependencies } from './dependencies.ts';
import { appNames, idOr404, placeOf, shownIdentities } from './person.ts';
import { askForReason, reasonOf } from './reasons.ts';

const pageSize = 30;
const statuses = ['open', 'merged', 'dismissed'] as const;

/** Of the last row shown: its moment and its id, as they stand in the address. Anything else is the first page. */
function beforeOf({ at, id }: Record<string, string>): { last_seen_at: string; id: string } | undefined {
  const isPosition =
    /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z$/.test(at ?? '') &&
    !Number.isNaN(Date.parse(at ?? '')) &&
    /^[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}$/.test(id ?? '');
  return isPosition ? { last_seen_at: at ?? '', id: id ?? '' } : undefined;
}

async function queue(deps: AdminDependencies, { query, show }: AdminRequest): Promise<void> {
  const status = statuses.find((known) => known === query.status) ?? 'open';
  const { cases, next } = await listCases(deps.db, { status, before: beforeOf(query), limit: pageSize });
  show('admin/cases', { status, statuses, cases: await Promise.all(cases.map((found) => pairOf(deps, found))), next });
}

async function casePage(deps: AdminDependencies, { params }: AdminRequest) {
  const found = await pairOf(deps, await readCase(deps.db, idOr404(params.id)));
  const apps = await appNames(deps.db);
  const clients = new Map((await listClients(deps.db)).map(({ client_id, name }) => [client_id, name]));
  const { client_id } = found.evidence;
  return {
    found,
    client: client_id && (clients.get(client_id) ?? client_id),
    place: (identity: Parameters<typeof placeOf>[1]) => placeOf(apps, identity),
    held: await Promise.all(found.people.map(({ sub }) => shownIdentities(deps, sub))),
  };
}

async function dismiss(deps: AdminDependencies, request: AdminRequest): Promise<void> {
  const page = await casePage(deps, request);
  const reason = reasonOf(request);
  if (!reason) return askForReason(request, 'admin/dismiss', page);
  await decideCase(deps, { id: page.found.id, decision: 'dismiss', reason, actor: request.actor });
  request.go(`/admin/cases/${page.found.id}`);
}

const dismissPath = { path: '/admin/cases/:id/dismiss', needs: 'merges:write' } as const;

export const caseRoutes: AdminRoute[] = [
  { method: 'get', path: '/admin/cases', needs: 'people:read', handle: queue },
  {
    method: 'get',
    path: '/admin/cases/:id',
    needs: 'people:read',
    handle: async (deps, request) => request.show('admin/case', await casePage(deps, request)),
  },
  {
    ...dismissPath,
    method: 'get',
    handle: async (deps, request) => request.show('admin/dismiss', await casePage(deps, request)),
  },
  { ...dismissPath, method: 'post', handle: dismiss },
];
