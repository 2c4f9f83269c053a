/** `heyi migrate`: the schema alone, before the servers of a new version start. */
import { loadConfig } from '../config.ts';
import { migrate } from '../database.ts';
import { type Command, withUrl } from './command.ts';

export const migrateCommand: Command = {
  name: 'migrate',
  summary: 'bring the database schema up to date',
  details: 'Safe beside running servers and beside another migration: they wait for each other.',
  options: {},
  async run() {
    const applied = await withUrl(loadConfig(), migrate);
    const text = applied.length ? applied.map((name) => `applied ${name}`).join('\n') : 'The schema is up to date.';
    return { data: { applied }, text };
  },
};
