/**
 * Setting connectors up, as the management API and the command line do: listed without their secrets, and on the audit record. How they
 * are used to sign somebody in is registry.ts.
 */
import type { Knex } from 'knex';
import { type AuditEntry, recordAudit } from '../audit/audit.ts';
import type { Database } from '../database.ts';
import { fail } from '../errors.ts';
import type { Seal } from '../seal.ts';
import { check, connectors, save, storedSettings, type Wanted } from './registry.ts';
import { changedSettings, settingsSchema, shownSettings } from './settings.ts';
import { allConnectors, type ConnectorRow, disableRow, lockConnector } from './store.ts';

/** Who sets something up, for the audit record. */
export type Operator = Pick<AuditEntry, 'actor_kind' | 'actor_id' | 'client_id' | 'ip' | 'request_id'>;

export type ListedConnector = Pick<ConnectorRow, 'id' | 'connector' | 'is_enabled' | 'source' | 'updated_at'> & {
  /** Without the secrets. Null: an older version stored them, and this one needs them entered anew. */
  settings: Record<string, unknown> | null;
};

export async function listInstances({ db, seal }: { db: Database; seal: Seal }): Promise<ListedConnector[]> {
  return (await allConnectors(db)).map((row) => listed(seal, row));
}

function listed(seal: Seal, row: ConnectorRow): ListedConnector {
  const { settings_sealed: _, ...shown } = row;
  const connector = connectors.find(({ name }) => name === row.connector);
  const stored = connector && storedSettings(seal, connector, row);
  const settings = stored && 'settings' in stored ? shownSettings(connector, stored.settings) : null;
  return { ...shown, settings };
}

/** Every connector there is, with what it needs. */
export function availableConnectors() {
  return connectors.map((connector) => ({
    connector: connector.name,
    kind: connector.kind,
    settings_schema: settingsSchema(connector),
  }));
}

/**
 * Sets one up, or replaces its settings as a whole. A secret that is left out is not taken from what is stored: whoever does not know
 * it could otherwise have it sent to an address of their own.
 * @throws invalid_fields, naming every fault
 */
export async function configureConnector(
  { db, seal }: { db: Knex.Transaction; seal: Seal },
  wanted: Wanted,
  operator: Operator,
): Promise<ListedConnector & { changed: string[] }> {
  const checked = check(wanted);
  const { id, connector, settings } = checked;
  const before = await lockConnector(db, id);
  const stored = before && storedSettings(seal, connector, before);
  const changed = changedSettings(stored && 'settings' in stored ? stored.settings : {}, settings);
  await save({ db, seal }, checked, 'operator');
  const after = await lockConnector(db, id);
  if (!after) throw new Error(`the connector ${id} was not stored`);
  const details = { connector_id: id, connector: connector.name, changed };
  await recordAudit(db, { ...operator, action: 'connector.configured', details });
  return { ...listed(seal, after), changed };
}

/** Nobody can sign in by it until it is configured again. @throws not_found */
export async function disableConnector(
  { db, seal }: { db: Knex.Transaction; seal: Seal },
  id: string,
  operator: Operator,
): Promise<ListedConnector> {
  const row = await lockConnector(db, id);
  if (!row) throw fail('not_found', { message: 'There is no connector of this id.' });
  if (row.is_enabled) {
    await disableRow(db, id);
    const details = { connector_id: id, connector: row.connector };
    await recordAudit(db, { ...operator, action: 'connector.disabled', details });
  }
  return listed(seal, (await lockConnector(db, id)) ?? row);
}
