/**
 * Secrets that work once and for minutes: the state of a redirect, a code on a screen, a handover address. What a ticket
 * stands for stays here, sealed; the value that travels is 128 random bits and means nothing by itself. Owns the table tickets.
 *
 * Whoever hands one out binds it in its payload to what asked for it (browser, person, client) and compares on the way back: a
 * ticket that was forwarded or stolen must prove nothing by itself (identity rule 5).
 */
import { randomBytes } from 'node:crypto';
import type { Knex } from 'knex';
import type { Seal } from './seal.ts';

type Services = { db: Knex; seal: Seal };

/** What a ticket is for; it opens as nothing else. */
export type TicketKind = string;
export type Ticket<Payload> = { payload: Payload; state: string; expires_in: number };

const sealContext = (id_hash: string) => `tickets ${id_hash}`;
const hashOf = (seal: Seal, kind: TicketKind, value: string) => seal.hash(value, `ticket ${kind}`);

/** @returns 22 characters of base64url, which fit the scene of a mini-program code. `value`: one made elsewhere; it takes the place of an older one. */
export async function issueTicket(
  { db, seal }: Services,
  {
    kind,
    payload,
    seconds,
    value = newTicketValue(),
  }: { kind: TicketKind; payload: object; seconds: number; value?: string },
): Promise<string> {
  const id_hash = hashOf(seal, kind, value);
  const payload_sealed = seal.seal(JSON.stringify(payload), sealContext(id_hash));
  // A few that are over go with each new one: no scheduler, no pile. Expiry is set and read by the database's clock.
  await db.raw(
    `with gone as (
       delete from tickets where id_hash in (
         select id_hash from tickets where expires_at < now() - interval '1 hour' limit 20 for update skip locked)
     )
     insert into tickets (id_hash, kind, payload_sealed, expires_at)
     values (?, ?, ?, now() + make_interval(secs => ?))
     on conflict (id_hash) do update
       set state = 'open', payload_sealed = excluded.payload_sealed, expires_at = excluded.expires_at, created_at = now()`,
    [id_hash, kind, payload_sealed, seconds],
  );
  return value;
}

function newTicketValue(): string {
  return randomBytes(16).toString('base64url');
}

type Row = { payload_sealed: string; state: string; expires_in: number };

function opened<Payload>(seal: Seal, id_hash: string, row: Row | undefined): Ticket<Payload> | undefined {
  if (!row) return undefined;
  return {
    payload: JSON.parse(seal.open(row.payload_sealed, sealContext(id_hash))),
    state: row.state,
    expires_in: Math.ceil(Number(row.expires_in)),
  };
}

const left = 'extract(epoch from expires_at - now()) as expires_in';

/** Looks without spending. Undefined when it never was, has expired, was spent, or is of another kind. */
export async function readTicket<Payload>(
  { db, seal }: Services,
  kind: TicketKind,
  value: string,
): Promise<Ticket<Payload> | undefined> {
  const id_hash = hashOf(seal, kind, value);
  const row = await db('tickets')
    .select('payload_sealed', 'state', db.raw(left))
    .where({ id_hash, kind })
    .andWhere('expires_at', '>', db.fn.now())
    .first();
  return opened(seal, id_hash, row);
}

/** Spends it: of any number of parallel takers, over any number of processes, one gets it. `from`: only in this state. */
export async function takeTicket<Payload>(
  { db, seal }: Services,
  kind: TicketKind,
  value: string,
  from = 'open',
): Promise<Ticket<Payload> | undefined> {
  const id_hash = hashOf(seal, kind, value);
  const [row] = await db('tickets')
    .where({ id_hash, kind, state: from })
    .andWhere('expires_at', '>', db.fn.now())
    .delete()
    .returning(['payload_sealed', 'state', db.raw(left)]);
  return opened(seal, id_hash, row as Row | undefined);
}

/** Moves it on in one statement; false when it is not in the state it should be in. */
export async function advanceTicket(
  { db, seal }: Services,
  kind: TicketKind,
  value: string,
  { from, to, payload }: { from: string; to: string; payload: object },
): Promise<boolean> {
  const id_hash = hashOf(seal, kind, value);
  const changed = await db('tickets')
    .where({ id_hash, kind, state: from })
    .andWhere('expires_at', '>', db.fn.now())
    .update({ state: to, payload_sealed: seal.seal(JSON.stringify(payload), sealContext(id_hash)) });
  return changed === 1;
}
