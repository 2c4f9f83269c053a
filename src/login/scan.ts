/**
 * Signing in on a computer by scanning a code: of a mini-program that has the page for it, or of an official account that is followed
 * by it. Needs no WeChat website app.
 *
 *   POST /login/:uid/miniprogram-scan ─► GET /login/:uid/scan (code, …/scan/code; …/scan/state follows) ─► POST /login/:uid/scan
 *                                              the phone: GET, POST /me/sign-ins/{ticket}; or the account's pushes
 *
 * The ticket is known to this browser by its sealed cookie and to whoever sees the screen. Seeing it is worth nothing: the answer is
 * for the browser that asked, and is spent by it once.
 */
import type { Picture } from '../connectors/contract.ts';
import { AppError, fail } from '../errors.ts';
import { browserName } from '../http/browser-name.ts';
import { limitedAddress } from '../http/client-address.ts';
import type { Limit } from '../http/limits.ts';
import type { Context } from '../http/server.ts';
import { type Deps, seeOther, translatorOf } from './dependencies.ts';
import type { Who } from './finish.ts';
import type { Followed } from './follow.ts';
import type { Scan } from './methods.ts';
import { proven } from './proven.ts';
import { askForScan, dropScan, readScan, type Scan as ScanTicket, scanSeconds, takeConfirmed } from './scan-ticket.ts';
import { otherLanguage, sentenceOf, showStart } from './start.ts';
import { bindingOf } from './step.ts';
import type { Visit } from './visit.ts';
import { duration } from './wait.ts';

/** Each code is a call to WeChat, which counts them by the minute for all of the company. */
const perInteraction: Limit = { name: 'login_scan_interaction', points: 20, seconds: 3600 };
const perAddress: Limit = { name: 'login_scan_address', points: 200, seconds: 600 };

export async function startScan(ctx: Context, deps: Deps, visit: Visit, way: Scan): Promise<void> {
  const { id: method, appid } = way;
  const { step, uid, client, host, base } = visit;
  try {
    await deps.limits.spend(perInteraction, uid);
    await deps.limits.spend(perAddress, limitedAddress(ctx));
    if (step.scan) await dropScan(deps, step.scan.ticket);
    const ticket = await askForScan(deps, {
      binding: bindingOf(uid, step),
      appid,
      client_id: client.client_id,
      client: client.name,
      host,
      ip: ctx.state.ip,
      browser: browserName(ctx.get('user-agent')),
      asked_at: deps.clock.now().toISOString(),
      locale: deps.i18n.languageOf(ctx),
    });
    // Before the page that shows it: what is wrong with the app is said here, beside the other ways.
    step.scan = { ticket, appid, method };
    await pictureOf(deps, step.scan);
    deps.steps.write(ctx, uid, step);
    seeOther(ctx, `${base}/scan`);
  } catch (error) {
    if (!(error instanceof AppError)) throw error;
    if (error.retryAfterSeconds) ctx.set('Retry-After', String(error.retryAfterSeconds));
    await showStart(ctx, deps, visit, { status: error.status, alert: sentenceOf(ctx, deps, error) });
  }
}

/** Of this process, by ticket: not truth, only what spares WeChat a second call for the same picture. */
const pictures = new Map<string, Promise<Picture>>();
const mostPictures = 200;

/** Followed by scanning, or opened. */
function isAccount({ method }: Shown): boolean {
  return method.startsWith('wechat-official-scan');
}

type Shown = NonNullable<Visit['step']['scan']>;

function pictureOf({ connectors }: Deps, scan: Shown): Promise<Picture> {
  const { ticket, appid } = scan;
  const kept = pictures.get(ticket);
  if (kept) return kept;
  const picture = isAccount(scan)
    ? connectors.followCode(appid, { scene: ticket, seconds: scanSeconds })
    : connectors.scanCode(appid, { scene: ticket });
  picture.catch(() => pictures.delete(ticket));
  const oldest = pictures.size >= mostPictures ? pictures.keys().next().value : undefined;
  if (oldest) pictures.delete(oldest);
  pictures.set(ticket, picture);
  return picture;
}

/** From our own origin: the page loads nothing foreign, and WeChat is not told who looks. */
export async function showPicture(ctx: Context, deps: Deps, { step: { scan } }: Visit): Promise<void> {
  const isOpen = scan && (await readScan(deps, scan.ticket));
  if (!isOpen) throw fail('not_found');
  const { type, bytes } = await pictureOf(deps, scan);
  ctx.type = type;
  ctx.set('Cache-Control', `private, max-age=${scanSeconds}, immutable`);
  ctx.body = bytes;
}

async function look(deps: Deps, ticket: string): Promise<Followed> {
  const scan = await readScan(deps, ticket);
  if (!scan) return { state: 'expired', expires_in: 0 };
  const state = scan.state === 'open' ? 'pending' : (scan.state as Followed['state']);
  return { state, expires_in: scan.expires_in };
}

export async function showScan(ctx: Context, deps: Deps, visit: Visit): Promise<void> {
  const { base, step, client } = visit;
  const { scan } = step;
  if (!scan) return seeOther(ctx, base);
  const { state, expires_in } = await look(deps, scan.ticket);
  deps.render(ctx, 'login/scan', {
    base,
    client: client.name,
    method: scan.method,
    words: isAccount(scan) ? 'login.follow' : 'login.scan',
    state,
    seconds: expires_in,
    left: duration(translatorOf(ctx, deps), expires_in),
    // A name for this picture in the browser's cache, which tells nothing about the ticket.
    picture: deps.seal.hash(scan.ticket, 'scan picture').slice(0, 12),
    languageUrl: otherLanguage(ctx, deps, `${base}/scan`),
  });
}

export async function followScan(ctx: Context, deps: Deps, { step: { scan } }: Visit): Promise<void> {
  if (!scan) throw fail('not_found');
  await deps.follow(ctx, () => look(deps, scan.ticket));
}

/** The phone has said yes, and this is the browser that asked: the person it said is the one who signs in here. */
export async function finishScan(ctx: Context, deps: Deps, visit: Visit): Promise<void> {
  const { step, uid, base } = visit;
  if (!step.scan) return seeOther(ctx, base);
  const scan = await takeConfirmed(deps, step.scan.ticket, bindingOf(uid, step));
  const who = scan && (await whoConfirmed(deps, scan));
  if (!who) return seeOther(ctx, `${base}/scan`);
  const t = translatorOf(ctx, deps);
  const masked_to = isAccount(step.scan) ? t('login.follow_who') : t('login.scan_who');
  await proven(ctx, deps, visit, { who, method: step.scan.method, masked_to });
}

async function whoConfirmed({ connectors }: Deps, { sub, openid, appid }: ScanTicket): Promise<Who | undefined> {
  if (sub) return { sub };
  return openid ? { proof: await connectors.followerProof(appid, { openid }) } : undefined;
}
