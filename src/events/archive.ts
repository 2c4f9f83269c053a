/**
 * Events older than the company keeps: each month is written to a file, completely and onto the disk, before it is dropped; and what is in
 * such a file can be brought back. A file is gzipped, a line an event as JSON, in the fields of the view recorded_events.
 *
 * Killed at any moment, nothing is lost: until the file has its name the month is in the database, and a file is never written over.
 */
import { createReadStream, createWriteStream, existsSync } from 'node:fs';
import { mkdir, open, rename, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { Readable } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import { createGunzip, createGzip } from 'node:zlib';
import type { Knex } from 'knex';
import { z } from 'zod';
import type { Clock } from '../clock.ts';
import { type Database, isLockTimeout } from '../database.ts';
import { fail } from '../errors.ts';
import type { Logger } from '../log.ts';
import type { EventRow } from './store.ts';
import { storeAgain } from './store-once.ts';
import { trusts } from './trust.ts';

export type Archived = { month: string; file: string; events: number };

const monthOf = (at: Date) => at.toISOString().slice(0, 7);

/** Writes a month (`2026-10`, UTC, by the time of receipt) into a new file of this folder; the database keeps it. @throws invalid_fields */
export async function exportMonth(db: Database, month: string, folder: string): Promise<Archived> {
  const starts = new Date(`${month}-01T00:00:00Z`);
  if (!/^\d{4}-\d{2}$/.test(month) || Number.isNaN(starts.getTime()))
    throw fail('invalid_fields', { fields: { month: 'A month is written as 2026-10.' } });
  const ends = new Date(Date.UTC(starts.getUTCFullYear(), starts.getUTCMonth() + 1));
  await mkdir(folder, { recursive: true, mode: 0o700 });
  const part = join(folder, `events-${month}.${process.pid}.part`);
  const events = await writeEvents(db, [starts, ends], part).catch(async (error) => {
    await rm(part, { force: true });
    throw error;
  });
  const file = freeName(folder, month);
  await rename(part, file);
  await syncFolder(folder);
  return { month, file, events };
}

/** The month as it is at one moment, onto the disk. @returns how many events */
async function writeEvents(db: Database, range: [Date, Date], file: string): Promise<number> {
  return db.transaction(
    async (trx) => {
      let events = 0;
      await trx.raw(
        `declare exported no scroll cursor for select to_json(e)::text as line from recorded_events e
          where received_at >= ? and received_at < ? order by received_at, id`,
        range,
      );
      const lines = async function* () {
        for await (const portion of fetched(trx)) {
          events += portion.length;
          yield `${portion.join('\n')}\n`;
        }
      };
      await pipeline(Readable.from(lines()), createGzip(), createWriteStream(file, { mode: 0o600, flush: true }));
      return events;
    },
    { isolationLevel: 'repeatable read', readOnly: true },
  );
}

async function* fetched(trx: Knex): AsyncGenerator<string[]> {
  for (;;) {
    const { rows } = await trx.raw('fetch 1000 from exported');
    if (!rows.length) return;
    yield rows.map(({ line }: { line: string }) => line);
  }
}

/** An archive that is there holds what may be nowhere else. */
function freeName(folder: string, month: string): string {
  for (let n = 1; ; n++) {
    const file = join(folder, `events-${month}${n > 1 ? `.${n}` : ''}.ndjson.gz`);
    if (!existsSync(file)) return file;
  }
}

/** A new name is on the disk when its folder is. */
async function syncFolder(folder: string): Promise<void> {
  const handle = await open(folder, 'r');
  await handle.sync().finally(() => handle.close());
}

type Archiving = {
  db: Database;
  clock: Clock;
  log: Logger;
  /** Called in the transaction that removes what was received before this moment. */
  removed?: ((trx: Knex.Transaction, until: Date) => Promise<void>) | undefined;
};

/** Months before those that are kept: written, then dropped. One that changed meanwhile, or is being read for long, is left to the next run. */
export async function archiveOldMonths(
  { db, clock, log, removed }: Archiving,
  { keepMonths, archiveDir }: { keepMonths: number | undefined; archiveDir: string },
): Promise<Archived[]> {
  if (keepMonths === undefined) return [];
  const now = clock.now();
  const keptFrom = new Date(Date.UTC(now.getUTCFullYear(), now.getUTCMonth() - keepMonths));
  const { rows } = await db.raw('select name, starts_at from event_partitions() where starts_at < ? order by 2', [
    keptFrom,
  ]);
  const done: Archived[] = [];
  for (const { name, starts_at } of rows) {
    const archived = await exportMonth(db, monthOf(starts_at), archiveDir);
    const until = new Date(Date.UTC(starts_at.getUTCFullYear(), starts_at.getUTCMonth() + 1));
    if (!(await dropMonth(db, { name, events: archived.events, until }, removed))) {
      await rm(archived.file);
      log.warn({ month: archived.month }, 'events: the month changed or is being read; it stays until the next run');
      continue;
    }
    log.info(archived, 'events: month archived and removed');
    done.push(archived);
  }
  return done;
}

async function dropMonth(
  db: Database,
  { name, events, until }: { name: string; events: number; until: Date },
  removed: Archiving['removed'],
): Promise<boolean> {
  try {
    return await db.transaction(async (trx) => {
      const { rows } = await trx.raw('select drop_event_partition(?, ?) as done', [name, events]);
      if (rows[0].done) await removed?.(trx, until);
      return rows[0].done;
    });
  } catch (error) {
    // Somebody reads for long.
    if (isLockTimeout(error)) return false;
    throw error;
  }
}

type Imported = { events: number; stored: number; until: Date | null };

/**
 * Brings back what such a file holds: as it was recorded, not counted again, and what is there already is left as it is, so that it may be
 * repeated. @returns how many it held, how many were missing, and when the last of them was received @throws invalid_fields naming the line
 */
export async function importEvents(db: Database, file: string): Promise<Imported> {
  const total: Imported = { events: 0, stored: 0, until: null };
  let rows: EventRow[] = [];
  const store = async () => {
    if (rows.length) total.stored += await storeAgain(db, rows);
    rows = [];
  };
  try {
    await pipeline(createReadStream(file), createGunzip(), async (chunks: AsyncIterable<Buffer>) => {
      for await (const line of linesOf(chunks)) {
        const row = readRow(line, ++total.events);
        rows.push(row);
        if (total.until === null || row.received_at > total.until) total.until = row.received_at;
        if (rows.length === 500) await store();
      }
      await store();
    });
  } catch (error) {
    const { code, message } = error as { code?: string; message: string };
    // Of the file, not of the database: it is not there, or it ends in the middle.
    if (code === 'ENOENT' || code?.startsWith('Z_')) throw fail('invalid_fields', { fields: { file: message } });
    throw error;
  }
  return total;
}

async function* linesOf(chunks: AsyncIterable<Buffer>): AsyncGenerator<string> {
  const decoder = new TextDecoder();
  let rest = '';
  for await (const chunk of chunks) {
    const lines = (rest + decoder.decode(chunk, { stream: true })).split('\n');
    rest = lines.pop() ?? '';
    yield* lines;
  }
  if (rest !== '') yield rest;
}

const time = z.iso.datetime({ offset: true }).transform((text) => new Date(text));
const record = z.record(z.string(), z.unknown());
const archivedRow = z.object({
  id: z.uuid(),
  received_at: time,
  source_id: z.int(),
  timestamp: time.transform((at) => at.getTime()),
  original_timestamp: time.transform((at) => at.getTime()).nullable(),
  subject_id: z.uuid().nullable(),
  counts: z.boolean(),
  is_attributable: z.boolean(),
  message_id: z.string(),
  type: z.string(),
  event: z.string(),
  original_event: z.string().nullable(),
  channel: z.string(),
  trust: z.enum(trusts),
  anonymous_id: z.string().nullable(),
  claimed_user_id: z.string().nullable(),
  consents: z.array(z.string()),
  properties: record,
  context: record,
});

function readRow(line: string, n: number): EventRow {
  try {
    return archivedRow.parse(JSON.parse(line));
  } catch {
    throw fail('invalid_fields', { fields: { file: `Line ${n} is not an event of an archive.` } });
  }
}
