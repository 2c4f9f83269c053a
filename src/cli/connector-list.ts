/** `heyi connector list`: which ways of signing in are set up, without secrets, and which there are. */
import { availableConnectors, type ListedConnector, listInstances } from '../connectors/operators.ts';
import { type Command, table, withDatabase } from './command.ts';

export const connectorList: Command = {
  name: 'connector list',
  summary: 'show the ways of signing in that are set up',
  details: 'With --json also the JSON schema of the settings that each connector takes.',
  options: {},
  async run() {
    const data = await withDatabase(listInstances);
    const available = availableConnectors();
    const headings = ['id', 'state', 'source', 'updated', 'settings (without secrets)'];
    const missing = available.map(({ connector }) => connector).filter((name) => !data.some(isSetUp(name)));
    const lines = [
      ...(data.length ? [table(headings, data.map(rowOf))] : []),
      ...(missing.length ? [`Not set up: ${missing.join(', ')}. See "npx heyi connector set --help".`] : []),
    ];
    return { data: { data, available }, text: lines.join('\n\n') };
  },
};

const isSetUp = (name: string) => (row: ListedConnector) =>
  row.connector === name && row.is_enabled && row.settings !== null;

function rowOf({ id, is_enabled, source, updated_at, settings }: ListedConnector): string[] {
  const shown =
    settings &&
    Object.entries(settings).map(
      ([name, value]) => `${name}=${typeof value === 'object' ? JSON.stringify(value) : String(value)}`,
    );
  const state = is_enabled ? 'enabled' : 'disabled';
  return [id, state, source, updated_at.toISOString(), shown?.join(' ') ?? 'must be entered anew'];
}
