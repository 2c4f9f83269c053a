/**
 * One box: a phone number in any spelling, an e-mail address, an openid, a unionid, a member number or a sub. It is posted, so that what
 * was searched for stands in no address, history or proxy's log; the record says by which kind, never by what.
 */
import { recordAudit } from '../audit/audit.ts';
import { type Found, findPeople } from '../subjects/search.ts';
import type { AdminRequest, AdminRoute } from './console.ts';
import type { AdminDependencies } from './dependencies.ts';
import { type Brief, briefOf } from './person.ts';

export type Hit = Found & Brief;

/** Every search is recorded, also the one that finds nobody. */
export async function searchPeople(deps: AdminDependencies, { actor }: AdminRequest, term: string): Promise<Hit[]> {
  const found = await findPeople(deps, term);
  const details = { by: [...new Set(found.map(({ matched }) => matched))], found: found.length };
  const [only, ...others] = found;
  const subject_id = only && !others.length ? { subject_id: only.sub } : {};
  await recordAudit(deps.db, { ...actor, ...subject_id, action: 'people.searched', details });
  const hits: Hit[] = [];
  for (const one of found) hits.push({ ...one, ...(await briefOf(deps, one.sub)) });
  return hits;
}

export const searchRoutes: AdminRoute[] = [
  {
    method: 'get',
    path: '/admin/search',
    needs: 'people:search',
    handle: (_deps, { show }) => show('admin/search'),
  },
  {
    method: 'post',
    path: '/admin/search',
    needs: 'people:search',
    async handle(deps, request) {
      const { form, show, go } = request;
      const hits = await searchPeople(deps, request, form.q ?? '');
      const [only, ...others] = hits;
      if (only && !others.length) return go(`/admin/people/${only.requested_sub}`);
      show('admin/search', { hits });
    },
  },
];
