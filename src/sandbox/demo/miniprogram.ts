/**
 * The demo mini-program as its phone downloads it. The files under views/demo/miniprogram are a mini-program project as WeChat's
 * tools know it; here they are packed the way WeChat packs them: each script a module that sees `wx` and nothing of a browser.
 * The phone itself is views/demo/static/phone.
 */
import { readdirSync, readFileSync } from 'node:fs';
import { join, relative } from 'node:path';
import Router from '@koa/router';
import { projectRoot } from '../../config.ts';
import type { RequestState } from '../../http/server.ts';
import type { Parts } from './parts.ts';
import { products } from './products.ts';

const folder = join(projectRoot, 'views/demo/miniprogram');
const sdkFolder = join(projectRoot, 'sdk/miniprogram/lib');

export function miniprogramRoutes({ pages, settings }: Parts): Router<RequestState> {
  const router = new Router<RequestState>();

  router.get('/miniprogram', (ctx) => {
    const { miniprogram, issuer, url, writeKey } = settings;
    // What ext.json holds in a real project.
    const client_id = miniprogram.client_id;
    const ext = { issuer, client_id, write_key: writeKey, shop_url: url, website_client_id: settings.clientId };
    pages.render(ctx, 'miniprogram', {}, { appid: miniprogram.appid, ext });
  });

  /** The shop's public catalogue, for the mini-program. */
  router.get('/miniprogram/products', (ctx) => {
    const t = pages.translator(ctx);
    ctx.body = {
      products: products.map((product) => ({
        ...product,
        name: t(`products.${product.product_id}.name`),
        about: t(`products.${product.product_id}.about`),
        price_text: pages.money(ctx, product.price),
        image: `${settings.url}/assets/products/${product.product_id}.svg`,
      })),
    };
  });

  router.get('/miniprogram/code.js', (ctx) => {
    ctx.set('Cache-Control', 'no-cache');
    ctx.type = 'text/javascript';
    ctx.body = packCode();
  });
  router.get('/miniprogram/style.css', (ctx) => {
    ctx.set('Cache-Control', 'no-cache');
    ctx.type = 'text/css';
    ctx.body = packStyle();
  });
  router.get('/miniprogram/pages.json', (ctx) => {
    ctx.set('Cache-Control', 'no-cache');
    ctx.body = packPages();
  });

  return router;
}

const read = (name: string) => readFileSync(join(folder, name), 'utf8');
const routes = (): string[] => JSON.parse(read('app.json')).pages;

/** What a mini-program's logic layer does not have; `wx`, its four functions and its timers come from the phone. */
const hidden =
  'window,document,self,globalThis,top,parent,frames,fetch,XMLHttpRequest,WebSocket,localStorage,sessionStorage,indexedDB,navigator,location,history,Function';

export function packCode(): string {
  const scripts = [
    ...scriptsIn(folder).map((name) => [name, read(name)] as const),
    ...scriptsIn(sdkFolder).map((name) => [`heyi/${name}`, readFileSync(join(sdkFolder, name), 'utf8')] as const),
  ];
  const modules = scripts.map(
    ([name, source]) =>
      `wxDefine(${JSON.stringify(name)}, function (require, module, exports, wx, App, Page, getApp, getCurrentPages, setTimeout, setInterval, ${hidden}) {\n'use strict';\n${source}\n});`,
  );
  return `${modules.join('\n')}\n`;
}

function scriptsIn(root: string): string[] {
  return readdirSync(root, { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isFile() && entry.name.endsWith('.js'))
    .map((entry) => relative(root, join(entry.parentPath, entry.name)).replaceAll('\\', '/'));
}

/** rpx: the screen is 750 of them wide. A page's own style holds for that page alone. */
function packStyle(): string {
  const sheets = [
    read('app.wxss').replace(/(^|\s)page\s*\{/g, '$1.wx-page {'),
    ...routes().map((route) => `[data-route="${route}"] {\n${read(`${route}.wxss`)}}`),
  ];
  return sheets.join('\n').replace(/(\d+(?:\.\d+)?)rpx/g, 'calc(var(--rpx) * $1)');
}

function packPages() {
  const pages = routes().map((route) => ({
    route,
    window: JSON.parse(read(`${route}.json`)),
    template: read(`${route}.wxml`),
  }));
  return { app: JSON.parse(read('app.json')), pages };
}
