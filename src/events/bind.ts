/**
 * Which subject an anonymous id belongs to, by interval (table anonymous_bindings):
 *
 *   ···· look-back ····|—— bound ——————————————|
 *      with consent    bound_at                ends: its grant, another subject, or thirty idle days
 *
 * The look-back is thirty days at most, never reaches into an earlier binding, and needs the profiling consent. What arrives after
 * the binding is attributed when it is stored; what lay there before is read through the interval. So a shared device splits cleanly.
 */
import type { Knex } from 'knex';
import { hasAgreed } from '../consent/consent.ts';
import { addActivity } from './activity.ts';
import { horizonDays } from './store.ts';

export type Binding = {
  anonymous_id: string;
  subject_id: string;
  /** What proved it: a token request, a server's identify, an ID token. */
  method: 'token' | 'server' | 'id_token';
  grant_id?: string | undefined;
  /** When it was proven, if that was before now: an event that was waiting to be sent. */
  at?: Date | undefined;
};

export async function bindAnonymous(db: Knex, binding: Binding): Promise<void> {
  const { anonymous_id, subject_id } = binding;
  if (!anonymous_id || anonymous_id.length > 200 || anonymous_id.includes('\0')) return;
  const looks_back = await hasAgreed(db, subject_id, 'profiling');
  await db.transaction(async (trx) => {
    await lockAnonymous(trx, anonymous_id);
    const latest = await latestBinding(trx, anonymous_id);
    if (latest?.is_active && latest.subject_id === subject_id) {
      await keepBinding(trx, latest.id, binding.grant_id ?? null);
      return;
    }
    const id = await insertBinding(trx, { ...binding, looks_back, not_before: latest?.until ?? null });
    if (latest?.is_active) await endBinding(trx, latest.id, id);
  });
}

/** Sessions or grants are over: their devices are nobody's from now on. */
export async function endBindings(db: Knex, grant_ids: string[]): Promise<void> {
  if (!grant_ids.length) return;
  await db('anonymous_bindings')
    .whereIn('grant_id', grant_ids)
    .whereNull('ends_at')
    .update({ ends_at: db.raw("greatest(bound_at, date_trunc('milliseconds', clock_timestamp()))") });
}

/** Orders the binds of one anonymous id over all processes. */
async function lockAnonymous(trx: Knex.Transaction, anonymous_id: string): Promise<void> {
  await trx.raw('select pg_advisory_xact_lock(hashtextextended(?, 4))', [anonymous_id]);
}

type LatestBinding = { id: string; subject_id: string; is_active: boolean; until: Date };

/** `until`: for an active one when it began, since another subject may end it at any moment after. */
async function latestBinding(trx: Knex, anonymous_id: string): Promise<LatestBinding | undefined> {
  const { rows } = await trx.raw(
    `select id, subject_id, ends > clock_timestamp() as is_active,
            case when ends > clock_timestamp() then bound_at else ends end as until
       from (select *, least(coalesce(ends_at, 'infinity'), last_seen_at + interval '${horizonDays} days') as ends
               from anonymous_bindings where anonymous_id = ?) b
      order by bound_at desc, created_at desc limit 1`,
    [anonymous_id],
  );
  return rows[0];
}

async function keepBinding(trx: Knex, id: string, grant_id: string | null): Promise<void> {
  await trx('anonymous_bindings')
    .where({ id })
    .update({ last_seen_at: trx.fn.now(), ...(grant_id !== null && { grant_id }) });
}

type NewBinding = {
  anonymous_id: string;
  subject_id: string;
  method: string;
  grant_id?: string | undefined;
  at?: Date | undefined;
  looks_back: boolean;
  not_before: Date | null;
};

/**
 * The proof's moment counts, not its arrival, but ten minutes back at most (an ID token is valid no longer): further back is a
 * look-back, which needs consent. Where an active binding is replaced, both it and the look-back end at that moment. The clock is read
 * after the lock was had: now() is when the transaction began, before those it waited for. A binding begins and ends on a whole
 * millisecond, because events know no finer time: else what happens at once after a sign-in would seem to be from before it.
 */
async function insertBinding(trx: Knex, binding: NewBinding): Promise<string> {
  const { rows } = await trx.raw(
    `with moment as (
       select greatest(least(:at::timestamptz, ms), ms - interval '10 minutes', :not_before::timestamptz) as at, now
         from clock_timestamp() as now, date_trunc('milliseconds', now) as ms
     )
     insert into anonymous_bindings (anonymous_id, subject_id, method, grant_id, bound_at, created_at, last_seen_at, looks_back_to)
     select :anonymous_id, :subject_id::uuid, :method, :grant_id, at, now, greatest(at, now),
            case when :looks_back::boolean and not exists (
                   select from anonymous_bindings where anonymous_id = :anonymous_id
                      and least(coalesce(ends_at, 'infinity'), last_seen_at + interval '${horizonDays} days') > now)
                 then greatest(at - interval '${horizonDays} days', :not_before::timestamptz) else at end
       from moment
     returning id`,
    { ...binding, grant_id: binding.grant_id ?? null, at: binding.at ?? null },
  );
  return rows[0].id;
}

/** Ends one binding where the next begins. */
async function endBinding(trx: Knex, id: string, next: string): Promise<void> {
  await trx('anonymous_bindings')
    .where({ id })
    .update({ ends_at: trx('anonymous_bindings').select('bound_at').where({ id: next }) });
}

/** As the question that comes before storing answers it; times in milliseconds since 1970. */
export type KnownBinding = {
  id: string;
  anonymous_id: string;
  subject_id: string;
  from: number;
  until: number;
  bound_at: number;
  is_stale: boolean;
};

/** The newest binding in force at this moment. @param bindings of one anonymous id, the newest first */
export function boundTo(bindings: KnownBinding[], at: number): string | null {
  return bindings.find(({ from, until }) => from <= at && at < until)?.subject_id ?? null;
}

/**
 * Part of the question that comes before storing ($5 is now, $6 are anonymous ids, $7 the first and the last moment of their events). `offset 0`
 * keeps the bindings a probe of the index for each visitor, however few there were when it was planned; the inner select keeps the
 * number of visitors from the planner, who would plan anew for each.
 */
export const bindingsSql = `bindings as (
    select a.id, v.anonymous_id, a.subject_id, extract(epoch from a.looks_back_to) * 1000 as "from", extract(epoch from a.until) * 1000 as until,
           extract(epoch from a.bound_at) * 1000 as bound_at, a.is_stale
      from unnest((select $6::text[])) as v (anonymous_id) cross join lateral (
        select id, subject_id, looks_back_to, bound_at,
               least(coalesce(ends_at, 'infinity'), last_seen_at + interval '${horizonDays} days') as until,
               ends_at is null and last_seen_at < $5::timestamptz - interval '1 hour' as is_stale
          from anonymous_bindings where anonymous_id = v.anonymous_id offset 0
      ) a
     where a.looks_back_to <= ($7::timestamptz[])[2] and a.until > ($7::timestamptz[])[1]
       and exists (select from current_subjects c where c.requested_id = a.subject_id and c.status <> 'deleted')
  )`;

/**
 * Keeps bindings that were used from idling out, where once an hour is enough; a row that another process holds is left to it.
 * @param ids as the database answered them
 */
export const keepUsed = (ids: string[], now: Date) => `
  update anonymous_bindings set last_seen_at = '${now.toISOString()}' where id in (
    select id from anonymous_bindings where id = any ('{${ids.join(',')}}') for update skip locked)`;

/**
 * Counts what bindings look back to, once, when nothing can be added to it any more: a batch that was being stored when the binding
 * was made did not see it and leaves its events without subject. Such a transaction began in the first minute at the latest.
 */
export async function settleLookbacks(db: Knex, limit: number): Promise<number> {
  const { rows } = await db.raw(
    `with settled as (
       update anonymous_bindings set is_counted = true where id in (
         select id from anonymous_bindings b
          where not is_counted and created_at < now() - interval '1 minute'
            and not exists (select from pg_stat_activity a where a.datname = current_database() and a.pid <> pg_backend_pid()
                               and a.xact_start < b.created_at + interval '1 minute')
          order by created_at limit ? for update skip locked)
       returning id
     ), found as (
       select b.subject_id, e.channel, e.event, e.counts, e."timestamp"
         from settled join binding_lookbacks b on b.binding_id = settled.id
         join recorded_events e on e.anonymous_key = b.anonymous_key and e.subject_id is null and e.is_attributable
                               and e."timestamp" >= b.from_at and e."timestamp" < b.until_at
     ), activity as (
       ${addActivity('found')}
     )
     select count(*) as n from settled`,
    [limit],
  );
  return rows[0].n;
}
