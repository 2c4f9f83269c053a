/**
 * Where SMS providers push what became of messages: `POST /sms/{provider}/report/{token}`. The token is a setting of the connector,
 * and all that tells a provider from a stranger: neither of the vendors signs its reports.
 */
import Router from '@koa/router';
import { readJson } from '../http/body.ts';
import type { RequestState } from '../http/server.ts';
import type { Connectors } from './contract.ts';

/** Providers push some hundred reports at a time. */
const limit = 262_144;

export function reportRoutes({ connectors }: { connectors: Pick<Connectors, 'report'> }): Router<RequestState> {
  const router = new Router<RequestState>({ strict: true, sensitive: true });
  router.post('/sms/:provider/report/:token', async (ctx) => {
    ctx.set('Cache-Control', 'no-store');
    const { provider = '', token = '' } = ctx.params;
    ctx.body = await connectors.report('sms', { provider, token, body: () => readJson(ctx, { limit }) });
  });
  return router;
}
