/** Reads request bodies within limits. */
import type { IncomingMessage } from 'node:http';
import { promisify } from 'node:util';
import { gunzip } from 'node:zlib';
import getRawBody from 'raw-body';
import { fail } from '../errors.ts';
import type { Context, Exchange } from './server.ts';

const ungzip = promisify(gunzip);

/**
 * The body as bytes, ungzipped when it says so, and no larger than the limit either way. It is ungzipped once all of it is there, so that
 * whoever sends slowly holds what was sent and not a thousand times as much; a gzip bomb is cut off at the limit (threat F7).
 * @throws payload_too_large | unsupported_encoding | bad_request (truncated or no gzip)
 */
export async function readBytes({ req, res }: Exchange, { limit }: { limit: number }): Promise<Buffer> {
  const encoding = req.headers['content-encoding']?.toLowerCase() || 'identity';
  if (encoding !== 'identity' && encoding !== 'gzip') throw fail('unsupported_encoding');
  try {
    const length = req.headers['content-length'];
    const sent = length === undefined ? await readChunks(req, limit) : await getRawBody(req, { limit, length });
    return encoding === 'gzip' ? await ungzip(sent, { maxOutputLength: limit }) : sent;
  } catch (error) {
    req.resume();
    const { type, code } = error as { type?: string; code?: string };
    if (type === 'entity.too.large' || code === 'ERR_BUFFER_TOO_LARGE') {
      // The rest of an oversize body is not read: the connection ends with the answer.
      res.setHeader('Connection', 'close');
      throw fail('payload_too_large', { cause: error });
    }
    throw fail('bad_request', { cause: error, message: 'The body could not be read.' });
  }
}

/** In one place: kept as they come, chunks of a byte each would take thirty times what was sent (threat F7). */
async function readChunks(req: IncomingMessage, limit: number): Promise<Buffer> {
  let [bytes, size] = [Buffer.alloc(0), 0];
  const write = (chunk: Uint8Array) => {
    const end = size + chunk.length;
    if (end > bytes.length) bytes = Buffer.concat([bytes], Math.max(end, 2 * bytes.length));
    bytes.set(chunk, size);
    size = end;
    return '';
  };
  await getRawBody(req, { limit, encoding: 'bytes', decoder: () => ({ write, end: () => '' }) });
  return bytes.subarray(0, size);
}

/** @throws invalid_json and what readBytes throws */
export async function readJson(exchange: Exchange, { limit }: { limit: number }): Promise<unknown> {
  const bytes = await readBytes(exchange, { limit });
  try {
    return JSON.parse(bytes.toString('utf8'));
  } catch (cause) {
    throw fail('invalid_json', { cause });
  }
}

/**
 * A posted HTML form. A field sent twice is refused: which one counts is what an attacker plays with (threat A43).
 * @throws bad_request and what readBytes throws
 */
export async function readForm(ctx: Context, { limit = 16_384 } = {}): Promise<Record<string, string>> {
  if (!ctx.is('application/x-www-form-urlencoded'))
    throw fail('bad_request', { message: 'The form has the wrong content type.' });
  const form: Record<string, string> = Object.create(null);
  for (const [name, value] of new URLSearchParams((await readBytes(ctx, { limit })).toString('utf8'))) {
    if (name in form) throw fail('bad_request', { message: 'A field was sent twice.' });
    form[name] = value;
  }
  return form;
}
