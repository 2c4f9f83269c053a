/** A code in front of somebody's phone: whose it is, and what WeChat does with it for this person. */
import { fail } from '../errors.ts';
import { follow, type Pushed, present } from './acts.ts';
import { sandboxApps } from './constants.ts';
import type { Parts } from './parts.ts';
import type { Person } from './state.ts';
import { type AuthoriseRequest, agree, readAuthorisePage } from './wechat/authorise.ts';
import type { MadeCode } from './wechat/made-codes.ts';
import { releasedPages } from './wechat/mini-program-codes.ts';

export type MiniProgramGoal = {
  appid: string;
  path: string;
  /** As the page gets it: values are not decoded. */
  query: Record<string, string>;
  /** Of a mini-program code, decoded. */
  scene: string | null;
  /** 场景值: how the mini-program was opened. */
  launch_scene: 1047 | 1065 | 1194;
};
type AccountCode = Extract<MadeCode, { kind: 'account' }>;
export type ScannedCode =
  | { kind: 'authorise'; request: AuthoriseRequest }
  | { kind: 'account'; code: AccountCode }
  | { kind: 'miniprogram'; goal: MiniProgramGoal };

export type ScanResult =
  | { kind: 'authorise'; redirect: string }
  | ({ kind: 'account'; appid: string; event: 'subscribe' | 'SCAN' | null } & Pushed)
  | ({ kind: 'miniprogram'; page_url: string | null } & MiniProgramGoal);

/**
 * Takes what the sandbox drew or gave out: an authorise page, an account's code by address or ticket, a mini-program code, a
 * URL link, a scheme.
 * @throws bad_request for anything else, conflict for a code whose time is over
 */
export function readCode(parts: Pick<Parts, 'state' | 'made'>, text: string): ScannedCode {
  const url = URL.canParse(text) ? new URL(text) : undefined;
  if (!url) return accountCode(parts, text);
  const path = url.pathname;
  if (url.protocol === 'weixin:') return link(parts, url.searchParams.get('t') ?? '');
  if (path.startsWith('/wxaurl.cn/')) return link(parts, path.slice('/wxaurl.cn/'.length), url.searchParams.get('cq'));
  if (path === '/weixin.qq.com/wxacode') return miniProgramCode(parts, url);
  if (path.startsWith('/weixin.qq.com/q/')) return accountCode(parts, path.slice('/weixin.qq.com/q/'.length));
  if (path.endsWith('/cgi-bin/showqrcode')) return accountCode(parts, url.searchParams.get('ticket') ?? '');
  const request = readAuthorisePage(parts, url);
  if (typeof request === 'string') throw fail('bad_request', { message: `WeChat would not open this: ${request}.` });
  return { kind: 'authorise', request };
}

export async function scan(parts: Parts, person: Person, code: ScannedCode): Promise<ScanResult> {
  present(person);
  if (code.kind === 'authorise') return { kind: 'authorise', redirect: agree(parts, code.request, { person }) };
  if (code.kind === 'miniprogram')
    return { kind: 'miniprogram', ...code.goal, page_url: phoneUrl(parts, person, code.goal) };
  const { appid, ticket, scene } = code.code;
  const app = parts.state.app(appid);
  if (!app) throw fail('bad_request', { message: 'The account of this code is gone.' });
  return { kind: 'account', appid, ...(await follow(parts, { app, person, scanned: { scene, ticket } })) };
}

/** The demo's phone in this person's hand, with the mini-program opened there. Only the demo's own mini-program has one. */
function phoneUrl({ demoUrl }: Pick<Parts, 'demoUrl'>, person: Person, goal: MiniProgramGoal): string | null {
  if (!demoUrl || goal.appid !== sandboxApps.miniprogram.appid) return null;
  const { path, query, launch_scene } = goal;
  const opened = {
    person_id: person.person_id,
    path,
    query: JSON.stringify(query),
    scene: String(launch_scene),
  };
  return `${demoUrl}/miniprogram?${new URLSearchParams(opened)}`;
}

function accountCode({ made }: Pick<Parts, 'made'>, ticketOrKey: string): ScannedCode {
  return { kind: 'account', code: standing(made.account(ticketOrKey)) };
}

function link({ made }: Pick<Parts, 'made'>, ticket: string, custom: string | null = null): ScannedCode {
  const { kind, appid, path, query } = standing(made.link(ticket));
  const values = { ...rawQuery(query), ...(custom && { cq: custom.slice(0, 256) }) };
  const launch_scene = kind === 'link' ? 1194 : 1065;
  return { kind: 'miniprogram', goal: { appid, path: path || home(appid), query: values, scene: null, launch_scene } };
}

/** Everything is in its address: the real ones are permanent, whatever happens to this process. */
function miniProgramCode({ state }: Pick<Parts, 'state'>, url: URL): ScannedCode {
  const given = (name: string) => url.searchParams.get(name) ?? '';
  const [appid, scene] = [given('appid'), given('scene')];
  if (state.app(appid)?.kind !== 'miniprogram') throw unknownCode();
  const query = { scene: encodeURIComponent(scene) };
  return { kind: 'miniprogram', goal: { appid, path: given('page') || home(appid), query, scene, launch_scene: 1047 } };
}

function home(appid: string): string {
  return appid === sandboxApps.miniprogram.appid ? (releasedPages()[0] ?? '') : '';
}

function rawQuery(query: string): Record<string, string> {
  const pairs = query.split('&').filter(Boolean);
  return Object.fromEntries(pairs.map((pair) => [pair.split('=')[0], pair.split('=').slice(1).join('=')]));
}

function unknownCode() {
  return fail('bad_request', {
    message: 'The sandbox knows no such code. Tickets are forgotten when it is restarted.',
  });
}

function standing<Code>(code: Code | 'expired' | undefined): Code {
  if (code === undefined) throw unknownCode();
  if (code === 'expired') throw fail('conflict', { message: 'The time of this code is over.' });
  return code;
}
