/**
 * The thin endpoint (contract section 4): the tracking API that the customers' SDKs already speak. Any content type is read as
 * JSON: browsers send text/plain to be spared a preflight.
 *
 * An SDK drops an event on any 4xx but 429, so a 4xx is only said of what will never be acceptable; what may pass is 429 or 503.
 */
import Router from '@koa/router';
import type { Clock } from '../clock.ts';
import type { Database } from '../database.ts';
import { fail } from '../errors.ts';
import { readBytes } from '../http/body.ts';
import type { Context, Middleware, RequestState } from '../http/server.ts';
import type { Logger } from '../log.ts';
import type { Seal } from '../seal.ts';
import { browserSettings } from './adapters/browser-settings.ts';
import { createAdmission } from './admission.ts';
import { catalogueReader } from './catalogue.ts';
import { allowOrigin, answerPreflight, refuseForeignOrigin } from './cors.ts';
import { type Batch, type IdTokenReader, type IntakeServices, mostEvents, takeIn } from './intake.ts';
import { type EventType, eventTypes } from './normalise.ts';
import type { KeyOf } from './people.ts';
import { type Speaker, speakerOfHeader, speakerOfKey, type TokenReader } from './speaker.ts';
import { isRecord } from './storable.ts';
import { type WriteKeys, writeKeyReader } from './write-keys.ts';

export type EventsDependencies = {
  db: Database;
  seal: Seal;
  clock: Clock;
  log: Logger;
  publicUrl: string;
  readToken: TokenReader;
  readIdToken: IdTokenReader;
  keyOf: KeyOf;
};

/** 500 KB, decompressed. */
const batchBytes = 512_000;

/** More at once does not store more: a batch keeps one connection busy, and the others serve sign-in. */
const atOnce = 5;
const waiting = 60;

export function eventsRoutes(dependencies: EventsDependencies): Router<RequestState> {
  const writeKeys = writeKeyReader(dependencies);
  const services = { ...dependencies, writeKeys, readCatalogue: catalogueReader(dependencies) };
  const admission = createAdmission({ atOnce, waiting });
  const router = new Router<RequestState>({ prefix: '/v1' });
  router.use(allowOrigin(writeKeys));
  router.options('/{*path}', answerPreflight);
  for (const type of eventTypes) {
    const one: Middleware = async (ctx) => {
      const { bytes, speaker } = await readRequest(ctx, services);
      await admission.run(() => takeOne(ctx, services, { bytes, speaker, type }));
    };
    router.post([`/${type}`, `/${type.charAt(0)}`], one);
  }
  router.post(['/batch', '/import', '/b'], async (ctx) => {
    const { bytes, speaker } = await readRequest(ctx, services);
    await admission.run(() => takeBatch(ctx, services, { bytes, speaker }));
  });
  // The browser SDK reports on itself; nobody here reads it.
  router.post('/m', (ctx) => succeed(ctx));
  router.get('/projects/:key/settings', async (ctx) => {
    const key = String(ctx.params.key);
    await speakerOfKey(services, key);
    ctx.set('Cache-Control', 'public, max-age=300');
    ctx.body = browserSettings(key, dependencies.publicUrl);
  });
  return router;
}

type Services = IntakeServices & { writeKeys: WriteKeys; readToken: TokenReader };
type Read = { bytes: Buffer; speaker: Speaker | undefined };

/** A speaker in the header is known before the body is read: whoever has no key costs no memory. */
async function readRequest(ctx: Context, services: Services): Promise<Read> {
  const speaker = await speakerOfHeader(services, ctx.get('authorization'));
  return { speaker, bytes: await readBytes(ctx, { limit: batchBytes }) };
}

async function takeOne(ctx: Context, services: Services, { bytes, speaker, type }: Read & { type: EventType }) {
  const event = parseObject(bytes);
  const batch = { items: [event], type, sentAt: undefined, context: undefined };
  const [rejected] = await take(ctx, services, { batch, speaker, writeKey: event.writeKey });
  if (rejected?.code === 'event_too_large') throw fail('payload_too_large', { message: rejected.message });
  if (rejected)
    throw fail('invalid_fields', { message: rejected.message, fields: { [rejected.code]: rejected.message } });
  succeed(ctx, { rejected: [] });
}

async function takeBatch(ctx: Context, services: Services, { bytes, speaker }: Read) {
  const { batch: items, sentAt, context, writeKey } = parseObject(bytes);
  if (!Array.isArray(items)) throw fail('invalid_fields', { fields: { batch: 'A list of events is needed.' } });
  if (items.length > mostEvents)
    throw fail('payload_too_large', { message: `A batch has at most ${mostEvents} events.` });
  const batch = { items, type: undefined, sentAt, context };
  succeed(ctx, { rejected: await take(ctx, services, { batch, speaker, writeKey }) });
}

type Taking = { batch: Batch; speaker: Speaker | undefined; writeKey: unknown };

async function take(ctx: Context, services: Services, { batch, speaker, writeKey }: Taking) {
  const speaking = speaker ?? (await speakerOfKey(services, writeKey));
  refuseForeignOrigin(ctx, speaking);
  return takeIn(services, speaking, batch);
}

function parseObject(bytes: Buffer): Record<string, unknown> {
  let value: unknown;
  try {
    value = JSON.parse(bytes.toString('utf8'));
  } catch (cause) {
    throw fail('invalid_json', { cause });
  }
  if (!isRecord(value)) throw fail('bad_request', { message: 'The body must be a JSON object.' });
  return value;
}

function succeed(ctx: Context, more: Record<string, unknown> = {}): void {
  ctx.set('Cache-Control', 'no-store');
  ctx.status = 200;
  ctx.body = { success: true, ...more };
}
