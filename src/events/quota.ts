/**
 * How many events a source may send in a minute (table event_quotas), counted over all processes (threat F17): one app's flood is told to
 * come back (429 with Retry-After), and the others notice nothing.
 *
 * A process asks the database for a part of the minute's events at a time, and gives them out by itself: at most fifty questions a minute
 * and process, and none while the minute is used up. It is a brake and no bill: each process may go over it by one batch.
 */
import type { Clock } from '../clock.ts';
import { type Database, prepared } from '../database.ts';
import { fail } from '../errors.ts';

/** Unless its key says otherwise: a thousand a second. */
export const usualPerMinute = 60_000;

/** In bytes, unpacked: what a tracker sends with an event of its own is less. */
const bytesOfOne = 2_048;

/**
 * What a batch is counted as. Of whom anybody may be (a public key, a person's token) size counts too, or a thousand events a second of 32 KB
 * each would be within the quota: one for each 2 KB where these are more than its events.
 */
export function weightOf(
  kind: 'token' | 'client' | 'server',
  { events, bytes }: { events: number; bytes: number },
): number {
  return kind === 'server' ? events : Math.max(events, Math.ceil(bytes / bytesOfOne));
}

/** Of its app's quota may one person's token use in a minute: none takes it from everybody else. A public key is shared by all who load the page. */
const shareOfPerson = 1 / 10;
/** So many people's use is remembered of a minute; then that of the first is forgotten. */
const mostPeople = 100_000;

type Source = { source_id: number; events_per_minute: number; sub?: string | undefined };

export type Quota = {
  /** @param source with the person whose token it is, if it is one's. @throws too_many_requests with the seconds until the next minute */
  spend(source: Source, events: number): Promise<void>;
};

/** `left` may go below zero: a batch is taken whole, and the next part pays for it. */
type Part = { left: number; until: number; isUsedUp: boolean };

const minuteMs = 60_000;

export function createQuota({ db, clock }: { db: Database; clock: Clock }): Quota {
  const parts = new Map<number, Part>();
  const asking = new Map<number, Promise<Part>>();
  const ask = async (source_id: number, limit: number, debt: number): Promise<Part> => {
    const wanted = Math.max(1, Math.ceil(limit / 50));
    const { used, ms_left } = await takePart(db, { source_id, limit, wanted: wanted + debt });
    const part = {
      left: used === null ? 0 : wanted - Math.max(0, used - limit),
      until: clock.now().getTime() + ms_left,
      isUsedUp: used === null || used >= limit,
    };
    parts.set(source_id, part);
    return part;
  };
  const spendOfPerson = createShares(clock);
  return {
    async spend({ source_id, events_per_minute: limit, sub }, events) {
      if (sub !== undefined) spendOfPerson(`${source_id} ${sub}`, Math.ceil(limit * shareOfPerson), events);
      for (;;) {
        const now = clock.now().getTime();
        const kept = parts.get(source_id);
        const current = kept && kept.until > now && kept.until <= now + minuteMs ? kept : undefined;
        if (current && current.left > 0) {
          current.left -= events;
          return;
        }
        if (current?.isUsedUp)
          throw fail('too_many_requests', { retryAfterSeconds: Math.max(1, Math.ceil((current.until - now) / 1000)) });
        const question = asking.get(source_id) ?? ask(source_id, limit, Math.max(0, -(current?.left ?? 0)));
        asking.set(source_id, question);
        await question.finally(() => asking.get(source_id) === question && asking.delete(source_id));
      }
    },
  };
}

/** When each source last sent something, to the minute, as its quota knows anyway. One that never did is not in it. */
export async function lastSent(db: Database): Promise<Map<number, Date>> {
  const rows: { source_id: number; minute: Date }[] = await db('event_quotas').select('source_id', 'minute');
  return new Map(rows.map(({ source_id, minute }) => [source_id, minute]));
}

/** Of this process alone: what a person sends goes over few connections, and the source's quota holds over all of them. */
function createShares(clock: Clock): (person: string, limit: number, events: number) => void {
  let minute = 0;
  const used = new Map<string, number>();
  return (person, limit, events) => {
    const now = clock.now().getTime();
    const current = Math.floor(now / minuteMs);
    if (current !== minute) used.clear();
    minute = current;
    const before = used.get(person);
    if (before !== undefined && before >= limit)
      throw fail('too_many_requests', { retryAfterSeconds: Math.ceil(((current + 1) * minuteMs - now) / 1000) });
    if (before === undefined && used.size >= mostPeople) {
      const [first = ''] = used.keys();
      used.delete(first);
    }
    used.set(person, (before ?? 0) + events);
  };
}

/** `used`: of this minute, with this part; null when nothing was left to give. */
async function takePart(
  db: Database,
  { source_id, limit, wanted }: { source_id: number; limit: number; wanted: number },
): Promise<{ used: number | null; ms_left: number }> {
  const [answer] = await prepared<{ used: number | null; ms_left: number }>(
    db,
    'events.quota',
    `with now as (
       select date_trunc('minute', clock_timestamp()) as minute, clock_timestamp() as at
     ), taken as (
       insert into event_quotas as q (source_id, minute, used) select $1, minute, $2 from now
       on conflict (source_id) do update
          set minute = excluded.minute,
              used = case when q.minute = excluded.minute then q.used + excluded.used else excluded.used end
        where q.minute <> excluded.minute or q.used < $3
       returning used
     )
     select (select used from taken), ceil(extract(epoch from minute + interval '1 minute' - at) * 1000)::int as ms_left from now`,
    [source_id, wanted, limit],
  );
  return answer ?? { used: null, ms_left: minuteMs };
}
