/** What the account page is given by app.ts. */
import type { Connectors } from '../connectors/contract.ts';
import type { Database } from '../database.ts';
import type { Csrf } from '../http/csrf.ts';
import type { I18n } from '../http/i18n.ts';
import type { Limits } from '../http/limits.ts';
import type { Render } from '../http/render.ts';
import type { Logger } from '../log.ts';
import type { Oidc } from '../oidc/provider.ts';
import type { SelfClientDependencies } from '../oidc/self-client.ts';
import type { SendJobs } from '../subjects/actor.ts';

export type AccountDependencies = SelfClientDependencies & {
  db: Database;
  log: Logger;
  limits: Limits;
  connectors: Pick<Connectors, 'forms' | 'start' | 'verify' | 'challenge' | 'redirects' | 'authorize' | 'callback'>;
  oidc: Pick<Oidc, 'provider' | 'loginClient'>;
  csrf: Csrf;
  render: Render;
  i18n: I18n;
  jobs: SendJobs;
};
