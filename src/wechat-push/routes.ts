/**
 * The push address of WeChat apps (消息推送): WeChat asks once whether it is ours, and then tells what people do in
 * WeChat. Owns what is believed and answered; the wire is connectors/wechat/push.ts, what follows from a push receive.ts.
 *
 * Unsigned, stale and unreadable ones end here with 403 or 400, which is all that a stranger hears.
 */
import Router from '@koa/router';
import type { Clock } from '../clock.ts';
import { type ConfiguredApp, wechatApp } from '../connectors/wechat/apps.ts';
import { openPush, type PushQuery, type Refusal, verifyAddress, writeReply } from '../connectors/wechat/push.ts';
import { fail } from '../errors.ts';
import { readBytes } from '../http/body.ts';
import type { Context, RequestState } from '../http/server.ts';
import { type ForwardServices, forwardPush, type PushRequest, type Reply } from './forward.ts';
import { type ReceiveServices, receivePush } from './receive.ts';

export type PushDependencies = ReceiveServices & ForwardServices & { clock: Clock };

/** A text message is 2 kB at most; ten times that leaves room for what they add. */
const bodyLimit = 65_536;
/** WeChat waits for five seconds, from the moment it has sent. */
const patience = 4_500;

export function wechatPushRoutes(deps: PushDependencies): Router<RequestState> {
  const router = new Router<RequestState>();
  router.get('/wechat/:appid/push', async (ctx) => {
    const app = await appOf(ctx, deps);
    const verified = verifyAddress(app, queryOf(ctx), deps.clock.now());
    if ('why' in verified) throw refused(ctx, deps, app, verified.why);
    ctx.type = 'text/plain';
    ctx.body = verified.echostr;
  });
  router.post('/wechat/:appid/push', async (ctx) => {
    const app = await appOf(ctx, deps);
    const signal = AbortSignal.timeout(patience);
    const bytes = await readBytes(ctx, { limit: bodyLimit });
    const reply = await answerPush(ctx, deps, app, { bytes, signal });
    ctx.set('Content-Type', reply?.type || 'text/plain; charset=utf-8');
    ctx.body = reply?.bytes ?? 'success';
  });
  return router;
}

async function appOf(ctx: Context, deps: PushDependencies): Promise<ConfiguredApp> {
  ctx.set('Cache-Control', 'no-store');
  const app = await wechatApp(deps, String(ctx.params.appid));
  if (!app) throw fail('not_found');
  return app;
}

async function answerPush(
  ctx: Context,
  deps: PushDependencies,
  app: ConfiguredApp,
  { bytes, signal }: Pick<PushRequest, 'bytes' | 'signal'>,
): Promise<Reply | undefined> {
  const query = queryOf(ctx);
  const push = openPush(app, { query, body: bytes.toString('utf8'), now: deps.clock.now() });
  if (push.kind === 'refused') throw refused(ctx, deps, app, push.why);
  const { requestId: request_id } = ctx.state;
  // In the clear the message is not signed and a replay is possible: it is found before anything is passed on.
  const signature = query.msg_signature ?? query.signature ?? '';
  const done = await receivePush(deps, { app, push, signature, request_id });
  if (done.kind === 'replayed') throw refused(ctx, deps, app, 'replayed');
  const theirs = forwardPush(deps, app, { querystring: ctx.querystring, type: ctx.get('content-type'), bytes, signal });
  if (done.reply === undefined) return theirs;
  // Ours is an answer to the person who asked us; the other system has heard of it all the same.
  const text = writeReply(app, push, { text: done.reply, now: deps.clock.now() });
  return { type: push.format === 'json' ? 'application/json' : 'text/xml; charset=utf-8', bytes: Buffer.from(text) };
}

const names = ['signature', 'timestamp', 'nonce', 'msg_signature', 'encrypt_type', 'echostr'] as const;

/** A parameter that is given twice means nothing (threat A43). */
function queryOf({ query }: Context): PushQuery {
  const given = names.flatMap((name) => {
    const value = query[name];
    return typeof value === 'string' && value.length <= 256 ? [[name, value]] : [];
  });
  return Object.fromEntries(given);
}

/** The log says why, for the operator who has just entered a token wrongly; the stranger is not told. */
function refused(ctx: Context, { log }: PushDependencies, { appid }: ConfiguredApp, why: Refusal | 'replayed') {
  log.info({ request_id: ctx.state.requestId, appid, why }, 'wechat: push refused');
  return why === 'unreadable' ? fail('bad_request') : fail('forbidden', { message: 'This is not a push of WeChat.' });
}
