/** What the handlers of the management API take, and the one way to write a route of it. */
import type { Database } from '../database.ts';
import { routeFactory } from '../http/routes.ts';
import type { Seal } from '../seal.ts';

export type ApiServices = { db: Database; seal: Seal };

export const route = routeFactory<ApiServices>();

/** Scope to what it opens. Given to machine clients alone. */
export const scopes = {
  'subjects:read': 'Look people up, read their events, profile and consents.',
  'subjects:pii': 'See phone numbers, e-mail addresses and ids of other companies unmasked.',
  'subjects:write': 'Link, unlink, merge, record consents.',
  'settings:write': 'Read and change clients, write keys and connectors.',
  'segments:read': 'Read segments and their members.',
  'segments:write': 'Define segments.',
} as const;

export type Scope = keyof typeof scopes;
