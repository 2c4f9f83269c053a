import pg from 'pg';
import { afterAll, describe, expect, inject, it } from 'vitest';
import { createDatabase, migrate } from '../../src/database.ts';

const postgresUrl = inject('postgresUrl');
const admin = new pg.Client({ connectionString: postgresUrl });
await admin.connect();
const made: string[] = [];
afterAll(async () => {
  for (const name of made) await admin.query(`drop database ${name} with (force)`);
  await admin.end();
});

async function emptyDatabase(): Promise<string> {
  const name = `heyi_migrate_${crypto.randomUUID().replaceAll('-', '')}`;
  await admin.query(`create database ${name}`);
  made.push(name);
  return postgresUrl.replace(/\/[^/]*$/, `/${name}`);
}

describe('migrate', () => {
  it('by three processes at once applies each migration once', async () => {
    const url = await emptyDatabase();
    const applied = await Promise.all([migrate(url), migrate(url), migrate(url)]);
    const counts = applied.map((names) => names.length).sort();
    expect(counts.slice(0, 2)).toEqual([0, 0]);
    expect(counts[2]).toBeGreaterThan(4);
  });

  it('goes on after a process that was killed while it migrated left its lock behind', async () => {
    const url = await emptyDatabase();
    await migrate(url);
    const db = createDatabase({ url });
    await db('migrations_lock').update({ is_locked: 1 });
    const interrupted = '20261123_6_api';
    await db.raw('drop table idempotency_keys');
    await db('migrations').where({ name: interrupted }).delete();
    await db.destroy();
    expect(await migrate(url)).toEqual([interrupted]);
  });

  it('refuses a schema that a newer version made, in a sentence', async () => {
    const url = await emptyDatabase();
    await migrate(url);
    const db = createDatabase({ url });
    await db('migrations').insert({ name: '99990101_from_the_future', batch: 9, migration_time: db.fn.now() });
    await db.destroy();
    await expect(migrate(url)).rejects.toThrow(/newer Heyi/);
  });

  it('leaves a comment on every table', async () => {
    const url = await emptyDatabase();
    await migrate(url);
    const db = createDatabase({ url });
    const { rows } = await db.raw(
      `select relname from pg_class where relnamespace = 'public'::regnamespace and relkind in ('r', 'p') and not relispartition
          and relname not like 'migrations%' and obj_description(oid) is null`,
    );
    await db.destroy();
    expect(rows).toEqual([]);
  });
});
