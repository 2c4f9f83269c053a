/**
 * COPY, the way in which PostgreSQL takes rows fastest, in its binary format: what a sender writes is never parsed, so nothing in it could
 * end a field or a row, and ids and times take the database next to nothing (the text format: a third more).
 */
import type pg from 'pg';
import { storableText } from './storable.ts';

/** One table's part: what begins the copy, and its rows. */
export type Copy = { sql: string; rows: CopiedRows };

/** 2000-01-01, from which PostgreSQL counts microseconds. */
const epochMs = Date.UTC(2000);
const signature = Buffer.from('PGCOPY\n\xff\r\n\0\0\0\0\0\0\0\0\0', 'latin1');
const roomAtFirst = 16_384;

/** Rows in the binary format. Each begins with `row`, and has that many fields, each written as what its column is. */
export class CopiedRows {
  count = 0;
  #bytes = Buffer.allocUnsafe(roomAtFirst);
  #at = signature.copy(this.#bytes);

  row(fields: number): this {
    this.#reserve(2);
    this.#at = this.#bytes.writeInt16BE(fields, this.#at);
    this.count++;
    return this;
  }

  text(text: string | null): this {
    if (text === null) return this.#null();
    return this.#prefixed(text.includes('\0') ? storableText(text) : text, 0);
  }

  /** Text that JSON.stringify wrote. */
  jsonb(text: string | null): this {
    return text === null ? this.#null() : this.#prefixed(text, 1);
  }

  /** 32 hexadecimal digits, with or without hyphens. */
  uuid(id: string | null): this {
    if (id === null) return this.#null();
    this.#length(16);
    for (const from of id.length === 36 ? hyphenated : plain)
      this.#bytes[this.#at++] = (digit(id, from) << 4) | digit(id, from + 1);
    return this;
  }

  /** Milliseconds since 1970. */
  time(ms: number | null): this {
    return ms === null ? this.#null() : this.integer64((ms - epochMs) * 1000);
  }

  integer64(value: number | bigint | null): this {
    if (value === null) return this.#null();
    this.#length(8);
    if (typeof value === 'bigint') this.#at = this.#bytes.writeBigInt64BE(value, this.#at);
    else {
      this.#at = this.#bytes.writeInt32BE(Math.floor(value / 2 ** 32), this.#at);
      this.#at = this.#bytes.writeUInt32BE(value >>> 0, this.#at);
    }
    return this;
  }

  integer32(value: number): this {
    this.#length(4);
    this.#at = this.#bytes.writeInt32BE(value, this.#at);
    return this;
  }

  boolean(value: boolean): this {
    this.#length(1);
    this.#bytes[this.#at++] = value ? 1 : 0;
    return this;
  }

  bytes(): Buffer {
    this.#reserve(2);
    return this.#bytes.subarray(0, this.#bytes.writeInt16BE(-1, this.#at));
  }

  #null(): this {
    this.#length(-1);
    return this;
  }

  #length(bytes: number): void {
    this.#reserve(4 + Math.max(0, bytes));
    this.#at = this.#bytes.writeInt32BE(bytes, this.#at);
  }

  /** @param version that goes before the text, unless 0 */
  #prefixed(text: string, version: 0 | 1): this {
    // Three bytes at most for what counts as one in `length`; half a surrogate pair is written as U+FFFD.
    this.#reserve(5 + text.length * 3);
    const start = this.#at + 4;
    if (version) this.#bytes[start] = version;
    const written = version + this.#bytes.write(text, start + version);
    this.#bytes.writeInt32BE(written, this.#at);
    this.#at = start + written;
    return this;
  }

  #reserve(bytes: number): void {
    if (this.#at + bytes <= this.#bytes.length) return;
    const larger = Buffer.allocUnsafe(Math.max(this.#bytes.length * 2, this.#at + bytes));
    this.#bytes.copy(larger, 0, 0, this.#at);
    this.#bytes = larger;
  }
}

/** Where the bytes of a UUID begin in its text. */
const hyphenated = [0, 2, 4, 6, 9, 11, 14, 16, 19, 21, 24, 26, 28, 30, 32, 34];
const plain = hyphenated.map((_, n) => n * 2);
/** Of a hexadecimal digit, by its code: reading ids is a third of what a row costs. */
const digits = new Uint8Array(128);
for (let n = 0; n < 16; n++)
  for (const text of [n.toString(16), n.toString(16).toUpperCase()]) digits[text.charCodeAt(0)] = n;

const digit = (text: string, at: number) => digits[text.charCodeAt(at)] ?? 0;

/** What the driver's connection offers to a query object of our own. */
type Wire = {
  stream: { cork(): void; uncork(): void };
  query(text: string): void;
  sendCopyFromChunk(chunk: Buffer): void;
  endCopyFrom(): void;
};

/**
 * `before` and all copies as one message, which the database takes as one transaction: all of it or nothing. The rows go right behind
 * it in the same write: a database that refuses the statement passes over them, as the protocol says.
 * @throws what PostgreSQL says, and a lost connection after ten seconds without an answer: what became of it is then unknown
 */
export function copyIn(client: pg.Client, before: string[], copies: Copy[]): Promise<void> {
  const given = copies.filter(({ rows }) => rows.count > 0);
  const text = [...before, ...given.map(({ sql }) => `${sql} from stdin with (format binary)`)].join(';');
  const copying = new Promise<void>((resolve, reject) => {
    const query = {
      submit(wire: Wire) {
        wire.stream.cork();
        wire.query(text);
        for (const { rows } of given) {
          wire.sendCopyFromChunk(rows.bytes());
          wire.endCopyFrom();
        }
        wire.stream.uncork();
      },
      handleRowDescription() {},
      handleDataRow() {},
      handleCopyInResponse() {},
      handleCommandComplete() {},
      handleError: reject,
      handleReadyForQuery: () => resolve(),
    };
    client.query(query as unknown as pg.Submittable);
  });
  return patiently(client, copying);
}

const patienceMs = 10_000;

/** Nobody waits for a database that does not answer; its connection is not used again. */
export async function patiently<T>(client: pg.Client, answer: Promise<T>): Promise<T> {
  const impatient = setTimeout(() => void client.end(), patienceMs);
  try {
    return await answer;
  } finally {
    clearTimeout(impatient);
  }
}
