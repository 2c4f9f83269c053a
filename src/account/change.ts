/**
 * Adding a phone or e-mail, or putting a new one in the place of the old.
 *
 *   GET /account/add/:method ─► POST (code sent) ─► …/verify ─┬─► linked: the other channels are told
 *                                                             └─► somebody else's: conflict page (join.ts)
 *
 * A change needs the old one: the fresh sign-in was by it, else it is first given up with its waiting time (threat B19, removal.ts).
 * The code is for this purpose, this session and this person alone (B4, D8).
 */
import type { IdentityKind, Proof } from '../connectors/contract.ts';
import { triesAllowed } from '../connectors/one-time-code.ts';
import { AppError, fail } from '../errors.ts';
import { claimHeldEvents } from '../events/jobs.ts';
import { limitedAddress } from '../http/client-address.ts';
import type { Context } from '../http/server.ts';
import { seeOther, translatorOf } from '../login/dependencies.ts';
import { duration } from '../login/wait.ts';
import { isQuietNumber } from '../subjects/join.ts';
import { linkProof } from '../subjects/link.ts';
import type { AccountDependencies } from './dependencies.ts';
import type { Form } from './handlers.ts';
import { methodsOf, wasProven } from './methods.ts';
import { type Act, bindingOf, type Pending, type Steps } from './step.ts';
import { familyOf, type Visit } from './visit.ts';

export type ChangeDependencies = AccountDependencies & { steps: Steps };
type Offered = { name: string; field: 'phone' | 'email' };

/** Per address and per person, over all numbers; the connectors count per number, per address and per network besides (B6). */
export const startLimits = {
  address: 'account_start_address',
  person: 'account_start_person',
  points: 30,
  seconds: 600,
};
const verifyLimit = { name: 'account_verify_address', points: 120, seconds: 600 };

/** Shown beside the field; anything else that a person can do something about is shown above the form. */
const fieldErrors = new Set(['phone_invalid', 'phone_region_refused', 'email_invalid', 'send_refused']);
const shownHere = new Set([
  ...fieldErrors,
  'captcha_required',
  'code_too_soon',
  'too_many_requests',
  'sending_paused',
  'upstream_unavailable',
]);
const codeErrors = new Set(['code_wrong', 'code_expired', 'code_tries_spent']);
const notes = new Set(['resent', 'still_valid']);

/** @throws method_not_offered */
async function offered(ctx: Context, { connectors }: ChangeDependencies): Promise<Offered> {
  const method = (await connectors.forms()).find(({ name }) => name === ctx.params.method);
  if (!method) throw fail('method_not_offered');
  return method;
}

/** Undefined: answered, with the page for what has to be done first. */
async function allowed(ctx: Context, deps: ChangeDependencies, visit: Visit, act: Act): Promise<Offered | undefined> {
  const method = await offered(ctx, deps);
  const held = (await methodsOf(deps, visit)).filter(({ family }) => family === method.field);
  // A second number would make it unclear which one counts: it takes the place of the first.
  if (act === 'add' && held.length) return void seeOther(ctx, `/account/change/${method.name}`);
  if (act === 'change' && !held.length) return void seeOther(ctx, `/account/add/${method.name}`);
  if (act === 'add' || held.some((one) => wasProven(deps, visit, one))) return method;
  const [old] = held;
  if (ctx.method !== 'GET') ctx.status = 403;
  deps.render(ctx, 'account/old-first', { act, family: method.field, hint: old?.hint, key: old?.key, to: ctx.path });
  return undefined;
}

type Problem = { status: number; to?: string; error?: string; alert?: string; captcha?: unknown };

export async function showStart(ctx: Context, deps: ChangeDependencies, visit: Visit, act: Act): Promise<void> {
  const method = await allowed(ctx, deps, visit, act);
  if (method) renderStart(ctx, deps, { act, method });
}

function renderStart(
  ctx: Context,
  deps: ChangeDependencies,
  { act, method, problem }: { act: Act; method: Offered; problem?: Problem },
): void {
  if (problem) ctx.status = problem.status;
  deps.render(ctx, 'account/start', {
    act,
    method: method.name,
    field: method.field,
    languageUrl: otherLanguage(ctx, deps, `/account/${act}/${method.name}`),
    alert: problem?.alert,
    captcha: problem?.captcha,
    values: { [method.field]: problem?.to },
    errors: problem?.error ? { [method.field]: problem.error } : {},
  });
}

/** The page to load for the other language, also when this one is the answer to a post. */
function otherLanguage(ctx: Context, { i18n }: ChangeDependencies, path: string): string {
  return `${path}?lang=${i18n.languageOf(ctx) === 'en' ? 'zh-CN' : 'en'}`;
}

export async function start(ctx: Context, deps: ChangeDependencies, visit: Visit, form: Form, act: Act): Promise<void> {
  const method = await allowed(ctx, deps, visit, act);
  if (!method) return;
  const to = form[method.field] ?? '';
  const { address: name, person, points, seconds } = startLimits;
  await deps.limits.spend({ name, points, seconds }, limitedAddress(ctx));
  await deps.limits.spend({ name: person, points, seconds }, visit.sub);
  const before = deps.steps.read(ctx, visit)?.pending;
  try {
    await sendCode(ctx, deps, visit, { act, method, to, captcha: form.captcha });
    seeOther(ctx, `/account/${act}/${method.name}/verify`);
  } catch (error) {
    if (!(error instanceof AppError) || !shownHere.has(error.code)) throw error;
    if (error.code === 'code_too_soon' && before?.act === act && before.method === method.name && before.to === to)
      return seeOther(ctx, `/account/${act}/${method.name}/verify?note=still_valid`);
    renderStart(ctx, deps, { act, method, problem: { to, ...(await problemOf(ctx, deps, error)) } });
  }
}

async function problemOf(ctx: Context, deps: ChangeDependencies, error: AppError): Promise<Problem> {
  const t = translatorOf(ctx, deps);
  const { status, code, retryAfterSeconds: seconds } = error;
  if (seconds) ctx.set('Retry-After', String(seconds));
  if (code === 'captcha_required')
    return { status, captcha: { challenge: await deps.connectors.challenge(), goes_on: true } };
  const sentence = t(`errors.${code}`);
  if (fieldErrors.has(code)) return { status, error: sentence };
  return { status, alert: seconds ? `${sentence} ${t('login.wait', { time: duration(t, seconds) })}` : sentence };
}

type Sending = { act: Act; method: Offered; to: string; captcha: string | undefined };

/** @throws what the connector's start throws */
async function sendCode(
  ctx: Context,
  deps: ChangeDependencies,
  visit: Visit,
  { act, method, to, captcha }: Sending,
): Promise<void> {
  const { otp_id, masked_to, resend_after } = await deps.connectors.start(method.name, {
    to,
    purpose: 'link',
    binding: bindingOf(visit),
    ip: ctx.state.ip,
    locale: deps.i18n.languageOf(ctx),
    captcha: captcha || undefined,
  });
  const resend_at = deps.clock.now().getTime() + resend_after * 1000;
  const { name, field } = method;
  deps.steps.write(ctx, visit, {
    pending: { act, method: name, field, to, otp_id, masked_to, resend_at, wrong_tries: 0 },
  });
}

function pendingOf(ctx: Context, { steps }: ChangeDependencies, visit: Visit, act: Act): Pending | undefined {
  const pending = steps.read(ctx, visit)?.pending;
  return pending?.act === act && pending.method === ctx.params.method ? pending : undefined;
}

/** What was under way is void: in another session, or because something changed meanwhile. */
function startOver(ctx: Context): void {
  seeOther(ctx, '/account?note=start_over');
}

export async function showCode(ctx: Context, deps: ChangeDependencies, visit: Visit, act: Act): Promise<void> {
  const pending = pendingOf(ctx, deps, visit, act);
  if (pending) renderCode(ctx, deps, pending);
  else startOver(ctx);
}

function renderCode(ctx: Context, deps: ChangeDependencies, pending: Pending, problem?: Problem): void {
  const t = translatorOf(ctx, deps);
  const seconds = Math.ceil((pending.resend_at - deps.clock.now().getTime()) / 1000);
  const note = String(ctx.query.note ?? '');
  if (problem) ctx.status = problem.status;
  const base = `/account/${pending.act}/${pending.method}`;
  deps.render(ctx, 'account/code', {
    ...pending,
    base,
    languageUrl: otherLanguage(ctx, deps, `${base}/verify`),
    wait: seconds > 0 ? { seconds, text: duration(t, seconds) } : undefined,
    notice: !problem && notes.has(note) ? t(`login.${note}`) : undefined,
    alert: problem?.alert,
    captcha: problem?.captcha,
    errors: problem?.error ? { code: problem.error } : {},
  });
}

export async function resend(
  ctx: Context,
  deps: ChangeDependencies,
  visit: Visit,
  form: Form,
  act: Act,
): Promise<void> {
  const pending = pendingOf(ctx, deps, visit, act);
  if (!pending) return startOver(ctx);
  await deps.limits.spend(verifyLimit, limitedAddress(ctx));
  const method = { name: pending.method, field: pending.field };
  try {
    await sendCode(ctx, deps, visit, { act, method, to: pending.to, captcha: form.captcha });
    seeOther(ctx, `/account/${act}/${method.name}/verify?note=resent`);
  } catch (error) {
    if (!(error instanceof AppError) || !shownHere.has(error.code)) throw error;
    const { error: text, ...problem } = await problemOf(ctx, deps, error);
    renderCode(ctx, deps, pending, { ...problem, ...(text && { alert: text }) });
  }
}

export async function verify(
  ctx: Context,
  deps: ChangeDependencies,
  visit: Visit,
  form: Form,
  act: Act,
): Promise<void> {
  const pending = pendingOf(ctx, deps, visit, act);
  if (!pending) return startOver(ctx);
  await deps.limits.spend(verifyLimit, limitedAddress(ctx));
  let proof: Proof;
  try {
    proof = await deps.connectors.verify(pending.method, {
      otp_id: pending.otp_id,
      code: form.code ?? '',
      purpose: 'link',
      binding: bindingOf(visit),
    });
  } catch (error) {
    if (!(error instanceof AppError) || !codeErrors.has(error.code)) throw error;
    return refused(ctx, deps, visit, pending, error);
  }
  await linkProven(ctx, deps, visit, { proof, act, again: `/account/${act}/${pending.method}` });
}

function refused(ctx: Context, deps: ChangeDependencies, visit: Visit, pending: Pending, thrown: AppError): void {
  const { status, code } = thrown;
  deps.log.info({ request_id: ctx.state.requestId, refused: code, method: pending.method }, 'account: code refused');
  const t = translatorOf(ctx, deps);
  let error = t(`errors.${code}`);
  const next = { ...pending, wrong_tries: pending.wrong_tries + 1 };
  // For display: the connector's own count decides.
  const count = triesAllowed - next.wrong_tries;
  if (code === 'code_wrong' && count > 0) error += ` ${t('login.tries_left', { count })}`;
  if (code !== 'code_wrong') next.resend_at = Math.min(next.resend_at, deps.clock.now().getTime());
  deps.steps.write(ctx, visit, { pending: next });
  renderCode(ctx, deps, next, { status, error });
}

/** One that is somebody else's leads to the page that says so, and to nothing more (threat D9). */
export async function linkProven(
  ctx: Context,
  deps: ChangeDependencies,
  visit: Visit,
  { proof, act, again }: { proof: Proof; act: Act /** Where another one is tried. */; again: string },
): Promise<void> {
  const { sub, actor } = visit;
  try {
    const { linked } = await linkProof(deps, { sub, proof, actor, ...(act === 'change' && { replace: true }) });
    if (linked.length) await claimHeldEvents(deps, sub);
    deps.steps.clear(ctx);
    seeOther(ctx, `/account?note=${linked.length ? (act === 'change' ? 'changed' : 'added') : 'unchanged'}`);
  } catch (error) {
    if (!(error instanceof AppError)) throw error;
    if (error.code === 'identity_contradicts') return seeOther(ctx, '/account?note=contradicts');
    if (error.code !== 'identity_taken') throw error;
    deps.steps.write(ctx, visit, { taken: { proof, act } });
    ctx.status = 409;
    deps.render(ctx, 'account/conflict', {
      family: familyOf(error.fields?.kind as IdentityKind),
      hint: error.fields?.hint,
      again,
      may_be_new: await isQuietNumber(deps, { sub, proof }),
    });
  }
}
