/** GET /healthz: the process lives. GET /readyz: it can serve; 503 with the reason while it starts, stops, or has no database. */
import Router from '@koa/router';
import type { Database } from '../database.ts';
import type { RequestState } from './server.ts';

export type Health = { router: Router<RequestState>; setReady(ready: boolean): void };

export function createHealth({ db }: { db: Database }): Health {
  let refused: string | undefined = 'starting';
  const router = new Router<RequestState>();
  router.get('/healthz', (ctx) => {
    ctx.body = { status: 'ok' };
  });
  router.get('/readyz', async (ctx) => {
    const reason =
      refused ??
      (await db.raw('select 1').then(
        () => undefined,
        () => 'the database does not answer',
      ));
    ctx.set('Cache-Control', 'no-store');
    ctx.status = reason ? 503 : 200;
    ctx.body = reason ? { status: 'not ready', reason } : { status: 'ready' };
  });
  return {
    router,
    setReady(ready) {
      refused = ready ? undefined : 'stopping';
    },
  };
}
