/** Reads request bodies within limits. */
import { finished } from 'node:stream';
import { createGunzip } from 'node:zlib';
import getRawBody from 'raw-body';
import { fail } from '../errors.ts';
import type { Context, Exchange } from './server.ts';

/**
 * The body as bytes, ungzipped when it says so. The limit holds for the decompressed size, which is counted while it is
 * produced: a gzip bomb is cut off at the limit (threat F7).
 * @throws payload_too_large | unsupported_encoding | bad_request (truncated or no gzip)
 */
export async function readBytes({ req, res }: Exchange, { limit }: { limit: number }): Promise<Buffer> {
  const encoding = req.headers['content-encoding']?.toLowerCase() || 'identity';
  if (encoding !== 'identity' && encoding !== 'gzip') throw fail('unsupported_encoding');
  const stream = encoding === 'gzip' ? req.pipe(createGunzip()) : req;
  // A body that is refused at its limit may be found broken further on, when nobody listens: that would end the process (threat F7).
  stream.on('error', () => {});
  // `pipe` does not say that the sender has left, and `pipeline` would end the connection before the answer.
  if (stream !== req) finished(req, (error) => error && stream.destroy(error));
  const length = encoding === 'identity' ? (req.headers['content-length'] ?? null) : null;
  try {
    return await getRawBody(stream, { limit, length });
  } catch (error) {
    if (stream !== req) stream.destroy();
    req.unpipe();
    req.resume();
    const type = (error as { type?: string }).type;
    if (type === 'entity.too.large') {
      // The rest of an oversize body is not read: the connection ends with the answer.
      res.setHeader('Connection', 'close');
      throw fail('payload_too_large', { cause: error });
    }
    throw fail('bad_request', { cause: error, message: 'The body could not be read.' });
  }
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
