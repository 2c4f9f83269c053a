/** The WeChat apps that are set up, whichever connector each is for: what pushes, the app's token and checks need to know of them. */
import type { Database } from '../../database.ts';
import type { Seal } from '../../seal.ts';
import { enabledInstances } from '../registry.ts';
import { type AppSettings, anyApp } from './settings.ts';

export type ConfiguredApp = AppSettings & { connector: string };

type Services = { db: Database; seal: Seal };

/** @param appid of one, else all */
export async function wechatApps(services: Services, appid?: string): Promise<ConfiguredApp[]> {
  const instances = await enabledInstances(services, (id) => (appid ? id.endsWith(`:${appid}`) : true));
  return instances.flatMap(({ connector, settings }) => {
    if (!connector.startsWith('wechat-')) return [];
    const app = anyApp.safeParse(settings);
    return app.success ? [{ ...app.data, connector }] : [];
  });
}

export async function wechatApp(services: Services, appid: string): Promise<ConfiguredApp | undefined> {
  const [app] = await wechatApps(services, appid);
  return app;
}
