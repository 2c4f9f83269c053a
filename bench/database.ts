/** A durable PostgreSQL of the bench's own, migrated. */
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createDatabase, type Database, migrate } from '../src/database.ts';
import { startPostgres } from '../src/postgres.ts';

export async function withDatabase<T>(measure: (place: { db: Database; url: string }) => Promise<T>): Promise<T> {
  const dataDir = mkdtempSync(join(tmpdir(), 'heyi-bench-'));
  const postgres = await startPostgres({ dataDir });
  try {
    await migrate(postgres.url);
    const db = createDatabase({ url: postgres.url, pool: 20 });
    try {
      return await measure({ db, url: postgres.url });
    } finally {
      await db.destroy();
    }
  } finally {
    await postgres.stop();
    rmSync(dataDir, { recursive: true, force: true });
  }
}
