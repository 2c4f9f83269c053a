/** A database of its own for each test file: a clone of the migrated template (0.2 s). */
import pg from 'pg';
import { afterAll, inject } from 'vitest';
import { createDatabase, type Database } from '../../src/database.ts';

export type TestDatabase = { db: Database; url: string };

/** Call at the top level of a test file (or of a describe); dropped when the file is done. */
export async function testDatabase(): Promise<TestDatabase> {
  const postgresUrl = inject('postgresUrl');
  const name = `heyi_test_${crypto.randomUUID().replaceAll('-', '')}`;
  const admin = new pg.Client({ connectionString: postgresUrl });
  await admin.connect();
  await admin.query(`create database ${name} template heyi_template`);
  const url = postgresUrl.replace(/\/[^/]*$/, `/${name}`);
  const db = createDatabase({ url });
  afterAll(async () => {
    await db.destroy();
    await admin.query(`drop database ${name} with (force)`);
    await admin.end();
  });
  return { db, url };
}
