/**
 * Which ways of signing in exist, and which are set up. Settings are sealed rows read for each use: every process sees a change
 * at once, and none keeps a secret in memory longer than it needs it. Setting them up is operators.ts.
 *
 * A new connector is a folder and one line in `connectors`.
 */
import type { Database } from '../database.ts';
import { fail } from '../errors.ts';
import type { Seal } from '../seal.ts';
import type {
  Connector,
  ConnectorServices,
  Connectors,
  ExchangeConnector,
  FollowWay,
  FormConnector,
  RedirectConnector,
} from './contract.ts';
import { email } from './email/email.ts';
import { checkSettings } from './settings.ts';
import { sms } from './sms/sms.ts';
import {
  allConnectors,
  type ConnectorRow,
  disableSandboxConnectors,
  enabledConnectors,
  listConnectors,
  readConnector,
  saveConnector,
} from './store.ts';
import { upstreamOidc } from './upstream-oidc/upstream-oidc.ts';
import { wechatMiniprogram } from './wechat-miniprogram/wechat-miniprogram.ts';
import { wechatOfficial } from './wechat-official/wechat-official.ts';
import { wechatWeb } from './wechat-web/wechat-web.ts';

export const connectors: Connector[] = [sms, email, wechatMiniprogram, wechatWeb, wechatOfficial, upstreamOidc];

const sealContext = 'connectors';

export function createConnectors(services: ConnectorServices): Connectors {
  const { db, seal, log } = services;

  /** Undefined when it is not set up; what is stored may also be older than what the connector takes today. */
  async function settingsOf(connector: Connector, id: string): Promise<[never] | undefined> {
    const row = await readConnector(db, id);
    return row && opened(connector, row);
  }

  function opened(connector: Connector, row: ConnectorRow): [never] | undefined {
    const checked = storedSettings(seal, connector, row);
    if ('settings' in checked) return [checked.settings as never];
    const fields = Object.keys(checked.faults);
    log.error({ connector: row.id, fields }, 'connectors: settings must be entered anew');
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

  async function followed(appid: string): Promise<[FollowWay<never>, never]> {
    for (const connector of connectors) {
      const follow = connector.kind === 'redirect' ? connector.follow : undefined;
      const settings = follow && (await settingsOf(connector, `${connector.name}:${appid}`));
      if (follow && settings && follow.isReady(...settings)) return [follow, ...settings];
    }
    throw fail('connector_not_configured');
  }

  async function redirect(id: string): Promise<[RedirectConnector<never>, never]> {
    const connector = connectors.find(({ name }) => name === id.slice(0, id.indexOf(':')));
    const settings = connector?.kind === 'redirect' && (await settingsOf(connector, id));
    if (!settings) throw fail('connector_not_configured');
    return [connector, ...settings];
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
    async delivery(name, otp_id) {
      const [connector] = await form(name);
      return connector.delivery?.(services, otp_id);
    },
    async report(name, input) {
      const connector = connectors.find((known) => known.name === name);
      const take = connector?.kind === 'form' ? connector.report : undefined;
      const settings = connector && take && (await settingsOf(connector, name));
      if (!settings) throw fail('not_found');
      return take(services, ...settings, input);
    },
    challenge: () => services.captcha.challenge(),
    async notify(name, notice) {
      const connector = connectors.find((known) => known.name === name);
      if (connector?.kind !== 'form' || !connector.notify) return false;
      const settings = await settingsOf(connector, name);
      if (!settings) return false;
      return connector.notify(services, ...settings, notice);
    },
    async exchange(appid, input) {
      const [connector, settings] = await app(appid);
      return connector.exchange(services, settings, input);
    },
    async exchangePhone(appid, input) {
      const [connector, settings] = await app(appid);
      return connector.exchangePhone(services, settings, input);
    },
    async apps() {
      const names = connectors.flatMap(({ kind, name }) => (kind === 'exchange' ? [name] : []));
      const rows = (await listConnectors(db)).filter(({ connector }) => names.includes(connector));
      return rows.map(({ id }) => id.slice(id.indexOf(':') + 1)).sort();
    },
    async scanCode(appid, input) {
      const [connector, settings] = await app(appid);
      return connector.scanCode(services, settings, input);
    },
    async appLink(appid, input) {
      const [connector, settings] = await app(appid);
      return connector.appLink(services, settings, input);
    },
    async accounts() {
      const rows = await enabledConnectors(db);
      return connectors.flatMap((connector) => {
        const follow = connector.kind === 'redirect' ? connector.follow : undefined;
        return rows.flatMap((row) => {
          const settings = follow && row.connector === connector.name && opened(connector, row);
          return settings && follow.isReady(...settings) ? [row.id.slice(row.id.indexOf(':') + 1)] : [];
        });
      });
    },
    async followCode(appid, input) {
      const [follow, settings] = await followed(appid);
      return follow.code(services, settings, input);
    },
    async followerProof(appid, input) {
      const [follow, settings] = await followed(appid);
      return follow.proof(services, settings, input);
    },
    async redirects(userAgent) {
      const rows = await enabledConnectors(db);
      return connectors.flatMap((connector) => {
        if (connector.kind !== 'redirect') return [];
        return rows.flatMap((row) => {
          const settings = row.connector === connector.name && opened(connector, row);
          if (!settings) return [];
          const suits = connector.suits(...settings, userAgent);
          if (suits === 'no') return [];
          const { name } = connector;
          const label = connector.label(...settings);
          return [{ id: row.id, name, label, is_best: suits === 'best', leads_to: connector.leadsTo(...settings) }];
        });
      });
    },
    async authorize(id, { origin, ...input }) {
      const [connector, settings] = await redirect(id);
      const redirect_uri = origin + connector.callbackPath(settings);
      return { ...(await connector.authorize(services, settings, { ...input, redirect_uri })), redirect_uri };
    },
    async callback(id, input) {
      const [connector, settings] = await redirect(id);
      return connector.callback(services, settings, input);
    },
    async configure({ id, connector, settings, source = 'operator' }) {
      await save({ db, seal }, check({ id, connector, settings }), source);
      // At every start with the sandbox: news to nobody.
      log[source === 'sandbox' ? 'debug' : 'info']({ connector: id, source }, 'connectors: configured');
    },
    disableSandbox: () => disableSandboxConnectors(db),
  };
}

export type Wanted = { id?: string | undefined; connector: string; settings: unknown };
type Checked = { id: string; connector: Connector; settings: Record<string, unknown> };

/** @throws invalid_fields, naming the fields and never their values */
export function check({ id, connector: name, settings }: Wanted): Checked {
  const connector = connectors.find((known) => known.name === name);
  if (!connector) {
    const names = connectors.map((known) => known.name).join(', ');
    throw fail('invalid_fields', { fields: { connector: `is one of ${names}` } });
  }
  const checked = checkSettings(connector, settings);
  if ('faults' in checked) throw fail('invalid_fields', { fields: checked.faults });
  const expected = connector.kind === 'form' ? name : `${name}:${connector.key(checked.settings as never)}`;
  if (id !== undefined && id !== expected) throw fail('invalid_fields', { fields: { id: `must be ${expected}` } });
  return { id: expected, connector, settings: checked.settings };
}

export async function save(
  { db, seal }: { db: Database; seal: Seal },
  { id, connector, settings }: Checked,
  source: ConnectorRow['source'],
): Promise<void> {
  const settings_sealed = seal.seal(JSON.stringify(settings), sealContext);
  await saveConnector(db, { id, connector: connector.name, settings_sealed, source });
}

/** What an older version stored may lack what this one needs; a setting that is gone by now is no fault. */
export function storedSettings(seal: Seal, connector: Connector, { settings_sealed }: ConnectorRow) {
  const stored: unknown = JSON.parse(seal.open(settings_sealed, sealContext));
  return checkSettings(connector, stored, { allowUnknown: true });
}

/** Those that are enabled and whose settings this version can use. `wanted` looks at the id, before anything is opened. */
export async function enabledInstances(
  { db, seal }: { db: Database; seal: Seal },
  wanted: (id: string) => boolean,
): Promise<{ id: string; connector: string; settings: Record<string, unknown> }[]> {
  return (await allConnectors(db)).flatMap((row) => {
    const connector = connectors.find(({ name }) => name === row.connector);
    const stored = row.is_enabled && connector && wanted(row.id) && storedSettings(seal, connector, row);
    return stored && 'settings' in stored ? [{ id: row.id, connector: row.connector, settings: stored.settings }] : [];
  });
}
