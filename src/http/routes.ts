/**
 * A JSON route as one object: method, path, scopes, schemas and handler. The same object is mounted here and described by
 * openapi.ts, so the document cannot say anything else than the server does.
 *
 *   const route = routeFactory<Services>();
 *   route({ method: 'get', path: '/things/{id}', …, answer: Thing, handle: async ({ db }, { params }) => readThing(db, params.id) })
 *
 * Unknown query parameters and body fields are refused: a misspelt filter that is ignored answers with everything, and a field
 * that is silently dropped looks as if it had worked (threat D20). An answer holds what its schema names and nothing else.
 */
import Router from '@koa/router';
import type { z } from 'zod';
import { type ErrorCode, fail } from '../errors.ts';
import type { Logger } from '../log.ts';
import { readJson } from './body.ts';
import type { Context, Middleware, RequestState } from './server.ts';

/** Who calls: the program behind the access token. `sub` is set when the token is a person's. */
export type Caller = { client_id: string; scopes: string[]; sub?: string | undefined };

type Shape = z.ZodObject;
type Nothing = z.ZodObject<Record<never, never>>;

export type RouteRequest<P extends Shape, Q extends Shape, H extends Shape, B extends Shape> = {
  params: z.output<P>;
  query: z.output<Q>;
  headers: z.output<H>;
  body: z.output<B>;
  caller: Caller;
  request_id: string;
  ip: string;
};

type RouteOf<Services, P extends Shape, Q extends Shape, H extends Shape, B extends Shape, A extends z.ZodType> = {
  method: 'get' | 'post' | 'put' | 'delete';
  /** Parameters in braces, as OpenAPI writes them. */
  path: string;
  /** operationId: a camelCase verb. */
  id: string;
  tag: string;
  summary: string;
  description?: string;
  /** All are needed. Empty: anybody, without a token. */
  scopes: string[];
  /** A value that does not fit answers 404: nothing can be there. */
  params?: P;
  query?: Q;
  /** Names in lower case. */
  headers?: H;
  body?: B;
  status?: 200 | 201;
  answer: A;
  /** Codes the handler may throw, besides those that every route has. */
  errors?: ErrorCode[];
  handle(services: Services, request: RouteRequest<P, Q, H, B>): Promise<z.input<A>>;
};

/** A route whose schemas are no longer known to the compiler, as lists of routes hold them. */
export type Route<Services> = RouteOf<Services, Shape, Shape, Shape, Shape, z.ZodType>;

/** Fixes the services, so that the compiler infers the schemas of each route. */
export function routeFactory<Services>() {
  return <
    A extends z.ZodType,
    P extends Shape = Nothing,
    Q extends Shape = Nothing,
    H extends Shape = Nothing,
    B extends Shape = Nothing,
  >(
    route: RouteOf<Services, P, Q, H, B, A>,
  ): Route<Services> => route as unknown as Route<Services>;
}

export type MountOptions<Services> = {
  prefix: string;
  services: Services;
  log: Logger;
  /** Whose tokens open these doors: programs', or people's own. The other kind never does, whatever its scopes (threat D19). */
  callers?: 'programs' | 'people';
  /** Undefined for a token that is unknown, expired, or of another audience. */
  authenticate(bearer: string): Promise<Caller | undefined>;
};

/** No write of ours is near this. */
const bodyLimit = 65_536;

export function mountRoutes<Services>(
  routes: Route<Services>[],
  options: MountOptions<Services>,
): Router<RequestState> {
  const router = new Router<RequestState>({ prefix: options.prefix, strict: true, sensitive: true });
  for (const [path, ofPath] of Map.groupBy(routes, (route) => route.path)) {
    const pattern = path.replace(/\{(\w+)\}/g, ':$1');
    for (const route of ofPath) router.register(pattern, [route.method], [serve(route, options)]);
    router.all(pattern, refuseMethod(ofPath));
  }
  return router;
}

function refuseMethod<Services>(routes: Route<Services>[]): Middleware {
  const allowed = routes.flatMap(({ method }) => (method === 'get' ? ['GET', 'HEAD'] : [method.toUpperCase()]));
  return async (ctx) => {
    ctx.set('Allow', allowed.join(', '));
    throw fail('method_not_allowed');
  };
}

function serve<Services>(route: Route<Services>, options: MountOptions<Services>): Middleware {
  return async (ctx) => {
    // Also for errors: a cache must hold neither what one token may see nor that another may not (threat E10).
    ctx.set('Cache-Control', 'no-store');
    const caller = route.scopes.length ? await admit(ctx, route, options) : { client_id: '', scopes: [] };
    const request = { ...(await readRequest(ctx, route)), caller, request_id: ctx.state.requestId, ip: ctx.state.ip };
    const answer = route.answer.safeParse(await route.handle(options.services, request));
    if (!answer.success) throw fail('internal', { cause: answer.error });
    ctx.status = route.status ?? 200;
    ctx.body = answer.data;
  };
}

/** RFC 6750 sections 2.1 and 3: the token in the header alone, never in the address, and a challenge that says what is wrong. */
async function admit<Services>(
  ctx: Context,
  route: Route<Services>,
  { prefix, authenticate, log, callers = 'programs' }: MountOptions<Services>,
): Promise<Caller> {
  const challenge = `Bearer realm="${prefix}"`;
  const bearer = /^Bearer +([\w\-.~+/]+=*)$/i.exec(ctx.get('authorization'))?.[1];
  const caller = bearer && (await authenticate(bearer));
  if (!caller) {
    ctx.set('WWW-Authenticate', ctx.get('authorization') ? `${challenge}, error="invalid_token"` : challenge);
    throw fail('unauthorized');
  }
  const missing = route.scopes.filter((scope) => !caller.scopes.includes(scope));
  if (missing.length || (caller.sub !== undefined) !== (callers === 'people')) {
    ctx.set('WWW-Authenticate', `${challenge}, error="insufficient_scope", scope="${route.scopes.join(' ')}"`);
    log.warn(
      { request_id: ctx.state.requestId, client_id: caller.client_id, operation: route.id, missing },
      'api: refused',
    );
    throw fail('forbidden');
  }
  return caller;
}

type Read = Pick<RouteRequest<Shape, Shape, Shape, Shape>, 'params' | 'query' | 'headers' | 'body'>;

/** Reads and checks everything the caller sent, and reports all faults at once. */
async function readRequest<Services>(ctx: Context, route: Route<Services>): Promise<Read> {
  const params = route.params?.safeParse((ctx as { params?: unknown }).params);
  if ((params && !params.success) || !isStorable(params?.data)) throw fail('not_found');
  const fields = new Map<string, string>();
  const read = (schema: Shape | undefined, value: unknown, name: string) => {
    const parsed = schema?.safeParse(value);
    for (const issue of parsed?.error?.issues ?? []) addFault(fields, issue, name);
    return parsed?.data ?? {};
  };
  const query = route.query ? read(route.query, ctx.query, 'query') : refuseAll(fields, Object.keys(ctx.query));
  for (const [name, value] of Object.entries(ctx.query))
    if (!isStorable(value)) fields.set(name.slice(0, 100), 'A NUL character (%00) is in no text.');
  const headers = read(route.headers, ctx.headers, 'headers');
  const body = read(route.body, route.body && (await readBody(ctx)), 'body');
  if (fields.size) throw fail('invalid_fields', { fields: Object.fromEntries(fields) });
  return { params: params?.data ?? {}, query, headers, body };
}

/** A form of another site can post text/plain or a form without asking; JSON it cannot (threat G10). */
async function readBody(ctx: Context): Promise<unknown> {
  if (!ctx.is('application/json')) throw fail('unsupported_media_type');
  const body = await readJson(ctx, { limit: bodyLimit });
  if (!isStorable(body)) {
    throw fail('bad_request', {
      message: 'The body holds a NUL character or is nested too deeply.',
    });
  }
  // Schemas leave it out without a word (threats E5, D20).
  if (namesPrototype(body)) throw fail('invalid_fields', { fields: Object.fromEntries([['__proto__', unknownField]]) });
  return body;
}

/** PostgreSQL's text and jsonb refuse a NUL, and what is nested thousands deep ends the stack of whoever walks it. */
function isStorable(value: unknown, depth = 0): boolean {
  if (typeof value === 'string') return !value.includes('\0');
  if (typeof value !== 'object' || value === null) return true;
  return depth < 32 && Object.entries(value).every((entry) => entry.every((part) => isStorable(part, depth + 1)));
}

function namesPrototype(value: unknown): boolean {
  if (typeof value !== 'object' || value === null) return false;
  return Object.hasOwn(value, '__proto__') || Object.values(value).some(namesPrototype);
}

const unknownField = 'There is no field of this name.';

function refuseAll(fields: Map<string, string>, names: string[]): Record<string, never> {
  for (const name of names) fields.set(name, unknownField);
  return {};
}

/** At most so many, each cut: a hostile body must not come back as a larger answer. */
const mostFaults = 50;

function addFault(fields: Map<string, string>, issue: z.core.$ZodIssue, fallback: string): void {
  const path = issue.path.map(String);
  const names = issue.code === 'unrecognized_keys' ? issue.keys.map((key) => [...path, key]) : [path];
  const sentence = issue.code === 'unrecognized_keys' ? unknownField : issue.message;
  for (const name of names) {
    const field = (name.join('.') || fallback).slice(0, 100);
    if (fields.size < mostFaults && !fields.has(field)) fields.set(field, sentence);
  }
}

/** The error body of every route; kept here beside the errors that mounting itself makes. */
export function errorsOf<Services>(route: Route<Services>): ErrorCode[] {
  return [
    ...(route.params ? (['not_found'] as const) : []),
    ...(route.body ? (['bad_request', 'invalid_json', 'payload_too_large', 'unsupported_media_type'] as const) : []),
    'invalid_fields',
    ...(route.scopes.length ? (['unauthorized', 'forbidden'] as const) : []),
    ...(route.errors ?? []),
    'internal',
    'database_unavailable',
  ];
}
