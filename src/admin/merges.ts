/**
 * Making two people one, and parting them again. Nothing is decided by a click alone: the other one is searched for, both are shown side
 * by side with what would happen, and what happened has a page with its undo.
 *
 *   /people/{sub}/merge ─► /merge?survivor&absorbed ─► /merges/{id} ─► /merges/{id}/undo
 */
import { currentConsents } from '../consent/consent.ts';
import { fail } from '../errors.ts';
import { listClients } from '../oidc/clients.ts';
import { browserSessionsOf, grantsOf } from '../oidc/grants.ts';
import { profileOf } from '../profiles/profile.ts';
import { casesOf, decideCase, readCase, relatedSubjects } from '../subjects/cases.ts';
import { mergeSubjects, previewMerge } from '../subjects/merge.ts';
import { previewUndo, readMerge, undoMerge } from '../subjects/undo.ts';
import { pairOf } from './case-words.ts';
import type { AdminRequest, AdminRoute } from './console.ts';
import type { AdminDependencies } from './dependencies.ts';
import { appNames, briefOf, idOr404, idOrNone, placeOf, readPerson } from './person.ts';
import { askForReason, reasonOf } from './reasons.ts';
import { searchPeople } from './search.ts';
import { roleOf } from './staff.ts';
import { assertMayTouch } from './touch.ts';

async function chooseForm(deps: AdminDependencies, { params }: AdminRequest) {
  const { sub } = await readPerson(deps.db, params.sub ?? '');
  const related = await relatedSubjects(deps.db, sub);
  const cases = (await casesOf(deps.db, sub)).filter(({ status }) => status === 'open');
  return {
    sub,
    who: await briefOf(deps, sub),
    related: await Promise.all(related.map((other) => briefOf(deps, other.sub))),
    waiting: await Promise.all(cases.map((found) => pairOf(deps, found))),
  };
}

type Pair = { survivor: string; absorbed: string; case_id: string | undefined };

/** @throws not_found */
async function pairAsked({ db }: AdminDependencies, { query }: AdminRequest): Promise<Pair> {
  const pair = { survivor: idOr404(query.survivor), absorbed: idOr404(query.absorbed), case_id: idOrNone(query.case) };
  if (!pair.case_id) return pair;
  const { subject_id, other_subject_id, current } = await readCase(db, pair.case_id);
  // Who stands for them today: what is looked at and refused below is what is merged.
  const today = (sub: string) => {
    if (sub === subject_id || sub === current.subject) return current.subject;
    if (sub === other_subject_id || sub === current.other) return current.other;
    throw fail('not_found');
  };
  return { ...pair, survivor: today(pair.survivor), absorbed: today(pair.absorbed) };
}

async function sideOf(deps: AdminDependencies, sub: string) {
  const names = new Map((await listClients(deps.db)).map(({ client_id, name }) => [client_id, name]));
  const grants = await grantsOf(deps, sub);
  const clients = [...new Set(grants.map(({ client_id }) => names.get(client_id) ?? client_id))];
  return {
    role: await roleOf(deps.db, sub),
    sessions: (await browserSessionsOf(deps.db, sub)).length,
    clients,
    events_total: (await profileOf(deps.db, sub)).events_total,
    consents: await currentConsents(deps.db, sub),
  };
}

/**
 * Why this reader cannot. Somebody who works in the console is never absorbed, whoever asks: their role would stay behind with the sub
 * that is no more, and with the last owner's the whole house.
 */
async function refusalFor(deps: AdminDependencies, { may }: AdminRequest, pair: Pair, refusal: string | undefined) {
  if (refusal !== 'staff') return refusal;
  if (!may('people:staff')) return 'staff';
  return (await roleOf(deps.db, pair.absorbed)) ? 'staff_absorbed' : undefined;
}

async function mergeForm(deps: AdminDependencies, request: AdminRequest, pair: Pair) {
  const preview = await previewMerge(deps, pair);
  const apps = await appNames(deps.db);
  const link = (survivor: string, absorbed: string) =>
    `/admin/merge?survivor=${survivor}&absorbed=${absorbed}${pair.case_id ? `&case=${pair.case_id}` : ''}`;
  return {
    ...preview,
    place: (identity: Parameters<typeof placeOf>[1]) => placeOf(apps, identity),
    sides: { survivor: await sideOf(deps, pair.survivor), absorbed: await sideOf(deps, pair.absorbed) },
    refusal: await refusalFor(deps, request, pair, preview.refusal),
    swap: link(pair.absorbed, pair.survivor),
    case_id: pair.case_id,
  };
}

/** `keep_0`, `keep_1`, …: which of two of a kind stays current. */
function keptOf(form: Record<string, string>): string[] {
  return Object.entries(form).flatMap(([name, value]) => (/^keep_\d{1,2}$/.test(name) ? [value] : []));
}

async function merge(deps: AdminDependencies, request: AdminRequest): Promise<void> {
  const { form, actor, may, go } = request;
  const { case_id, ...pair } = await pairAsked(deps, request);
  const reason = reasonOf(request);
  if (!reason) return askForReason(request, 'admin/merge', await mergeForm(deps, request, { ...pair, case_id }));
  // An absorbed one that works here is refused above all; the rest is refused where the merge is made.
  if (await roleOf(deps.db, pair.absorbed))
    throw fail('merge_refused', { fields: { reason: may('people:staff') ? 'staff_absorbed' : 'staff' } });
  const how = { reason, actor, keep: keptOf(form), allowStaff: may('people:staff') };
  if (!case_id) return go(`/admin/merges/${(await mergeSubjects(deps, { ...pair, ...how, basis: 'staff' })).id}`);
  const decided = await decideCase(deps, { id: case_id, decision: 'merge', survivor: pair.survivor, ...how });
  go(`/admin/merges/${decided.merge?.id ?? ''}`);
}

async function mergePage(deps: AdminDependencies, { params }: AdminRequest) {
  const found = await readMerge(deps.db, idOr404(params.id));
  const plan = await previewUndo(deps, found.id);
  const apps = await appNames(deps.db);
  return {
    merge: found,
    plan,
    people: { survivor: await briefOf(deps, plan.survivor), absorbed: await briefOf(deps, found.absorbed) },
    place: (identity: Parameters<typeof placeOf>[1]) => placeOf(apps, identity),
  };
}

async function undo(deps: AdminDependencies, request: AdminRequest): Promise<void> {
  const page = await mergePage(deps, request);
  await assertMayTouch(deps.db, request, page.plan.survivor);
  const reason = reasonOf(request);
  // The second of two clicks shows what the first one did.
  if (!reason && !page.merge.undone_at) return askForReason(request, 'admin/undo', page);
  if (reason) await undoMerge(deps, { merge_id: page.merge.id, reason, actor: request.actor });
  request.go(`/admin/merges/${page.merge.id}`);
}

const choosePath = { path: '/admin/people/:sub/merge', needs: 'merges:write' } as const;
const mergePath = { path: '/admin/merge', needs: 'merges:write', fresh: true } as const;
const undoPath = { path: '/admin/merges/:id/undo', needs: 'merges:write', fresh: true } as const;

export const mergeRoutes: AdminRoute[] = [
  {
    ...choosePath,
    method: 'get',
    handle: async (deps, request) => request.show('admin/merge-choose', await chooseForm(deps, request)),
  },
  {
    ...choosePath,
    method: 'post',
    async handle(deps, request) {
      const form = await chooseForm(deps, request);
      const hits = await searchPeople(deps, request, request.form.q ?? '');
      request.show('admin/merge-choose', { ...form, hits: hits.filter(({ sub }) => sub !== form.sub) });
    },
  },
  {
    ...mergePath,
    method: 'get',
    async handle(deps, request) {
      request.show('admin/merge', await mergeForm(deps, request, await pairAsked(deps, request)));
    },
  },
  { ...mergePath, method: 'post', handle: merge },
  {
    method: 'get',
    path: '/admin/merges/:id',
    needs: 'people:read',
    handle: async (deps, request) => request.show('admin/merged', await mergePage(deps, request)),
  },
  {
    ...undoPath,
    method: 'get',
    async handle(deps, request) {
      const page = await mergePage(deps, request);
      if (page.merge.undone_at) return request.go(`/admin/merges/${page.merge.id}`);
      await assertMayTouch(deps.db, request, page.plan.survivor);
      request.show('admin/undo', page);
    },
  },
  { ...undoPath, method: 'post', handle: undo },
];
