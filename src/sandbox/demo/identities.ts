/**
 * The identity graph, to be played with: who the website and the mini-program take this browser's person for, what is theirs, what was
 * merged and can be undone, what waits for staff; and the switch that binds the mini-program to the open platform late. All of it through
 * the management API, as a company's own tools would use it.
 */
import Router from '@koa/router';
import { request } from 'undici';
import { fail } from '../../errors.ts';
import type { RequestState } from '../../http/server.ts';
import { sandboxOpenPlatform } from '../constants.ts';
import { ownForm } from './forms.ts';
import type { Identity, Merge, Subject } from './identity-api.ts';
import type { Parts } from './parts.ts';
import type { Session } from './sessions.ts';

const mostSeen = 6;

type Seen = { subject: Subject; identities: Identity[]; sides: string[] };

export function identityRoutes(parts: Parts): Router<RequestState> {
  const { pages, sessions, identities } = parts;
  const router = new Router<RequestState>();

  router.get('/identities', async (ctx) => {
    const session = sessions.of(ctx);
    const subs = remember(session);
    sessions.save();
    const subjects = await Promise.all(subs.map((sub) => identities.subject(sub)));
    const people = await standing(parts, session, subjects);
    const merges = await mergesOf(parts, subjects);
    const cases = (await identities.openCases()).filter(({ subject, other }) =>
      people.some(({ subject: { sub } }) => sub === subject || sub === other),
    );
    const pair = people.length === 2 ? people.map(({ subject }) => subject.sub) : undefined;
    const preview = pair && (await identities.preview(pair[0] ?? '', pair[1] ?? ''));
    pages.render(ctx, 'identities', { people, merges, cases, preview, is_bound: await isBound(parts) });
  });

  router.post('/identities/:act', async (ctx) => {
    const session = sessions.of(ctx);
    const form = await ownForm(ctx, session);
    session.notice = await act(parts, String(ctx.params.act), form);
    sessions.save();
    ctx.status = 303;
    ctx.redirect('/identities');
  });
  return router;
}

const reason = 'tried in the demo';

/** @returns the key of the sentence for the next page. @throws not_found */
async function act(parts: Parts, name: string, form: Record<string, string>): Promise<string> {
  const { identities } = parts;
  const { survivor = '', absorbed = '', merge_id = '', case_id = '' } = form;
  const acts: Record<string, () => Promise<unknown>> = {
    merge: () => identities.merge({ survivor, absorbed, reason }),
    undo: () => identities.undo(merge_id, reason),
    decide: () => identities.decide(case_id, form.decision === 'merge' ? 'merge' : 'dismiss', reason),
    bind: () => bind(parts, form.to === 'bound'),
  };
  const work = Object.hasOwn(acts, name) ? acts[name] : undefined;
  if (!work) throw fail('not_found');
  await work();
  return `identities.${name}`;
}

/** Subs that this browser has been, so that an absorbed one can still be asked for. */
function remember(session: Session): string[] {
  const now = [session.person?.sub, session.miniprogram_sub].filter((sub) => sub !== undefined);
  session.seen_subs = [...new Set([...now, ...(session.seen_subs ?? [])])].slice(0, mostSeen);
  return session.seen_subs;
}

async function standing({ identities }: Parts, session: Session, subjects: Subject[]): Promise<Seen[]> {
  const people: Seen[] = [];
  for (const subject of subjects) {
    const known = people.find((seen) => seen.subject.sub === subject.sub);
    const sides = sidesOf(session, subject.requested_sub);
    if (known) known.sides.push(...sides);
    else people.push({ subject, sides, identities: await identities.identitiesOf(subject.sub) });
  }
  return people;
}

function sidesOf({ person, miniprogram_sub }: Session, sub: string): string[] {
  return [...(person?.sub === sub ? ['website'] : []), ...(miniprogram_sub === sub ? ['miniprogram'] : [])];
}

async function mergesOf({ identities }: Parts, subjects: Subject[]): Promise<Merge[]> {
  const ids = [...new Set(subjects.flatMap(({ merge_id }) => merge_id ?? []))];
  return Promise.all(ids.map((id) => identities.readMerge(id)));
}

type App = { appid: string; open_platform: string | null };

async function isBound({ settings }: Parts): Promise<boolean> {
  const answer = await request(`${settings.sandboxUrl}/apps`);
  const { apps } = (await answer.body.json()) as { apps: App[] };
  const mini = apps.find(({ appid }) => appid === settings.miniprogram.appid);
  return typeof mini?.open_platform === 'string';
}

/** Like binding the mini-program in the open platform's console: from the next sign-in on a unionid comes along, or none. */
async function bind({ settings }: Parts, toPlatform: boolean): Promise<void> {
  const answer = await request(`${settings.sandboxUrl}/apps/${settings.miniprogram.appid}`, {
    method: 'PUT',
    headers: { 'content-type': 'application/json' },
    body: JSON.stringify({ open_platform: toPlatform ? sandboxOpenPlatform : null }),
  });
  await answer.body.dump();
}
