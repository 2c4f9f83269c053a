/** The first page: choose a way, say where the code should go, agree to the privacy policy. */
import { AppError } from '../errors.ts';
import { limitedAddress } from '../http/client-address.ts';
import type { Translate } from '../http/i18n.ts';
import { contentSecurityPolicy } from '../http/security-headers.ts';
import type { Context } from '../http/server.ts';
import { type Deps, type Form, seeOther, translatorOf } from './dependencies.ts';
import { type Door, doorName, type Method, type Scan, slugOf, type Way, waysOf } from './methods.ts';
import { browserHasAgreed, policyTextHash, policyVersion } from './privacy.ts';
import { quietOf } from './quiet.ts';
import { bindingOf, type Pending } from './step.ts';
import type { Visit } from './visit.ts';
import { duration } from './wait.ts';

/** Per address, over all numbers; the connectors count per number, per address and per network besides (threat B6). */
export const startLimit = { name: 'login_start_address', points: 60, seconds: 600 };

/** Shown beside the field; anything else that goes wrong is shown above the form. */
const fieldErrors = new Set(['phone_invalid', 'phone_region_refused', 'email_invalid', 'send_refused']);
/** The person can do something about these on this very page. */
const shownHere = new Set([
  ...fieldErrors,
  'code_too_soon',
  'too_many_requests',
  'sending_paused',
  'upstream_unavailable',
]);

type Problem = {
  method?: string;
  to?: string;
  status?: number;
  field?: string;
  text?: string;
  alert?: string;
  captcha?: CaptchaTask;
};

/** What views/login/captcha.eta needs. `goes_on`: the person pressed the button, and the page presses it again when it is done. */
export type CaptchaTask = { challenge: object; goes_on: boolean };

/** A page that goes on by itself does so once: a solution that was refused is followed by a person's own click. */
export async function newCaptcha({ connectors }: Deps, form: Form): Promise<CaptchaTask> {
  return { challenge: await connectors.challenge(), goes_on: !form.captcha };
}

export async function showStart(ctx: Context, deps: Deps, visit: Visit, problem?: Problem): Promise<void> {
  const quiet = quietOf(deps, visit);
  const ways = (await waysOf(ctx, deps, visit)).filter(({ name }) => name !== quiet?.method);
  const methods = ways.filter((way) => way.kind === 'form');
  const doors = ways.filter((way) => way.kind === 'redirect');
  const scans = ways.filter((way) => way.kind === 'scan');
  const { step, base, client, interaction, formTargets } = visit;
  deps.steps.write(ctx, visit.uid, step);
  ctx.set('Content-Security-Policy', contentSecurityPolicy([...formTargets, ...leadsTo(doors)]));
  const typed = problem?.method ? problem : (step.pending ?? hinted(interaction.params.login_hint, methods));
  if (problem?.status) ctx.status = problem.status;
  const t = translatorOf(ctx, deps);
  deps.render(ctx, 'login/start', {
    base,
    quiet: quiet && { masked_to: quiet.masked_to, is_alone: !ways.length },
    client: client.name,
    languageUrl: otherLanguage(ctx, deps, base),
    privacy: mustAgree(ctx, visit) ? policyVersion() : undefined,
    chosen: typed?.method ?? methods[0]?.name,
    alert: problem?.alert,
    notice: problem ? undefined : noticeOf(ctx, t, visit),
    doors: [...doors.map((door) => shownDoor(t, ways, door)), ...scans.map((scan) => shownScan(t, ways, scan))],
    methods: methods.map(({ name, field }) => ({
      name,
      values: typed?.method === name ? { [field]: typed.to } : {},
      errors: problem?.method === name && problem.field ? { [problem.field]: problem.text } : {},
      captcha: problem?.method === name ? problem.captcha : undefined,
    })),
  });
}

/** Whoever is signed in and meets this page all the same is told why: a fresh sign-in was asked for (max_age, prompt=login). */
function noticeOf(ctx: Context, t: Translate, { interaction, step }: Visit): string | undefined {
  if (ctx.query.note === 'refused') return t('login.refused');
  const isAgain = interaction.prompt.reasons.some((reason) => reason === 'max_age' || reason === 'login_prompt');
  return interaction.session && isAgain && !step.pending ? t('login.again') : undefined;
}

const leadsTo = (doors: Door[]) => [...new Set(doors.flatMap(({ leads_to }) => leads_to))];

/** Several of a kind are told apart by their labels; one alone says what it does. */
function shownDoor(t: Translate, ways: Way[], door: Door) {
  const { name, label, is_best } = door;
  const text = label ? t('login.door', { name: doorName(t, door) }) : t(`${name}.button`);
  return { name, slug: slugOf(ways, door), text, is_best };
}

/** Several apps are told apart by their appid: they have no other name here. */
function shownScan(t: Translate, ways: Way[], scan: Scan) {
  const slug = slugOf(ways, scan);
  const button = scan.name === 'wechat-official-scan' ? t('login.follow') : t('login.scan');
  const text = slug === scan.name ? button : `${button} (${scan.appid})`;
  return { name: scan.name, slug, text, is_best: false };
}

/** The page to load for the other language, also when this one is the answer to a post. */
export function otherLanguage(ctx: Context, { i18n }: Deps, path: string): string {
  return `${path}?lang=${i18n.languageOf(ctx) === 'en' ? 'zh-CN' : 'en'}`;
}

function hinted(hint: unknown, methods: Method[]): { method: string; to: string } | undefined {
  if (typeof hint !== 'string' || hint.length > 320) return undefined;
  const method = methods.find(({ field }) => field === (hint.includes('@') ? 'email' : 'phone'));
  return method && { method: method.name, to: hint };
}

function mustAgree(ctx: Context, { step }: Visit): boolean {
  return step.agreement?.version !== policyVersion() && !browserHasAgreed(ctx);
}

/** Sends the code. The answer is the same for people we know and people we do not (threat B9). */
export async function startMethod(
  ctx: Context,
  deps: Deps,
  visit: Visit,
  { method, form }: { method: Method; form: Form },
): Promise<void> {
  const { name } = method;
  const to = form[method.field] ?? '';
  const t = translatorOf(ctx, deps);
  const { step } = visit;
  if (mustAgree(ctx, visit)) {
    if (form.privacy !== policyVersion()) {
      const text = t('errors.privacy_not_agreed');
      return showStart(ctx, deps, visit, { method: name, to, status: 400, field: 'privacy', text });
    }
    const at = deps.clock.now().toISOString();
    step.agreement = { version: policyVersion(), text_hash: policyTextHash(t), ip: ctx.state.ip, at };
  }
  await deps.limits.spend(startLimit, limitedAddress(ctx));
  try {
    await sendCode(ctx, deps, visit, { method, to, captcha: form.captcha });
    seeOther(ctx, `${visit.base}/${name}/verify`);
  } catch (error) {
    const { pending } = step;
    if (error instanceof AppError && error.code === 'captcha_required') {
      const captcha = await newCaptcha(deps, form);
      return showStart(ctx, deps, visit, { method: name, to, status: error.status, captcha });
    }
    if (!(error instanceof AppError) || !shownHere.has(error.code)) throw error;
    if (error.code === 'code_too_soon' && pending?.method === name && pending.to === to) {
      deps.steps.write(ctx, visit.uid, step);
      return seeOther(ctx, `${visit.base}/${name}/verify?note=still_valid`);
    }
    const problem = fieldErrors.has(error.code)
      ? { field: method.field, text: t(`errors.${error.code}`) }
      : { alert: sentenceOf(ctx, deps, error) };
    if (error.retryAfterSeconds) ctx.set('Retry-After', String(error.retryAfterSeconds));
    await showStart(ctx, deps, visit, { method: name, to, status: error.status, ...problem });
  }
}

/** What went wrong and, when it is known, how long to wait. */
export function sentenceOf(ctx: Context, deps: Deps, error: AppError): string {
  const t = translatorOf(ctx, deps);
  const seconds = error.retryAfterSeconds;
  return [t(`errors.${error.code}`), seconds && t('login.wait', { time: duration(t, seconds) })]
    .filter(Boolean)
    .join(' ');
}

/** @throws what the connector's start throws */
export async function sendCode(
  ctx: Context,
  deps: Deps,
  visit: Visit,
  { method, to, captcha }: { method: Method; to: string; captcha: string | undefined },
): Promise<Pending> {
  const { step, uid } = visit;
  const started = await deps.connectors.start(method.name, {
    to,
    purpose: 'login',
    binding: bindingOf(uid, step),
    ip: ctx.state.ip,
    locale: deps.i18n.languageOf(ctx),
    captcha: captcha || undefined,
  });
  const now = deps.clock.now().getTime();
  step.pending = {
    method: method.name,
    field: method.field,
    to,
    otp_id: started.otp_id,
    masked_to: started.masked_to,
    resend_at: now + started.resend_after * 1000,
    expires_at: now + started.expires_in * 1000,
    wrong_tries: 0,
  };
  step.proven = undefined;
  deps.steps.write(ctx, uid, step);
  return step.pending;
}
