/** What the handlers of the management API take, the one way to write a route of it, and who did it for the audit record. */
import type { AuditEntry } from '../audit/audit.ts';
import type { Clock } from '../clock.ts';
import type { Database } from '../database.ts';
import type { Catalogue } from '../events/catalogue.ts';
import type { Translate } from '../http/i18n.ts';
import type { Limits } from '../http/limits.ts';
import { type Caller, routeFactory } from '../http/routes.ts';
import type { Jobs } from '../jobs.ts';
import type { Logger } from '../log.ts';
import type { Seal } from '../seal.ts';

export type ApiServices = {
  db: Database;
  seal: Seal;
  clock: Clock;
  jobs: Pick<Jobs, 'send'>;
  limits: Limits;
  log: Logger;
  readCatalogue(): Promise<Catalogue>;
  /** English: the API speaks to developers. */
  translate: Translate;
};

export const route = routeFactory<ApiServices>();

export type Asking = { caller: Caller; request_id: string; ip: string };

export function actorOf({ caller: { client_id }, request_id, ip }: Asking) {
  return { actor_kind: 'client', actor_id: client_id, client_id, ip, request_id } satisfies Partial<AuditEntry>;
}

/** Scope to what it opens. Given to machine clients alone. */
export const scopes = {
  'subjects:read': 'Look people up, read their events, profile and consents.',
  'subjects:pii': 'See phone numbers, e-mail addresses and ids of other companies unmasked.',
  'subjects:write': 'Link, unlink, merge, record consents.',
  'settings:write': 'Read and change clients, write keys and connectors.',
  'segments:read': 'Read segments and their members.',
  'segments:write': 'Define segments.',
  'wechat:token': 'Get the access token of a WeChat app, which may do everything that the app may do.',
} as const;

export type Scope = keyof typeof scopes;
