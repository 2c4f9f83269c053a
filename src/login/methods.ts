/**
 * Which ways of signing in this visit offers. A client lists them in its order: `sms`, `wechat-web` for all its instances, or one by
 * its id, `wechat-web:<appid>`; without a list it offers all but codes to scan. What does not work in this browser is left out.
 */
import type { Connectors, RedirectInstance } from '../connectors/contract.ts';
import { fail } from '../errors.ts';
import { isPhone } from '../http/browser-name.ts';
import type { Translate } from '../http/i18n.ts';
import type { Context } from '../http/server.ts';
import type { Visit } from './visit.ts';

/** A form on our page: a code goes to an address. */
export type Method = { kind: 'form'; name: string; field: 'phone' | 'email' };
/** A button that leads to somebody else's page. */
export type Door = { kind: 'redirect' } & RedirectInstance;
/**
 * A button that shows a code to scan. By name only: a mini-program must have a page for it, and an account gains a follower by it, which
 * is the company's to want.
 */
export type Scan = { kind: 'scan'; name: 'miniprogram-scan' | 'wechat-official-scan'; id: string; appid: string };
export type Way = Method | Door | Scan;

type Dependencies = { connectors: Pick<Connectors, 'forms' | 'redirects' | 'apps' | 'accounts'> };

/** @throws connector_not_configured when there is none */
export async function waysOf(ctx: Context, { connectors }: Dependencies, { client }: Visit): Promise<Way[]> {
  const agent = ctx.get('user-agent');
  const [forms, doors, apps, accounts] = await Promise.all([
    connectors.forms(),
    connectors.redirects(agent),
    connectors.apps(),
    connectors.accounts(),
  ]);
  const all: Way[] = [
    ...forms.map((form) => ({ kind: 'form' as const, ...form })),
    ...doors.map((door) => ({ kind: 'redirect' as const, ...door })),
  ];
  const scans = [
    ...apps.map((appid) => scanWay('miniprogram-scan', appid)),
    ...accounts.map((appid) => scanWay('wechat-official-scan', appid)),
  ];
  const listed = client.methods.flatMap((wanted) =>
    [...all, ...scans].filter((way) => way.name === wanted || idOf(way) === wanted),
  );
  const named = client.methods.length ? [...new Set(listed)] : all;
  const offered = isPhone(agent) ? withoutScans(named) : named;
  if (!offered.length) throw fail('connector_not_configured');
  return offered;
}

function scanWay(name: Scan['name'], appid: string): Scan {
  return { kind: 'scan', name, id: `${name}:${appid}`, appid };
}

/** A phone cannot scan its own screen; where there is no other way it may be held before another one. */
function withoutScans(ways: Way[]): Way[] {
  const others = ways.filter(({ kind }) => kind !== 'scan');
  return others.length ? others : ways;
}

const idOf = (way: Way) => (way.kind === 'form' ? way.name : way.id);

/** What stands for it in an address: the bare name where that says which. */
export function slugOf(ways: Way[], way: Way): string {
  return ways.filter(({ name }) => name === way.name).length === 1 ? way.name : idOf(way);
}

/** @throws method_not_offered */
export async function wayCalled(ctx: Context, deps: Dependencies, visit: Visit, called: string): Promise<Way> {
  const ways = await waysOf(ctx, deps, visit);
  const way = ways.find((offered) => idOf(offered) === called || slugOf(ways, offered) === called);
  if (!way) throw fail('method_not_offered');
  return way;
}

/** The natural way in this browser, where nothing stands before it: inside WeChat a person has no reason to choose. */
export function straightWay(ways: Way[], { client }: Visit): Door | undefined {
  const [first] = ways;
  const isFirst = client.methods.length > 0 || ways.length === 1;
  return isFirst && first?.kind === 'redirect' && first.is_best ? first : undefined;
}

/** How a door is called where its kind alone would not tell. */
export function doorName(t: Translate, { name, label }: Pick<Door, 'name' | 'label'>): string {
  return label ?? t(`${name}.name`);
}
