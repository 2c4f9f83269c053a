/**
 * Who may speak to the sandbox: this machine. It signs anybody in as anybody, so a page of some other site, open in the same
 * browser, must neither post to it nor reach it under a name of its own (DNS rebinding).
 */
import { fail } from '../errors.ts';
import type { Context, Middleware } from '../http/server.ts';

/** The names of this machine. */
export const loopback = new Set(['localhost', '127.0.0.1', '[::1]']);

function hostOf(address: string): string {
  return URL.canParse(address) ? new URL(address).hostname : '';
}

/** @throws forbidden for a foreign Host: another site's name that was made to lead to this machine */
export const localHost: Middleware = (ctx, next) => {
  if (!loopback.has(hostOf(`http://${ctx.get('host')}`)))
    throw fail('forbidden', { message: 'The sandbox answers to localhost only.' });
  return next();
};

/** @throws forbidden for a foreign Origin (which browsers send with every post and cross-site fetch) */
export const localOrigin: Middleware = (ctx, next) => {
  const origin = ctx.get('origin');
  if (origin && !loopback.has(hostOf(origin)))
    throw fail('forbidden', { message: 'Pages of other sites may not use the sandbox.' });
  return next();
};

const controls = /^\/(inbox|people|apps|faults|codes|pushes)(\/|$)/;

/** The demo runs on another port of this machine and works the controls from the browser. The vendors' APIs never allow that. */
export const crossOriginControls: Middleware = (ctx, next) => {
  ctx.vary('Origin');
  const origin = ctx.get('origin');
  if (!origin || !controls.test(ctx.path)) return next();
  ctx.set('Access-Control-Allow-Origin', origin);
  return ctx.method === 'OPTIONS' ? preflight(ctx) : next();
};

function preflight(ctx: Context): void {
  ctx.set('Access-Control-Allow-Methods', 'GET, POST, PUT, DELETE');
  ctx.set('Access-Control-Allow-Headers', 'Content-Type');
  ctx.set('Access-Control-Max-Age', '600');
  ctx.status = 204;
}
