/** One real PostgreSQL for the whole run, and one migrated template database that each test file clones. */
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import pg from 'pg';
import type { TestProject } from 'vitest/node';
import { migrate } from '../../src/database.ts';
import { createJobs } from '../../src/jobs.ts';
import { createLogger } from '../../src/log.ts';
import { startPostgres } from '../../src/postgres.ts';

declare module 'vitest' {
  export interface ProvidedContext {
    postgresUrl: string;
    /** Folder for what processes of the product compile: reading the program is most of what a start takes. */
    compiled: string;
  }
}

export const templateName = 'heyi_template';

export default async function setup(project: TestProject): Promise<() => Promise<void>> {
  const dataDir = mkdtempSync(join(tmpdir(), 'heyi-test-'));
  const postgres = await startPostgres({ dataDir, durable: false });
  const admin = new pg.Client({ connectionString: postgres.url });
  await admin.connect();
  await admin.query(`create database ${templateName}`);
  await admin.end();
  const url = postgres.url.replace(/\/[^/]*$/, `/${templateName}`);
  await migrate(url);
  // The queue's own tables too, which every start of the product would make.
  const jobs = createJobs({ url, log: createLogger({ level: 'silent' }), work: false });
  await jobs.start();
  await jobs.stop();
  project.provide('postgresUrl', postgres.url);
  project.provide('compiled', join(dataDir, 'compiled'));
  return async () => {
    await postgres.stop();
    rmSync(dataDir, { recursive: true, force: true });
  };
}
