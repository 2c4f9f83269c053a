/**
 * COPY, the way in which PostgreSQL takes rows fastest: a third of what INSERT costs it. What is copied in is text, a line a row, and
 * everything that could end a field or a line is escaped here, so that no sender writes a column that is not its own.
 */
import type pg from 'pg';
import { storableText } from './storable.ts';

export type Field = string | number | boolean | Date | readonly string[] | null | undefined;

/** One table's part: what begins the copy, and its lines. */
export type Copy = { sql: string; lines: string };

export function copyLine(fields: Field[]): string {
  let line = '';
  for (const [at, value] of fields.entries()) line += at ? `\t${fieldText(value)}` : fieldText(value);
  return `${line}\n`;
}

function fieldText(value: Field): string {
  if (typeof value === 'string') return escaped(value);
  if (value === null || value === undefined) return '\\N';
  if (typeof value === 'boolean') return value ? 't' : 'f';
  if (typeof value === 'number') return String(value);
  if (value instanceof Date) return value.toISOString();
  return escaped(`{${value.map((item) => `"${item.replace(/["\\]/g, '\\$&')}"`).join(',')}}`);
}

const special = /[\\\t\n\r\0]/;
const escapes: Record<string, string> = { '\\': '\\\\', '\t': '\\t', '\n': '\\n', '\r': '\\r' };

function escaped(text: string): string {
  const storable = text.isWellFormed() ? text : storableText(text);
  return special.test(storable)
    ? storableText(storable).replace(/[\\\t\n\r]/g, (character) => escapes[character] ?? '')
    : storable;
}

/** What the driver's connection offers to a query object of our own. */
type Wire = {
  stream: { cork(): void; uncork(): void };
  query(text: string): void;
  sendCopyFromChunk(chunk: Buffer): void;
  endCopyFrom(): void;
};

/**
 * `before` and all copies as one message, which the database takes as one transaction: all of it or nothing. The lines go right behind
 * it in the same write: a database that refuses the statement passes over them, as the protocol says.
 * @throws what PostgreSQL says, and a lost connection after ten seconds without an answer: what became of it is then unknown
 */
export function copyIn(client: pg.Client, before: string[], copies: Copy[]): Promise<void> {
  const given = copies.filter(({ lines }) => lines !== '');
  const text = [...before, ...given.map(({ sql }) => sql)].join(';');
  const copying = new Promise<void>((resolve, reject) => {
    const query = {
      submit(wire: Wire) {
        wire.stream.cork();
        wire.query(text);
        for (const { lines } of given) {
          wire.sendCopyFromChunk(Buffer.from(lines));
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
