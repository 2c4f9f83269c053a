/**
 * Adding a way of signing in whose page is somebody else's (WeChat, another identity provider): there and back is login/redirect.ts,
 * bound to this session and person, so that a return which an attacker prepared is nothing here (threats D8, C12).
 */
import type { Proof } from '../connectors/contract.ts';
import { fail } from '../errors.ts';
import { limitedAddress } from '../http/client-address.ts';
import { contentSecurityPolicy } from '../http/security-headers.ts';
import type { Context } from '../http/server.ts';
import { seeOther, translatorOf } from '../login/dependencies.ts';
import { type Door, doorName } from '../login/methods.ts';
import { finishRedirect, type RedirectDependencies, startRedirect } from '../login/redirect.ts';
import { type ChangeDependencies, linkProven, startLimits } from './change.ts';
import type { Method } from './methods.ts';
import { bindingOf } from './step.ts';
import { familyOf, type Visit } from './visit.ts';

type Offered = Omit<Door, 'kind'>;

/** Those that work in this browser, and which the person does not have yet: a second WeChat is refused, another provider is not. */
export async function doorsFor(ctx: Context, deps: ChangeDependencies, methods: Method[]) {
  const t = translatorOf(ctx, deps);
  const hasWechat = methods.some(({ family }) => family === 'wechat');
  return (await doorsIn(ctx, deps))
    .filter(({ name }) => !(hasWechat && name.startsWith('wechat')))
    .map((door) => ({ path: pathOf(door), text: doorName(t, door) }));
}

const doorsIn = (ctx: Context, { connectors }: ChangeDependencies): Promise<Offered[]> =>
  connectors.redirects(ctx.get('user-agent'));
const pathOf = ({ id }: Pick<Offered, 'id'>) => `/account/doors/${encodeURIComponent(id)}`;

/** @throws method_not_offered */
async function doorCalled(ctx: Context, deps: ChangeDependencies): Promise<Offered> {
  const door = (await doorsIn(ctx, deps)).find(({ id }) => id === ctx.params.door);
  if (!door) throw fail('method_not_offered');
  return door;
}

export async function showDoor(ctx: Context, deps: ChangeDependencies): Promise<void> {
  const door = await doorCalled(ctx, deps);
  // Browsers check the whole redirect chain of a posted form against form-action.
  ctx.set('Content-Security-Policy', contentSecurityPolicy(door.leads_to));
  deps.render(ctx, 'account/door', { path: pathOf(door), name: doorName(translatorOf(ctx, deps), door) });
}

export async function leave(ctx: Context, deps: ChangeDependencies, visit: Visit): Promise<void> {
  const door = await doorCalled(ctx, deps);
  const { address: name, points, seconds } = startLimits;
  await deps.limits.spend({ name, points, seconds }, limitedAddress(ctx));
  const { url } = await startRedirect(redirecting(deps), {
    instance: door.id,
    purpose: 'link',
    binding: bindingOf(visit),
    return_to: `${pathOf(door)}/return`,
    locale: deps.i18n.languageOf(ctx),
    thorough: true,
  });
  seeOther(ctx, url);
}

export async function comeBack(ctx: Context, deps: ChangeDependencies, visit: Visit): Promise<void> {
  const state = String(ctx.query.state ?? '');
  const back = await finishRedirect(redirecting(deps), { state, purpose: 'link', binding: bindingOf(visit) });
  if (back.kind === 'over') return seeOther(ctx, '/account?note=start_over');
  if (back.kind === 'refused') return seeOther(ctx, '/account?note=refused');
  const again = pathOf({ id: String(ctx.params.door) });
  await linkProven(ctx, deps, visit, { proof: askedFor(back.proof), act: 'add', again });
}

/** The way of signing in that was to be added; an address that the provider vouches for besides is another one. */
function askedFor(proof: Proof): Proof {
  const [first] = proof.identities;
  const identities = proof.identities.filter(({ kind }) => first && familyOf(kind) === familyOf(first.kind));
  return { ...proof, identities };
}

function redirecting({ db, seal, connectors, publicUrl }: ChangeDependencies): RedirectDependencies {
  return { db, seal, connectors, config: { publicUrl } };
}
