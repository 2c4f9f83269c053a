/** Signing in on somebody else's page: the button that leads there, and what comes back. The way itself is redirect.ts. */
import type { Embed } from '../connectors/contract.ts';
import { AppError } from '../errors.ts';
import { limitedAddress } from '../http/client-address.ts';
import { contentSecurityPolicy } from '../http/security-headers.ts';
import type { Context } from '../http/server.ts';
import { findByIdentity } from '../subjects/subjects.ts';
import { type Deps, seeOther, translatorOf } from './dependencies.ts';
import { type Door, doorName, straightWay, wayCalled, waysOf } from './methods.ts';
import { otherClickLeadsOn, proven } from './proven.ts';
import { quietOf } from './quiet.ts';
import { type Finished, finishRedirect, startRedirect } from './redirect.ts';
import { otherLanguage, sentenceOf, showStart, startLimit } from './start.ts';
import { bindingOf } from './step.ts';
import type { Visit } from './visit.ts';

/** Said above the other ways of signing in; anything else is a page of its own. */
const shownAtStart = new Set([
  'connector_not_configured',
  'provider_answer_invalid',
  'upstream_unavailable',
  'wechat_code_invalid',
  'wechat_misconfigured',
  'wechat_refused',
]);

export async function leave(ctx: Context, deps: Deps, visit: Visit, door: Door, thorough = false): Promise<void> {
  const { step, uid, base } = visit;
  await deps.limits.spend(startLimit, limitedAddress(ctx));
  step.has_left = true;
  deps.steps.write(ctx, uid, step);
  const { url, embed } = await startRedirect(deps, {
    instance: door.id,
    purpose: 'login',
    binding: bindingOf(uid, step),
    return_to: `${base}/${door.id}/return`,
    locale: deps.i18n.languageOf(ctx),
    thorough,
  });
  if (embed) showEmbedded(ctx, deps, visit, { door, url, embed });
  else seeOther(ctx, url);
}

/** A provider that is away costs this way alone: the page says so, with the others below (threat C14). */
export async function leaveOrStay(ctx: Context, deps: Deps, visit: Visit, door: Door): Promise<void> {
  await orStay(ctx, deps, visit, () => leave(ctx, deps, visit, door));
}

/** Inside WeChat people go straight to it, once: who comes back without having signed in chooses. */
export async function leftStraight(ctx: Context, deps: Deps, visit: Visit): Promise<boolean> {
  if (visit.step.has_left || quietOf(deps, visit)) return false;
  const door = straightWay(await waysOf(ctx, deps, visit), visit);
  if (door) await leaveOrStay(ctx, deps, visit, door);
  return door !== undefined;
}

async function orStay(ctx: Context, deps: Deps, visit: Visit, act: () => Promise<void>): Promise<void> {
  try {
    await act();
  } catch (error) {
    if (!(error instanceof AppError) || !shownAtStart.has(error.code)) throw error;
    const { requestId: request_id } = ctx.state;
    deps.log.info({ request_id, refused: error.code, method: ctx.params.method }, 'login: another page proved nothing');
    if (error.retryAfterSeconds) ctx.set('Retry-After', String(error.retryAfterSeconds));
    await showStart(ctx, deps, visit, { status: error.status, alert: sentenceOf(ctx, deps, error) });
  }
}

/** The provider's page within ours. Its script and frame are named in the policy of this page alone. */
function showEmbedded(
  ctx: Context,
  deps: Deps,
  visit: Visit,
  { door, url, embed }: { door: Door; url: string; embed: Embed },
): void {
  const { base, client, formTargets } = visit;
  const foreign = { 'script-src': [new URL(embed.script).origin], 'frame-src': [embed.frame] };
  ctx.set('Content-Security-Policy', contentSecurityPolicy(formTargets, foreign));
  const languageUrl = otherLanguage(ctx, deps, base);
  deps.render(ctx, 'login/embedded', { base, client: client.name, method: door.name, url, embed, languageUrl });
}

/** The code is spent here, once, for the browser that was sent away: a reload finds it over and goes on. */
export async function comeBack(ctx: Context, deps: Deps, visit: Visit): Promise<void> {
  const binding = bindingOf(visit.uid, visit.step);
  await orStay(ctx, deps, visit, async () => {
    const state = String(ctx.query.state ?? '');
    const back = await finishRedirect(deps, { state, purpose: 'login', binding });
    if (back.kind === 'over') return ifOver(ctx, deps, visit);
    if (back.kind === 'refused') return seeOther(ctx, `${visit.base}?note=refused`);
    await goOn(ctx, deps, visit, back);
  });
}

async function ifOver(ctx: Context, deps: Deps, visit: Visit): Promise<void> {
  if (visit.step.proven) return seeOther(ctx, `${visit.base}/agree`);
  if (visit.step.has_left && (await otherClickLeadsOn(ctx, deps, visit))) return;
  seeOther(ctx, visit.base);
}

type Proven = Extract<Finished, { kind: 'proven' }>;

async function goOn(ctx: Context, deps: Deps, visit: Visit, { proof, instance, thorough }: Proven): Promise<void> {
  const way = await wayCalled(ctx, deps, visit, instance);
  if (way.kind !== 'redirect') return seeOther(ctx, visit.base);
  const [identity] = proof.identities;
  if (proof.is_partial && !thorough && identity && !(await findByIdentity(deps, identity)))
    return leave(ctx, deps, visit, way, true);
  const masked_to = doorName(translatorOf(ctx, deps), way);
  await proven(ctx, deps, visit, { who: { proof }, method: way.name, masked_to });
}
