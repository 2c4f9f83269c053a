/** `heyi client list`: every application, without secrets. */
import { listClients } from '../oidc/clients.ts';
import { type Command, table, withDatabase } from './command.ts';

export const clientList: Command = {
  name: 'client list',
  summary: 'show the registered applications',
  options: {},
  async run() {
    const clients = await withDatabase(({ db }) => listClients(db));
    const rows = clients.map((client) => [
      client.client_id,
      client.name,
      client.token_endpoint_auth_method === 'none' ? 'public' : 'confidential',
      client.party,
      client.appid ?? '',
      client.is_enabled ? 'enabled' : 'disabled',
    ]);
    return { data: { data: clients }, text: table(['client_id', 'name', 'kind', 'party', 'appid', 'state'], rows) };
  },
};
