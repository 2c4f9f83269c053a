/**
 * The management API under /api/v1 (docs/openapi.json): programs of the company read people and change settings.
 * Owns scopes, pages, repeatable writes and the document; leaves every rule to the folders below.
 */
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import Router from '@koa/router';
import { projectRoot } from '../config.ts';
import { catalogueReader } from '../events/catalogue.ts';
import { createOpenApi } from '../http/openapi.ts';
import { type MountOptions, mountRoutes } from '../http/routes.ts';
import type { RequestState } from '../http/server.ts';
import { clientRoutes } from './clients.ts';
import { connectorRoutes } from './connectors.ts';
import { eventDefinitionRoutes } from './event-definitions.ts';
import { eventRoutes } from './events.ts';
import { identityRoutes } from './identities.ts';
import { membershipRoutes } from './memberships.ts';
import { mergeRoutes } from './merges.ts';
import { profileRoutes } from './profiles.ts';
import { segmentRoutes } from './segments.ts';
import { type ApiServices, scopes } from './services.ts';
import { subjectRoutes } from './subjects.ts';
import { traitRoutes } from './traits.ts';
import { verificationFileRoutes } from './verification-files.ts';
import { wechatTokenRoutes } from './wechat-tokens.ts';
import { writeKeyRoutes } from './write-keys.ts';

export const routes = [
  ...subjectRoutes,
  ...identityRoutes,
  ...profileRoutes,
  ...mergeRoutes,
  ...eventRoutes,
  ...eventDefinitionRoutes,
  ...segmentRoutes,
  ...membershipRoutes,
  ...traitRoutes,
  ...clientRoutes,
  ...writeKeyRoutes,
  ...connectorRoutes,
  ...verificationFileRoutes,
  ...wechatTokenRoutes,
];

const prefix = '/api/v1';

export type ApiOptions = Omit<ApiServices, 'readCatalogue'> & Pick<MountOptions<ApiServices>, 'log' | 'authenticate'>;

export function apiRoutes({ authenticate, ...given }: ApiOptions): Router<RequestState> {
  const services = { ...given, readCatalogue: catalogueReader(given) };
  const document = apiDocument();
  const router = new Router<RequestState>();
  router.get('/api/openapi.json', (ctx) => {
    ctx.set('Cache-Control', 'no-store');
    ctx.body = document;
  });
  router.use(mountRoutes(routes, { prefix, services, log: services.log, authenticate }).routes());
  return router;
}

/** Also docs/openapi.json, which a test holds against it. */
export function apiDocument() {
  const { version } = JSON.parse(readFileSync(join(projectRoot, 'package.json'), 'utf8')) as { version: string };
  return createOpenApi(routes, {
    title: 'Heyi management API',
    version,
    description:
      'Look people up, read what they did on every channel, and change settings. Ask for a token with the client credentials grant and `resource=<PUBLIC_URL>/api`. Every `sub` is the public one.',
    prefix,
    scopes,
  });
}
