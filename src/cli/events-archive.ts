/** `heyi events export` and `heyi events import`: a month of events into a file, and what such a file holds back into the database. */
import { resolve } from 'node:path';
import { systemClock } from '../clock.ts';
import { exportMonth, importEvents } from '../events/archive.ts';
import { rebuildSeeing } from '../segments/build.ts';
import { type Command, withDatabase } from './command.ts';

export const eventsExport: Command = {
  name: 'events export',
  summary: 'write the events of a month into a file; the database keeps them',
  details:
    'The file is gzipped, one event a line as JSON. It holds what people did, so it is as confidential as a backup.',
  options: {
    month: { type: 'string', help: 'such as 2026-10, in UTC, by the time of receipt', required: true },
    folder: { type: 'string', help: 'where to write it; ARCHIVE_DIR unless given' },
  },
  async run({ month, folder }) {
    const done = await withDatabase(({ config, db }) =>
      exportMonth(db, String(month), folder === undefined ? config.events.archiveDir : resolve(String(folder))),
    );
    return { data: done, text: `${done.events} events of ${done.month} in ${done.file}` };
  },
};

export const eventsImport: Command = {
  name: 'events import',
  summary: 'bring back the events of such a file; those that are there are left as they are',
  details:
    'Segments that can see them are evaluated for everybody again. Months older than EVENTS_KEEP_MONTHS are archived and removed again in the next night: raise it first.',
  argument: { name: 'file', help: 'events-2026-10.ndjson.gz' },
  options: {},
  async run({ file }) {
    const { events, stored } = await withDatabase(async ({ db }) => {
      const { until, ...done } = await importEvents(db, resolve(String(file)));
      // Also when nothing was missing: the command may have been killed here before.
      if (until) await db.transaction((trx) => rebuildSeeing(trx, { clock: systemClock }, until));
      return done;
    });
    return {
      data: { events, stored },
      text: `${events} events in the file, ${stored} of them were missing and are back`,
    };
  },
};
