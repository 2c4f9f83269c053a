import { describe, expect, it } from 'vitest';
import { createCsrf } from '../../src/http/csrf.ts';
import { createRender } from '../../src/http/render.ts';
import { createKoa, listen } from '../../src/http/server.ts';
import { rememberAgreement } from '../../src/login/privacy.ts';
import { createSteps } from '../../src/login/step.ts';
import { newPerson } from '../connectors/services.ts';
import { authorizeUrl, openSite } from './site.ts';
import { formTo } from './visitor.ts';
import { walker } from './walk.ts';

const site = await openSite({ sandbox: true });
const { browser, start, ask, signIn } = walker(site);

describe('A1: a redirect address that is not registered', () => {
  it('ends on a page of ours, in the reader’s language, and leads nowhere', async () => {
    const answer = await browser().get(authorizeUrl(site, { redirect_uri: 'https://evil.example/callback' }));
    expect(answer.status).toBe(400);
    expect(answer.location).toBeUndefined();
    expect(answer.html).toContain('这个登录请求无法处理');
    expect(answer.html).toContain('invalid_redirect_uri');
    expect(answer.html).not.toMatch(/(href|action)="(https?:)?\/\/[^"]*evil/);
  });
});

describe('A28: prompt=none', () => {
  it('without a session shows no page: login_required goes to the client', async () => {
    const out = await browser().get(authorizeUrl(site, { prompt: 'none' }));
    expect(out.location).toContain(`${site.website.callback}?error=login_required`);
  });
});

describe('the error page', () => {
  it('says what happened, what to do, and the request id', async () => {
    const answer = await browser().get(`${site.origin}/nowhere`);
    expect(answer.status).toBe(404);
    expect(answer.html).toContain('<h1 class="title">这里没有您要找的页面</h1>');
    expect(answer.html).toContain('请检查网址是否完整');
    expect(answer.html).toContain(answer.headers.get('x-request-id') ?? 'none');
  });

  it('is JSON for a program', async () => {
    const answer = await fetch(`${site.origin}/nowhere`, { headers: { accept: 'application/json' } });
    expect(await answer.json()).toMatchObject({ error: { code: 'not_found' } });
  });

  it('of a way back that has expired says so in plain words, not as the application’s fault', async () => {
    const answer = await browser().get(`${site.origin}/authorize/abcdefghijklmnopqrstu`);
    expect(answer.html).toContain('这次登录已过期');
  });

  it('E1: shows what a stranger wrote as text', async () => {
    const answer = await browser().get(authorizeUrl(site, { response_mode: '<img src=x onerror=alert(1)>' }));
    expect(answer.html).not.toContain('<img');
    const named = await browser().get(`${site.origin}/%3Cscript%3Ealert(1)%3C/script%3E`);
    expect(named.html).not.toContain('<script>alert');
  });

  it('E9: an address that looks like another host does not make a link to it', async () => {
    for (const path of ['//evil.example/a', '/%5Cevil.example', '//evil.example/login/abcdefghijklmnopqrstu']) {
      const answer = await browser().get(site.origin + path);
      expect(answer.html, path).not.toMatch(/(href|action)="[^"]*evil/);
    }
  });
});

describe('headers', () => {
  it('A33, A35, G7, E10: forbid framing, referrers, foreign content and keeping, on every page and error', async () => {
    const visitor = browser();
    const page = await ask(visitor, newPerson().phone);
    const urls = ['/', '/privacy', '/nowhere', '/logout', new URL(page.url).pathname, '/login/abcdefghijklmnopqrstu'];
    const answers = [page, ...(await Promise.all(urls.map((path) => visitor.get(site.origin + path))))];
    answers.push(await visitor.get(authorizeUrl(site, { redirect_uri: 'https://evil.example' })));
    answers.push(await visitor.submit(formTo(page, '/verify'), { code: '1', csrf: 'x' }));
    for (const { headers, url, status } of answers) {
      const policy = headers.get('content-security-policy') ?? '';
      expect(policy, `${status} ${url}`).toContain("frame-ancestors 'none'");
      expect(policy).toContain("default-src 'none'");
      expect(policy).not.toContain('unsafe-inline');
      expect(headers.get('x-frame-options')).toBe('DENY');
      expect(headers.get('referrer-policy')).toBe('no-referrer');
      expect(headers.get('x-content-type-options')).toBe('nosniff');
      expect(headers.get('cross-origin-opener-policy')).toBe('same-origin');
      expect(headers.get('cache-control')).toContain('no-store');
    }
  });

  it('name the origin of the client where a form leads back to it, and nowhere else', async () => {
    const page = await start(browser());
    const policy = (await page).headers.get('content-security-policy') ?? '';
    expect(policy).toContain(`form-action 'self' ${site.website.origin};`);
    const home = await browser().get(site.origin);
    expect(home.headers.get('content-security-policy')).toContain("form-action 'self';");
  });

  it('G16: pages hold no inline script, no inline style, no handler, and nothing from elsewhere', async () => {
    const visitor = browser();
    const code = await ask(visitor, newPerson().phone);
    for (const page of [await start(browser()), code, await visitor.get(`${site.origin}/privacy`)]) {
      expect(page.html).not.toMatch(/<script(?![^>]*\bsrc=)/);
      expect(page.html).not.toMatch(/<style|\sstyle=|\son\w+=/);
      expect(page.html).not.toMatch(/(src|href)="(https?:)?\/\/(?!127\.0\.0\.1|localhost)/);
    }
  });

  it('cookies are out of reach of scripts and of other sites’ posts', async () => {
    const visitor = browser();
    const page = await start(visitor);
    for (const line of page.headers.getSetCookie()) {
      expect(line).toMatch(/HttpOnly/i);
      expect(line).toMatch(/SameSite=Lax/i);
      expect(line.length).toBeLessThan(4096);
    }
  });
});

describe('G6: over https', () => {
  it('cookies are Secure and bear the prefixes that keep other hosts from setting them; browsers are told to stay with https', async () => {
    const publicUrl = 'https://id.example.com';
    const koa = createKoa({ log: site.log, trustProxy: false, https: true });
    const render = createRender({ i18n: site.i18n, csrf: createCsrf({ seal: site.seal, publicUrl }) });
    const steps = createSteps({ seal: site.seal, publicUrl });
    koa.use((ctx) => {
      steps.write(ctx, 'abcdefghijklmnopqrstu', steps.create());
      rememberAgreement(ctx, { https: true });
      render(ctx, 'home', {});
    });
    const listener = await listen(koa, { port: 0, host: '127.0.0.1' });
    const answer = await fetch(`http://127.0.0.1:${listener.port}/`);
    await listener.stop();
    const cookies = answer.headers.getSetCookie();
    expect(cookies.map((line) => line.split('=')[0]).sort()).toEqual([
      '__Host-heyi_form',
      '__Secure-heyi_login',
      'heyi_privacy',
    ]);
    for (const line of cookies) expect(line).toMatch(/; HttpOnly; SameSite=Lax; Secure$/);
    expect(answer.headers.get('strict-transport-security')).toMatch(/max-age=\d{8}/);
  });
});

describe('E7: static files', () => {
  it('are served with their version, and nothing outside the folder is', async () => {
    const page = await start(browser());
    const css = /href="(\/static\/heyi\.css\?v=\w+)"/.exec(page.html)?.[1] ?? '';
    const answer = await fetch(site.origin + css);
    expect(answer.headers.get('content-type')).toContain('text/css');
    expect(answer.headers.get('cache-control')).toContain('immutable');
    for (const path of [
      '/static/..%2fpackage.json',
      '/static/../package.json',
      '/static/%00',
      '/static/%2e%2e/layout.eta',
    ])
      expect((await fetch(site.origin + path)).status, path).toBeGreaterThanOrEqual(400);
  });
});

describe('signing out', () => {
  const loggedOut = `${site.website.origin}/bye`;
  const logoutUrl = (parameters: Record<string, string>) => `${site.origin}/logout?${new URLSearchParams(parameters)}`;

  it('A37: asks first; the click ends the session and leads to the registered address', async () => {
    const visitor = browser();
    await signIn(visitor);
    const page = await visitor.get(
      logoutUrl({ client_id: 'website', post_logout_redirect_uri: loggedOut, state: 's 1' }),
    );
    expect(page.status).toBe(200);
    expect(page.html).toContain('要退出登录吗');
    expect(page.html).not.toMatch(/<script(?![^>]*\bsrc=)/);
    expect(page.headers.get('content-security-policy')).toContain(`form-action 'self' ${site.website.origin}`);
    expect((await start(visitor)).location).toContain('code=');
    const again = await visitor.get(page.url);
    const out = await visitor.submit(formTo(again, '/logout/confirm'), { logout: 'yes' });
    expect(out.status).toBe(303);
    expect(out.location).toBe(`${loggedOut}?state=s+1`);
    expect((await start(visitor)).html).toContain('name="phone"');
  });

  it('A37: a post without the form’s own secret ends nothing', async () => {
    const visitor = browser();
    await signIn(visitor);
    await visitor.get(`${site.origin}/logout`);
    const refused = await visitor.post(`${site.origin}/logout/confirm`, { logout: 'yes', xsrf: 'guess' });
    expect(refused.status).toBe(400);
    expect((await start(visitor)).location).toContain('code=');
  });

  it('A36: an address that is not registered, or without a client, is not gone to', async () => {
    const visitor = browser();
    await signIn(visitor);
    const refused = await visitor.get(
      logoutUrl({ client_id: 'website', post_logout_redirect_uri: 'https://evil.example/' }),
    );
    expect(refused.status).toBe(400);
    const unnamed = await visitor.get(logoutUrl({ post_logout_redirect_uri: 'https://evil.example/' }));
    const done = await visitor.follow(await visitor.submit(formTo(unnamed, '/logout/confirm'), { logout: 'yes' }));
    expect(done.url).toBe(`${site.origin}/logout/success`);
    expect(done.html).toContain('您已退出登录');
  });

  it('with nobody signed in leads on at once, without a page that needs a script', async () => {
    const known = await browser().get(
      logoutUrl({ client_id: 'website', post_logout_redirect_uri: loggedOut, state: 'x' }),
    );
    expect(known.status).toBe(303);
    expect(known.location).toBe(`${loggedOut}?state=x`);
    const unknown = await browser().get(logoutUrl({ post_logout_redirect_uri: 'https://evil.example/' }));
    expect(unknown.location).toBe(`${site.origin}/logout/success`);
  });

  it('of one client alone keeps the others', async () => {
    const visitor = browser();
    await signIn(visitor);
    const page = await visitor.get(logoutUrl({ client_id: 'website' }));
    const done = await visitor.follow(await visitor.submit(formTo(page, '/logout/confirm')));
    expect(done.html).toContain('您已退出 示例官网');
    expect((await start(visitor)).location).toContain('code=');
  });
});

describe('the front page', () => {
  it('says what this is and, in the sandbox, where to try it', async () => {
    const page = await browser().get(site.origin);
    expect(page.html).toContain('href="/.well-known/openid-configuration"');
    expect(page.html).toContain('href="http://localhost:3100/miniprogram"');
    expect(page.html).toContain('href="http://localhost:3200/"');
  });
});

describe('a client of another company', () => {
  const partner = { client_id: 'partner', redirect_uri: `${site.website.origin}/partner`, scope: 'openid phone' };

  it('is named with its host, and gets the data only when the person allows it (article 23, A40)', async () => {
    const visitor = browser();
    const { out: page } = await signIn(visitor, newPerson().phone, partner);
    expect(page.html).toContain('授权 合作伙伴');
    expect(page.html).toContain(new URL(site.website.origin).host);
    expect(page.html).toContain('手机号码');
    const out = await visitor.follow(await visitor.submit(formTo(page, '/consent'), { decision: 'allow' }));
    expect(out.location).toContain(`${site.website.origin}/partner?code=`);
    const entry = await site.db('audit_entries').where({ action: 'client.authorised' }).first();
    expect(entry).toMatchObject({ client_id: 'partner', details: { scopes: ['openid', 'phone'] } });
    expect((await start(visitor, partner)).location).toContain('code=');
  });

  it('is told access_denied when the person does not', async () => {
    const visitor = browser();
    const { out: page } = await signIn(visitor, newPerson().phone, partner);
    const out = await visitor.follow(await visitor.submit(formTo(page, '/consent'), { decision: 'deny' }));
    expect(out.location).toContain('error=access_denied');
  });

  it('E1: with a name full of markup is shown as text', async () => {
    const page = await start(browser(), { client_id: 'phone-only', redirect_uri: `${site.website.origin}/phone` });
    expect(page.html).toContain('Phone &lt;b&gt;only&lt;/b&gt;');
  });
});
