/** A person's page: who they are and how they sign in, where they are signed in, what they did, and what was done to them. */
import { readAudit, recordAudit } from '../audit/audit.ts';
import { currentConsents } from '../consent/consent.ts';
import { timeline } from '../events/timeline.ts';
import { listClients } from '../oidc/clients.ts';
import { browserSessionsOf, endGrantOf, endOthersOf, endSessionOf, grantsOf } from '../oidc/grants.ts';
import { profileOf } from '../profiles/profile.ts';
import { segmentPage } from '../segments/segment.ts';
import { readMemberships } from '../segments/state-store.ts';
import { casesOf, relatedSubjects } from '../subjects/cases.ts';
import type { Subject } from '../subjects/subjects.ts';
import { mergesOf } from '../subjects/undo.ts';
import { pairOf } from './case-words.ts';
import type { AdminRequest, AdminRoute } from './console.ts';
import type { AdminDependencies } from './dependencies.ts';
import { auditLine, eventLine, matchedLines } from './lines.ts';
import { briefOf, colleaguesIn, idOrNone, readPerson, shownIdentities } from './person.ts';
import { profilePage, tagRoutes } from './person-profile.ts';
import { endSessionsOf } from './sessions.ts';
import { roleOf } from './staff.ts';
import { readTitles } from './titles.ts';
import { assertMayTouch } from './touch.ts';

const pageSize = 50;

/** Sentences that a page says after a post has led to it. */
const notices = ['linked', 'unlinked', 'ended', 'ended_all'];

type Page = (deps: AdminDependencies, request: AdminRequest, person: Subject) => Promise<Record<string, unknown>>;

/** Whoever was merged into another is shown as that other, who says so. */
function personPage(tab: string, path: string, values: Page): AdminRoute {
  return {
    method: 'get',
    path: `/admin/people/:sub${path}`,
    needs: 'people:read',
    async handle(deps, request) {
      const { params, query, show, go } = request;
      const person = await readPerson(deps.db, params.sub ?? '');
      if (person.sub !== person.requested_sub)
        return go(`/admin/people/${person.sub}${path}?from=${person.requested_sub}`);
      const done = notices.find((notice) => notice === query.done);
      const head = await headOf(deps, person, query.from);
      show(`admin/person-${tab}`, { ...head, tab, done, ...(await values(deps, request, person)) });
    },
  };
}

async function headOf(deps: AdminDependencies, person: Subject, from: string | undefined) {
  const merges = await mergesOf(deps.db, person.sub);
  const { channels } = await profileOf(deps.db, person.sub);
  return {
    person,
    role: await roleOf(deps.db, person.sub),
    merges,
    channels: Object.keys(channels),
    /** The sub that was asked for, when it is one that was merged into this person. */
    came_from: merges.find(({ absorbed, undone_at }) => absorbed === from && undone_at === null),
  };
}

async function overview(deps: AdminDependencies, person: Subject, { unmasked = false } = {}) {
  const related = await relatedSubjects(deps.db, person.sub);
  const briefs = await Promise.all(related.map(({ sub }) => briefOf(deps, sub)));
  const cases = (await casesOf(deps.db, person.sub)).filter(({ status }) => status === 'open');
  return {
    identities: await shownIdentities(deps, person.sub, { unmasked }),
    unmasked,
    consents: await currentConsents(deps.db, person.sub),
    related: related.map((other, at) => ({ ...other, ...briefs[at] })),
    waiting: await Promise.all(cases.map((found) => pairOf(deps, found))),
  };
}

async function signedIn(deps: AdminDependencies, { sub }: Subject) {
  const names = new Map((await listClients(deps.db)).map(({ client_id, name }) => [client_id, name]));
  const grants = await grantsOf(deps, sub);
  return {
    sessions: await browserSessionsOf(deps.db, sub),
    grants: grants.map((grant) => ({ ...grant, client: names.get(grant.client_id) ?? grant.client_id })),
  };
}

const pages: AdminRoute[] = [
  personPage('overview', '', (deps, _request, person) => overview(deps, person)),
  personPage('sessions', '/sessions', (deps, _request, person) => signedIn(deps, person)),
  personPage('events', '/events', async (deps, { query, language }, { sub }) => {
    const page = await timeline(deps.db, sub, { limit: pageSize, ...(query.cursor && { cursor: query.cursor }) });
    const titles = await readTitles(deps, language);
    return { events: page.data.map((event) => eventLine(event, sub, titles)), next: page.next_cursor };
  }),
  personPage('profile', '/profile', (deps, request, { sub }) => profilePage(deps, sub, request)),
  personPage('segments', '/segments', async (deps, { t }, { sub }) => {
    const memberships = await readMemberships(deps.db, sub);
    const known = await segmentPage(deps.db, { after: undefined, limit: 200 });
    return {
      memberships: memberships.map((membership) => ({ ...membership, values: matchedLines(membership.matched, t) })),
      others: known.filter(
        ({ key, status }) => status !== 'archived' && !memberships.some((membership) => membership.key === key),
      ),
    };
  }),
  personPage('history', '/history', async (deps, { query, t }, { sub }) => {
    const before = idOrNone(query.before);
    const { entries, next } = await readAudit(deps.db, { subject_id: sub, before, limit: pageSize });
    const colleagues = await colleaguesIn(deps, entries);
    return { entries: entries.map((entry) => auditLine(entry, t, colleagues)), next };
  }),
  personPage('merges', '/merges', async (deps, _request, { sub }) => ({
    cases: await Promise.all((await casesOf(deps.db, sub)).map((found) => pairOf(deps, found))),
  })),
];

/** In clear, for an owner, who is on record as having looked. Posted: a link that somebody sent must not make that record. */
const unmask: AdminRoute = {
  method: 'post',
  path: '/admin/people/:sub/unmask',
  needs: 'people:unmask',
  async handle(deps, { params, actor, show }) {
    const person = await readPerson(deps.db, params.sub ?? '');
    await recordAudit(deps.db, { ...actor, action: 'identities.shown', subject_id: person.sub });
    const head = await headOf(deps, person, undefined);
    show('admin/person-overview', { ...head, tab: 'overview', ...(await overview(deps, person, { unmasked: true })) });
  },
};

type End = (deps: AdminDependencies, sub: string, id: string) => Promise<boolean>;

function ending(path: string, what: string, end: End): AdminRoute {
  return {
    method: 'post',
    path: `/admin/people/:sub/sessions/${path}`,
    needs: 'people:write',
    async handle(deps, request) {
      const { sub } = await readPerson(deps.db, request.params.sub ?? '');
      await assertMayTouch(deps.db, request, sub);
      // Ended meanwhile: what was wanted is so.
      const ended = await end(deps, sub, request.form.id ?? '');
      if (ended) await recordAudit(deps.db, { ...request.actor, action: `${what}.ended`, subject_id: sub });
      request.go(`/admin/people/${sub}/sessions?done=${what === 'sessions' ? 'ended_all' : 'ended'}`);
    },
  };
}

const ends: AdminRoute[] = [
  ending('end', 'session', (deps, sub, uid) => endSessionOf(deps, { sub, uid })),
  ending('end-grant', 'grant', (deps, sub, grant_id) => endGrantOf(deps, { sub, grant_id })),
  ending('end-all', 'sessions', async (deps, sub) => {
    await endOthersOf(deps, { sub });
    // Of somebody who works here, the console too.
    await endSessionsOf(deps.db, sub);
    return true;
  }),
];

export const personRoutes: AdminRoute[] = [...pages, unmask, ...ends, ...tagRoutes];
