/** `heyi connector disable`: at once, in every process; `connector set` enables it again. */
import { disableConnector } from '../connectors/operators.ts';
import { type Command, withDatabase } from './command.ts';

export const connectorDisable: Command = {
  name: 'connector disable',
  summary: 'let nobody sign in by a connector any more',
  argument: { name: 'id', help: 'as "heyi connector list" shows it' },
  details: 'Sessions that exist go on. To enable it again, set it up anew: "heyi connector set".',
  options: {},
  async run({ id }) {
    const operator = { actor_kind: 'system', actor_id: 'heyi connector disable' } as const;
    const disabled = await withDatabase(({ db, seal }) =>
      db.transaction((trx) => disableConnector({ db: trx, seal }, String(id), operator)),
    );
    return { data: disabled, text: `${disabled.id} is disabled.` };
  },
};
