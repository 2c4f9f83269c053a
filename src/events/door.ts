/**
 * What stands between a tracker's request and the intake, whatever wire format it speaks: which websites may send, who speaks, how
 * much is read, how many at once. An adapter (adapters/) finds the key where its tracker puts it, and turns the body into events of
 * our own tracking API (tracking.ts): nothing behind this door knows another vendor's format.
 */
import type { Clock } from '../clock.ts';
import type { Database } from '../database.ts';
import { fail } from '../errors.ts';
import { readBytes } from '../http/body.ts';
import { limitedAddress } from '../http/client-address.ts';
import type { Exchange } from '../http/server.ts';
import type { Logger } from '../log.ts';
import type { Seal } from '../seal.ts';
import { createAdmission, inTurn } from './admission.ts';
import { catalogueReader } from './catalogue.ts';
import { allowOrigin, refuseForeignOrigin } from './cors.ts';
import { type Batch, type IdTokenReader, mostEvents, type RejectedEvent, repeatedBytes, takeIn } from './intake.ts';
import type { KeyOf } from './people.ts';
import { createQuota, weightOf } from './quota.ts';
import { credentialIn, type Speaker, speakerOfCredential, speakerOfKey, type TokenReader } from './speaker.ts';
import { writeKeyReader } from './write-keys.ts';

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

export type Door = {
  publicUrl: string;
  /** Comes before anything can fail, so that a website reads the answers, refusals too. With `next` it is a middleware of Koa's. */
  allowOrigin(exchange: Exchange, next?: () => Promise<unknown>): Promise<void>;
  /** Known before the body is read: whoever has no key costs no memory. Undefined without the header. @throws unauthorized | forbidden | unknown_write_key */
  speakerOfHeader(exchange: Exchange): Promise<Speaker | undefined>;
  /** Of a key in the path, the query or the body. @throws unknown_write_key */
  speakerOfKey(key: unknown): Promise<Speaker>;
  /** @throws payload_too_large (over 500 KB, ungzipped) | unsupported_encoding | bad_request */
  readBody(exchange: Exchange): Promise<Buffer>;
  /**
   * Opens the batch when its turn has come, so that what waits is no larger than it was sent. `size` is that of the text inside, in
   * bytes: a small body that unpacks to much takes the room of much (threat F7). Returns once what was accepted is durable.
   * @throws too_many_requests | origin_not_allowed | payload_too_large (too many events), and what `open` throws
   */
  take(exchange: Exchange, size: number, open: () => Opened | Promise<Opened>): Promise<RejectedEvent[]>;
};

export type Opened = { speaker: Speaker; batch: Batch };

/** 500 KB, decompressed. A format with a compression of its own keeps to it as well. */
export const batchBytes = 512_000;

/** In bytes: of one process. About eight full batches or a thousand single events are open, four times as many wait. */
const room = { open: 4_000_000, waiting: 16_000_000 };
/** Binding takes a transaction each; the other connections serve sign-in. */
const bindsAtOnce = 3;

export function createDoor(dependencies: EventsDependencies): Door {
  const writeKeys = writeKeyReader(dependencies);
  const readCatalogue = catalogueReader(dependencies);
  const services = { ...dependencies, writeKeys, readCatalogue, inTurn: inTurn(bindsAtOnce) };
  const admission = createAdmission(room);
  const quota = createQuota(dependencies);
  const ownHost = new URL(dependencies.publicUrl).hostname;
  return {
    publicUrl: dependencies.publicUrl,
    async allowOrigin(exchange, next) {
      await allowOrigin(writeKeys, exchange);
      await next?.();
    },
    async speakerOfHeader({ req, state }) {
      const header = req.headers.authorization;
      if (!header) return undefined;
      const credential = credentialIn(header);
      state.sender = credential.credential;
      return speakerOfCredential(services, credential);
    },
    speakerOfKey: (key) => speakerOfKey(services, key),
    readBody: (exchange) => readBytes(exchange, { limit: batchBytes }),
    take: (exchange, size, open) =>
      admission.run(exchange.state.sender || limitedAddress(exchange), size, async () => {
        const { speaker, batch } = await open();
        refuseForeignOrigin(exchange, speaker);
        if (batch.items.length > mostEvents)
          throw fail('payload_too_large', { message: `A batch has at most ${mostEvents} events.` });
        const repeated = repeatedBytes(batch);
        if (repeated > room.open)
          throw fail('payload_too_large', { message: 'The context of the batch is too large for so many events.' });
        await quota.spend(speaker, weightOf(speaker.kind, { events: batch.items.length, bytes: size + repeated }));
        return takeIn(services, speaker, batch, { userAgent: exchange.req.headers['user-agent'] ?? '', ownHost });
      }),
  };
}
