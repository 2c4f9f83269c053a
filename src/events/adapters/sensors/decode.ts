/**
 * The text of a request, and the records in it. They come as form fields, in the query or in the body, whatever the content type says: `data` is one
 * record, `data_list` several; JSON, gzipped or not (`gzip=1`, which some forget, so it is looked at), base64.
 */
import { gunzipSync } from 'node:zlib';
import { fail } from '../../../errors.ts';
import { batchBytes } from '../../door.ts';
import { isRecord } from '../../storable.ts';

/** @throws bad_request | payload_too_large, of the whole request: nothing in it can be read */
export function textIn(fields: URLSearchParams): string {
  // A plus sign that nobody encoded arrives as a space, which base64 does not have.
  const [one, list] = ['data', 'data_list'].map((name) => fields.get(name)?.replaceAll(' ', '+'));
  const sent = list || one;
  if (!sent) throw fail('bad_request', { message: 'There is neither "data" nor "data_list".' });
  if (sent === one && !isWhole(sent, fields.get('ext')))
    throw fail('bad_request', { message: 'The checksum in "ext" is not that of "data": part of it is missing.' });
  // Encrypted records are not encoded, nor is what comes from a browser without btoa.
  return /^[[{]/.test(sent) ? sent : textOf(inflated(Buffer.from(sent, 'base64')));
}

/** @throws invalid_json | bad_request, of the whole request */
export function recordsIn(text: string): unknown[] {
  const value = parse(text);
  const records = Array.isArray(value) ? value : [value];
  if (records.some((record) => isRecord(record) && 'ekey' in record && 'payloads' in record))
    throw fail('bad_request', {
      message:
        "Encrypted records are not read here. Leave the tracker's encryption plugin out: HTTPS keeps them secret.",
    });
  return records;
}

/** An address that a proxy cut short. `crc` is no CRC: a 32-bit hash, h × 31 + character, of the encoded text. */
function isWhole(encoded: string, ext: string | null): boolean {
  const [, stated] = /^crc=(-?\d{1,10})$/.exec(ext ?? '') ?? [];
  if (stated === undefined) return true;
  let hash = 0;
  for (let at = 0; at < encoded.length; at++) hash = (Math.imul(hash, 31) + encoded.charCodeAt(at)) | 0;
  return hash === Number(stated);
}

function parse(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch (cause) {
    throw fail('invalid_json', { cause, message: 'What is encoded there is not JSON.' });
  }
}

/** The limit is that of a body, and holds while it is produced (threat F7). */
function inflated(bytes: Buffer): Buffer {
  if (bytes[0] !== 0x1f || bytes[1] !== 0x8b) return bytes;
  try {
    return gunzipSync(bytes, { maxOutputLength: batchBytes });
  } catch (cause) {
    if (cause instanceof RangeError) throw fail('payload_too_large', { cause });
    throw fail('bad_request', { cause, message: 'What says it is gzip is not, or part of it is missing.' });
  }
}

/** Two halves of a surrogate pair, each written as three bytes (CESU-8). */
const halves = /\xed([\xa0-\xaf])([\x80-\xbf])\xed([\xb0-\xbf])([\x80-\xbf])/g;

/** The mini-program tracker writes an emoji as no UTF-8 decoder reads it. */
function textOf(bytes: Buffer): string {
  const text = bytes.toString('utf8');
  if (!text.includes('\ufffd')) return text;
  const whole = bytes.toString('latin1').replace(halves, (pair) => {
    const [, a = 0, b = 0, , c = 0, d = 0] = Buffer.from(pair, 'latin1');
    const high = ((a & 0x0f) << 6) | (b & 0x3f);
    const low = ((c & 0x0f) << 6) | (d & 0x3f);
    return Buffer.from(String.fromCodePoint(0x10000 + (high << 10) + low)).toString('latin1');
  });
  return Buffer.from(whole, 'latin1').toString('utf8');
}
