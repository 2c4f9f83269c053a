/**
 * The authorise pages of open.weixin.qq.com: what is asked there, whether WeChat would show it, and where WeChat sends the
 * browser when the person agrees. Drawn in pages.ts, driven by programs through /people/{id}/confirm.
 */
import { loopback } from '../guard.ts';
import type { Parts } from '../parts.ts';
import type { Person, WechatApp } from '../state.ts';

export type AuthoriseRequest = {
  kind: 'qrconnect' | 'official';
  app: WechatApp;
  redirect_uri: URL;
  scope: string;
  state: string | undefined;
};
/** Named as the locale file's sentences. */
export type AuthoriseProblem =
  | 'not_an_authorise_page'
  | 'unknown_app'
  | 'wrong_kind_of_app'
  | 'wrong_response_type'
  | 'wrong_scope'
  | 'redirect_missing'
  | 'wrong_domain'
  | 'state_too_long';

const pages: Record<string, { kind: AuthoriseRequest['kind']; app: WechatApp['kind']; scopes: string[] }> = {
  '/connect/qrconnect': { kind: 'qrconnect', app: 'website', scopes: ['snsapi_login'] },
  '/connect/oauth2/authorize': {
    kind: 'official',
    app: 'official_account',
    scopes: ['snsapi_base', 'snsapi_userinfo'],
  },
};

/** Takes the real address (https://open.weixin.qq.com/connect/…) as well as the sandbox's. */
export function readAuthorisePage({ state }: Pick<Parts, 'state'>, url: URL): AuthoriseRequest | AuthoriseProblem {
  const page = pages[url.pathname.replace(/^\/open\.weixin\.qq\.com(?=\/)/, '').replace(/\/$/, '')];
  if (!page) return 'not_an_authorise_page';
  const given = (name: string) => url.searchParams.get(name) ?? undefined;
  const app = state.app(given('appid') ?? '');
  if (!app) return 'unknown_app';
  if (app.kind !== page.app) return 'wrong_kind_of_app';
  // WeChat's own script for an embedded code leaves it out.
  if (given('response_type') !== 'code' && given('login_type') !== 'jssdk') return 'wrong_response_type';
  const scope = given('scope') ?? '';
  if (!page.scopes.includes(scope)) return 'wrong_scope';
  const address = given('redirect_uri') ?? '';
  const redirect_uri = URL.canParse(address) ? new URL(address) : undefined;
  if (!redirect_uri || !/^https?:$/.test(redirect_uri.protocol)) return 'redirect_missing';
  if (!isOfDomain(redirect_uri.hostname, app.callback_domain)) return 'wrong_domain';
  const stateText = given('state');
  if (stateText !== undefined && Buffer.byteLength(stateText) > 128) return 'state_too_long';
  return { kind: page.kind, app, redirect_uri, scope, state: stateText };
}

/** 授权回调域 is a bare host name: no scheme, port or path. The names of this machine count as one. */
function isOfDomain(hostname: string, domain: string): boolean {
  return hostname === domain || (loopback.has(hostname) && loopback.has(domain));
}

/** `snapshot`: the person looks at a picture of the page (快照页), which an official account may be opened as. */
export function agree(
  { codes }: Pick<Parts, 'codes'>,
  request: AuthoriseRequest,
  { person, snapshot = false }: { person: Person; snapshot?: boolean },
): string {
  const { kind, app, scope, state, redirect_uri } = request;
  const redirect = new URL(redirect_uri);
  const given = { kind, appid: app.appid, person_id: person.person_id, scope };
  const code = codes.issue({ ...given, snapshot: snapshot && kind === 'official' });
  redirect.searchParams.set('code', code);
  if (state !== undefined) redirect.searchParams.set('state', state);
  return redirect.href;
}

/** WeChat's older way: back without a code. Newer clients stay on the page, which needs nothing from us. */
export function refuseToAgree({ redirect_uri, state }: AuthoriseRequest): string {
  const redirect = new URL(redirect_uri);
  if (state !== undefined) redirect.searchParams.set('state', state);
  return redirect.href;
}
