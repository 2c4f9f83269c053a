/** The second page: type the code, ask for another, or go on to agree to the policy first. */
import type { Proof } from '../connectors/contract.ts';
import { triesAllowed } from '../connectors/one-time-code.ts';
import { AppError } from '../errors.ts';
import { limitedAddress } from '../http/client-address.ts';
import type { Context } from '../http/server.ts';
import { type Deps, type Form, seeOther, translatorOf } from './dependencies.ts';
import { otherClickLeadsOn, proven } from './proven.ts';
import { type CaptchaTask, newCaptcha, otherLanguage, sendCode, sentenceOf } from './start.ts';
import { bindingOf, type Pending } from './step.ts';
import type { Visit } from './visit.ts';
import { duration } from './wait.ts';

/** Per address, over all codes; five tries a code are the connector's (threat B1). */
const verifyLimit = { name: 'login_verify_address', points: 120, seconds: 600 };

const notes = new Set(['resent', 'still_valid']);
const codeErrors = new Set(['code_wrong', 'code_expired', 'code_tries_spent']);

type Problem = { status: number; error?: string; alert?: string; captcha?: CaptchaTask };

/** The code this browser waits for, if it is of the method in the address. */
function pendingOf(ctx: Context, { step }: Visit): Pending | undefined {
  return step.pending?.method === ctx.params.method ? step.pending : undefined;
}

export async function showCode(ctx: Context, deps: Deps, visit: Visit, problem?: Problem): Promise<void> {
  const pending = pendingOf(ctx, visit);
  if (!pending) return seeOther(ctx, visit.base);
  const t = translatorOf(ctx, deps);
  const seconds = Math.ceil((pending.resend_at - deps.clock.now().getTime()) / 1000);
  const note = String(ctx.query.note ?? '');
  if (problem) ctx.status = problem.status;
  const { base } = visit;
  deps.render(ctx, 'login/code', {
    base,
    method: pending.method,
    field: pending.field,
    masked_to: pending.masked_to,
    languageUrl: otherLanguage(ctx, deps, `${base}/${pending.method}/verify`),
    wait: seconds > 0 ? { seconds, text: duration(t, seconds) } : undefined,
    notice: !problem && notes.has(note) ? t(`login.${note}`) : undefined,
    alert: problem?.alert,
    captcha: problem?.captcha,
    // A page that is not told so by itself says it when it is next loaded.
    undelivered: await isUndelivered(deps, pending),
    errors: problem?.error ? { code: problem.error } : {},
  });
}

async function isUndelivered({ connectors }: Deps, { method, otp_id }: Pending): Promise<boolean> {
  return (await connectors.delivery(method, otp_id)) === 'failed';
}

/** Asked by the page that waits. */
export async function showDelivery(ctx: Context, deps: Deps, visit: Visit): Promise<void> {
  const pending = pendingOf(ctx, visit);
  ctx.body = { failed: pending !== undefined && (await isUndelivered(deps, pending)) };
}

export async function resend(ctx: Context, deps: Deps, visit: Visit, form: Form): Promise<void> {
  const pending = pendingOf(ctx, visit);
  if (!pending) return seeOther(ctx, visit.base);
  await deps.limits.spend(verifyLimit, limitedAddress(ctx));
  try {
    const method = { kind: 'form' as const, name: pending.method, field: pending.field };
    await sendCode(ctx, deps, visit, { method, to: pending.to, captcha: form.captcha });
    seeOther(ctx, `${visit.base}/${pending.method}/verify?note=resent`);
  } catch (error) {
    if (!(error instanceof AppError)) throw error;
    if (error.retryAfterSeconds) ctx.set('Retry-After', String(error.retryAfterSeconds));
    const shown =
      error.code === 'captcha_required'
        ? { captcha: await newCaptcha(deps, form) }
        : { alert: sentenceOf(ctx, deps, error) };
    await showCode(ctx, deps, visit, { status: error.status, ...shown });
  }
}

export async function verify(ctx: Context, deps: Deps, visit: Visit, form: Form): Promise<void> {
  const pending = pendingOf(ctx, visit);
  if (!pending) return seeOther(ctx, visit.base);
  await deps.limits.spend(verifyLimit, limitedAddress(ctx));
  let proof: Proof;
  try {
    proof = await deps.connectors.verify(pending.method, {
      otp_id: pending.otp_id,
      code: form.code ?? '',
      purpose: 'login',
      binding: bindingOf(visit.uid, visit.step),
    });
  } catch (error) {
    if (!(error instanceof AppError) || !codeErrors.has(error.code)) throw error;
    return refused(ctx, deps, visit, pending, error);
  }
  await proven(ctx, deps, visit, { who: { proof }, method: pending.method, masked_to: pending.masked_to });
}

async function refused(ctx: Context, deps: Deps, visit: Visit, pending: Pending, error: AppError): Promise<void> {
  deps.log.info(
    { request_id: ctx.state.requestId, refused: error.code, method: pending.method },
    'login: code refused',
  );
  if (error.code === 'code_expired' && (await takenByOtherClick(ctx, deps, visit, pending))) return;
  const t = translatorOf(ctx, deps);
  let sentence = t(`errors.${error.code}`);
  if (error.code === 'code_wrong') {
    pending.wrong_tries += 1;
    // For display: the connector's own count decides.
    const count = triesAllowed - pending.wrong_tries;
    if (count > 0) sentence += ` ${t('login.tries_left', { count })}`;
  } else {
    pending.resend_at = Math.min(pending.resend_at, deps.clock.now().getTime());
  }
  deps.steps.write(ctx, visit.uid, visit.step);
  await showCode(ctx, deps, visit, { status: error.status, error: sentence });
}

/** Of a double click the first takes the code, while it is still good. */
async function takenByOtherClick(ctx: Context, deps: Deps, visit: Visit, pending: Pending): Promise<boolean> {
  return pending.expires_at > deps.clock.now().getTime() && otherClickLeadsOn(ctx, deps, visit);
}
