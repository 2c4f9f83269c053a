/** What a `heyi` command is, and what every command shares: its options, and the database as the server would open it. */
import type { ParseArgsOptionDescriptor } from 'node:util';
import { type Config, loadConfig } from '../config.ts';
import { createDatabase, type Database, migrate, pendingMigrations } from '../database.ts';
import { fail, StartupError } from '../errors.ts';
import { assertSameSecret, createSeal, type Seal } from '../seal.ts';

export type Option = ParseArgsOptionDescriptor & { help: string; required?: true };

export type Values = Record<string, string | boolean | (string | boolean)[] | undefined>;

/** `data` is printed with --json, `text` without. */
export type Answer = { data: unknown; text: string; failed?: boolean };

export type Command = {
  /** The words after `heyi`. */
  name: string;
  summary: string;
  /** Told by --help after the options. */
  details?: string;
  /** A word after the name, always required; among the values under its name. */
  argument?: { name: string; help: string };
  options: Record<string, Option>;
  run(values: Values): Promise<Answer>;
};

/** A command that was typed wrongly: exit code 2, and where to read more. */
export const usageError = (message: string): Error => fail('bad_request', { message });

export type Opened = { config: Config; db: Database; seal: Seal; url: string };

/**
 * The database of DATABASE_URL, else the embedded one: that of the running server, or started for the moment.
 */
export async function withUrl<Result>(config: Config, use: (url: string) => Promise<Result>): Promise<Result> {
  if (config.databaseUrl) return use(config.databaseUrl);
  // Loaded here, so that a command on DATABASE_URL does not need the embedded packages.
  const { borrowPostgres } = await import('../postgres.ts');
  const postgres = await borrowPostgres(config.dataDir);
  const stop = () => void postgres.stop().finally(() => process.exit(1));
  const signals = ['SIGINT', 'SIGTERM', 'SIGHUP'] as const;
  for (const signal of signals) process.once(signal, stop);
  try {
    // Nobody else can be migrating a database that runs for this command alone; a server brings its own up to date.
    if (postgres.own) await migrate(postgres.url);
    return await use(postgres.url);
  } finally {
    for (const signal of signals) process.removeListener(signal, stop);
    await postgres.stop();
  }
}

/** For commands on an up-to-date schema and with the secret that it was sealed with. */
export async function withDatabase<Result>(use: (opened: Opened) => Promise<Result>): Promise<Result> {
  const config = loadConfig();
  return withUrl(config, async (url) => {
    const pending = await pendingMigrations(url);
    if (pending.length) {
      throw new StartupError(`The database lacks ${pending.length} migrations: run "npx heyi migrate" first.`);
    }
    const db = createDatabase({ url, pool: 2, application: 'heyi-cli' });
    try {
      const seal = createSeal(config.secret);
      await assertSameSecret(db, seal);
      return await use({ config, db, seal, url });
    } finally {
      await db.destroy();
    }
  });
}

/** Chinese takes two columns of a terminal. */
const columnsOf = (text: string) => text.replace(/[\p{Script=Han}\u3000-\u303f\uff01-\uff60]/gu, '  ').length;

/** Rows as aligned columns, for people. */
export function table(headings: string[], rows: string[][]): string {
  const widths = headings.map((heading, i) =>
    Math.max(columnsOf(heading), ...rows.map((row) => columnsOf(row[i] ?? ''))),
  );
  return [headings, ...rows]
    .map((row) =>
      row
        .map((cell, i) => cell + ' '.repeat((widths[i] ?? 0) - columnsOf(cell)))
        .join('  ')
        .trimEnd(),
    )
    .join('\n');
}
