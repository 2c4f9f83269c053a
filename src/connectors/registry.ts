/**
 * Which ways of signing in exist, and which are set up. Settings are sealed rows read for each use: every process sees a change
 * at once, and none keeps a secret in memory longer than it needs it.
 *
 * A new connector is a folder and one line in `connectors`.
 */
import { type FieldErrors, fail } from '../errors.ts';
import type { Connector, ConnectorServices, Connectors, ExchangeConnector, FormConnector } from './contract.ts';
import { email } from './email/email.ts';
import { sms } from './sms/sms.ts';
import { disableSandboxConnectors, listConnectors, readConnector, saveConnector } from './store.ts';
import { wechatMiniprogram } from './wechat-miniprogram/wechat-miniprogram.ts';

export const connectors: Connector[] = [sms, email, wechatMiniprogram];

const sealContext = 'connectors';

export function createConnectors(services: ConnectorServices): Connectors {
  const { db, seal, log } = services;

  /** Undefined when it is not set up; what is stored may also be older than what the connector takes today. */
  async function settingsOf(connector: Connector, id: string): Promise<[never] | undefined> {
    const row = await readConnector(db, id);
    if (!row) return undefined;
    const parsed = connector.settings.safeParse(JSON.parse(seal.open(row.settings_sealed, sealContext)));
    if (parsed.success) return [parsed.data];
    const fields = Object.keys(faultsOf(parsed.error.issues));
    log.error({ connector: id, fields }, 'connectors: settings must be entered anew');
    return undefined;
  }

  async function form(name: string): Promise<[FormConnector<never>, never]> {
    const connector = connectors.find((known) => known.name === name);
    const settings = connector?.kind === 'form' && (await settingsOf(connector, name));
    if (!settings) throw fail('connector_not_configured');
    return [connector, ...settings];
  }

  /** The app is found by our own configuration; a code of another app is refused by WeChat (threat C3). */
  async function app(appid: string): Promise<[ExchangeConnector<never>, never]> {
    for (const connector of connectors) {
      if (connector.kind !== 'exchange') continue;
      const settings = await settingsOf(connector, `${connector.name}:${appid}`);
      if (settings) return [connector, ...settings];
    }
    throw fail('connector_not_configured');
  }

  return {
    async forms() {
      const configured = new Set((await listConnectors(db)).map(({ id }) => id));
      return connectors.flatMap((connector) =>
        connector.kind === 'form' && configured.has(connector.name)
          ? [{ name: connector.name, field: connector.field }]
          : [],
      );
    },
    async start(name, input) {
      const [connector, settings] = await form(name);
      return connector.start(services, settings, input);
    },
    async verify(name, input) {
      const [connector, settings] = await form(name);
      return connector.verify(services, settings, input);
    },
    async exchange(appid, input) {
      const [connector, settings] = await app(appid);
      return connector.exchange(services, settings, input);
    },
    async exchangePhone(appid, input) {
      const [connector, settings] = await app(appid);
      return connector.exchangePhone(services, settings, input);
    },
    async configure({ id, connector, settings, source = 'operator' }) {
      const checked = check(id, connector, settings);
      const settings_sealed = seal.seal(JSON.stringify(checked), sealContext);
      await saveConnector(db, { id, connector, settings_sealed, source });
      log.info({ connector: id, source }, 'connectors: configured');
    },
    disableSandbox: () => disableSandboxConnectors(db),
  };
}

/** @throws invalid_fields, naming the fields and never their values */
function check(id: string, name: string, settings: unknown): unknown {
  const connector = connectors.find((known) => known.name === name);
  if (!connector) {
    const names = connectors.map((known) => known.name).join(', ');
    throw fail('invalid_fields', { fields: { connector: `is one of ${names}` } });
  }
  const parsed = connector.settings.safeParse(settings);
  if (!parsed.success) throw fail('invalid_fields', { fields: faultsOf(parsed.error.issues) });
  const expected = connector.kind === 'form' ? name : `${name}:${(parsed.data as { appid?: string }).appid}`;
  if (id !== expected) throw fail('invalid_fields', { fields: { id: `must be ${expected}` } });
  return parsed.data;
}

function faultsOf(issues: { path: PropertyKey[]; message: string }[]): FieldErrors {
  return Object.fromEntries(issues.map(({ path, message }) => [['settings', ...path.map(String)].join('.'), message]));
}
