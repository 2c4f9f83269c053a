/** What the console is given by app.ts. */
import type Provider from 'oidc-provider';
import type { Database } from '../database.ts';
import type { Catalogue } from '../events/catalogue.ts';
import type { Csrf } from '../http/csrf.ts';
import type { I18n } from '../http/i18n.ts';
import type { Render } from '../http/render.ts';
import type { Logger } from '../log.ts';
import type { SelfClientDependencies } from '../oidc/self-client.ts';
import type { SendJobs } from '../subjects/actor.ts';

export type AdminDependencies = SelfClientDependencies & {
  db: Database;
  log: Logger;
  csrf: Csrf;
  render: Render;
  i18n: I18n;
  jobs: SendJobs;
  oidc: { provider: Provider };
  readCatalogue(): Promise<Catalogue>;
};
