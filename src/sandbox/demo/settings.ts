/** What the demo is told: addresses and credentials, as a shop's developer would get them from the operator of Heyi. */
import type { Clock } from '../../clock.ts';
import type { Logger } from '../../log.ts';

type Credentials = { client_id: string; client_secret: string };

export type DemoOptions = {
  /** 0 takes a free one; then the redirect URIs must be registered after the start. */
  port: number;
  /** Heyi's PUBLIC_URL. The demo reaches it by HTTP alone, like any other company's website. */
  issuer: string;
  sandboxUrl: string;
  clock: Clock;
  log: Logger;
  /** Where sign-ins survive a restart; unset keeps them in memory. */
  dataDir?: string;
  clientSecret: string;
  clientId?: string;
  writeKey?: string;
  serverKey?: string;
  machine?: Credentials;
  miniprogram?: { client_id: string; appid: string };
  spaClientId?: string;
};

export type Settings = Required<Omit<DemoOptions, 'dataDir'>> & {
  dataDir: string | undefined;
  /** Our own origin. */
  url: string;
};

/** The names that the sandbox seeds, unless told. */
export function withDefaults(options: DemoOptions, port: number): Settings {
  return {
    clientId: 'demo-website',
    writeKey: 'demo-client-key',
    serverKey: 'demo-server-key',
    machine: { client_id: 'demo-backend', client_secret: 'demo-backend-secret' },
    miniprogram: { client_id: 'demo-miniprogram', appid: 'wxsandbox0000000001' },
    spaClientId: 'demo-spa',
    dataDir: undefined,
    ...options,
    port,
    url: `http://localhost:${port}`,
  };
}
