/**
 * The access token of an app (not of a person), one for all processes, in the database, sealed.
 *
 * It comes from stable_token: unlike cgi-bin/token, asking again does not void the token others hold, and other programs of the
 * same company that use cgi-bin/token are not disturbed. `force_refresh` is never sent: it is allowed twenty times a day.
 *
 * A stampede costs one call (threat C15): within a process callers share one promise, so a waiting crowd takes one database
 * connection; between processes an advisory lock orders the fetchers, and who comes second finds the token there.
 */
import { fail } from '../../errors.ts';
import type { ConnectorServices } from '../contract.ts';
import { dropAccessToken, lockAccessToken, readAccessToken, type StoredToken, saveAccessToken } from '../store.ts';
import { callWechat, isWechatError, type WechatApp } from './client.ts';
import { tokenVoid } from './errors.ts';

type Services = Pick<ConnectorServices, 'db' | 'seal' | 'log'>;
type Token = {
  token: string;
  sealed: string;
  /** Seconds that are left of its life. */
  expires_in: number;
};

/**
 * Runs a call that needs the app's token; when WeChat says that the token is void, once more with a new one. The refused call
 * did nothing, so its single-use code is still good.
 */
export async function withAccessToken<T>(
  services: Services,
  app: WechatApp,
  call: (accessToken: string) => Promise<T>,
): Promise<T> {
  const first = await accessToken(services, app);
  try {
    return await call(first.token);
  } catch (error) {
    if (!isWechatError(error) || !tokenVoid.has(error.errcode ?? 0)) throw error;
    services.log.info({ appid: app.appid, errcode: error.errcode }, 'wechat: app token is void, fetching another');
    await dropAccessToken(services.db, app.appid, first.sealed);
    return call((await accessToken(services, app)).token);
  }
}

/**
 * For the company's other systems, which would void it by asking for one of their own: the same token, and what is truly left of it.
 * @throws WechatError
 */
export async function sharedToken(services: Services, app: WechatApp): Promise<{ token: string; expires_in: number }> {
  const { token, expires_in } = await accessToken(services, app);
  return { token, expires_in };
}

/**
 * Somebody was refused with this token. WeChat is asked which one is good, without forcing a new one: where it says the same, the
 * refusal had another reason. True when there is another token now. @throws WechatError
 */
export async function replaceRefused(services: Services, app: WechatApp, refused: string): Promise<boolean> {
  const stored = await readAccessToken(services.db, app.appid);
  if (!stored || opened(services, app, stored).token !== refused) return true;
  const { token } = await refresh(services, app, stored.token_sealed);
  return token !== refused;
}

async function accessToken(services: Services, app: WechatApp): Promise<Token> {
  const stored = await readAccessToken(services.db, app.appid);
  if (stored?.is_fresh) return opened(services, app, stored);
  try {
    return await refreshOnce(services, app);
  } catch (error) {
    if (!stored) throw error;
    // The old one is near its end but still good: WeChat being away for a moment is then nobody's problem.
    services.log.warn({ appid: app.appid, err: error }, 'wechat: app token not renewed, using the old one to its end');
    return opened(services, app, stored);
  }
}

/** Fetches under way in this process, by database and app. Not truth: only what keeps a crowd off the connection pool. */
const underWay = new WeakMap<object, Map<string, Promise<Token>>>();

function refreshOnce(services: Services, app: WechatApp): Promise<Token> {
  const mine = underWay.get(services.db) ?? new Map<string, Promise<Token>>();
  underWay.set(services.db, mine);
  let refreshing = mine.get(app.appid);
  if (!refreshing) {
    refreshing = refresh(services, app).finally(() => mine.delete(app.appid));
    mine.set(app.appid, refreshing);
  }
  return refreshing;
}

/** `doubted`: this very one does not count as fresh. */
async function refresh(services: Services, app: WechatApp, doubted?: string): Promise<Token> {
  return services.db.transaction(async (trx) => {
    await lockAccessToken(trx, app.appid);
    const meanwhile = await readAccessToken(trx, app.appid);
    if (meanwhile?.is_fresh && meanwhile.token_sealed !== doubted) return opened(services, app, meanwhile);
    const { token, expiresIn } = await fetchToken(app);
    const sealed = services.seal.seal(token, context(app));
    await saveAccessToken(trx, { appid: app.appid, token_sealed: sealed, expiresIn });
    return { token, sealed, expires_in: Math.floor(expiresIn) };
  });
}

async function fetchToken({ appid, secret, base_url }: WechatApp): Promise<{ token: string; expiresIn: number }> {
  const answer = await callWechat({
    api: 'cgi-bin/stable_token',
    base_url,
    body: { grant_type: 'client_credential', appid, secret, force_refresh: false },
    repeatable: true,
  });
  // expires_in is what remains of the token's life, not the life of a new one.
  const expiresIn = Number(answer.expires_in);
  if (typeof answer.access_token !== 'string' || !answer.access_token || !(expiresIn > 0)) {
    throw fail('upstream_unavailable', { retryAfterSeconds: 5 });
  }
  return { token: answer.access_token, expiresIn };
}

function opened({ seal }: Services, app: WechatApp, { token_sealed, expires_in }: StoredToken): Token {
  return { token: seal.open(token_sealed, context(app)), sealed: token_sealed, expires_in };
}

/** A sealed token copied to another app's row does not open. */
const context = ({ appid }: WechatApp) => `wechat_access_tokens ${appid}`;
