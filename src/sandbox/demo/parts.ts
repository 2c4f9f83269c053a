/** What the demo's routes share. */
import type { Clock } from '../../clock.ts';
import type { Logger } from '../../log.ts';
import type { HeyiApi } from './heyi-api.ts';
import type { IdentityApi } from './identity-api.ts';
import type { Pages } from './pages.ts';
import type { Provider } from './provider.ts';
import type { Sessions } from './sessions.ts';
import type { Settings } from './settings.ts';

export type Parts = {
  settings: Settings;
  clock: Clock;
  log: Logger;
  pages: Pages;
  sessions: Sessions;
  provider: Provider;
  api: HeyiApi;
  identities: IdentityApi;
};
