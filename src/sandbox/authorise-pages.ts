/** WeChat's authorise pages as a browser meets them: the QR page on a PC (also inside another page), and the one inside WeChat. */
import { fail } from '../errors.ts';
import { readForm } from '../http/body.ts';
import type { Context } from '../http/server.ts';
import { breakable } from './faults.ts';
import { languageOf, translator } from './locales.ts';
import { letFormsLeave, page } from './page.ts';
import type { Parts, SandboxRouter } from './parts.ts';
import { qrPicture } from './qr-picture.ts';
import { agree, readAuthorisePage, refuseToAgree } from './wechat/authorise.ts';
import { wxLoginScript } from './wechat/wx-login.ts';

export function mountAuthorise(router: SandboxRouter, parts: Parts): void {
  for (const [path, target] of [
    ['/open.weixin.qq.com/connect/qrconnect', 'qrconnect'],
    ['/open.weixin.qq.com/connect/oauth2/authorize', 'authorize'],
  ] as const) {
    const broken = breakable(parts.faults, target, (ctx, fault) =>
      page(ctx, './problem', { title: 'authorise.unreachable', reason: fault.errmsg ?? String(fault.errcode) }),
    );
    router.get(path, broken, (ctx) => authorise(parts, ctx));
    router.post(path, broken, (ctx) => decide(parts, ctx));
  }
  router.get('/res.wx.qq.com/connect/zh_CN/htmledition/js/wxLogin.js', (ctx) => {
    ctx.set('Cache-Control', 'no-cache');
    ctx.type = 'text/javascript';
    ctx.body = wxLoginScript(`http://${ctx.host}/open.weixin.qq.com/connect/qrconnect`);
  });
}

function authorise(parts: Parts, ctx: Context): void {
  const request = readAuthorisePage(parts, ctx.URL);
  if (typeof request === 'string') {
    unreachable(ctx, request);
    return;
  }
  const people = parts.state.people().filter(({ closed }) => !closed);
  const picture = request.kind === 'qrconnect' ? qrPicture(ctx.href, 320).toString('base64') : undefined;
  const isEmbedded = ctx.query.login_type === 'jssdk';
  page(ctx, './authorise', {
    request,
    people,
    picture,
    bare: isEmbedded,
    // Inside another page the answer leaves the frame, unless it was told to stay.
    target: isEmbedded && ctx.query.self_redirect !== 'true' ? '_top' : '_self',
    action: `${ctx.path}?${ctx.querystring}`,
  });
  letFormsLeave(ctx);
  if (isEmbedded) letOthersFrame(ctx);
}

/** The embedded QR code is made to stand in the pages of others. */
function letOthersFrame(ctx: Context): void {
  ctx.remove('X-Frame-Options');
  const policy = String(ctx.response.get('Content-Security-Policy'));
  ctx.set('Content-Security-Policy', policy.replace("frame-ancestors 'none'", 'frame-ancestors *'));
}

async function decide(parts: Parts, ctx: Context): Promise<void> {
  const request = readAuthorisePage(parts, ctx.URL);
  if (typeof request === 'string') return unreachable(ctx, request);
  const form = await readForm(ctx);
  const person = parts.state.person(form.person_id ?? '');
  if (!person && form.deny === undefined) throw fail('bad_request', { message: 'Nobody was chosen.' });
  ctx.status = 303;
  const isSnapshot = form.snapshot !== undefined;
  ctx.redirect(person ? agree(parts, request, { person, snapshot: isSnapshot }) : refuseToAgree(request));
}

/** WeChat shows such a page with HTTP 200. */
function unreachable(ctx: Context, problem: string): void {
  const t = translator(languageOf(ctx));
  const bare = ctx.query.login_type === 'jssdk';
  page(ctx, './problem', { title: 'authorise.unreachable', reason: t(`authorise.problems.${problem}`), bare });
  if (bare) letOthersFrame(ctx);
}
