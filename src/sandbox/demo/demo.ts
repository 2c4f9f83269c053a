/**
 * The demo: a shop 「山屿」 with a website, an ordinary OIDC client of Heyi, and a mini-program in a phone beside it. Both talk to
 * Heyi as any company's would, by HTTP. Nothing here is loaded in production.
 */
import type { AppError } from '../../errors.ts';
import { type Context, createKoa, type Listener, listen } from '../../http/server.ts';
import { localHost } from '../guard.ts';
import { backchannelRoutes } from './backchannel.ts';
import { createHeyiApi } from './heyi-api.ts';
import { identityRoutes } from './identities.ts';
import { createIdentityApi } from './identity-api.ts';
import { createManagement } from './management.ts';
import { miniprogramRoutes } from './miniprogram.ts';
import { openMiniprogramRoutes } from './open-miniprogram.ts';
import { createPages, demoAssets, demoPolicy } from './pages.ts';
import { panelRoutes } from './panel.ts';
import type { Parts } from './parts.ts';
import { createProvider } from './provider.ts';
import { createSessions } from './sessions.ts';
import { type DemoOptions, type Settings, withDefaults } from './settings.ts';
import { shopRoutes } from './shop.ts';
import { keepBound, signInRoutes } from './sign-in.ts';
import { webViewRoutes } from './web-view.ts';

export type Demo = { start(): Promise<{ url: string }>; stop(): Promise<void> };

export function createDemo(options: DemoOptions): Demo {
  const log = options.log.child({ part: 'demo' });
  const settings: Settings = { ...withDefaults(options, options.port), log };
  let listener: Listener | undefined;
  return {
    /** @throws the listen error of node */
    async start() {
      const parts = createParts(settings);
      const koa = createKoa({
        log,
        trustProxy: false,
        https: false,
        errorPage: (ctx, error) => errorPage(parts, ctx, error),
      });
      koa.use(localHost);
      koa.use(demoPolicy(settings));
      koa.use(demoAssets());
      koa.use(keepBound(parts));
      for (const routes of [
        shopRoutes,
        signInRoutes,
        panelRoutes,
        miniprogramRoutes,
        webViewRoutes,
        openMiniprogramRoutes,
        identityRoutes,
        backchannelRoutes,
      ])
        koa.use(routes(parts).routes());
      // "localhost" may be ::1 or 127.0.0.1 to a browser; Chromium and the others try both.
      listener = await listen(koa, { port: settings.port, host: '127.0.0.1' });
      // Port 0 took a free one: the parts read the address only when a request comes.
      settings.port = listener.port;
      settings.url = `http://localhost:${listener.port}`;
      return { url: settings.url };
    },
    async stop() {
      await listener?.stop();
      listener = undefined;
    },
  };
}

function createParts(settings: Settings): Parts {
  const { clock, log } = settings;
  const sessions = createSessions({ clock, dataDir: settings.dataDir });
  const provider = createProvider(settings);
  const manage = createManagement(settings, provider);
  return {
    settings,
    clock,
    log,
    sessions,
    provider,
    pages: createPages(settings, sessions),
    api: createHeyiApi(settings, manage),
    identities: createIdentityApi(manage),
  };
}

function errorPage({ pages }: Parts, ctx: Context, error: AppError): void {
  const known = ['not_found', 'upstream_unavailable', 'form_expired'];
  pages.render(ctx, 'error', { code: known.includes(error.code) ? error.code : 'internal' });
}
