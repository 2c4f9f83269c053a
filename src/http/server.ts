/**
 * The Koa application that every listener of ours starts from: request ids, one log line a request, errors rendered in one
 * place, security headers, the client's address, and a stop that lets requests in flight be answered.
 * Leaves routes to the feature folders, and what is answered without Koa to direct.ts.
 */
import { randomUUID } from 'node:crypto';
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import Koa from 'koa';
import { isDatabaseAway } from '../database.ts';
import { AppError, fail } from '../errors.ts';
import type { Logger } from '../log.ts';
import { type Address, clientAddress } from './client-address.ts';
import { securityHeaders } from './security-headers.ts';

/** What every request carries in ctx.state. */
export type RequestState = {
  requestId: string;
  ip: string;
  /** Whose turn it is when requests wait for each other: the credential of the header. Else the address. */
  sender?: string;
  /** Languages that the client of this sign-in asked for. */
  uiLocales?: string;
  /** Where an error page of this request leads back to: an address of ours. */
  wayBack?: { name: string; url: string };
};
export type Context = Koa.ParameterizedContext<RequestState>;
/** A request and its answer as node has them: all that is needed by what is answered with Koa and without it. */
export type Exchange = { req: IncomingMessage; res: ServerResponse; state: RequestState };
export type Middleware = Koa.Middleware<RequestState>;

export type KoaOptions = {
  log: Logger;
  trustProxy: Address;
  /** Renders the error as a page when the client asked for HTML; JSON otherwise. */
  errorPage?: (ctx: Context, error: AppError) => Promise<void> | void;
  https: boolean;
};

export function createKoa({ log, trustProxy, errorPage, https }: KoaOptions): Koa<RequestState> {
  const koa = new Koa<RequestState>();
  koa.silent = true;
  koa.use(async (ctx, next) => {
    const startedAt = performance.now();
    Object.assign(ctx.state, beginRequest(ctx.req, ctx.res, trustProxy));
    try {
      await next();
      if (ctx.status === 404 && ctx.body === undefined && ctx.respond !== false) throw fail('not_found');
      // 501 is the router's word for a method it has never heard of: TRACE, and whatever a client makes up (threat G10).
      if ((ctx.status === 405 || ctx.status === 501) && !ctx.body) throw fail('method_not_allowed');
    } catch (error) {
      await renderError(ctx, error, { log, errorPage });
    }
    logRequest(log, { exchange: ctx, path: ctx.path, startedAt });
  });
  const secure = securityHeaders({ https });
  koa.use((ctx, next) => {
    secure(ctx.res);
    // A whole address that is none, `http://[`: whoever asks for its path would throw, the error page too.
    if (!/^[/*]/.test(ctx.url) && !URL.canParse(ctx.url)) {
      ctx.url = '/';
      throw fail('bad_request');
    }
    return next();
  });
  return koa;
}

/** Gives the request its id and its state. */
export function beginRequest(req: IncomingMessage, res: ServerResponse, trustProxy: Address): RequestState {
  const requestId = randomUUID();
  res.setHeader('X-Request-Id', requestId);
  return { requestId, ip: clientAddress(req, trustProxy) };
}

/** The path alone: query strings carry codes and tokens (threat G1), and what a path carries is masked. */
export function logRequest(
  log: Logger,
  { exchange, path, startedAt }: { exchange: Exchange; path: string; startedAt: number },
): void {
  const { req, res, state } = exchange;
  const ms = Math.round(performance.now() - startedAt);
  log.info(
    { request_id: state.requestId, method: req.method, path: shownPath(path), status: res.statusCode, ms },
    'request',
  );
}

/** A ticket (22 characters, tickets.ts) is a secret for as long as it lasts. */
function shownPath(path: string): string {
  return path.replace(/(?<=\/)[\w-]{22}(?=\/|$)/g, '…');
}

type ErrorRendering = { log: Logger; errorPage: KoaOptions['errorPage'] };

async function renderError(ctx: Context, thrown: unknown, { log, errorPage }: ErrorRendering): Promise<void> {
  const error = noteError(thrown, { log, exchange: ctx, path: ctx.path });
  ctx.status = error.status;
  if (errorPage && ctx.accepts('json', 'html') === 'html') await errorPage(ctx, error);
  else ctx.body = errorBody(error, ctx);
}

/** Logs what is our fault, and sets the headers that every error has. */
export function noteError(
  thrown: unknown,
  { log, exchange, path }: { log: Logger; exchange: Exchange; path: string },
): AppError {
  const error = toAppError(thrown);
  const { res, state } = exchange;
  if (error.status >= 500)
    log.error(
      { request_id: state.requestId, path: shownPath(path), error: error.code, err: error.cause ?? error },
      'request failed',
    );
  res.setHeader('Cache-Control', 'no-store');
  if (error.retryAfterSeconds) res.setHeader('Retry-After', String(error.retryAfterSeconds));
  return error;
}

export function errorBody({ code, message, fields }: AppError, { state }: Exchange): object {
  return { error: { code, message, request_id: state.requestId, ...(fields && { fields }) } };
}

/** Unknown errors show as `internal` with the request id; what a client sent wrongly never becomes a 500. */
export function toAppError(thrown: unknown): AppError {
  if (thrown instanceof AppError) return thrown;
  if (isDatabaseAway(thrown)) return fail('database_unavailable', { cause: thrown, retryAfterSeconds: 2 });
  const status = thrown instanceof Error && 'status' in thrown ? thrown.status : undefined;
  if (status === 413) return fail('payload_too_large', { cause: thrown });
  // URIError: a malformed percent sequence in the path.
  if (thrown instanceof URIError || status === 400) return fail('bad_request', { cause: thrown });
  return fail('internal', { cause: thrown });
}

export type Listener = { port: number; stop(): Promise<void> };

/** How long a sender may take for its headers and for the whole request, in milliseconds. */
const patience = { headers: 10_000, request: 30_000 };

type ListenOptions = {
  port: number;
  host: string;
  slowest?: typeof patience;
  /** Answers some requests itself, and says whether it does. */
  direct?: ((req: IncomingMessage, res: ServerResponse) => boolean) | undefined;
  /** Hears of each request before it is answered. */
  observe?: ((req: IncomingMessage, res: ServerResponse) => void) | undefined;
};

/** @throws the listen error (EADDRINUSE, EACCES) of node. Port 0 takes a free one. */
export async function listen(
  koa: Koa<RequestState>,
  { port, host, slowest = patience, direct, observe }: ListenOptions,
): Promise<Listener> {
  const byKoa = koa.callback();
  const server = createServer(
    // A slow sender holds a socket, not the process (threat F8); the parser stays strict (G14).
    {
      headersTimeout: slowest.headers,
      requestTimeout: slowest.request,
      // node looks for slow senders every 30 s unless told otherwise, whatever the two above say.
      connectionsCheckingInterval: Math.ceil(slowest.headers / 4),
      keepAliveTimeout: 5_000,
      maxHeaderSize: 16_384,
    },
    (req, res) => {
      observe?.(req, res);
      if (!direct?.(req, res)) void byKoa(req, res);
    },
  );
  await new Promise<void>((resolve, reject) => {
    server.once('error', reject);
    server.listen(port, host, resolve);
  });
  const address = server.address();
  return { port: address && typeof address === 'object' ? address.port : port, stop: () => drain(server) };
}

/** Answers what is in flight, then closes; a connection that will not end is cut after 10 seconds. */
async function drain(server: Server): Promise<void> {
  const closed = new Promise<void>((resolve) => server.close(() => resolve()));
  server.closeIdleConnections();
  // A keep-alive connection becomes idle only after its answer: look again until all are gone.
  const sweep = setInterval(() => server.closeIdleConnections(), 50);
  const cut = setTimeout(() => server.closeAllConnections(), 10_000);
  await closed;
  clearInterval(sweep);
  clearTimeout(cut);
}
