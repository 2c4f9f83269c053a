/** The console's first page: the box to search with, and what waits for somebody. */
import { listCases } from '../subjects/cases.ts';
import { pairOf } from './case-words.ts';
import type { AdminRoute } from './console.ts';

export const homeRoutes: AdminRoute[] = [
  {
    method: 'get',
    path: '/admin',
    needs: 'enter',
    async handle(deps, { show }) {
      const { cases, next } = await listCases(deps.db, { status: 'open', limit: 5 });
      const waiting = await Promise.all(cases.map((found) => pairOf(deps, found)));
      show('admin/home', { waiting, more: next !== null });
    },
  },
];
