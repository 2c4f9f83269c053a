/**
 * What trackers send: events as they arrive, for whoever has just put one in and looks whether it works. The page is read again every few
 * seconds by a script, and by its reader without one. What a name means is event-catalogue.ts.
 */
import { type FeedItem, readFeed } from '../events/feed.ts';
import { maskedText } from '../events/personal.ts';
import { listSources } from '../events/write-keys.ts';
import type { Translate } from '../http/i18n.ts';
import type { AdminRequest, AdminRoute } from './console.ts';
import type { AdminDependencies } from './dependencies.ts';
import { aboutOf, fieldsOf } from './lines.ts';
import { readPerson } from './person.ts';
import { readTitles, type Titles } from './titles.ts';

const shown = 50;
/** Among so many of the newest is looked for what a filter asks. */
const searched = 500;

type Asked = { key: string; event: string; person: string; outcome: string };

async function debuggerPage(deps: AdminDependencies, request: AdminRequest): Promise<void> {
  const { query, show, language, t } = request;
  const { db, clock } = deps;
  const asked: Asked = {
    key: query.key ?? '',
    event: (query.event ?? '').trim(),
    person: (query.person ?? '').trim(),
    outcome: query.outcome === 'refused' ? 'refused' : '',
  };
  const sources = await listSources(db);
  const source = sources.find(({ id }) => String(id) === asked.key);
  const isFiltered = asked.event !== '' || asked.person !== '';
  const catalogue = await deps.readCatalogue();
  const { data } = await readFeed(
    { db, now: clock.now(), catalogue },
    {
      limit: isFiltered ? searched : shown,
      source_id: source?.id,
      outcome: asked.outcome === 'refused' ? 'refused' : undefined,
    },
  );
  const titles = await readTitles(deps, language);
  const whose = await subsOf(deps, asked.person);
  const wanted = data.filter((item) => isOfEvent(item, asked.event) && isOfPerson(item, whose)).slice(0, shown);
  show('admin/events', {
    items: wanted.map((item) => feedLine(item, t, titles)),
    sources: sources.map(({ id, name }) => ({ id: String(id), name })),
    asked,
    isFiltered,
    searched,
    at: clock.now(),
  });
}

/** Any id that an event can carry: a sub (also of somebody merged since), an anonymous id, a claim. */
async function subsOf({ db }: AdminDependencies, asked: string): Promise<Set<string> | undefined> {
  if (!asked) return undefined;
  const person = await readPerson(db, asked.toLowerCase()).catch(() => undefined);
  return new Set([asked, ...(person ? [person.sub, person.requested_sub] : [])]);
}

function isOfEvent(item: FeedItem, asked: string): boolean {
  const folded = asked.toLowerCase();
  if (!folded) return true;
  const names = item.outcome === 'accepted' ? [item.event, item.original_event ?? ''] : [item.sample ?? ''];
  return names.some((name) => name.toLowerCase().includes(folded));
}

function isOfPerson(item: FeedItem, whose: Set<string> | undefined): boolean {
  if (!whose) return true;
  if (item.outcome === 'refused') return [...whose].some((id) => item.sample?.includes(id));
  return [item.recorded_sub, item.anonymous_id, item.claimed_user_id].some((id) => id !== null && whose.has(id));
}

function feedLine(item: FeedItem, t: Translate, titles: Titles) {
  const { id, outcome, received_at, message_id } = item;
  const common = { id, outcome, received_at, message_id, source: item.source.name || String(item.source.id) };
  if (item.outcome === 'refused') {
    const words = t(`admin.feed.code_${item.code}`);
    return {
      ...common,
      title: words.startsWith('admin.feed.') ? item.code : words,
      code: item.code,
      message: item.message,
      path: item.path,
      sample: item.sample,
    };
  }
  const { event, original_event, channel, trust, counts, least_trust, consents, recorded_sub, timestamp, type } = item;
  const properties = masked(item.properties);
  return {
    ...common,
    title: titles.ofEvent(event),
    about: maskedText(aboutOf(item.properties) ?? ''),
    ...{ event, original_event, channel, trust, counts, least_trust, consents, recorded_sub, timestamp, type },
    anonymous_id: item.anonymous_id,
    whose: recorded_sub ?? item.anonymous_id,
    claimed: item.claimed_user_id,
    properties,
    context: masked(item.context),
  };
}

/** Fields that should hold a number or an address are masked when they are stored; text that holds one all the same is masked here. */
function masked(values: Record<string, unknown>) {
  return fieldsOf(values).map(({ name, value }) => ({ name, value: maskedText(value) }));
}

export const eventRoutes: AdminRoute[] = [
  { method: 'get', path: '/admin/events', needs: 'events:read', handle: debuggerPage },
];
