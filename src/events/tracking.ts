/**
 * Our tracking API as its routes take it: one event, or a batch; JSON whatever the content type says, because
 * browsers send text/plain to be spared a preflight. The key is in the header, in the body as `writeKey`, or was found by an adapter.
 */
import { fail } from '../errors.ts';
import type { Context, Exchange } from '../http/server.ts';
import type { Door } from './door.ts';
import type { RejectedEvent } from './intake.ts';
import { type EventType, sharedContext } from './normalise.ts';
import type { Speaker } from './speaker.ts';
import { isRecord } from './storable.ts';

export type Taken = { success: true; rejected: RejectedEvent[] };

/** @throws payload_too_large | invalid_fields (what cannot be stored) and what the door throws */
export async function takeOne(door: Door, exchange: Exchange, type: EventType): Promise<Taken> {
  const known = await door.speakerOfHeader(exchange);
  const bytes = await door.readBody(exchange);
  const [rejected] = await door.take(exchange, bytes.length, async () => {
    const event = parseObject(bytes);
    const speaker = known ?? (await door.speakerOfKey(event.writeKey));
    return { speaker, batch: { items: [event], type, sentAt: undefined } };
  });
  if (rejected?.code === 'event_too_large') throw fail('payload_too_large', { message: rejected.message });
  if (rejected)
    throw fail('invalid_fields', { message: rejected.message, fields: { [rejected.code]: rejected.message } });
  return { success: true, rejected: [] };
}

/** @throws what the door throws; a bad event is named in the answer */
export async function takeBatch(door: Door, exchange: Exchange, known: Speaker | undefined): Promise<Taken> {
  const bytes = await door.readBody(exchange);
  const rejected = await door.take(exchange, bytes.length, async () => {
    const { batch: items, sentAt, context, writeKey } = parseObject(bytes);
    if (!Array.isArray(items)) throw fail('invalid_fields', { fields: { batch: 'A list of events is needed.' } });
    const speaker = known ?? (await door.speakerOfKey(writeKey));
    return { speaker, batch: { items, type: undefined, sentAt, context: sharedContext(context) } };
  });
  return { success: true, rejected };
}

export function succeed(ctx: Context, taken: { success: true } = { success: true }): void {
  ctx.set('Cache-Control', 'no-store');
  ctx.status = 200;
  ctx.body = taken;
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
