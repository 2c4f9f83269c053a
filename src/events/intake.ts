/**
 * A batch from its bytes to the commit: normalise, bind what proves itself, attribute, store. One bad event never loses the good
 * ones: it is reported in the answer and kept, masked, for the key's owner. Whoever speaks was settled before (speaker.ts).
 */
import { randomUUID } from 'node:crypto';
import type { Clock } from '../clock.ts';
import { type Database, isRefusal } from '../database.ts';
import type { Logger } from '../log.ts';
import { attributor } from './attribute.ts';
import { bindAnonymous } from './bind.ts';
import type { Catalogue } from './catalogue.ts';
import type { Surroundings } from './enrich.ts';
import {
  type EventType,
  type Incoming,
  normalise,
  type Refusal,
  type RejectionCode,
  rejectionMessages,
  type SharedContext,
} from './normalise.ts';
import type { KeyOf } from './people.ts';
import { maskedClaim, maskedSample } from './personal.ts';
import { insertRejections } from './rejections.ts';
import type { Speaker } from './speaker.ts';
import { storableText } from './storable.ts';
import type { EventRow } from './store.ts';
import { storeOnce } from './store-once.ts';

export type IdTokenReader = (jwt: string) => Promise<{ sub: string; client_id: string } | undefined>;

export type IntakeServices = {
  db: Database;
  clock: Clock;
  log: Logger;
  keyOf: KeyOf;
  readIdToken: IdTokenReader;
  readCatalogue: () => Promise<Catalogue>;
  /** Lets some bind at a time. */
  inTurn: <T>(work: () => Promise<T>) => Promise<T>;
};

export type Batch = {
  items: unknown[];
  /** Of the path; undefined in a batch, where each event says its own. */
  type: EventType | undefined;
  sentAt: unknown;
  context?: SharedContext | undefined;
  /** Judged, and nothing is kept of it. */
  dryRun?: boolean;
};

export type RejectedEvent = {
  index: number;
  message_id: string | null;
  code: RejectionCode;
  message: string;
  /** The property that broke its type. */
  path: string | null;
};

/** In bytes: how much larger a batch becomes by the context that its events share. What is beyond the bounds is given to none of them. */
export function repeatedBytes({ items, context }: Batch): number {
  return context && 'fields' in context ? Buffer.byteLength(JSON.stringify(context.fields)) * items.length : 0;
}

/** Returns once what was accepted is durable. */
export async function takeIn(
  services: IntakeServices,
  speaker: Speaker,
  batch: Batch,
  request: Surroundings,
): Promise<RejectedEvent[]> {
  const { db, clock } = services;
  const received_at = clock.now();
  const catalogue = await services.readCatalogue();
  const rejected: RejectedEvent[] = [];
  const reject = (index: number, refusal: Refusal) => rejected.push(rejection(batch.items[index], index, refusal));
  const incoming: { index: number; event: Incoming }[] = [];
  const { type, sentAt, context } = batch;
  const surroundings = { ...request, ...(speaker.kind === 'server' && { userAgent: '' }) };
  const declaredConsents = speaker.declared_consents;
  const options = { type, sentAt, context, receivedAt: received_at, catalogue, surroundings, declaredConsents };
  for (const [index, item] of batch.items.entries()) {
    const read = normalise(item, options);
    if ('refusal' in read) reject(index, read.refusal);
    else incoming.push({ index, event: read.incoming });
  }
  const events = incoming.map(({ event }) => event);
  if (!batch.dryRun) await bindProven(services, speaker, events);
  const attribute = await attributor({ db, keyOf: services.keyOf, catalogue }, speaker, events);
  const idOf = eventIds(received_at);
  const { source_id } = speaker;
  const placed: { index: number; row: EventRow }[] = [];
  for (const { index, event } of incoming) {
    const found = attribute(event);
    if ('rejection' in found) reject(index, { code: found.rejection });
    else {
      const channel = event.channel ?? speaker.channel;
      placed.push({ index, row: rowOf(event, { id: idOf(index), received_at, source_id, channel, ...found }) });
    }
  }
  if (placed.length && !batch.dryRun) {
    const refused = await storeOnce(
      db,
      placed.map(({ row }) => row),
    );
    for (const { index, row } of placed) if (refused.has(row)) reject(index, { code: 'unstorable' });
    if (refused.size) logRefused(services, speaker, refused);
  }
  rejected.sort((a, b) => a.index - b.index);
  if (rejected.length && !batch.dryRun) await keepRejections(services, speaker, received_at, batch.items, rejected);
  return rejected;
}

/** Nobody foresaw it, so we are to hear of it: where the database has it from, and nothing of what was sent. */
function logRefused({ log }: IntakeServices, { source_id }: Speaker, refused: Map<EventRow, unknown>): void {
  const reasons = [...refused.values()].map((error) => {
    const { code, table, constraint } = error as { code?: string; table?: string; constraint?: string };
    return [code, table, constraint].filter(Boolean).join(' ');
  });
  log.error(
    { source_id, refused: refused.size, sqlstates: [...new Set(reasons)] },
    'events: the database refused some',
  );
}

type Placed = Pick<
  EventRow,
  | 'id'
  | 'received_at'
  | 'source_id'
  | 'channel'
  | 'subject_id'
  | 'trust'
  | 'counts'
  | 'is_attributable'
  | 'claimed_user_id'
  | 'held'
>;

function rowOf(event: Incoming, placed: Placed): EventRow {
  return {
    ...placed,
    claimed_user_id: placed.claimed_user_id && maskedClaim(placed.claimed_user_id),
    message_id: event.message_id ?? placed.id,
    type: event.type,
    event: event.event,
    original_event: event.original_event,
    timestamp: event.timestamp,
    original_timestamp: event.original_timestamp,
    anonymous_id: event.anonymous_id ?? null,
    consents: event.consents,
    properties: event.properties,
    context: event.context,
  };
}

/**
 * UUIDv7 with the position in the batch in its 12-bit counter (RFC 9562 section 6.2, method 1): events of one instant keep the
 * order in which they were sent. A batch holds no more than the counter does.
 */
export const mostEvents = 4_096;

function eventIds(at: Date): (index: number) => string {
  const time = at.getTime().toString(16).padStart(12, '0');
  const start = `${time.slice(0, 8)}-${time.slice(8)}-7`;
  // The last two groups of a random UUID are those of version 7: the variant and 62 random bits.
  return (index) => `${start}${index.toString(16).padStart(3, '0')}-${randomUUID().slice(19)}`;
}

/** Nobody has reason to send more; each costs a signature check. */
const mostIdTokens = 10;
const bindingHorizonMs = 30 * 86_400_000;

/** An identify that proves whose the anonymous id is binds it before its batch is stored. */
async function bindProven(services: IntakeServices, speaker: Speaker, events: Incoming[]): Promise<void> {
  const identifies = events.filter((event) => event.type === 'identify' && event.anonymous_id !== undefined);
  if (!identifies.length || speaker.kind === 'token') return;
  const proven = new Map<string, { anonymous_id: string; subject_id: string; at: Date }>();
  const subjectOf =
    speaker.kind === 'server'
      ? await serverSubjects(services, speaker, identifies)
      : idTokenSubjects(services, speaker);
  const now = services.clock.now().getTime();
  for (const event of identifies) {
    const subject_id = await subjectOf(event);
    const { anonymous_id } = event;
    const at = new Date(event.timestamp);
    // History that is imported says who used a device then, not who uses it now.
    if (!subject_id || anonymous_id === undefined || at.getTime() < now - bindingHorizonMs) continue;
    proven.set(anonymous_id, { anonymous_id, subject_id, at });
  }
  const method = speaker.kind === 'server' ? 'server' : 'id_token';
  for (const binding of proven.values())
    await services.inTurn(() => bindAnonymous(services.db, { ...binding, method }));
}

type SubjectOf = (event: Incoming) => Promise<string | undefined>;

/** A server's userId, when it is somebody. */
async function serverSubjects(services: IntakeServices, speaker: Speaker, events: Incoming[]): Promise<SubjectOf> {
  const named = events.filter(({ user_id }) => user_id !== undefined).map((event) => ({ ...event, external_ids: [] }));
  const catalogue = await services.readCatalogue();
  const attribute = await attributor({ db: services.db, keyOf: services.keyOf, catalogue }, speaker, named);
  return async (event) => {
    if (event.user_id === undefined) return undefined;
    const found = attribute({ ...event, external_ids: [] });
    return 'rejection' in found ? undefined : (found.subject_id ?? undefined);
  };
}

/** An ID token of a client that this key belongs to; good for nothing but binding, and never stored. */
function idTokenSubjects({ readIdToken }: IntakeServices, speaker: Speaker): SubjectOf {
  const clients = speaker.kind === 'client' ? speaker.client_ids : [];
  const read = new Map<string, ReturnType<IdTokenReader>>();
  return async ({ id_token }) => {
    if (id_token === undefined || (!read.has(id_token) && read.size >= mostIdTokens)) return undefined;
    const reading = read.get(id_token) ?? readIdToken(id_token);
    read.set(id_token, reading);
    const token = await reading;
    return token && clients.includes(token.client_id) ? token.sub : undefined;
  };
}

function rejection(item: unknown, index: number, { code, message, path }: Refusal): RejectedEvent {
  const id = typeof item === 'object' && item !== null && 'messageId' in item ? item.messageId : undefined;
  const message_id = typeof id === 'string' ? storableText(id.slice(0, 100)) : null;
  return { index, message_id, code, message: message ?? rejectionMessages[code], path: path ?? null };
}

/** Of one request; a public key must not fill the table. */
const mostKept = 100;

async function keepRejections(
  { db, log }: IntakeServices,
  { source_id }: Speaker,
  received_at: Date,
  items: unknown[],
  rejected: RejectedEvent[],
): Promise<void> {
  const rejections = rejected
    .slice(0, mostKept)
    .map(({ index, ...why }) => ({ ...why, sample: sampleOf(items[index]) }));
  const codes = [...new Set(rejected.map(({ code }) => code))];
  log.info({ source_id, rejected: rejected.length, codes }, 'events: rejected');
  try {
    await insertRejections(db, { source_id, received_at, rejections });
  } catch (error) {
    // The sender is told all the same; repeated, it would be refused again.
    if (!isRefusal(error)) throw error;
    log.error(
      { source_id, sqlstate: (error as { code?: string }).code },
      'events: what was rejected could not be kept',
    );
  }
}

/** Null for what nobody can write out: it is too deep, whatever else was found first. */
function sampleOf(item: unknown): string | null {
  try {
    return storableText(maskedSample(JSON.stringify(item).slice(0, 4_000)));
  } catch (error) {
    if (error instanceof RangeError) return null;
    throw error;
  }
}
