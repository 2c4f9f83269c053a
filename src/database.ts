/**
 * The connection pool, transactions and migrations. Tables belong to the folders whose store.ts names them.
 */
import { readdirSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import knex, { type Knex } from 'knex';
import pg from 'pg';
import { StartupError } from './errors.ts';

export type Database = Knex;

// bigint counters stay far below 2^53, and a string in JSON would surprise every reader.
pg.types.setTypeParser(pg.types.builtins.INT8, Number);

export type DatabaseOptions = { url: string; pool?: number; application?: string };

export function createDatabase({ url, pool = 10, application = 'heyi' }: DatabaseOptions): Database {
  return knex({
    client: 'pg',
    connection: {
      connectionString: url,
      application_name: application,
      connectionTimeoutMillis: 5_000,
      keepAlive: true,
    },
    // A request never hangs longer than this for a connection: it fails with 503 and the client retries.
    acquireConnectionTimeout: 5_000,
    // What a statement that failed was given is people's; its text is enough to find it.
    compileSqlOnError: false,
    pool: { min: 0, max: pool, idleTimeoutMillis: 30_000 },
    // knex prints coloured stack traces to standard output; the same errors reach the caller, who logs them.
    log: { warn() {}, error() {}, debug() {}, deprecate() {} },
  });
}

/**
 * Kept prepared on each connection, for the few statements of every sign-in: parsing and planning such a join costs PostgreSQL
 * more than running it, and knex's formatting costs us as much again. `$1` placeholders; one name always stands for one text.
 */
export async function prepared<Row>(db: Knex, name: string, text: string, values: unknown[]): Promise<Row[]> {
  const connection = await db.client.acquireConnection();
  try {
    const { rows } = await connection.query({ name, text, values });
    return rows;
  } finally {
    await db.client.releaseConnection(connection);
  }
}

type Waiting<In, Out> = { item: In; resolve(out: Out): void; reject(error: unknown): void };
type Queue<In, Out> = { waiting: Waiting<In, Out>[]; weight: number; running: number };

/** Statements of one kind on their way at once; what comes meanwhile goes with the next. */
const lanes = 2;
type Together<In> = {
  /** 1 unless told otherwise. */
  weigh?: (item: In) => number;
  /** So much goes together at most; a heavier call goes with what it has. */
  most?: number;
  /** While others are on their way, so much must wait before more goes: where a round trip costs more than what is in it. */
  enough?: number;
};

/**
 * Turns a statement for many into a call for one. Calls of requests that are served at the same time travel in one round
 * trip and commit together; a lone call goes at once. Measured on two cores with 16 requests at a time: the system calls and
 * wake-ups of a round trip cost more than everything else of a token request, and this halves them.
 * In a transaction each call is its own statement. When a batch fails, each call is tried alone and answers for itself.
 */
export function batched<In, Out>(
  run: (db: Knex, items: In[]) => Promise<Out[]>,
  { weigh = () => 1, most = 64, enough = 1 }: Together<In> = {},
): (db: Knex, item: In) => Promise<Out> {
  const queues = new WeakMap<Knex, Queue<In, Out>>();
  const alone = async (db: Knex, item: In) => (await run(db, [item]))[0] as Out;
  const answer = async (db: Knex, batch: Waiting<In, Out>[]) => {
    try {
      const results = await run(
        db,
        batch.map(({ item }) => item),
      );
      for (const [at, { resolve }] of batch.entries()) resolve(results[at] as Out);
    } catch (error) {
      if (batch.length === 1 || isDatabaseAway(error)) for (const { reject } of batch) reject(error);
      else await Promise.all(batch.map(({ item, resolve, reject }) => alone(db, item).then(resolve, reject)));
    }
  };
  const drain = async (db: Knex, queue: Queue<In, Out>) => {
    while (queue.waiting.length && (queue.running === 1 || queue.weight >= enough)) {
      let weight = 0;
      const end = queue.waiting.findIndex(({ item }) => {
        weight += weigh(item);
        return weight >= most;
      });
      queue.weight -= weight;
      await answer(db, queue.waiting.splice(0, end < 0 ? queue.waiting.length : end + 1));
    }
    queue.running--;
  };
  return (db, item) => {
    if (db.isTransaction) return alone(db, item);
    const queue = queues.get(db) ?? { waiting: [], weight: 0, running: 0 };
    queues.set(db, queue);
    return new Promise((resolve, reject) => {
      queue.waiting.push({ item, resolve, reject });
      queue.weight += weigh(item);
      if (queue.running >= lanes || (queue.running > 0 && queue.weight < enough)) return;
      queue.running++;
      // After all sockets that are readable now were read: their requests travel together.
      setImmediate(drain, db, queue);
    });
  };
}

const victim = new Set(['40P01', '40001']);
const mostTries = 4;

/**
 * A transaction for work that locks several people: the loser of a deadlock did nothing and simply tries again. Inside the
 * caller's transaction it is a part of that one, which answers for the whole.
 */
export async function inTransaction<T>(db: Knex, work: (trx: Knex.Transaction) => Promise<T>): Promise<T> {
  for (let tries = 1; ; tries++) {
    try {
      return await db.transaction(work);
    } catch (error) {
      const isVictim = victim.has((error as { code?: string }).code ?? '');
      if (!isVictim || db.isTransaction || tries === mostTries) throw error;
    }
  }
}

const migrationsFolder = fileURLToPath(new URL('../migrations/', import.meta.url));

/** Migrations by name without the file ending: knex stores the name, and calls the folder corrupt when `.ts` turns to `.js`. */
const migrationSource: Knex.MigrationSource<string> = {
  getMigrations: async () =>
    readdirSync(migrationsFolder)
      .filter((file) => /\.(ts|js)$/.test(file))
      .map((file) => file.replace(/\.(ts|js)$/, ''))
      .sort(),
  getMigrationName: (name) => name,
  getMigration: async (name) => ({ ...(await import(`../migrations/${name}.ts`)), down: forwardOnly }),
};

async function forwardOnly(): Promise<void> {
  throw new Error('migrations only go forward: restore a backup instead');
}

const migrationLock = 0x48657969; // "Heyi"

/**
 * Brings the schema up to date. Two processes at once are safe: an advisory lock, which the database drops with the
 * connection, orders them. knex's own lock row outlives a kill -9, so it is cleared under that lock.
 */
export async function migrate(url: string): Promise<string[]> {
  const db = createDatabase({ url, pool: 2, application: 'heyi-migrate' });
  const lock = await db.client.acquireConnection().catch((cause: unknown) => unreachable(url, cause));
  try {
    await refuseOldServer(lock);
    await lock.query('select pg_advisory_lock($1)', [migrationLock]);
    const options: Knex.MigratorConfig = { migrationSource, tableName: 'migrations' };
    const [completed] = await db.migrate.list(options).catch(refuseNewerSchema);
    if (completed.length) await db.migrate.forceFreeMigrationsLock(options);
    const [, applied] = await db.migrate.latest(options).catch(refuseNewerSchema);
    return applied;
  } finally {
    await lock.query('select pg_advisory_unlock($1)', [migrationLock]).catch(() => {});
    await db.client.releaseConnection(lock);
    await db.destroy();
  }
}

/** Names of migrations the database lacks. @throws StartupError as migrate does. */
export async function pendingMigrations(url: string): Promise<string[]> {
  const db = createDatabase({ url, pool: 1, application: 'heyi-migrate' });
  try {
    await db.raw('select 1').catch((cause: unknown) => unreachable(url, cause));
    const [, pending] = await db.migrate.list({ migrationSource, tableName: 'migrations' }).catch(refuseNewerSchema);
    return pending;
  } finally {
    await db.destroy();
  }
}

async function refuseOldServer(client: pg.Client): Promise<void> {
  const { rows } = await client.query('show server_version_num');
  const major = Math.floor(Number(rows[0].server_version_num) / 10_000);
  if (major < 14)
    throw new StartupError(`PostgreSQL ${major} is too old: DATABASE_URL must name PostgreSQL 14 or newer.`);
}

function refuseNewerSchema(error: Error): never {
  if (!error.message.includes('migration directory is corrupt')) throw error;
  throw new StartupError(
    'The database was migrated by a newer Heyi. Start that version, or restore the backup made before it.',
  );
}

function unreachable(url: string, cause: unknown): never {
  const { hostname, port, pathname } = new URL(url);
  const reason = cause instanceof Error ? cause.message || (cause as { code?: string }).code : String(cause);
  throw new StartupError(
    `The database ${hostname}:${port || 5432}${pathname} cannot be reached (${reason}). Check DATABASE_URL and that PostgreSQL runs.`,
  );
}

const lostConnection = new Set([
  '08000',
  '08003',
  '08006',
  '57P01',
  '57P02',
  '57P03',
  '53300',
  'ECONNREFUSED',
  'ECONNRESET',
  'EPIPE',
  'ETIMEDOUT',
]);

/** True when an error means that the database went away, not that the statement was wrong: such a request answers 503. */
export function isDatabaseAway(error: unknown): boolean {
  if (!(error instanceof Error)) return false;
  if (error.name === 'KnexTimeoutError' || error.message.startsWith('Connection terminated')) return true;
  // The pool gave a connection whose end it had not heard of yet.
  if (error.message.endsWith('is not queryable')) return true;
  if (error.message === 'timeout expired' || error.message.includes('Unable to acquire a connection')) return true;
  return lostConnection.has((error as { code?: string }).code ?? '');
}

/** What SQLSTATE says of the rows of a statement: their values, a constraint, a size, a trigger. */
const ofValues = ['22', '23', '54', 'P0'];
/** The same of rows, or of what lies on the disk. */
const ofRows = new Set([...ofValues, 'XX']);
/** More memory, locks or room on the disk for what is sorted than one statement may have: less is asked for fewer. */
const ofSize = new Set(['53200', '53400']);

/**
 * True when it lies in what the work was about, so that the same work about something else may go well: not in the connection, the
 * server, another transaction or the statement. An error of our own counts.
 */
export function isAboutRows(error: unknown): boolean {
  const code = (error as { code?: unknown }).code;
  if (typeof code !== 'string') return !isDatabaseAway(error);
  return code.startsWith('ERR_') || ofSize.has(code) || (code.length === 5 && ofRows.has(code.slice(0, 2)));
}

/**
 * True when the same row will be refused again. Not for what the database is short of or what is broken in it; and of our own errors only for
 * a number that its column cannot hold, as any other may befall every row.
 */
export function isRefusal(error: unknown): boolean {
  const code = (error as { code?: unknown }).code;
  if (typeof code !== 'string') return false;
  return code === 'ERR_OUT_OF_RANGE' || (code.length === 5 && ofValues.includes(code.slice(0, 2)));
}

/** True when a lock was not to be had within its lock_timeout. */
export function isLockTimeout(error: unknown): boolean {
  return error instanceof Error && (error as { code?: string }).code === '55P03';
}

/** Of each statement from here to the end of the transaction. What takes longer fails (isTimedOut). */
export async function limitTime(trx: Knex, milliseconds: number): Promise<void> {
  await trx.raw(`select set_config('statement_timeout', ?, true)`, [String(milliseconds)]);
}

/** True when a statement took longer than limitTime allows. */
export function isTimedOut(error: unknown): boolean {
  return error instanceof Error && (error as { code?: string }).code === '57014';
}
