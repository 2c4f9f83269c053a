/** What the sign-in pages are given by app.ts. */
import type { Clock } from '../clock.ts';
import type { Config } from '../config.ts';
import type { Connectors } from '../connectors/contract.ts';
import type { Database } from '../database.ts';
import type { Csrf } from '../http/csrf.ts';
import type { I18n, Translate } from '../http/i18n.ts';
import type { Limits } from '../http/limits.ts';
import type { Render } from '../http/render.ts';
import type { Context } from '../http/server.ts';
import type { Jobs } from '../jobs.ts';
import type { Logger } from '../log.ts';
import type { Oidc } from '../oidc/provider.ts';
import type { Seal } from '../seal.ts';
import type { Follow } from './follow.ts';
import type { Steps } from './step.ts';
import type { Visit } from './visit.ts';

export type LoginDependencies = {
  db: Database;
  seal: Seal;
  clock: Clock;
  log: Logger;
  config: Pick<Config, 'publicUrl' | 'sandbox' | 'sandboxUrl' | 'demoUrl'>;
  limits: Limits;
  connectors: Pick<
    Connectors,
    | 'forms'
    | 'start'
    | 'verify'
    | 'challenge'
    | 'delivery'
    | 'redirects'
    | 'authorize'
    | 'callback'
    | 'apps'
    | 'scanCode'
    | 'accounts'
    | 'followCode'
    | 'followerProof'
  >;
  oidc: Pick<Oidc, 'provider' | 'loginClient'>;
  csrf: Csrf;
  render: Render;
  i18n: I18n;
  /** Aborted when this process stops. */
  ending: AbortSignal;
  jobs: Pick<Jobs, 'send'>;
};

export type Deps = LoginDependencies & {
  steps: Steps;
  follow: Follow;
  /** The page for a visit that is no more. */
  showEnded(ctx: Context): Promise<void>;
};

export type Form = Record<string, string>;
export type VisitHandler = (ctx: Context, visit: Visit) => Promise<void> | void;
export type PostHandler = (ctx: Context, visit: Visit, form: Form) => Promise<void> | void;

export function translatorOf(ctx: Context, { i18n }: { i18n: I18n }): Translate {
  return i18n.translator(i18n.languageOf(ctx));
}

/** Only 303: a 307 would send the form, code and all, to the next place (threat A34). */
export function seeOther(ctx: Context, url: string): void {
  ctx.status = 303;
  ctx.redirect(url);
}
