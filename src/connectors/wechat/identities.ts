/** What an openid and a unionid of WeChat's are for us. */
import { z } from 'zod';
import type { ConnectorServices, Identity } from '../contract.ts';
import type { AppSettings } from './settings.ts';

const id = z.string().regex(/^[\w-]{1,128}$/);
/** A part of every answer that says who somebody is. */
export const whoAnswer = z.object({ openid: id, unionid: id.nullish().catch(undefined) });

/** openid first: it is there always, and it is what decides when a unionid comes late (identity rule 4). */
export function identitiesOf(
  { log }: Pick<ConnectorServices, 'log'>,
  settings: AppSettings,
  { openid, unionid, connector }: z.infer<typeof whoAnswer> & { connector: string },
): Identity[] {
  const identities: Identity[] = [{ kind: 'wechat_openid', issuer: settings.appid, external_id: openid }];
  if (unionid && settings.open_platform) {
    identities.push({ kind: 'wechat_unionid', issuer: settings.open_platform, external_id: unionid });
  } else if (unionid) {
    log.warn(
      { connector, appid: settings.appid },
      'wechat: unionids come, but open_platform is not set: people are not joined over apps',
    );
  }
  return identities;
}
