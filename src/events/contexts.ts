/**
 * What many events have in common of their context is stored once (table event_contexts) and named by a hash of its text: the
 * surroundings (browser, language, campaign), and the page. Measured on what a website's tracker sends, an event takes half the space
 * that way, and storing it less time. Read it back through the view recorded_events.
 *
 * It stays when events go, so it names nobody: the surroundings are the fields listed here and no others, and a page with a query in one of
 * its addresses stays with its event. So does what was not seen twice, which may be different in every event.
 */
import { hash } from 'node:crypto';
import type { Knex } from 'knex';
import { isRecord, storableJson } from './storable.ts';

const surroundings = new Set([
  'app',
  'bot',
  'campaign',
  'channel_group',
  'consent_source',
  'library',
  'locale',
  'os',
  'scene',
  'screen',
  'timezone',
  'userAgent',
  'userAgentData',
]);

export type StoredContext = { context_id: bigint | null; page_id: bigint | null; context: string | null };

/** Of a text that is in the database; null: not yet; `taken`: another text has it. */
type Id = bigint | null | 'taken';
/** Texts seen lately, in two generations, each with its id once that is in the database, else null. */
type Seen = {
  month: number;
  recent: Map<string, Id>;
  older: Map<string, Id>;
  characters: number;
};

/** Of the recent ones. Anybody may send contexts of the size of an event, each of them twice: what is remembered has a limit in both. */
const mostRecent = 10_000;
const mostCharacters = 8_000_000;
/** Less is not worth a reference. */
const leastLength = 64;
const processes = new WeakMap<Knex, Seen>();

export type Sharing = {
  divide(context: Record<string, unknown>): StoredContext;
  /** What the database may not have yet, as JSON for sharedSql; undefined when there is nothing. */
  missing(): string | undefined;
  /** These ids are those of other texts in the database: what has them too stays with its events from now on. */
  refuse(taken: string[]): void;
  /** It has the others now. */
  stored(): void;
};

/** For events that are stored together in this month. */
export function shareContexts(db: Knex, now: Date): Sharing {
  const month = now.getUTCFullYear() * 12 + now.getUTCMonth();
  const found = processes.get(db);
  // A context is said to be used once a month, so that it is not removed with the month before.
  const seen = found?.month === month ? found : { month, recent: new Map(), older: new Map(), characters: 0 };
  processes.set(db, seen);
  const missing = new Map<bigint, string>();
  const idOf = (text: string): bigint | null => {
    if (text.length < leastLength) return null;
    let known = seen.recent.get(text);
    if (known === undefined) {
      known = seen.older.get(text);
      remember(seen, text, known ?? null);
    }
    if (known === undefined || known === 'taken') return null;
    if (known !== null) return known;
    const id = idOfText(text);
    missing.set(id, text);
    return id;
  };
  const idOfPage = (page: Record<string, unknown>) => {
    const text = storableJson({ page });
    return text.includes('?') ? null : idOf(text);
  };
  return {
    divide(context) {
      const common: Record<string, unknown> = {};
      const own: [string, unknown][] = [];
      let hasCommon = false;
      let page_id: bigint | null = null;
      for (const name of Object.keys(context)) {
        const value = context[name];
        if (surroundings.has(name)) {
          common[name] = value;
          hasCommon = true;
          continue;
        }
        if (name === 'page' && isRecord(value)) page_id = idOfPage(value);
        if (name !== 'page' || page_id === null) own.push([name, value]);
      }
      const context_id = hasCommon ? idOf(storableJson(common)) : null;
      const left = context_id === null ? [...Object.entries(common), ...own] : own;
      return { context_id, page_id, context: left.length ? storableJson(Object.fromEntries(left)) : null };
    },
    missing: () =>
      missing.size ? `[${[...missing].map(([id, text]) => `{"id":${id},"context":${text}}`).join(',')}]` : undefined,
    refuse(taken) {
      for (const id of taken.map(BigInt)) {
        remember(seen, missing.get(id) ?? '', 'taken');
        missing.delete(id);
      }
    },
    stored() {
      for (const [id, text] of missing) remember(seen, text, id);
    },
  };
}

function remember(seen: Seen, text: string, id: Id): void {
  if (!seen.recent.has(text)) {
    if (seen.recent.size >= mostRecent || seen.characters + text.length > mostCharacters) {
      seen.older = seen.recent;
      seen.recent = new Map();
      seen.characters = 0;
    }
    seen.characters += text.length;
  }
  seen.recent.set(text, id);
}

function idOfText(text: string): bigint {
  return hash('sha256', text, 'buffer').readBigInt64BE();
}

/**
 * Parts of the question that comes before storing ($5 is now, $9 what is missing). Sorted, so that nobody waits crosswise. `taken` are ids
 * under which another text lies: 64 bits are found twice by whoever tries for some hours, and a context of theirs must not become
 * that of other people's events.
 */
export const sharedSql = `missing as (select * from json_to_recordset($9::json) as r (id bigint, context jsonb)
  ), shared as (
    insert into event_contexts (id, context, used_on)
    select id, context, date_trunc('month', $5::timestamptz at time zone 'UTC') from missing order by id
    on conflict (id) do update set used_on = excluded.used_on where event_contexts.used_on < excluded.used_on
  ), taken as (
    select id::text from missing m where exists (select from event_contexts c where c.id = m.id and c.context <> m.context)
  )`;

/** Takes what no month that is there refers to. @returns how many went; so many at most */
export async function removeUnused(db: Knex, limit: number): Promise<number> {
  const { rowCount } = await db.raw(
    `delete from event_contexts where ctid = any (array(
       select ctid from event_contexts where used_on < (select min(starts_at) from event_partitions()) limit ?))`,
    [limit],
  );
  return rowCount;
}
