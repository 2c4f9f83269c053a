/** The controls for what people do, for the codes that they can scan, and to repeat a push. */
import { z } from 'zod';
import { fail } from '../errors.ts';
import type { Context } from '../http/server.ts';
import { accountOf, closeAccount, follow, modify, present, revoke, say, unfollow } from './acts.ts';
import { nickname, personOf, read } from './controls.ts';
import { type Parts, query, type SandboxRouter } from './parts.ts';
import { readCode, scan } from './scan.ts';
import type { Person, WechatApp } from './state.ts';

const ofApp = z.strictObject({ appid: z.string() });
const code = z
  .strictObject({ url: z.string().optional(), ticket: z.string().optional() })
  .refine(({ url, ticket }) => (url === undefined) !== (ticket === undefined), {
    message: 'give either url or ticket',
  });
const revocation = ofApp.extend({ revoke_info: z.string().min(1).max(32).optional() });
const modification = ofApp.extend({ nickname: nickname.optional() });
const sentence = ofApp.extend({ text: z.string().min(1).max(600) });

type Act = (parts: Parts, person: Person, ctx: Context) => Promise<unknown>;

const acts: Record<string, Act> = {
  async scan(parts, person, ctx) {
    const { url, ticket } = await read(ctx, code);
    return scan(parts, person, readCode(parts, url ?? ticket ?? ''));
  },
  async follow(parts, person, ctx) {
    return follow(parts, { app: accountOf(parts, (await read(ctx, ofApp)).appid), person });
  },
  async unfollow(parts, person, ctx) {
    return unfollow(parts, accountOf(parts, (await read(ctx, ofApp)).appid), person);
  },
  async say(parts, person, ctx) {
    const { appid, text } = await read(ctx, sentence);
    return say(parts, { app: accountOf(parts, appid), person, text });
  },
  async revoke(parts, person, ctx) {
    const { appid, revoke_info } = await read(ctx, revocation);
    return revoke(parts, { app: appOf(parts, appid), person, revoke_info });
  },
  async modify(parts, person, ctx) {
    const { appid, nickname } = await read(ctx, modification);
    return modify(parts, { app: appOf(parts, appid), person, nickname });
  },
  'close-account': (parts, person) => closeAccount(parts, present(person)),
};

export function mountActs(router: SandboxRouter, parts: Parts): void {
  for (const [name, act] of Object.entries(acts))
    router.post(`/people/:id/${name}`, async (ctx) => {
      ctx.body = await act(parts, personOf(parts, ctx.params.id), ctx);
    });
  router.post('/pushes/:id/again', async (ctx) => {
    const push = await parts.pushes.again(String(ctx.params.id));
    if (!push) throw fail('not_found', { message: 'The sandbox remembers no such push; see GET /pushes.' });
    ctx.body = { pushes: [push] };
  });
  router.get('/codes', (ctx) => {
    ctx.body = { codes: parts.made.recent().filter((code) => code.appid === (query(ctx, 'appid') ?? code.appid)) };
  });
}

/** @throws bad_request */
function appOf({ state }: Pick<Parts, 'state'>, appid: string): WechatApp {
  const app = state.app(appid);
  if (!app) throw fail('bad_request', { message: `"${appid}" is no app of the sandbox; see GET /apps.` });
  return app;
}
