/** `heyi write-key list`: every write key, without the key itself. */
import { listWriteKeys } from '../events/write-keys.ts';
import { type Command, table, withDatabase } from './command.ts';

export const writeKeyList: Command = {
  name: 'write-key list',
  summary: 'show the keys for sending events, without the keys themselves',
  options: {},
  async run() {
    const keys = await withDatabase(({ db }) => listWriteKeys(db));
    const rows = keys.map((key) => [
      String(key.id),
      key.name,
      key.kind,
      key.client_ids.join(' '),
      key.origins.join(' '),
      key.channel ?? '',
      key.declared_consents.join(' '),
      key.is_enabled ? 'enabled' : 'disabled',
    ]);
    return {
      data: { data: keys },
      text: table(['id', 'name', 'kind', 'clients', 'origins', 'channel', 'consents', 'state'], rows),
    };
  },
};
